//! Transport mode: two hosts that protect what they say to each other, without a header inside, seen by tshark, which
//! knows the keys and nothing of us.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::capture::{Capture, packets};
use crate::judge::judge;
use crate::peers::{CONNECTION, End, Peer, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::{Load, Transfer, ping};
use crate::vpnhost::found;
use crate::{Lab, Topology, Vpnhost, lab, suite, wait};

const SOON: Duration = Duration::from_secs(15);
/// What a transfer carries.
const LOAD: Load = Load { octets: 2_000_000, per_second: 8_000_000 };

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![
        Story::new("transport-raw-ours", |g: &Ground| between_hosts(g, Topology::Direct, "auto", lab::MOON)),
        Story::new("transport-udp-ours", |g: &Ground| {
            between_hosts(g, Topology::Direct, "always", lab::MOON)
        }),
        Story::new("transport-ipv6-ours", |g: &Ground| {
            between_hosts(g, Topology::Direct, "always", lab::MOON_V6)
        }),
        Story::new("transport-nat-ours", |g: &Ground| between_hosts(g, Topology::Nat, "auto", lab::MOON)),
    ]
}

fn between_hosts(ground: &Ground, topology: Topology, encapsulation: &str, gateway: &str) -> Result<()> {
    let lab = ground.lab(topology)?;
    lab.cut_batches()?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes128gcm16");
    tunnel.virtual_addresses = (false, false);
    tunnel.inner = vec!["dynamic".to_owned()];
    gateway.clone_into(&mut tunnel.gateway);
    encapsulation.clone_into(&mut tunnel.encapsulation);
    // Wireshark marks every packet with extended sequence numbers as bad.
    "mode = \"transport\"\nesn = \"no\"".clone_into(&mut tunnel.child);
    let moon = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let carol = Vpnhost::start(&lab, End::Client, &tunnel)?;
    let capture = Capture::start(&lab.carol, "eth0", &lab.dir().join("outside.pcap"))?;
    carol.verb(&["up", CONNECTION])?;
    talk(&lab, gateway).context("before the rekeying")?;
    for rekeys in [&carol, &moon] {
        let before = (carol.spis()?.0, moon.spis()?.0);
        rekeys.rekey_child()?;
        wait::until_true("the rekeying", SOON, || {
            let now = (carol.spis()?.0, moon.spis()?.0);
            Ok(now.0 != before.0 && now.1 != before.1)
        })?;
        ping(&lab.carol, gateway, 5).context("after a rekeying")?;
    }
    for end in [&carol, &moon] {
        let status = end.json(&["status"])?;
        let children = found(&status, "children");
        ensure!(children.iter().all(|child| child["mode"] == "transport"), "not in transport mode: {status}");
        ensure!(end.sas()? == SaCount::ONE, "{:?}", end.sas()?);
    }
    carol.down()?;
    let keylog = carol.files().keylog();
    carol.end()?;
    moon.end()?;
    let file = capture.finish()?;
    let clear = packets(&file, "icmp or icmp6 and (ip6[40] == 128 or ip6[40] == 129) or tcp")?;
    ensure!(clear.is_empty(), "seen in clear: {:?}", &clear[..clear.len().min(5)]);
    let verdict = judge(&file, &keylog).context("tshark")?;
    ensure!(verdict.esp >= 60, "{} ESP packets verified", verdict.esp);
    if !gateway.contains(':') {
        ensure!(verdict.inner_icmp >= 60, "{} inner pings seen", verdict.inner_icmp);
    }
    Ok(())
}

/// Small and large pings, and a transfer each way, whose checksums the other kernel looks at.
fn talk(lab: &Lab, gateway: &str) -> Result<()> {
    ping(&lab.carol, gateway, 20)?;
    ping(&lab.carol, &format!("-s 1300 {gateway}"), 5).context("pings of 1300 octets")?;
    let bracketed = if gateway.contains(':') { format!("[{gateway}]") } else { gateway.to_owned() };
    let up = Transfer::start(&lab.carol, &lab.moon, &format!("{bracketed}:5001"), LOAD, lab.dir())?;
    up.finish(SOON * 4).map(drop)
}
