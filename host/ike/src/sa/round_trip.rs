//! A round-trip time as it was measured (RFC 6298 §2).

use std::time::Duration;

/// What several measurements of a path say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundTrip {
    smoothed: Duration,
    /// How far measurements are from it. Unlike RFC 6298's, it is zero after the first: a path that is slower than it was
    /// once is found out by its late answer.
    deviation: Duration,
}

impl RoundTrip {
    /// Returns what follows from what was known before and a new measurement.
    pub(crate) fn after(before: Option<Self>, sample: Duration) -> Self {
        let Some(before) = before else { return Self { smoothed: sample, deviation: Duration::ZERO } };
        let off = sample.abs_diff(before.smoothed);
        Self {
            smoothed: before.smoothed - before.smoothed / 8 + sample / 8,
            deviation: before.deviation - before.deviation / 4 + off / 4,
        }
    }

    /// Returns the smoothed time.
    pub(crate) fn time(self) -> Duration {
        self.smoothed
    }

    /// Returns how long an answer may take before it counts as lost, where another path has given one.
    pub(crate) fn patience(self) -> Duration {
        self.smoothed + (self.smoothed / 4).max(self.deviation * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn measured(samples: &[u64]) -> RoundTrip {
        samples.iter().fold(None, |before, sample| Some(RoundTrip::after(before, ms(*sample)))).unwrap()
    }

    #[test]
    fn a_steady_path_is_given_a_quarter_more_and_an_unsteady_one_what_it_needs() {
        assert_eq!((measured(&[200]).time(), measured(&[200]).patience()), (ms(200), ms(250)));
        let steady = measured(&[200; 40]);
        assert_eq!(steady.patience(), ms(250));
        let unsteady = measured(&[150, 250, 150, 250, 150, 250, 150, 250, 150, 250]);
        assert!(unsteady.patience() > ms(300), "{unsteady:?}");
        assert!((ms(150)..ms(250)).contains(&unsteady.time()));
    }

    #[test]
    fn a_change_is_followed() {
        let slow: Vec<u64> = std::iter::once(20).chain([400; 40]).collect();
        assert!(measured(&slow).time() > ms(390));
        assert!(measured(&slow[..2]).patience() > ms(400), "the first surprise counts at once");
    }
}
