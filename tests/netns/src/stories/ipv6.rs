//! The client moves between a network of IPv4 alone and one of IPv6 alone, and the tunnel stays (RFC 4555 §3.5): either the
//! gateway has both families and tells the client its other address, or the network has a NAT64 (RFC 6146), which the
//! client finds by the network's DNS server (RFC 7050).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::mobility::{Players, Roaming, mobile};
use super::session::PLAYERS;
use crate::capture::{Capture, packets};
use crate::lab::{self, UPLINKS};
use crate::peers::Player;
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Topology, wait};

const SOON: Duration = Duration::from_secs(15);
/// `suspect`, and what the move itself takes on a busy machine.
const LONGEST_GAP_MS: f64 = 600.0;
/// What stands for the gateway behind the NAT64.
const SYNTHESIZED: &str = "2001:db8:64::a0a:1";

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let ours = (Player::Ours, Player::Ours, "ours");
    let players = PLAYERS.into_iter().chain([ours]);
    let families = players.map(|(client, gateway, role)| {
        Story::new(format!("move-between-families-{role}"), move |g: &Ground| families(g, (client, gateway)))
    });
    let mut stories: Vec<Story> = families.collect();
    // strongSwan's client knows no NAT64: it has none of the gateway's addresses there.
    for (gateway, role) in [(Player::Ours, "ours"), (Player::Strongswan, "initiator")] {
        stories.push(Story::new(format!("roam-nat64-{role}"), move |g: &Ground| nat64(g, gateway)));
        stories.push(Story::new(format!("roam-nat64-from-the-start-{role}"), move |g: &Ground| {
            nat64_from_the_start(g, gateway)
        }));
    }
    stories
}

/// From IPv4 to IPv6 and back, with the same keys.
fn families(ground: &Ground, players: Players) -> Result<()> {
    let lab = ground.lab(Topology::TwoPaths)?;
    lab.part_families()?;
    lab.link_down(1)?;
    let roaming = Roaming::start_in(lab, players, &mobile(ground))?;
    for (name, address, to_ipv6) in
        [("to-ipv6", UPLINKS[1].address_v6, true), ("to-ipv4", UPLINKS[0].address, false)]
    {
        let moved = roaming.keeps_sas(name, address, |lab| lab.change_family(to_ipv6))?;
        // The gateway tells its inner IPv6 address too, which nobody reaches from outside: a client of ours that took it and
        // waited for its traffic to be without an answer for `suspect` would lose a second.
        let gap = moved.pings.longest_gap();
        ensure!(gap <= LONGEST_GAP_MS, "{name}: a gap of {gap:.0} ms");
    }
    roaming.end()
}

/// From IPv4 to a network of IPv6 alone and back, with the same keys, to a gateway that has IPv4 alone.
fn nat64(ground: &Ground, gateway: Player) -> Result<()> {
    let lab = ground.lab(Topology::TwoPaths)?;
    let (_translator, dns) = lab.make_nat64(600)?;
    let roaming = Roaming::start_in(lab, (Player::Ours, gateway), &mobile(ground))?;
    let carol = &roaming.lab.carol;
    wait::until_true("the path through the NAT64", SOON, || lists(&roaming, SYNTHESIZED))?;

    let capture = Capture::start(carol, "eth1", &roaming.lab.dir().join("ipv6-only.pcap"))?;
    let moved = roaming.keeps_sas("to-ipv6-only", lab::NAT64, |lab| lab.link_down(0))?;
    // A busy machine's share: the packets of some hundred milliseconds of three seconds.
    ensure!(moved.pings.loss() < 10.0, "{:.1} % of the pings lost", moved.pings.loss());
    ping(carol, &format!("-s 1350 {}", lab::ALICE), 3).context("a long ping through the NAT64")?;
    let file = capture.finish()?;
    ensure!(packets(&file, "ip")?.is_empty(), "something went by IPv4");
    for way in ["src", "dst"] {
        let of_tunnel = format!("ip6 {way} host {SYNTHESIZED} and udp port 4500");
        ensure!(packets(&file, &of_tunnel)?.len() >= 20, "no tunnel on the IPv6-only network: {way}");
    }

    let moved = roaming.keeps_sas("to-ipv4", UPLINKS[0].address, |lab| {
        lab.link_up(0)?;
        lab.link_down(1)
    })?;
    ensure!(moved.pings.loss() < 10.0, "{:.1} % of the pings lost", moved.pings.loss());
    ensure!(!lists(&roaming, SYNTHESIZED)?, "the path through the NAT64 is still there");
    let asked = dns.asked("ipv4only.arpa");
    ensure!((1..=4).contains(&asked), "the network was asked {asked} times for its NAT64");
    roaming.end()
}

/// The client begins in a network of IPv6 alone, with an IPv4 address as its gateway's name, and goes to IPv4.
fn nat64_from_the_start(ground: &Ground, gateway: Player) -> Result<()> {
    let lab = ground.lab(Topology::TwoPaths)?;
    let (_translator, _dns) = lab.make_nat64(600)?;
    lab.link_down(0)?;
    let roaming = Roaming::start_in(lab, (Player::Ours, gateway), &mobile(ground))?;
    roaming.is_heard_from(lab::NAT64)?;
    roaming.keeps_sas("to-ipv4", UPLINKS[0].address, |lab| {
        lab.link_up(0)?;
        lab.link_down(1)
    })?;
    roaming.end()
}

/// Tells whether the client has a path to an address.
fn lists(roaming: &Roaming, remote: &str) -> Result<bool> {
    let client = roaming.pair.client.as_vpnhost().context("the client is ours")?;
    let list = client.json(&["list", "paths"])?;
    let paths = list["paths"].as_array().context("no paths")?;
    Ok(paths.iter().any(|path| path["remote"].as_str().is_some_and(|it| it.contains(remote))))
}
