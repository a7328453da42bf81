//! Switches a plugin off that fails too often, for a while.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits;

/// The failures of late, and whether they are too many.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    faults: VecDeque<Instant>,
    off_until: Option<Instant>,
}

impl Breaker {
    /// Tells whether the plugin is switched off.
    pub(crate) fn is_off(&mut self, now: Instant) -> bool {
        if self.off_until.is_some_and(|until| now >= until) {
            self.off_until = None;
            self.faults.clear();
        }
        self.off_until.is_some()
    }

    /// Counts a failure; tells whether it was the one too many.
    pub(crate) fn count(&mut self, now: Instant) -> bool {
        while self.faults.front().is_some_and(|&at| now.duration_since(at) > limits::FAULT_WINDOW) {
            self.faults.pop_front();
        }
        self.faults.push_back(now);
        let trips = self.off_until.is_none() && self.faults.len() >= limits::FAULTS;
        if trips {
            self.off_until = Some(now + limits::PAUSE);
            self.faults.clear();
        }
        trips
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn too_many_failures_in_a_minute_switch_off_for_a_pause() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        let trips: Vec<bool> =
            (0..limits::FAULTS).map(|at| breaker.count(start + Duration::from_secs(at as u64))).collect();
        assert_eq!(trips.iter().filter(|&&trip| trip).count(), 1);
        assert!(trips.last().is_some_and(|&trip| trip));
        let tripped = start + Duration::from_secs(limits::FAULTS as u64 - 1);
        assert!(breaker.is_off(tripped + limits::PAUSE - Duration::from_millis(1)));
        assert!(!breaker.is_off(tripped + limits::PAUSE));
    }

    #[test]
    fn failures_far_apart_switch_nothing_off() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        for at in 0..20u32 {
            assert!(!breaker.count(start + limits::FAULT_WINDOW / 3 * at));
        }
    }
}
