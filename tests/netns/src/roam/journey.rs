//! A call over a journey of thirty legs, on each of which one of two uplinks fails.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::scene::rounded;
use super::{Column, Ground, Values};
use crate::lab::UPLINKS;
use crate::link::journey::journey;
use crate::link::voice::{Call, Heard};
use crate::peers::{Pair, SaCount};
use crate::traffic::ping;
use crate::{Lab, Topology, lab, wait};

/// A journey has so many legs.
const LEGS: u32 = 30;
/// Each takes so long: what fails does so for longer than a host may need to leave it.
const LEG: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(20);

/// Makes the journey while both ends of a call speak, and tells how it was to who heard it worse. The links have the
/// delays of the journey, whatever the round-trip time.
pub(super) fn voice(ground: &Ground, column: Column, _: u32) -> Result<Values> {
    let lab = Lab::build_beside(&column.slug(), Topology::TwoPaths, &ground.dir)?;
    let wires = (0..UPLINKS.len()).map(|number| lab.lay_wire(number)).collect::<Result<Vec<_>>>()?;
    let pair = Pair::start(&lab, (column.player(), column.player()), &column.tunnel(ground))?;
    pair.client.up().context("set-up")?;
    wait::until_true("the SAs", SOON, || Ok(pair.client.sas()? == SaCount::ONE))?;
    ping(&lab.carol, lab::ALICE, 10)?;
    let before = pair.client.spis()?.1;
    let traces = journey(1, LEGS, LEG)?;
    let own = lab.inner_address()?;
    let calls = [
        Call::start(&lab.carol, &lab.alice, format!("{}:5004", lab::ALICE).parse()?)?,
        Call::start(&lab.alice, &lab.carol, format!("{own}:5006").parse()?)?,
    ];
    wires.iter().zip(&traces).for_each(|(wire, trace)| wire.follow(trace));
    std::thread::sleep(LEG * (LEGS + 2));
    // Both are ended before either fails.
    let [there, back] = calls.map(Call::finish);
    let (there, back) = (there?, back?);
    let missed = |heard: &Heard| 100.0 * heard.missed as f64 / heard.sent as f64;
    let others = f64::from(u8::from(before != pair.client.spis()?.1));
    Ok(Values::from([
        ("longest gap ms", Some(there.longest_gap.max(back.longest_gap).as_millis() as f64)),
        ("MOS", Some(hundredths(there.mos.min(back.mos)))),
        ("MOS of the worst 2 s", Some(hundredths(there.worst_mos.min(back.worst_mos)))),
        ("missed %", Some(rounded(missed(&there).max(missed(&back))))),
        ("IKE SAs more", Some(others)),
    ]))
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
