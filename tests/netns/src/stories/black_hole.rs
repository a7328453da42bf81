//! The client moves to a path that carries 1280 octets and says so to nobody: large packets would vanish for ever, and the
//! ends find out by themselves (RFC 8899).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::peers::{CONNECTION, End, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::{Load, Transfer, ping};
use crate::{Topology, Vpnhost, lab, wait};

const SOON: Duration = Duration::from_secs(20);
const LOAD: Load = Load { octets: 6_000_000, per_second: 1_000_000 };
/// The longest that either way may stand still, in seconds: without the search it would for as long as the transfer lasts.
/// No more is allowed than where the link itself says what it carries, which `roam-bench` measures (`narrow`).
const STALL: f64 = 1.0;

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![Story::new("move-black-hole-ours", black_hole)]
}

fn black_hole(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::TwoPaths)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha256-x25519", "aes128gcm16");
    tunnel.mobike = true;
    lab.cut_batches()?;
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    client.verb(&["up", CONNECTION])?;
    ping(&lab.carol, lab::ALICE, 3)?;
    // A packet that is larger than the router's interface takes vanishes there, from either side.
    let inet = lab.router()?;
    inet.run("ip link set in1 mtu 1280")?;
    inet.nft(
        "table inet mute { chain out { type filter hook output priority 0;\n\
         icmp type destination-unreachable drop\nicmpv6 type packet-too-big drop\n}\n}\n",
    )?;
    let inner = lab.inner_address()?;
    let up = Transfer::start(&lab.carol, &lab.alice, &format!("{}:7008", lab::ALICE), LOAD, lab.dir())?;
    let down = Transfer::start(&lab.alice, &lab.carol, &format!("{inner}:7009"), LOAD, lab.dir())?;
    std::thread::sleep(Duration::from_secs(2));
    lab.link_down(0)?;
    let [up, down] = [up, down].map(|transfer| transfer.finish(Duration::from_secs(40)));
    let [up, down] = [up.context("up")?.stall, down.context("down")?.stall];
    println!("         stalls: up {up:.2} s, down {down:.2} s");
    ensure!(up <= STALL && down <= STALL, "up {up:.2} s, down {down:.2} s");
    for host in [&client, &gateway] {
        wait::until_true("what was found", SOON, || {
            Ok(host.verb(&["explain", CONNECTION])?.contains("nobody on it says so"))
        })?;
    }
    let told = client.verb(&["explain", CONNECTION])?;
    let line = told.lines().find(|line| line.contains("nobody on it says so")).context("a line")?;
    println!("         {}", line.trim());
    Ok(())
}
