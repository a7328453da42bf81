// The cheapest suite that is strong enough: by what a packet costs this machine, and by a round trip for an IKE SA.
//
// What is weaker than `least` is left out; a peer that offers nothing else is refused. A peer that could have done better
// than what is left to choose from is told of in the log.

import { flag, log, plugin, problem, text } from "./vendor/vpnhost.js";

const STRENGTHS = ["broken", "legacy", "acceptable", "recommended"];
const IKE = 1;

/** Returns the indices of what is strong enough, in the operator's order. */
function strongEnough(menu, least) {
  return [...menu.suites.keys()].filter((at) => menu.suites[at].strength >= least);
}

/** An IKE SA carries little: what counts is whether the exchange has to begin anew for another group. */
function byRoundTrip(menu) {
  return (a, b) => menu.suites[b].keySharePresent - menu.suites[a].keySharePresent || a - b;
}

/** A Child SA carries all the traffic. What was not measured comes last; nearly alike is alike, in the operator's order. */
function byCost(menu, countsOctets) {
  const cost = (at) => {
    const { packetNs, overheadOctets } = menu.suites[at];
    if (packetNs === null) return Infinity;
    // Measurements differ from run to run: a fifth is no difference.
    const time = Math.round(Math.log(Math.max(packetNs, 1)) / Math.log(1.2));
    return countsOctets ? time + (overheadOctets ?? 0) / 8 : time;
  };
  return (a, b) => {
    const [left, right] = [cost(a), cost(b)];
    return left === right ? a - b : left - right;
  };
}

function tell(menu, order) {
  const best = Math.max(...order.map((at) => menu.suites[at].strength), 0);
  const better = menu.notOffered.filter((suite) => suite.strength > best);
  if (better.length > 0) {
    log(`${menu.connection}: the peer offers none of ${better.length} stronger suites that it could have`, "debug");
  }
}

function because(menu, at, least) {
  if (at === undefined) return `nothing that the peer offers is ${STRENGTHS[least]}`;
  const { packetNs, backend } = menu.suites[at];
  if (menu.protocol === IKE) return menu.suites[at].keySharePresent ? "saves a round trip" : "the operator's first";
  return packetNs === null ? "the operator's first" : `${packetNs} ns a packet by ${backend}`;
}

export const { describe, configure, rankProposals } = plugin({
  name: "thrifty-suites",
  version: "0.1.0",
  summary: "The cheapest suite that is strong enough",
  settings: {
    least: text("the least strength: legacy, acceptable or recommended (default acceptable)", "acceptable"),
    octets: flag("whether the octets that a suite adds to a packet count as well (default false)", false),
  },

  check(settings) {
    settings.least = STRENGTHS.indexOf(settings.least);
    if (settings.least < 1) throw problem("least", "must be legacy, acceptable or recommended");
  },

  rankProposals(menu, { least, octets }) {
    const order = strongEnough(menu, least);
    order.sort(menu.protocol === IKE ? byRoundTrip(menu) : byCost(menu, octets));
    tell(menu, order);
    return { order, why: because(menu, order[0], least) };
  },
});
