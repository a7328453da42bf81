//! A call over a journey of thirty legs, on each of which one of two uplinks fails.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::scene::rounded;
use super::{Column, Ground, Values};
use crate::lab::UPLINKS;
use crate::link::journey::journey;
use crate::link::voice::Call;
use crate::peers::{Pair, SaCount};
use crate::traffic::ping;
use crate::{Lab, Topology, lab, wait};

/// A journey has so many legs.
const LEGS: u32 = 30;
/// Each takes so long: what fails does so for longer than a host may need to leave it.
const LEG: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(20);

/// Makes the journey, and tells how the call was. The links have the delays of the journey, whatever the round-trip time.
pub(super) fn voice(ground: &Ground, column: Column, _: u32) -> Result<Values> {
    let lab = Lab::build_beside(&column.slug(), Topology::TwoPaths, &ground.dir)?;
    let wires = (0..UPLINKS.len()).map(|number| lab.lay_wire(number)).collect::<Result<Vec<_>>>()?;
    let pair = Pair::start(&lab, (column.player(), column.player()), &column.tunnel(ground))?;
    pair.client.up().context("set-up")?;
    wait::until_true("the SAs", SOON, || Ok(pair.client.sas()? == SaCount::ONE))?;
    ping(&lab.carol, lab::ALICE, 10)?;
    let before = pair.client.spis()?.1;
    let traces = journey(1, LEGS, LEG)?;
    let call = Call::start(&lab.carol, &lab.alice, format!("{}:5004", lab::ALICE).parse()?)?;
    wires.iter().zip(&traces).for_each(|(wire, trace)| wire.follow(trace));
    std::thread::sleep(LEG * (LEGS + 2));
    let heard = call.finish()?;
    let others = f64::from(u8::from(before != pair.client.spis()?.1));
    Ok(Values::from([
        ("longest gap ms", Some(heard.longest_gap.as_millis() as f64)),
        ("MOS", Some(hundredths(heard.mos))),
        ("MOS of the worst 2 s", Some(hundredths(heard.worst_mos))),
        ("missed %", Some(rounded(100.0 * heard.missed as f64 / heard.sent as f64))),
        ("IKE SAs more", Some(others)),
    ]))
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
