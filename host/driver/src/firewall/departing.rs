//! What protected traffic meets that does not ask the routes: whoever binds a socket to an interface, or whose source
//! port is that of a tunnel, may be routed past the tunnel, but not through this.
//!
//! It says what the plan of the routes says, in the same order: the table of protected prefixes by the longest match,
//! then the local network, then the table of full tunnels.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::matching;
use crate::machine::Machine;
use crate::routes::plan::Plan;
use crate::routes::{Family, Prefix, Target};

/// Returns the chains for what this host sends and for what it forwards; empty where nothing is blocked.
pub(super) fn chains(tun: &str, plan: &Plan, local: &[Prefix]) -> String {
    if !plan.routes.values().any(|target| *target == Target::Unreachable) {
        return String::new();
    }
    let rules = Family::ALL.iter().flat_map(|family| rules(*family, plan, local));
    let mut text = "\tchain outside {\n".to_owned();
    // Writing to a string does not fail.
    let _ = writeln!(text, "\t\toifname {{ \"lo\", \"{tun}\" }} accept");
    // The tunnel's own packets: only who may set a mark can look like them.
    let _ = writeln!(text, "\t\tmeta mark {} accept", Machine::MARK);
    // What goes no further than the link, and what finds the neighbours on it.
    text += "\t\tfib daddr type { local, broadcast, multicast } accept\n";
    text += "\t\ticmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept\n";
    for rule in rules {
        let _ = writeln!(text, "\t\t{rule}");
    }
    text += "\t}\n";
    for (name, hook) in [("departing", "output"), ("passing", "forward")] {
        let _ = writeln!(
            text,
            "\tchain {name} {{\n\t\ttype filter hook {hook} priority filter; policy accept;\n\t\tjump outside\n\t}}"
        );
    }
    text
}

fn rules(family: Family, plan: &Plan, local: &[Prefix]) -> Vec<String> {
    // By length, so that the longest match comes first; a prefix is either blocked or exempt.
    let mut lengths: BTreeMap<u8, (Vec<Prefix>, Vec<Prefix>)> = BTreeMap::new();
    for (place, target) in plan.routes.iter().filter(|(place, _)| Family::of(place.prefix.0) == family) {
        let (exempt, blocked) = lengths.entry(place.prefix.1).or_default();
        match target {
            Target::Throw => exempt.push(place.prefix),
            Target::Unreachable => blocked.push(place.prefix),
            Target::Interface { .. } => {}
        }
    }
    let is_full = lengths.remove(&0).is_some_and(|(_, blocked)| !blocked.is_empty());
    let mut rules = Vec::new();
    for (exempt, blocked) in lengths.into_values().rev() {
        rules.extend(verdict(family, &exempt, "accept"));
        rules.extend(verdict(family, &blocked, "drop"));
    }
    if is_full {
        rules.extend(verdict(family, local, "accept"));
        rules.extend(verdict(family, &[family.everything()], "drop"));
    }
    rules
}

fn verdict(family: Family, prefixes: &[Prefix], verdict: &str) -> Option<String> {
    Some(format!("{} {verdict}", matching(family, "daddr", prefixes.iter().copied())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Place;

    fn prefix(text: &str) -> Prefix {
        let (base, length) = text.split_once('/').unwrap();
        (base.parse().unwrap(), length.parse().unwrap())
    }

    fn plan(routes: &[(&str, Target)]) -> Plan {
        let place = |text: &str| Place { table: 1, prefix: prefix(text), metric: 1 };
        Plan {
            routes: routes.iter().map(|(text, target)| (place(text), *target)).collect(),
            ..Plan::default()
        }
    }

    #[test]
    fn the_longest_match_comes_first_then_the_local_network_then_the_rest() {
        let plan = plan(&[
            ("10.0.0.0/8", Target::Unreachable),
            ("10.1.0.0/16", Target::Throw),
            ("10.1.2.0/24", Target::Unreachable),
            ("0.0.0.0/0", Target::Unreachable),
            ("fd20::/64", Target::Interface { index: 7, source: None }),
        ]);
        let local = [prefix("192.0.2.0/24"), prefix("fe80::/64")];
        assert_eq!(
            rules(Family::V4, &plan, &local),
            [
                "ip daddr { 10.1.2.0/24 } drop",
                "ip daddr { 10.1.0.0/16 } accept",
                "ip daddr { 10.0.0.0/8 } drop",
                "ip daddr { 192.0.2.0/24 } accept",
                "meta nfproto ipv4 drop",
            ]
        );
        assert!(rules(Family::V6, &plan, &local).is_empty());
    }

    #[test]
    fn nothing_blocked_is_no_chain() {
        assert_eq!(chains("vpn0", &plan(&[("10.1.0.0/16", Target::Throw)]), &[]), "");
    }
}
