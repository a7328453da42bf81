//! The client moves to a path of 1280 octets that says so to nobody, and inner IPv6 packets of 1280 octets still arrive: no
//! packet of IPv6 may be refused for less (RFC 8200 §5), so that what is around it is cut (RFC 2473 §7.1).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::mobility::{Roaming, mobile};
use crate::capture::{Capture, packets};
use crate::peers::Player;
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Lab, Topology, lab, wait};

const SOON: Duration = Duration::from_secs(20);
/// The data of a ping whose packet has 1280 octets.
const DATA: usize = 1280 - 40 - 8;

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![
        Story::new("move-narrow-v6-in-v4-ours", |g: &Ground| narrow(g, false)),
        Story::new("move-narrow-v6-in-v6-ours", |g: &Ground| narrow(g, true)),
    ]
}

fn narrow(ground: &Ground, outside_v6: bool) -> Result<()> {
    let lab = ground.lab(Topology::TwoPaths)?;
    if outside_v6 {
        lab.part_families()?;
    }
    lab.cut_batches()?;
    let mut tunnel = mobile(ground);
    tunnel.inner = lab::INNER.map(str::to_owned).to_vec();
    tunnel.virtual_addresses = (true, true);
    let roaming = Roaming::start_in(lab, (Player::Ours, Player::Ours), &tunnel)?;
    let lab = &roaming.lab;
    mute(lab)?;
    let capture = Capture::start_short(&lab.moon, "eth0", &lab.dir().join("narrow.pcap"))?;
    lab.link_down(0)?;
    let inner = inner_v6(lab)?;
    let ways = [(&lab.carol, lab::ALICE_V6), (&lab.alice, inner.as_str())];
    for (from, to) in ways {
        wait::until_true("a ping of 1280 octets", SOON, || {
            Ok(from.succeeds(&format!("ping -n -c 1 -W 1 -M do -s {DATA} {to}")))
        })?;
        ping(from, &format!("-M do -s {DATA} {to}"), 10).context("ten pings of 1280 octets")?;
        ping(from, &format!("-s 16 {to}"), 3).context("small pings")?;
    }
    let file = capture.finish()?;
    let cut = if outside_v6 { "ip6[6] == 44" } else { "ip[6:2] & 0x3fff != 0" };
    for way in ["src", "dst"] {
        let host = if outside_v6 { lab::MOON_V6 } else { lab::MOON };
        let count = packets(&file, &format!("{way} host {host} and {cut}"))?.len();
        ensure!(count >= 20, "{count} fragments: {way}");
    }
    roaming.pair.client.stop()?;
    roaming.pair.gateway.stop()
}

/// Has what is larger than 1280 octets vanish at the router's interface towards the second uplink, from either side.
fn mute(lab: &Lab) -> Result<()> {
    let inet = lab.router()?;
    inet.run("ip link set in1 mtu 1280")?;
    inet.nft(
        "table inet mute { chain out { type filter hook output priority 0;\n\
         icmp type destination-unreachable drop\nicmpv6 type packet-too-big drop\n}\n}\n",
    )
}

/// Returns the client's IPv6 address inside the tunnel.
fn inner_v6(lab: &Lab) -> Result<String> {
    let all = lab.carol.run("ip -o -6 addr show scope global")?;
    let own = all.split([' ', '/']).find(|word| word.starts_with("fd30:"));
    Ok(own.context("no virtual IPv6 address")?.to_owned())
}
