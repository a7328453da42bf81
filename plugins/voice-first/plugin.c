// The path that a call sounds best on: an estimate of what delay and loss do to speech (ITU-T G.107, G.711 without
// concealment, in tenths), less what an unsteady link costs. The path in use keeps a lead, so that nothing moves for
// little; a path that was not measured is taken for a poor one.

#include "vpnhost_plugin.h"

static int64_t lead = 5;
static int64_t review = 10;
static vpnhost_list_string_t avoid = {0};

static const plugin_setting_t SETTINGS[] = {
    {.key = "lead", .summary = "by how many points of 100 another path has to be better (default 5)", .integer = &lead},
    {.key = "review", .summary = "seconds after which paths are compared again (default 10)", .integer = &review},
    {.key = "avoid", .summary = "interfaces that are used only where there is no other", .texts = &avoid},
    {0},
};
static const char *const ANSWERS[] = {"rank-paths", NULL};

VPNHOST_PLUGIN("voice-first", "0.1.0", "The path that a call sounds best on", ANSWERS, SETTINGS)

typedef exports_rank_paths_path_menu_t menu_t;
typedef exports_rank_paths_path_facts_t path_t;
typedef exports_rank_paths_path_ranking_t ranking_t;

enum { SILENT = 3, UNREACHABLE = 4 };
enum { WORKS = 1, FAILED = 2 };
enum { PERFECT = 932, UNMEASURED = 400, FAILURE = -10000, AVOIDED = -5000 };
enum { CODEC_MS = 40, ECHO_MS = 177, SETTLE_MS = 3000, LEAST_REVIEW = 5, MOST_REVIEW = 3600 };

static bool is_in_use(const menu_t *menu, uint32_t at) { return menu->current.is_some && menu->current.val == at; }

static bool has_failed(const menu_t *menu, uint32_t at) {
    bool accused = menu->cause == SILENT || menu->cause == UNREACHABLE;
    return menu->paths.ptr[at].standing == FAILED || (accused && is_in_use(menu, at));
}

static bool is_avoided(const path_t *path) {
    for (size_t at = 0; at < avoid.len; at++) {
        vpnhost_string_t name = avoid.ptr[at];
        if (name.len == path->interface_name.len && memcmp(name.ptr, path->interface_name.ptr, name.len) == 0)
            return true;
    }
    return false;
}

/// What delay costs: little until people begin to talk over each other.
static int32_t delay_cost(uint32_t rtt_us) {
    uint32_t rtt_ms = rtt_us / 1000 > 10000 ? 10000 : rtt_us / 1000;
    int32_t one_way = (int32_t)(rtt_ms / 2) + CODEC_MS;
    int32_t cost = one_way * 24 / 100;
    return one_way > ECHO_MS ? cost + (one_way - ECHO_MS) * 11 / 10 : cost;
}

/// What loss costs: one packet in a hundred is heard, ten are too many.
static int32_t loss_cost(uint16_t permille) { return 950 * permille / (permille + 43); }

/// How a call would sound, in tenths of a point.
static int32_t quality(const menu_t *menu, uint32_t at) {
    const path_t *path = &menu->paths.ptr[at];
    if (has_failed(menu, at)) return FAILURE;
    int32_t points = UNMEASURED;
    if (path->standing == WORKS && path->rtt_us.is_some) {
        points = PERFECT - delay_cost(path->rtt_us.val);
        if (path->loss_permille.is_some) points -= loss_cost(path->loss_permille.val);
    }
    points -= 10 * (path->flaps < 20 ? path->flaps : 20);
    points -= 5 * (path->outages < 20 ? path->outages : 20);
    if (is_avoided(path)) points += AVOIDED;
    if (is_in_use(menu, at)) points += 10 * (int32_t)lead;
    return points;
}

static uint32_t within(int64_t value, int64_t least, int64_t most) {
    return (uint32_t)(value < least ? least : value > most ? most : value);
}

static void rank(const menu_t *menu, ranking_t *answer) {
    size_t count = menu->paths.len;
    uint32_t *order = plugin_memory(count, sizeof *order);
    for (uint32_t at = 0; at < count; at++) {
        uint32_t place = at;
        for (; place > 0 && quality(menu, order[place - 1]) < quality(menu, at); place--) order[place] = order[place - 1];
        order[place] = at;
    }
    const path_t *best = &menu->paths.ptr[order[0]];
    char name[64] = {0};
    size_t octets = best->interface_name.len < sizeof name - 1 ? best->interface_name.len : sizeof name - 1;
    memcpy(name, best->interface_name.ptr, octets);
    answer->order = (vpnhost_list_u32_t){.ptr = order, .len = count};
    answer->settle_ms = SETTLE_MS;
    answer->review_after_secs = review == 0 ? 0 : within(review, LEAST_REVIEW, MOST_REVIEW);
    answer->why = (vpnhost_option_string_t){true, plugin_join("a call sounds best on ", name, NULL)};
}

bool exports_rank_paths_rank_paths(menu_t *menu, ranking_t *answer) {
    lead = within(lead, 0, 100);
    // Where there is no path there is nothing to say.
    bool answers = menu->paths.len > 0;
    if (answers) rank(menu, answer);
    exports_rank_paths_path_menu_free(menu);
    return answers;
}
