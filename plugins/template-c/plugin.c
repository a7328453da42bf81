// Cables before wireless links, and those before mobile networks.

#include "vpnhost_plugin.h"

static bool metered = true;

static const plugin_setting_t SETTINGS[] = {
    {.key = "metered", .summary = "whether metered paths may be used at all (default true)", .flag = &metered},
    {0},
};
static const char *const ANSWERS[] = {"rank-paths", NULL};

VPNHOST_PLUGIN("template", "0.1.0", "Prefers cables to wireless links, and those to mobile networks", ANSWERS, SETTINGS)

typedef exports_rank_paths_path_menu_t menu_t;
typedef exports_rank_paths_path_facts_t path_t;

enum { ETHERNET = 1, WIFI = 2, CELLULAR = 3, TUNNEL = 4, LOOPBACK = 5 };
enum { SILENT = 3, UNREACHABLE = 4, FAILED = 2 };

static const char *name_of(uint8_t link) {
    switch (link) {
    case ETHERNET: return "ethernet";
    case WIFI: return "wifi";
    case CELLULAR: return "cellular";
    case TUNNEL: return "tunnel";
    case LOOPBACK: return "loopback";
    default: return "other";
    }
}

static unsigned wiredness(uint8_t link) {
    switch (link) {
    case ETHERNET: return 0;
    case WIFI: return 2;
    case CELLULAR: return 3;
    default: return 1;
    }
}

static bool is_in_use(const menu_t *menu, uint32_t at) { return menu->current.is_some && menu->current.val == at; }

/// Tells whether a path does not work: its last probe failed, or it is in use and why the question is asked.
static bool has_failed(const menu_t *menu, uint32_t at) {
    bool accused = menu->cause == SILENT || menu->cause == UNREACHABLE;
    return menu->paths.ptr[at].standing == FAILED || (accused && is_in_use(menu, at));
}

/// Less is better: what works, what it is made of, what it costs, whether it is in use.
static unsigned key(const menu_t *menu, uint32_t at) {
    const path_t *path = &menu->paths.ptr[at];
    return has_failed(menu, at) * 64u + wiredness(path->kind) * 4u + path->metered * 2u + !is_in_use(menu, at);
}

/// Ranks paths by what their link is made of; equals keep the path in use, then the order of the menu.
bool exports_rank_paths_rank_paths(menu_t *menu, exports_rank_paths_path_ranking_t *answer) {
    bool abstains = menu->paths.len < 2; // Nothing to choose.
    if (!abstains) {
        uint32_t *order = plugin_memory(menu->paths.len, sizeof *order);
        size_t count = 0;
        for (uint32_t at = 0; at < menu->paths.len; at++) {
            if (!metered && menu->paths.ptr[at].metered) continue;
            size_t place = count++;
            for (; place > 0 && key(menu, order[place - 1]) > key(menu, at); place--) order[place] = order[place - 1];
            order[place] = at;
        }
        const char *best = count > 0 ? name_of(menu->paths.ptr[order[0]].kind) : "nothing";
        answer->order = (vpnhost_list_u32_t){.ptr = order, .len = count};
        answer->settle_ms = 0;
        answer->review_after_secs = 0;
        answer->why = (vpnhost_option_string_t){true, plugin_join(best, " is the most wired", NULL)};
    }
    exports_rank_paths_path_menu_free(menu);
    return !abstains;
}
