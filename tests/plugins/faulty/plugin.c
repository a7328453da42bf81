// Does what a connection's name says, and answers all others well. It imports what a C library has of WASI, too.

#include <stdio.h>
#include <time.h>

#include "vpnhost_plugin.h"

static const plugin_setting_t SETTINGS[] = {{0}};
static const char *const ANSWERS[] = {"rank-paths", NULL};
static volatile char *held;

VPNHOST_PLUGIN("faulty", "0.1.0", "Misbehaves on demand", ANSWERS, SETTINGS)

static unsigned recurse(unsigned depth) {
    volatile char room[256] = {0};
    held = room;
    return depth == UINT32_MAX ? 0 : recurse(depth + 1) + room[depth % sizeof room];
}

bool exports_rank_paths_rank_paths(exports_rank_paths_path_menu_t *menu, exports_rank_paths_path_ranking_t *answer) {
    volatile bool for_ever = true;
    // Nobody reads it, and there is no clock.
    printf("%zu paths at %lld\n", menu->paths.len, (long long)time(NULL));
    if (plugin_is(menu->connection, "mistake")) plugin_fail("there is nothing");
    if (plugin_is(menu->connection, "recurse")) recurse(0);
    while (for_ever && plugin_is(menu->connection, "loop")) {}
    while (plugin_is(menu->connection, "hoard")) held = plugin_memory(1 << 20, 1);
    uint32_t *order = plugin_memory(menu->paths.len, sizeof *order);
    for (uint32_t at = 0; at < menu->paths.len; at++) order[at] = at;
    *answer = (exports_rank_paths_path_ranking_t){.order = {.ptr = order, .len = menu->paths.len}};
    exports_rank_paths_path_menu_free(menu);
    return true;
}
