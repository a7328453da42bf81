//! So many lines of the log in so much time: the rest is counted, and the count is told.

use vpnhost_model::Instant;

use crate::limits;

/// What is left of the lines that strangers may cause.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// When the first line of this span was written.
    begun: Option<Instant>,
    written: u32,
    /// In this span, which nobody was told of yet.
    withheld: u64,
    /// In all.
    ever: u64,
}

impl Quota {
    /// Ends a span that is over; returns how many lines were withheld in it, if any were.
    pub(super) fn settle(&mut self, now: Instant) -> Option<u64> {
        let begun = self.begun?;
        if now < begun + limits::LOG_SPAN {
            return None;
        }
        (self.begun, self.written) = (None, 0);
        Some(std::mem::take(&mut self.withheld)).filter(|withheld| *withheld > 0)
    }

    /// Tells whether a line may be written; counts it if not.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.begun.get_or_insert(now);
        let may = self.written < limits::LOG_REFUSALS;
        if may {
            self.written += 1;
        } else {
            self.withheld += 1;
            self.ever += 1;
        }
        may
    }

    /// Returns how many lines were withheld in all.
    pub(super) fn withheld_ever(&self) -> u64 {
        self.ever
    }
}

/// Tells of lines that were withheld.
pub(super) fn sentence(withheld: u64) -> String {
    let seconds = limits::LOG_SPAN.as_secs();
    format!(
        "{withheld} further refusals of strangers within {seconds} s are not in the log: `explain -` has the last"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_refusals_writes_so_many_lines_and_then_one_that_counts_the_rest() {
        let (mut quota, begin) = (Quota::default(), Instant::default());
        let mut written = 0;
        for at in 0..1000 {
            let now = begin + Duration::from_millis(at);
            assert_eq!(quota.settle(now), None);
            written += u32::from(quota.take(now));
        }
        assert_eq!(written, limits::LOG_REFUSALS);
        let withheld = 1000 - u64::from(written);
        let later = begin + limits::LOG_SPAN;
        assert_eq!(quota.settle(later), Some(withheld));
        assert!(quota.take(later));
        assert_eq!(quota.settle(later + limits::LOG_SPAN), None);
        assert_eq!(quota.withheld_ever(), withheld);
    }
}
