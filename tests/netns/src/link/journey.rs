//! A journey: what happens to a host's two uplinks on the way, as a trace for each.
//!
//! On each leg one uplink fails, the other is good; they take turns, so a host that stays where it is has to move on
//! nearly every leg. How it fails is drawn: a walk out of range (worse and worse, then no carrier), a lift (silence),
//! a cable that is pulled, or a link that goes on with long delays.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use super::schedule::Chance;
use super::trace::Trace;

/// What both links are like while nothing is wrong.
const GOOD: [&str; 2] = ["delay=10ms jitter=2ms loss=0.1%", "delay=25ms jitter=5ms loss=0.2%"];

/// Returns the traces of a journey, each leg of which takes so long; the first begins after one leg's time.
pub fn journey(seed: u64, legs: u32, leg: Duration) -> Result<[Trace; 2]> {
    let mut chance = Chance::new(seed);
    let mut texts = GOOD.map(|good| format!("0 {good}\n"));
    for number in 1..=legs {
        let (begins, takes) = (leg * number, leg.as_secs_f64());
        let which = usize::from(number % 2 == 0);
        let text = &mut texts[which];
        let mut line =
            |share: f64, words: &str| writeln!(text, "{:.3} {words}", begins.as_secs_f64() + takes * share);
        match (chance.share() * 4.0) as u32 {
            0 => {
                line(0.0, "loss=5% jitter=20ms")?;
                line(0.2, "bursts=30%/5 delay=60ms")?;
                line(0.4, "plug=no")?;
                line(0.85, &format!("plug=yes bursts=0% {}", GOOD[which]))?;
            }
            1 => {
                line(0.0, "cut=yes")?;
                line(0.85, "cut=no")?;
            }
            2 => {
                line(0.0, "plug=no")?;
                line(0.85, "plug=yes")?;
            }
            _ => {
                line(0.0, "delay=300ms jitter=100ms loss=3%")?;
                line(0.85, GOOD[which])?;
            }
        }
    }
    let [first, second] = texts;
    Ok([Trace::parse(&first)?, Trace::parse(&second)?])
}

#[cfg(test)]
mod tests {
    use super::super::schedule::{Conditions, Direction};
    use super::*;

    /// Returns whether a link that follows a trace is whole at a time.
    fn is_good(trace: &Trace, at: Duration) -> bool {
        let (mut conditions, mut is_plugged) = (Conditions::default(), true);
        for (_, change) in trace.steps().iter().filter(|(time, _)| *time <= at) {
            change.apply(&mut conditions);
            is_plugged = change.plug.unwrap_or(is_plugged);
        }
        let is_bad = conditions.cut || conditions.loss > 0.01 || conditions.delay > Duration::from_millis(50);
        is_plugged && !is_bad && conditions.bursts.begin == 0.0
    }

    #[test]
    fn on_every_leg_of_any_journey_one_link_fails_and_the_other_is_good() {
        let leg = Duration::from_secs(2);
        for seed in 0..50 {
            let traces = journey(seed, 30, leg).unwrap();
            for number in 1..=30 {
                let failing = usize::from(number % 2 == 0);
                let middle = leg * number + leg / 2;
                assert!(!is_good(&traces[failing], middle), "seed {seed}, leg {number}");
                assert!(is_good(&traces[1 - failing], middle), "seed {seed}, leg {number}");
                let end = leg * number + leg.mul_f64(0.9);
                assert!(traces.iter().all(|trace| is_good(trace, end)), "seed {seed}, leg {number}");
            }
        }
    }

    #[test]
    fn a_journey_is_the_same_again_and_another_with_another_seed() {
        let leg = Duration::from_secs(2);
        assert_eq!(journey(1, 30, leg).unwrap(), journey(1, 30, leg).unwrap());
        assert_ne!(journey(1, 30, leg).unwrap(), journey(2, 30, leg).unwrap());
        let steps = &journey(1, 30, leg).unwrap()[0];
        assert!(steps.steps().iter().all(|(_, change)| change.directions == Direction::BOTH));
    }
}
