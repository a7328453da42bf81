//! The virtual clock: it stands still unless it is moved.

use std::time::Duration;

use vpnhost_model::{Instant, Now};

/// A clock that a simulation moves.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: Now,
}

impl Clock {
    /// Returns the time.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Moves to a later instant; an earlier one is now.
    pub fn advance_to(&mut self, instant: Instant) {
        self.now.unix += instant - self.now.instant;
        self.now.instant = self.now.instant.max(instant);
    }
}

impl Default for Clock {
    fn default() -> Self {
        let unix = Duration::from_secs(1_800_000_000);
        Self { now: Now { instant: Instant(1_000_000_000), unix, utc_offset_secs: 0 } }
    }
}
