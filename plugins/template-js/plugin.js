// Cables before wireless links, and those before mobile networks.

import { flag, plugin } from "./vendor/vpnhost.js";

const LINKS = { 1: "ethernet", 2: "wifi", 3: "cellular", 4: "tunnel", 5: "loopback" };
const WIREDNESS = { ethernet: 0, wifi: 2, cellular: 3 };
const [SILENT, UNREACHABLE, FAILED] = [3, 4, 2];

const link = (path) => LINKS[path.kind] ?? "other";

/** Tells whether a path does not work: its last probe failed, or it is in use and why the question is asked. */
function hasFailed(menu, at) {
  const accused = menu.cause === SILENT || menu.cause === UNREACHABLE;
  return menu.paths[at].standing === FAILED || (accused && at === menu.current);
}

export const { describe, configure, rankPaths } = plugin({
  name: "template",
  version: "0.1.0",
  summary: "Prefers cables to wireless links, and those to mobile networks",
  settings: { metered: flag("whether metered paths may be used at all (default true)", true) },

  /** Ranks paths by what their link is made of; equals keep the path in use, then the order of the menu. */
  rankPaths(menu, settings) {
    if (menu.paths.length < 2) return null; // Nothing to choose: abstain.
    const key = (at) => [
      hasFailed(menu, at),
      WIREDNESS[link(menu.paths[at])] ?? 1,
      menu.paths[at].metered,
      at !== menu.current,
    ];
    const order = [...menu.paths.keys()].filter((at) => settings.metered || !menu.paths[at].metered);
    order.sort((a, b) => {
      const [left, right] = [key(a), key(b)];
      const differs = left.findIndex((it, index) => it !== right[index]);
      return differs < 0 ? a - b : left[differs] - right[differs];
    });
    const best = order.length > 0 ? link(menu.paths[order[0]]) : "nothing";
    return { order, settleMs: 0, reviewAfterSecs: 0, why: `${best} is the most wired` };
  },
});
