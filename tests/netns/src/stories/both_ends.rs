//! Both ends lose the address in use at the same moment, and find each other on the second link between them (RFC 4555 §3.6,
//! §3.11): what each told of its addresses before is all that they have.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::roam::lay_second_link;
use super::session::PLAYERS;
use crate::command::{run, words};
use crate::peers::{Pair, Player, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::{PingStream, now, ping};
use crate::{Topology, lab, suite};

const SOON: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let ours = (Player::Ours, Player::Ours, "ours");
    let players = PLAYERS.into_iter().chain([ours]);
    players
        .map(|(client, gateway, role)| {
            Story::new(format!("move-both-ends-{role}"), move |g: &Ground| both(g, (client, gateway)))
        })
        .collect()
}

fn both(ground: &Ground, players: (Player, Player)) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    lay_second_link(&lab)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes128gcm16");
    tunnel.mobike = true;
    let pair = Pair::start(&lab, players, &tunnel)?;
    pair.client.up().context("set-up")?;
    pair.expect(SaCount::ONE, SOON)?;
    ping(&lab.carol, lab::ALICE, 5)?;
    let before = pair.client.spis()?;

    let stream = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("ping.log"))?;
    let at = now();
    let gone = |space: &str, address: &str| format!("ip -n {space} addr del {address}/24 dev eth0");
    let ends = [(&lab.carol, Topology::Direct.carol()), (&lab.moon, lab::MOON)];
    for (space, address) in ends {
        run(&mut words(&gone(space.name(), address)))?;
    }
    let seconds = stream.answered_after(now(), PATIENCE)?;
    println!("         answered again after {seconds:.2} s ({:.2} s in all)", now() - at);
    ensure!(before.1 == pair.client.spis()?.1, "another IKE SA: both had told where else they are");
    pair.expect(SaCount::ONE, SOON)?;
    drop(stream);
    pair.client.stop()?;
    pair.gateway.stop()
}
