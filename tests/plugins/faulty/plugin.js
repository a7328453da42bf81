// Does what a connection's name says, and answers all others well.

import { plugin } from "./vendor/vpnhost.js";

const recurse = (depth) => [recurse(depth + 1), depth];

export const { describe, configure, rankPaths } = plugin({
  name: "faulty",
  version: "0.1.0",
  summary: "Misbehaves on demand",
  rankPaths(menu) {
    if (menu.connection === "mistake") return menu.nothing.at(0);
    if (menu.connection === "recurse") recurse(0);
    while (menu.connection === "loop");
    for (const held = []; menu.connection === "hoard"; ) held.push(new Uint8Array(1 << 20));
    return { order: [...menu.paths.keys()], settleMs: 0, reviewAfterSecs: 0, why: null };
  },
});
