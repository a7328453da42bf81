//! The crowd at the door: half-open IKE SAs and failed logins, by where they come from (RFC 8019 §4.1, §4.2).
//!
//! A source is an IPv4 address or an IPv6 /64, which is one customer's; and its surroundings, an IPv4 /24 or an
//! IPv6 /48. Whoever is suspect has to return a cookie first, so that nobody is suspected for what others send in
//! his name, and is let in seldom rather than never: an address may be a NAT's, with honest hosts behind it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use vpnhost_model::Instant;

use crate::limits;

/// What is known of those who are not authenticated.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    half_open: BTreeMap<Source, usize>,
    all: usize,
    failures: BTreeMap<Source, Failures>,
}

/// A prefix that counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source(IpAddr, u8);

/// Logins that failed.
#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
    admitted: Instant,
}

/// What becomes of a request to begin an IKE SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is answered.
    Open,
    /// It is answered once its cookie came back.
    WithCookie,
    /// It is dropped.
    Full,
}

impl Source {
    fn near(address: IpAddr) -> Self {
        Self::prefix(address, if address.is_ipv4() { 32 } else { 64 })
    }

    fn around(address: IpAddr) -> Self {
        Self::prefix(address, if address.is_ipv4() { 24 } else { 48 })
    }

    fn prefix(address: IpAddr, length: u8) -> Self {
        let base = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Self(base, length)
    }
}

impl Crowd {
    /// A half-open IKE SA of an address begins.
    pub(crate) fn enter(&mut self, address: IpAddr) {
        for source in [Source::near(address), Source::around(address)] {
            *self.half_open.entry(source).or_insert(0) += 1;
        }
        self.all += 1;
    }

    /// A half-open IKE SA of an address is established, or is no more.
    pub(crate) fn leave(&mut self, address: IpAddr) {
        for source in [Source::near(address), Source::around(address)] {
            if let Some(count) = self.half_open.get_mut(&source) {
                *count -= 1;
                if *count == 0 {
                    self.half_open.remove(&source);
                }
            }
        }
        self.all = self.all.saturating_sub(1);
    }

    /// Returns how many half-open IKE SAs there are.
    pub(crate) fn half_open(&self) -> usize {
        self.all
    }

    /// A login from an address failed: somebody may be guessing.
    pub(crate) fn failed(&mut self, now: Instant, address: IpAddr) {
        let source = Source::near(address);
        if self.failures.len() >= limits::FAILING_SOURCES && !self.failures.contains_key(&source) {
            self.failures.retain(|_, failures| !failures.is_over(now));
            let oldest = self.failures.iter().min_by_key(|(_, failures)| failures.last).map(|(at, _)| *at);
            if self.failures.len() >= limits::FAILING_SOURCES
                && let Some(oldest) = oldest
            {
                self.failures.remove(&oldest);
            }
        }
        let fresh = Failures { count: 0, last: now, admitted: now };
        let failures = self.failures.entry(source).or_insert(fresh);
        if failures.is_over(now) {
            *failures = fresh;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// Decides about a request; `cookie_threshold` is the number of half-open IKE SAs from which on all return a cookie.
    pub(crate) fn admission(&self, now: Instant, address: IpAddr, cookie_threshold: usize) -> Admission {
        let of = |source| self.half_open.get(&source).copied().unwrap_or(0);
        let (near, around) = (of(Source::near(address)), of(Source::around(address)));
        let failures = self.failures_of(now, address);
        let too_soon = |failures: &Failures| now < failures.admitted + limits::FAILING_SOURCE_PAUSE;
        if self.all >= limits::HALF_OPEN
            || near >= limits::HALF_OPEN_PER_SOURCE
            || around >= limits::HALF_OPEN_AROUND
            || failures.is_some_and(too_soon)
        {
            return Admission::Full;
        }
        let crowded = self.all >= cookie_threshold
            || near >= limits::HALF_OPEN_PER_SOURCE_BEFORE_COOKIE
            || around >= limits::HALF_OPEN_AROUND_BEFORE_COOKIE;
        if crowded || failures.is_some() { Admission::WithCookie } else { Admission::Open }
    }

    /// Notes that a request of an address was let in.
    pub(crate) fn admitted(&mut self, now: Instant, address: IpAddr) {
        if let Some(failures) = self.failures.get_mut(&Source::near(address)) {
            failures.admitted = now;
        }
    }

    /// Returns how long a half-open IKE SA is kept: not as long as the operator says while there is a crowd.
    ///
    /// RFC 8019, 4.1: enough for a round trip and the key exchange all the same.
    pub(crate) fn patience(&self, configured: Duration, cookie_threshold: usize) -> Duration {
        if self.all > cookie_threshold { configured.min(limits::HALF_OPEN_IN_A_CROWD) } else { configured }
    }

    /// Returns the failures of an address, if they are so many that it is suspect.
    fn failures_of(&self, now: Instant, address: IpAddr) -> Option<&Failures> {
        let failures = self.failures.get(&Source::near(address))?;
        (failures.count >= limits::FAILURES_BEFORE_PAUSE && !failures.is_over(now)).then_some(failures)
    }
}

impl Failures {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_since(self.last) >= limits::FAILURES_FORGOTTEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant(1_000_000_000_000);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_of_one_ipv6_prefix_are_one_source() {
        let mut crowd = Crowd::default();
        for last in 0..limits::HALF_OPEN_PER_SOURCE_BEFORE_COOKIE {
            crowd.enter(address(&format!("2001:db8:1:2::{last:x}")));
        }
        let admission = |at: &str| crowd.admission(NOW, address(at), 32);
        assert_eq!(admission("2001:db8:1:2:aaaa::1"), Admission::WithCookie);
        assert_eq!(admission("2001:db8:1:3::1"), Admission::Open);
    }

    #[test]
    fn many_sources_side_by_side_have_to_return_cookies() {
        let mut crowd = Crowd::default();
        for last in 0..limits::HALF_OPEN_AROUND_BEFORE_COOKIE {
            crowd.enter(address(&format!("198.51.100.{last}")));
        }
        assert_eq!(crowd.admission(NOW, address("198.51.100.250"), 1000), Admission::WithCookie);
        assert_eq!(crowd.admission(NOW, address("198.51.101.250"), 1000), Admission::Open);
    }

    #[test]
    fn what_entered_and_left_is_not_counted_any_more() {
        let mut crowd = Crowd::default();
        for text in ["192.0.2.1", "2001:db8::1"] {
            crowd.enter(address(text));
            crowd.leave(address(text));
        }
        assert_eq!(crowd.half_open(), 0);
        assert!(crowd.half_open.is_empty());
    }

    #[test]
    fn who_fails_again_and_again_is_let_in_seldom_for_a_while() {
        let mut crowd = Crowd::default();
        let guesser = address("192.0.2.66");
        for _ in 0..limits::FAILURES_BEFORE_PAUSE {
            assert_eq!(crowd.admission(NOW, guesser, 32), Admission::Open);
            crowd.failed(NOW, guesser);
        }
        assert_eq!(crowd.admission(NOW, guesser, 32), Admission::Full);
        assert_eq!(crowd.admission(NOW, address("192.0.2.67"), 32), Admission::Open);
        let later = NOW + limits::FAILING_SOURCE_PAUSE;
        assert_eq!(crowd.admission(later, guesser, 32), Admission::WithCookie);
        crowd.admitted(later, guesser);
        assert_eq!(crowd.admission(later, guesser, 32), Admission::Full);
        assert_eq!(crowd.admission(NOW + limits::FAILURES_FORGOTTEN, guesser, 32), Admission::Open);
    }

    #[test]
    fn strangers_who_fail_are_remembered_within_bounds() {
        let mut crowd = Crowd::default();
        for number in 0..2 * limits::FAILING_SOURCES as u32 {
            crowd.failed(NOW, IpAddr::V4(Ipv4Addr::from_bits(number)));
        }
        assert_eq!(crowd.failures.len(), limits::FAILING_SOURCES);
    }

    #[test]
    fn a_crowd_shortens_the_patience() {
        let mut crowd = Crowd::default();
        let usual = Duration::from_secs(30);
        assert_eq!(crowd.patience(usual, 2), usual);
        (0..3).for_each(|_| crowd.enter(address("192.0.2.1")));
        assert_eq!(crowd.patience(usual, 2), limits::HALF_OPEN_IN_A_CROWD);
    }
}
