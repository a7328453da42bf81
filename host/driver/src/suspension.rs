//! That the machine was suspended: noticed by its two monotonic clocks, of which only one counts through it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use crate::limits;

/// Notices that the machine slept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspension {
    /// For how long it had slept since it was started, when that was told of last.
    told: Duration,
}

impl Suspension {
    /// Begins with for how long the machine has slept in all so far.
    pub(crate) fn new(asleep: Duration) -> Self {
        Self { told: asleep }
    }

    /// Takes for how long the machine has slept in all; returns how much of it is news, if it is worth telling.
    pub(crate) fn observe(&mut self, asleep: Duration) -> Option<Duration> {
        let slept = asleep.checked_sub(self.told).filter(|slept| *slept > limits::SLEEP_LEAST)?;
        self.told = asleep;
        Some(slept)
    }
}

/// Wakes at the end of a suspension: timers of tokio run by the clock that stands still during it.
#[derive(Debug)]
pub(crate) struct Alarm(Option<AsyncFd<OwnedFd>>);

impl Alarm {
    /// Sets it; without it the end of a suspension is noticed with the next deadline.
    pub(crate) fn set() -> Self {
        let timer = open().and_then(register);
        Self(timer.inspect_err(|error| tracing::debug!(%error, "no alarm for the end of a suspension")).ok())
    }

    /// Waits until the wall clock is set, which it is at the end of a suspension. Nothing is lost with a waiter who goes.
    pub(crate) async fn rings(&self) {
        let Some(timer) = &self.0 else { return std::future::pending().await };
        match timer.readable().await {
            Ok(mut ready) => {
                acknowledge(timer.get_ref());
                ready.clear_ready();
            }
            Err(_) => std::future::pending().await,
        }
    }
}

#[allow(unsafe_code)]
fn register(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open, and the same one, for as long as it is there.
    Ok(unsafe { AsyncFd::register(timer) }?)
}

/// Opens a timer that is never due, and ends when the wall clock is set.
#[allow(unsafe_code)]
fn open() -> io::Result<OwnedFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: no pointer is passed.
    let descriptor = unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, flags) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just opened, and is nobody else's.
    let timer = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let never = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: libc::time_t::MAX, tv_nsec: 0 },
    };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    // SAFETY: `never` is of this frame, and the old value is not asked for.
    let set =
        unsafe { libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const never, std::ptr::null_mut()) };
    if set == 0 { Ok(timer) } else { Err(io::Error::last_os_error()) }
}

/// Reads that the clock was set, so that the next time is told of again.
#[allow(unsafe_code)]
fn acknowledge(timer: &OwnedFd) {
    let mut expirations = 0u64;
    // SAFETY: the pointer is to eight octets of this frame. It fails with ECANCELED, which is what was waited for.
    let _ = unsafe { libc::read(timer.as_raw_fd(), (&raw mut expirations).cast(), size_of::<u64>()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_sleep_is_told_of_once_and_for_as_long_as_it_was() {
        let mut suspension = Suspension::new(secs(50));
        assert_eq!(suspension.observe(secs(50)), None);
        assert_eq!(suspension.observe(secs(650)), Some(secs(600)));
        assert_eq!(suspension.observe(secs(650)), None);
        assert_eq!(suspension.observe(secs(33_050)), Some(secs(32_400)));
    }

    #[test]
    fn what_two_readings_that_are_not_of_the_same_moment_differ_by_is_no_sleep() {
        let mut suspension = Suspension::new(secs(50));
        assert_eq!(suspension.observe(secs(50) + limits::SLEEP_LEAST), None);
        // A thread that is held up between the two reads less, and as much as before when it is not.
        assert_eq!(suspension.observe(secs(10)), None);
        assert_eq!(suspension.observe(secs(50)), None);
        // Short ones count together.
        assert_eq!(suspension.observe(secs(52)), Some(secs(2)));
    }

    #[test]
    fn the_alarm_is_silent_while_nobody_sets_the_clock() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let alarm = Alarm::set();
            assert!(alarm.0.is_some(), "Linux has had such timers since 3.0");
            tokio::time::timeout(Duration::from_millis(50), alarm.rings()).await.unwrap_err();
        });
    }
}
