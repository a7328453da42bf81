//! The machine's clocks, for machines that read none themselves: CLOCK_BOOTTIME, which counts through suspend,
//! and the wall clock with the local time zone.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vpnhost_model::{Instant, Now};

use crate::limits;

/// The offset from UTC as it was last looked up, and when; the look-up reads files.
static OFFSET_SECS: AtomicI32 = AtomicI32::new(0);
static OFFSET_READ: AtomicU64 = AtomicU64::new(0);

/// Reads the machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock;

impl Clock {
    /// Returns the monotonic clock, suspended time included.
    pub(crate) fn instant(self) -> Instant {
        // Linux has had CLOCK_BOOTTIME since 2.6.39.
        Instant(nanos(libc::CLOCK_BOOTTIME))
    }

    /// Returns for how long the machine has been suspended since it was started. Whoever is held up between the two
    /// readings reads less, never more.
    pub(crate) fn asleep(self) -> Duration {
        let with = nanos(libc::CLOCK_BOOTTIME);
        Duration::from_nanos(with.saturating_sub(nanos(libc::CLOCK_MONOTONIC)))
    }

    /// Returns both clocks.
    pub(crate) fn now(self) -> Now {
        let instant = self.instant();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { instant, unix, utc_offset_secs: utc_offset_secs(instant, unix) }
    }
}

/// Reads a clock; one that there is not stands at zero.
#[allow(unsafe_code)]
fn nanos(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of this frame.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return 0;
    }
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

#[allow(unsafe_code)]
fn utc_offset_secs(now: Instant, unix: Duration) -> i32 {
    let read = OFFSET_READ.load(Ordering::Relaxed);
    let fresh = read != 0 && now.saturating_since(Instant(read)) < limits::ZONE_REFRESH;
    if !fresh {
        OFFSET_READ.store(now.0.max(1), Ordering::Relaxed);
        let seconds = unix.as_secs() as libc::time_t;
        // SAFETY: `tm` is plain data; `localtime_r` writes only there and reads only `seconds`.
        let offset = unsafe {
            let mut tm: libc::tm = std::mem::zeroed();
            if libc::localtime_r(&raw const seconds, &raw mut tm).is_null() { 0 } else { tm.tm_gmtoff }
        };
        OFFSET_SECS.store(offset as i32, Ordering::Relaxed);
    }
    OFFSET_SECS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back_and_the_wall_clock_is_of_this_century() {
        let (first, second) = (Clock.instant(), Clock.instant());
        assert!(first.0 > 0 && first <= second);
        assert!(Clock.now().unix > Duration::from_secs(1_600_000_000));
        assert!(Clock.now().utc_offset_secs.abs() <= 14 * 3600);
    }
}
