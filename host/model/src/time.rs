//! Points in time, handed in by whoever drives a machine; no clock is read here.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point on the host's monotonic clock, in nanoseconds since a start that only the driver knows.
///
/// The clock counts through suspend (CLOCK_BOOTTIME); the simulator's begins at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// Returns the time from `earlier` to `self`, zero if `earlier` is the later one.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

/// What time it is, on both clocks that a decision may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// The monotonic clock, for timers.
    pub instant: Instant,
    /// The wall clock since 1970, for validity and calendars.
    pub unix: Duration,
    /// The local time zone's offset from UTC in seconds, east positive.
    pub utc_offset_secs: i32,
}
