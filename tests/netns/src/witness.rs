//! Who watches the machine: that it stood still is no fault of what is measured meanwhile.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::traffic::now;

/// How long it sleeps each time.
const STEP: Duration = Duration::from_millis(5);
/// What it overslept is a stall from here on, in seconds: everybody wakes up a little late.
const STALL: f64 = 0.02;
/// The most stalls that are noted.
const STALLS: usize = 100_000;

/// A thread that does nothing but sleep a little again and again, and notes when it woke up late.
#[derive(Debug)]
pub struct Witness {
    /// Held by the thread, too, which ends when it is alone with it.
    presence: Arc<()>,
    thread: JoinHandle<Stalls>,
}

/// When the machine stood still: from and until, in seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Stalls(Vec<(f64, f64)>);

impl Witness {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let presence = Arc::new(());
        let watched = Arc::clone(&presence);
        let thread = std::thread::spawn(move || {
            let (mut stalls, mut last) = (Stalls::default(), now());
            while Arc::strong_count(&watched) > 1 {
                std::thread::sleep(STEP);
                let (due, woke) = (last + STEP.as_secs_f64(), now());
                if woke - due >= STALL && stalls.0.len() < STALLS {
                    stalls.0.push((due, woke));
                }
                last = woke;
            }
            stalls
        });
        Self { presence, thread }
    }

    /// Ends it, and returns what it noted.
    pub fn finish(self) -> Result<Stalls> {
        drop(self.presence);
        self.thread.join().map_err(|_| anyhow!("the witness panicked"))
    }
}

impl Stalls {
    /// Returns for how many seconds of a time the machine stood still.
    #[must_use]
    pub fn within(&self, from: f64, until: f64) -> f64 {
        self.0.iter().map(|stall| (stall.1.min(until) - stall.0.max(from)).max(0.0)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stood_still_within_a_time_is_told_of_it() {
        let stalls = Stalls(vec![(1.0, 2.0), (3.0, 3.5), (9.0, 9.5)]);
        assert_eq!(stalls.within(1.5, 4.0), 1.0);
        assert_eq!(stalls.within(4.0, 9.0), 0.0);
    }
}
