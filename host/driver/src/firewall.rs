//! The firewall table: drops cleartext that pretends to come out of a tunnel (RFC 4301 §5.2, step 3) or that was led
//! past it, and masquerades.
//!
//! Routes cannot do this: they ask where a packet goes, not where it came in. One nftables table for each TUN; it
//! survives a killed daemon, and a start puts its own in its place at once.

mod departing;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use vpnhost_ike::output::HostConfiguration;
use vpnhost_model::TrafficSelector;

use crate::config::Leak;
use crate::error::DriverError;
use crate::machine::MachineSettings;
use crate::program::{self, Said};
use crate::routes::plan::Plan;
use crate::routes::{Family, Prefix, contains};

/// What the names of all our tables begin with.
const PREFIX: &str = "vpnhost_";

/// Tells whether the firewall is needed at all.
pub(crate) fn is_needed(settings: &MachineSettings) -> bool {
    settings.blocks() || settings.pools.iter().any(|pool| pool.masquerade)
}

/// Tells whether `nft` is there.
pub(crate) fn is_available() -> bool {
    program::find("nft").is_some()
}

/// Returns the rules of a TUN's table beside a plan of the routes, or `None` if none are needed. `local` are the
/// networks that are reached beside a full tunnel.
pub(crate) fn ruleset<'a>(
    settings: &MachineSettings,
    configured: impl Iterator<Item = &'a HostConfiguration>,
    plan: &Plan,
    local: &[Prefix],
) -> Option<String> {
    let mut arriving = BTreeSet::new();
    let mut virtuals = Vec::new();
    for connection in &settings.connections {
        if connection.routing.leak == Leak::Block {
            arriving.extend(drops(&connection.remote, &connection.local));
        }
    }
    for configuration in configured {
        if settings.routing(&configuration.connection).leak == Leak::Block {
            let prefixes =
                |all: &[TrafficSelector]| all.iter().flat_map(TrafficSelector::prefixes).collect::<Vec<_>>();
            let mut remote = prefixes(&configuration.remote);
            // What comes from a pool is dropped whatever it is for.
            remote.retain(|prefix| !settings.is_pooled(*prefix));
            arriving.extend(drops(&remote, &prefixes(&configuration.local)));
            virtuals.extend(configuration.addresses.iter().map(|(a, _)| (*a, Family::of(*a).bits())));
        }
    }
    for family in Family::ALL {
        let pools =
            settings.pools.iter().filter(|_| settings.blocks()).map(|pool| (pool.base, pool.prefix_len));
        arriving.extend(matching(family, "saddr", pools).map(|pool| format!("{pool} drop")));
        arriving.extend(matching(family, "daddr", virtuals.iter().copied()).map(|own| format!("{own} drop")));
    }
    let masqueraded = || settings.pools.iter().filter(|p| p.masquerade).map(|p| (p.base, p.prefix_len));
    let leaving: Vec<String> =
        Family::ALL.iter().filter_map(|family| matching(*family, "saddr", masqueraded())).collect();
    let departing = departing::chains(&settings.tun_name, plan, local);
    (!arriving.is_empty() || !departing.is_empty() || !leaving.is_empty())
        .then(|| table(settings, &arriving, &departing, &leaving))
}

fn table(
    settings: &MachineSettings,
    arriving: &BTreeSet<String>,
    departing: &str,
    leaving: &[String],
) -> String {
    let (name, tun) = (table_name(&settings.tun_name), &settings.tun_name);
    let [ike, nat] = settings.ports;
    // Declared before it is deleted, so that the deletion never fails: all of it is one transaction.
    let mut text = format!("table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n");
    if !arriving.is_empty() {
        text += "\tchain arriving {\n\t\ttype filter hook prerouting priority raw; policy accept;\n";
        // Writing to a string does not fail.
        let _ = writeln!(text, "\t\tiifname {{ \"lo\", \"{tun}\" }} accept");
        // The tunnel's own packets, whose outer addresses may well lie in what the tunnel protects.
        text += "\t\tmeta l4proto esp fib daddr type local accept\n";
        let idle = settings.idle_port.map_or_else(String::new, |port| format!(", {port}"));
        let _ = writeln!(text, "\t\tudp dport {{ {ike}, {nat}{idle} }} fib daddr type local accept");
        for rule in arriving {
            let _ = writeln!(text, "\t\t{rule}");
        }
        text += "\t}\n";
    }
    text += departing;
    if !leaving.is_empty() {
        text += "\tchain leaving {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n";
        for pool in leaving {
            let _ = writeln!(text, "\t\t{pool} oifname != {{ \"lo\", \"{tun}\" }} masquerade");
        }
        text += "\t}\n";
    }
    text + "}\n"
}

/// What comes from behind the peer to what is behind this host came out of the tunnel, or is dropped.
fn drops(remote: &[Prefix], local: &[Prefix]) -> Vec<String> {
    let of = |family: Family| {
        let from = matching(family, "saddr", remote.iter().copied())?;
        let to = matching(family, "daddr", local.iter().copied())?;
        // The routes tell sources of the local network, which may lie within what the peer has behind it: the way back
        // to those is the interface that they came in on.
        Some(format!("{from} {to} fib saddr . iif oif missing drop"))
    };
    Family::ALL.iter().filter_map(|family| of(*family)).collect()
}

/// Returns what matches the prefixes of a family, or `None` if there are none.
fn matching(family: Family, field: &str, prefixes: impl Iterator<Item = Prefix>) -> Option<String> {
    let mut all: Vec<Prefix> = prefixes.filter(|(base, _)| Family::of(*base) == family).collect();
    // A set takes no overlaps: only the widest ones stay.
    all.sort_by_key(|(base, length)| (*length, *base));
    let mut widest: Vec<Prefix> = Vec::new();
    for prefix in all {
        if !widest.iter().any(|other| contains(*other, prefix)) {
            widest.push(prefix);
        }
    }
    let keyword = match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    };
    match widest.as_slice() {
        [] => None,
        [(base, 0)] => Some(format!("meta nfproto {}", if base.is_ipv4() { "ipv4" } else { "ipv6" })),
        prefixes => {
            let elements: Vec<String> = prefixes.iter().map(element).collect();
            Some(format!("{keyword} {field} {{ {} }}", elements.join(", ")))
        }
    }
}

fn element((base, length): &Prefix) -> String {
    if *length == Family::of(*base).bits() { base.to_string() } else { format!("{base}/{length}") }
}

/// Puts a TUN's table in the place of the one that is there, at once.
pub(crate) async fn apply(ruleset: &str) -> Result<(), DriverError> {
    let nft = program::find("nft").ok_or(DriverError::NftMissing)?;
    let said = run(nft, &["-f", "-"], ruleset.to_owned()).await?;
    if said.success { Ok(()) } else { Err(refused(&said)) }
}

/// Removes a TUN's table; none is no error, and neither is a machine without `nft`, which has made none.
pub(crate) async fn remove(tun_name: &str) -> Result<(), DriverError> {
    let name = table_name(tun_name);
    let Some(nft) = program::find("nft") else { return Ok(()) };
    let said = run(nft, &["-f", "-"], format!("table inet {name}\ndelete table inet {name}\n")).await?;
    if said.success { Ok(()) } else { Err(refused(&said)) }
}

/// Returns the TUN names whose tables there are.
pub(crate) async fn found() -> Result<Vec<String>, DriverError> {
    let Some(nft) = program::find("nft") else { return Ok(Vec::new()) };
    let said = run(nft, &["list", "tables", "inet"], String::new()).await?;
    if !said.success {
        return Err(refused(&said));
    }
    let name = |line: &str| tun_name(line.trim().strip_prefix("table inet ")?);
    Ok(said.output.lines().filter_map(name).collect())
}

async fn run(nft: PathBuf, arguments: &[&str], input: String) -> Result<Said, DriverError> {
    program::run("nft", nft, arguments.iter().map(|text| (*text).to_owned()).collect(), input).await
}

fn refused(said: &Said) -> DriverError {
    let complaint = said.complaint();
    if complaint.contains("Operation not permitted") {
        return DriverError::Permission { action: "change the firewall", capability: "CAP_NET_ADMIN" };
    }
    DriverError::Nft(complaint)
}

/// Returns the name of a TUN's table: what an identifier of nftables cannot hold is written in hexadecimal.
fn table_name(tun_name: &str) -> String {
    let mut name = PREFIX.to_owned();
    for octet in tun_name.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => name.push(char::from(octet)),
            // Writing to a string does not fail.
            _ => drop(write!(name, "_{octet:02x}")),
        }
    }
    name
}

/// Returns whose table it is, the reverse of `table_name`.
fn tun_name(table: &str) -> Option<String> {
    let mut name = Vec::new();
    let mut rest = table.strip_prefix(PREFIX)?.as_bytes();
    while let Some((octet, more)) = rest.split_first() {
        rest = more;
        if *octet == b'_' {
            let (digits, more) = rest.split_at_checked(2)?;
            name.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = more;
        } else {
            name.push(*octet);
        }
    }
    String::from_utf8(name).ok()
}

/// Tells whether a TUN's name can stand in rules: in quotation marks, and never as a pattern.
pub(crate) fn takes(tun_name: &str) -> bool {
    !tun_name.is_empty() && !tun_name.contains(['"', '*', '\\', '$']) && !tun_name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        let one = |text: &&str| {
            let (base, length) = text.split_once('/').unwrap();
            (base.parse().unwrap(), length.parse().unwrap())
        };
        texts.iter().map(one).collect()
    }

    #[test]
    fn a_table_is_found_again_by_its_name() {
        for name in ["vpn0", "my-tun.1", "a_b", "ü0"] {
            assert_eq!(tun_name(&table_name(name)).as_deref(), Some(name));
            assert!(table_name(name).is_ascii());
        }
        assert_eq!(tun_name("guard"), None);
        assert_eq!(tun_name("vpnhost_a_z"), None);
    }

    #[test]
    fn a_set_has_no_overlaps() {
        let all = prefixes(&["10.1.0.0/16", "10.0.0.0/8", "fd00::/8", "192.0.2.1/32", "10.0.0.0/8"]);
        let text = matching(Family::V4, "saddr", all.into_iter());
        assert_eq!(text.as_deref(), Some("ip saddr { 10.0.0.0/8, 192.0.2.1 }"));
    }

    #[test]
    fn a_pair_needs_one_family_at_both_ends() {
        assert!(drops(&prefixes(&["10.0.0.0/8"]), &prefixes(&["fd00::/8"])).is_empty());
        assert_eq!(
            drops(&prefixes(&["0.0.0.0/0"]), &prefixes(&["10.30.0.1/32"])),
            ["meta nfproto ipv4 ip daddr { 10.30.0.1 } fib saddr . iif oif missing drop"],
        );
    }
}
