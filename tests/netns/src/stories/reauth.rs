//! Peers that are authenticated anew while packets go: our way, make before break, and strongSwan's two ways, in both
//! roles. In the end there is one IKE SA, and what was lost is counted.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::peers::{CONNECTION, End, Pair, Player, SaCount, Tunnel, start};
use crate::story::{Ground, Story};
use crate::traffic::{PingStream, ping};
use crate::{Strongswan, Topology, Vpnhost, lab, suite, wait};

/// An old IKE SA stands beside the new one for ten seconds.
const SOON: Duration = Duration::from_secs(30);
/// How often each client does it.
const TIMES: usize = 3;
/// Pings that break before make may cost each time: the set-up of a tunnel, at 200 pings a second.
const BREAK: usize = 200;

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = vec![
        Story::new("reauth-initiator", |g: &Ground| by_ours(g, Player::Strongswan)),
        Story::new("reauth-ours", |g: &Ground| by_ours(g, Player::Ours)),
    ];
    for (name, before) in [("reauth-responder-make", true), ("reauth-responder-break", false)] {
        stories.push(Story::new(name, move |g: &Ground| by_strongswan(g, before)));
    }
    stories
}

/// Our client makes the new tunnel beside the old one: we lose no packet, and the address stays.
fn by_ours(ground: &Ground, gateway: Player) -> Result<()> {
    let lab = ground.lab(Topology::Nat)?;
    let tunnel = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes256gcm16");
    let gateway = start(gateway, &lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    client.verb(&["up", CONNECTION])?;
    let address = super::session::inner_address(&lab)?;
    let pings = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("pings.log"))?;
    let files = client.files().clone();
    let pair = Pair { client: Box::new(client), gateway };
    for _ in 0..TIMES {
        let before = pair.client.spis()?.1;
        let output = files.verb(&["reauth", CONNECTION])?;
        ensure!(output.status.success(), "{}", crate::command::said(&output));
        pair.expect(SaCount::ONE, SOON)?;
        ensure!(pair.client.spis()?.1 != before, "the same IKE SA");
    }
    let pings = pings.finish()?;
    ensure!(pings.lost.is_empty(), "{:?} of {} pings lost", pings.lost, pings.sent);
    ensure!(super::session::inner_address(&lab)? == address, "another address");
    pair.client.stop()?;
    pair.gateway.stop()
}

/// strongSwan authenticates anew with our gateway: make before break loses nothing, break before make what a set-up takes.
fn by_strongswan(ground: &Ground, make_before_break: bool) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes256gcm16");
    tunnel.charon = format!("  make_before_break = {}\n", if make_before_break { "yes" } else { "no" });
    let gateway = start(Player::Ours, &lab, End::Gateway, &tunnel)?;
    let client = Strongswan::start(&lab, End::Client, &tunnel)?;
    client.control(&["--initiate", "--child", crate::peers::CHILD, "--timeout", "20"])?;
    ping(&lab.carol, lab::ALICE, 5)?;
    let pings = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("pings.log"))?;
    for _ in 0..TIMES {
        let before = gateway.spis()?.1;
        client.control(&["--rekey", "--ike", CONNECTION, "--reauth"])?;
        wait::until_true("another IKE SA, alone", SOON, || {
            Ok(gateway.spis()?.1 != before && gateway.sas()? == SaCount::ONE)
        })?;
        ping(&lab.carol, lab::ALICE, 5).context("after it")?;
    }
    let pair = Pair { client: Box::new(client), gateway };
    pair.expect(SaCount::ONE, SOON)?;
    let pings = pings.finish()?;
    let most = if make_before_break { 0 } else { TIMES * BREAK };
    ensure!(pings.lost.len() <= most, "{:?} of {} pings lost", pings.lost, pings.sent);
    pair.client.stop()?;
    pair.gateway.stop()
}
