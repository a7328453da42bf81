//! What IKE must know of the packet path: bounded and rate-limited.

use std::collections::{BTreeMap, VecDeque};
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
    UnknownSpi {
        /// The SPI.
        spi: ChildSpi,
        /// Where the packet came from, and to which address.
        path: Path,
        /// The octets of the packet, without the headers of UDP and IP.
        octets: usize,
    },
}

impl TrafficReport {
    /// Returns the SA that it is of, and a number for what it tells of that; none of a hint.
    fn of_sa(&self) -> Option<(ChildSaId, u8)> {
        match self {
            Self::FirstInbound(id) => Some((*id, 0)),
            Self::Resumed { id, .. } => Some((*id, 1)),
            Self::Moved(id, _) => Some((*id, 2)),
            Self::SoftLimit(id) => Some((*id, 3)),
            Self::Exhausted(id) => Some((*id, 4)),
            Self::Large(id, _) => Some((*id, 5)),
            Self::Acquire { .. } | Self::UnknownSpi { .. } => None,
        }
    }
}

/// Reports that wait for control.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// What is told of an SA is not told again, so it waits for as long as the SA is there: of each kind the newest.
    of_sas: BTreeMap<(ChildSaId, u8), TrafficReport>,
    /// What is told again, as long as it is so.
    hints: VecDeque<TrafficReport>,
}

impl Reports {
    pub(crate) fn push(&mut self, report: TrafficReport, counters: &Counters) {
        if let Some(key) = report.of_sa() {
            self.of_sas.insert(key, report);
        } else if self.hints.len() < limits::HINTS {
            self.hints.push_back(report);
        } else {
            add(&counters.reports_lost, 1);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<TrafficReport> {
        self.of_sas.pop_first().map(|(_, report)| report).or_else(|| self.hints.pop_front())
    }

    /// An SA goes elsewhere than where its peer was last seen to be.
    pub(crate) fn forget_moved(&mut self, id: ChildSaId) {
        self.of_sas.retain(|(of, _), report| *of != id || !matches!(report, TrafficReport::Moved(..)));
    }

    /// An SA is no more.
    pub(crate) fn forget(&mut self, id: ChildSaId) {
        self.of_sas.retain(|(of, _), _| *of != id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of_sas.is_empty() && self.hints.is_empty()
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
#[derive(Debug)]
pub(crate) struct PairMemory {
    told: VecDeque<(IpAddr, IpAddr, Instant)>,
    most: usize,
    interval: Duration,
}

impl PairMemory {
    /// Makes one that reports `most` pairs within an interval, each once.
    pub(crate) fn new(most: usize, interval: Duration) -> Self {
        Self { told: VecDeque::new(), most, interval }
    }

    /// Tells whether a pair is to be reported now, and remembers that it was.
    pub(crate) fn is_news(&mut self, source: IpAddr, destination: IpAddr, now: Instant) -> bool {
        self.told.retain(|(_, _, at)| now.saturating_since(*at) < self.interval);
        let known = self.told.iter().any(|(s, d, _)| (*s, *d) == (source, destination));
        if known || self.told.len() >= self.most {
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
        let mut memory = PairMemory::new(2, Duration::from_secs(1));
        assert!(memory.is_news(a, b, Instant(0)));
        assert!(!memory.is_news(a, b, Instant(999_999_999)));
        assert!(memory.is_news(b, a, Instant(999_999_999)));
        assert!(memory.is_news(a, b, Instant(1_000_000_000)));
        assert!(!memory.is_news(a, a, Instant(1_500_000_000)), "two are remembered");
    }

    #[test]
    fn hints_that_nobody_takes_are_counted_not_kept() {
        let (mut reports, counters) = (Reports::default(), Counters::default());
        for number in 0..limits::HINTS as u32 + 7 {
            let [source, destination] = [number, 0].map(|of| IpAddr::from(of.to_be_bytes()));
            reports.push(TrafficReport::Acquire { source, destination }, &counters);
        }
        assert_eq!(counters.reports_lost.load(std::sync::atomic::Ordering::Relaxed), 7);
        assert_eq!(std::iter::from_fn(|| reports.pop()).count(), limits::HINTS);
    }

    #[test]
    fn what_is_told_of_an_sa_waits_until_it_is_taken_or_the_sa_is_no_more() {
        let (mut reports, counters) = (Reports::default(), Counters::default());
        let ids = || (1..=1000).map(ChildSaId);
        for id in ids() {
            for report in [TrafficReport::SoftLimit(id), TrafficReport::Large(id, 1300)] {
                reports.push(report, &counters);
            }
            reports.push(TrafficReport::Large(id, 1400), &counters);
        }
        reports.forget(ChildSaId(7));
        assert_eq!(counters.reports_lost.load(std::sync::atomic::Ordering::Relaxed), 0);
        for id in ids().filter(|id| *id != ChildSaId(7)) {
            assert_eq!(reports.pop(), Some(TrafficReport::SoftLimit(id)));
            assert_eq!(reports.pop(), Some(TrafficReport::Large(id, 1400)), "the newest");
        }
        assert!(reports.is_empty());
    }
}
