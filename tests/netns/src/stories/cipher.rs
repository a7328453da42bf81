//! Each ESP suite against strongSwan, in both roles: pings of several sizes and a short transfer each way.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::session::{PLAYERS, inner_address};
use crate::peers::{Pair, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::{Load, Transfer, ping};
use crate::{Topology, lab, suite};

/// Returns a story for each suite.
#[must_use]
pub fn stories() -> Vec<Story> {
    let story = |esp| Story::new(format!("esp-{esp}"), move |ground: &Ground| both_roles(ground, esp));
    suite::ESP.into_iter().map(story).collect()
}

fn both_roles(ground: &Ground, esp: &str) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    for (client, gateway, role) in PLAYERS {
        let tunnel = Tunnel::new(&ground.vpnhost, "aes128gcm16-prfsha256-x25519", esp);
        let pair = Pair::start(&lab, (client, gateway), &tunnel)?;
        pair.client.up().with_context(|| format!("set-up as {role}"))?;
        // The padding differs with the size, the last of which must be cut into two packets.
        for size in [0, 1, 15, 16, 1300, 1472] {
            let target = format!("-s {size} {}", lab::ALICE);
            ping(&lab.carol, &target, 2).with_context(|| format!("ping with {size} octets as {role}"))?;
        }
        let load = Load { octets: 2_000_000, per_second: 20_000_000 };
        let inner = inner_address(&lab)?;
        let up = Transfer::start(&lab.carol, &lab.alice, &format!("{}:5001", lab::ALICE), load, lab.dir())?;
        up.finish(Duration::from_secs(30)).with_context(|| format!("transfer to alice as {role}"))?;
        let down = Transfer::start(&lab.alice, &lab.carol, &format!("{inner}:5002"), load, lab.dir())?;
        down.finish(Duration::from_secs(30)).with_context(|| format!("transfer from alice as {role}"))?;
        pair.client.stop()?;
        pair.gateway.stop()?;
    }
    Ok(())
}
