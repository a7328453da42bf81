//! What IKE must know of the packet path: bounded and rate-limited.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use vpnhost_model::{ChildSaId, ChildSpi, Instant, Path};

use crate::counters::{Counters, add};
use crate::limits;

/// Something that the packet path tells control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficReport {
    /// The first packet came in on an SA: its peer sends on it (RFC 7296 §2.8).
    FirstInbound(ChildSaId),
    /// A packet came in on an SA after silence: what a NAT on the way remembers shows there.
    Resumed {
        /// The SA.
        id: ChildSaId,
        /// When the last packet before the silence passed, in either direction.
        since: Instant,
        /// When this end spoke first after it; none if the peer did.
        spoke: Option<Instant>,
        /// When the packet came in.
        at: Instant,
        /// How many sequence numbers before it are missing.
        missing: u64,
    },
    /// The newest authentic packet of an SA came from elsewhere than its path says.
    Moved(ChildSaId, Path),
    /// An SA reached a soft limit of bytes, packets or sequence numbers; told once.
    SoftLimit(ChildSaId),
    /// An SA's sequence numbers are used up; told once.
    Exhausted(ChildSaId),
    /// A packet of so many octets, with IP's header, was the first on a path that is not known to carry as many.
    Large(ChildSaId, u16),
    /// A packet found no SA.
    Acquire {
        /// Its source.
        source: IpAddr,
        /// Where it wanted to go.
        destination: IpAddr,
    },
    /// An ESP packet came for an SPI that is not there: a hint, not authenticated (RFC 4301 §5.2).
    UnknownSpi(ChildSpi, Path),
}

/// Reports that wait for control.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    queue: VecDeque<TrafficReport>,
}

impl Reports {
    pub(crate) fn push(&mut self, report: TrafficReport, counters: &Counters) {
        if self.queue.len() < limits::REPORTS {
            self.queue.push_back(report);
        } else {
            add(&counters.reports_lost, 1);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<TrafficReport> {
        self.queue.pop_front()
    }
}

/// A token bucket.
#[derive(Debug)]
pub(crate) struct RateLimit {
    tokens: u32,
    burst: u32,
    interval: Duration,
    refilled: Instant,
}

impl RateLimit {
    pub(crate) fn new(burst: u32, interval: Duration) -> Self {
        Self { tokens: burst, burst, interval, refilled: Instant(0) }
    }

    /// Takes a token if there is one.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        let interval = self.interval.as_nanos().max(1);
        let earned =
            (now.saturating_since(self.refilled).as_nanos() / interval).min(self.burst.into()) as u32;
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(self.burst);
            self.refilled = now;
        }
        let admitted = self.tokens > 0;
        self.tokens -= u32::from(admitted);
        admitted
    }
}

/// Pairs of addresses that were reported lately.
#[derive(Debug, Default)]
pub(crate) struct AcquireMemory {
    told: VecDeque<(IpAddr, IpAddr, Instant)>,
}

impl AcquireMemory {
    /// Tells whether a pair is to be reported now, and remembers that it was.
    pub(crate) fn is_news(&mut self, source: IpAddr, destination: IpAddr, now: Instant) -> bool {
        self.told.retain(|(_, _, at)| now.saturating_since(*at) < limits::ACQUIRE_INTERVAL);
        let known = self.told.iter().any(|(s, d, _)| (*s, *d) == (source, destination));
        if known || self.told.len() >= limits::ACQUIRE_MEMORY {
            return false;
        }
        self.told.push_back((source, destination, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_one_an_interval() {
        let mut limit = RateLimit::new(3, Duration::from_millis(10));
        let at = |ms: u64| Instant(ms * 1_000_000 + 1_000_000_000);
        assert_eq!((0..5).filter(|_| limit.admits(at(0))).count(), 3);
        assert!(!limit.admits(at(5)));
        assert!(limit.admits(at(10)) && !limit.admits(at(11)));
        assert_eq!((0..9).filter(|_| limit.admits(at(1000))).count(), 3);
    }

    #[test]
    fn a_missing_sa_is_told_once_a_second_and_pair() {
        let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mut memory = AcquireMemory::default();
        assert!(memory.is_news(a, b, Instant(0)));
        assert!(!memory.is_news(a, b, Instant(999_999_999)));
        assert!(memory.is_news(b, a, Instant(999_999_999)));
        assert!(memory.is_news(a, b, Instant(1_000_000_000)));
    }

    #[test]
    fn reports_that_nobody_takes_are_counted_not_kept() {
        let (mut reports, counters) = (Reports::default(), Counters::default());
        for id in 0..limits::REPORTS as u64 + 7 {
            reports.push(TrafficReport::SoftLimit(ChildSaId(id)), &counters);
        }
        assert_eq!(counters.reports_lost.load(std::sync::atomic::Ordering::Relaxed), 7);
        assert_eq!(std::iter::from_fn(|| reports.pop()).count(), limits::REPORTS);
    }
}
