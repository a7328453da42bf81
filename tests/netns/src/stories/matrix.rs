//! Algorithms in pairs against strongSwan: each row of [`crate::matrix`] is an IKE SA with a Child SA, which carries
//! pings, is rekeyed with a key exchange, and carries pings again. A story for each cipher of the IKE SA.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::session::PLAYERS;
use crate::matrix::{self, CIPHERS, Row};
use crate::peers::{Pair, Player, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Topology, lab, wait};

/// How long an end may take to follow the other.
const SOON: Duration = Duration::from_secs(15);

/// Returns a story for each IKE cipher.
#[must_use]
pub fn stories() -> Vec<Story> {
    let rows = matrix::rows();
    let story = |(number, cipher): (usize, &str)| {
        let rows: Vec<Row> = rows.iter().copied().filter(|row| row.cipher() == number).collect();
        Story::new(format!("matrix-{:02}-{cipher}", number + 1), move |ground: &Ground| tell(ground, &rows))
    };
    CIPHERS.into_iter().enumerate().map(story).collect()
}

fn tell(ground: &Ground, rows: &[Row]) -> Result<()> {
    for (client, gateway, role) in PLAYERS {
        let lab = ground.lab(Topology::Direct)?;
        let tunnel =
            |row: &Row| Tunnel { legacy: true, ..Tunnel::new(&ground.vpnhost, &row.ike(), &row.esp()) };
        let mut mine = rows.iter().filter(|row| row.is_ours_to_begin() == (client == Player::Ours));
        let Some(first) = mine.next() else { continue };
        let pair = Pair::start(&lab, (client, gateway), &tunnel(first))?;
        let told = |row: &Row| format!("{} / {} as {role}", row.ike(), row.esp());
        connect(&lab, &pair).with_context(|| told(first))?;
        for row in mine {
            // Both ends know this one suite only: that they agree means that they agreed on it.
            pair.gateway.configure(&tunnel(row)).with_context(|| told(row))?;
            pair.client.configure(&tunnel(row)).with_context(|| told(row))?;
            connect(&lab, &pair).with_context(|| told(row))?;
        }
        pair.client.stop()?;
        pair.gateway.stop()?;
    }
    Ok(())
}

fn connect(lab: &crate::Lab, pair: &Pair) -> Result<()> {
    pair.client.up().context("set-up")?;
    ping(&lab.carol, &format!("-s 1300 {}", lab::ALICE), 1).context("ping")?;
    let before = pair.gateway.spis()?.0;
    ensure!(!before.is_empty(), "the gateway has no Child SA");
    pair.client.rekey_child().context("rekeying")?;
    wait::until_true("another Child SA", SOON, || {
        let now = pair.gateway.spis()?.0;
        Ok(!now.is_empty() && now != before)
    })?;
    ping(&lab.carol, lab::ALICE, 1).context("ping after rekeying")?;
    pair.client.down().context("Delete")?;
    pair.expect(SaCount::NONE, SOON).context("after the Delete")
}
