//! Both ends move at the same moment to where neither ever told the other that it is: no address that either knows leads
//! to the other (RFC 4555 §3.11), and only the gateway's name does.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::mobility::mobile;
use crate::peers::{End, Player, SaCount, start};
use crate::story::{Ground, Story};
use crate::traffic::{PingStream, now, ping};
use crate::translator::dns::Dns;
use crate::{Topology, lab, wait};

const NAME: &str = "moon.lab.example";
/// Where the gateway goes.
const OTHER: &str = "10.10.0.2";
/// The name was asked for when the tunnel came up, and its answer counts for half a minute.
const SOON: Duration = Duration::from_secs(45);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![Story::new("move-both-ends-and-the-name-ours", both)]
}

fn both(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::TwoPaths)?;
    lab.link_down(1)?;
    let dns = Dns::start(lab.router()?, 1, None)?;
    dns.set(NAME, &[lab::MOON.parse()?]);
    std::fs::write(lab.carol.resolv_conf(), "nameserver 10.1.0.1\nnameserver 10.2.0.1\n")?;
    let mut tunnel = mobile(ground);
    NAME.clone_into(&mut tunnel.gateway);
    let gateway = start(Player::Ours, &lab, End::Gateway, &tunnel)?;
    let client = start(Player::Ours, &lab, End::Client, &tunnel)?;
    client.up().context("set-up")?;
    ping(&lab.carol, lab::ALICE, 5)?;
    let before = client.spis()?;
    ensure!(dns.asked(NAME) > 0, "the name was not asked for");

    let stream = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("ping.log"))?;
    let at = now();
    dns.set(NAME, &[OTHER.parse()?]);
    // The client is not to hear where the gateway goes while it is still where it was.
    lab.cut(0)?;
    // The kernel takes a secondary address away with its primary one.
    lab.moon.run(&format!("ip addr del {}/24 dev eth0", lab::MOON))?;
    lab.moon.run(&format!("ip addr add {OTHER}/24 dev eth0"))?;
    lab.moon.run("ip route replace default via 10.10.0.254 dev eth0")?;
    lab.link_up(1)?;
    lab.link_down(0)?;
    stream.answered_after(now(), SOON)?;
    println!("         answered again {:.2} s after both moved", now() - at);
    // Where the name leads is a path of the IKE SA, too: it moves there, or another is begun there first.
    let how = if client.spis()?.1 == before.1 { "it moved" } else { "another was begun" };
    println!("         {how}");
    ensure!(dns.asked(NAME) > 0, "the name was not asked for again");
    for host in [&client, &gateway] {
        wait::until_true("one SA, and no remnant of the old one", SOON, || Ok(host.sas()? == SaCount::ONE))?;
    }
    drop(stream);
    client.stop()?;
    gateway.stop()
}
