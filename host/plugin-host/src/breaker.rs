//! Switches a plugin off that fails too often, for a while; for `authorize_peer` only for the peer that it fails on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use vpnhost_model::Identity;

use crate::limits;

/// The failures of late, and whether they are too many.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    faults: VecDeque<Instant>,
    last: Option<Instant>,
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
        self.last = Some(now);
        let trips = self.off_until.is_none() && self.faults.len() >= limits::FAULTS;
        if trips {
            self.off_until = Some(now + limits::PAUSE);
            self.faults.clear();
        }
        trips
    }
}

/// The failures to answer `authorize_peer`, each peer's apart: no peer can rid another of a guard.
#[derive(Debug, Default)]
pub(crate) struct PeerBreakers(BTreeMap<Identity, Breaker>);

impl PeerBreakers {
    /// Tells whether the plugin is not asked about a peer.
    pub(crate) fn is_off(&mut self, now: Instant, peer: &Identity) -> bool {
        self.0.get_mut(peer).is_some_and(|breaker| breaker.is_off(now))
    }

    /// Counts a failure; tells whether it was the one too many for this peer. Where too many peers are counted, the
    /// one that failed longest ago is forgotten: it is asked about again, which lets nobody in.
    pub(crate) fn count(&mut self, now: Instant, peer: &Identity) -> bool {
        if !self.0.contains_key(peer) && self.0.len() >= limits::FAULTY_PEERS {
            let oldest = self.0.iter().min_by_key(|(_, breaker)| breaker.last).map(|(peer, _)| peer.clone());
            oldest.map(|peer| self.0.remove(&peer));
        }
        self.0.entry(peer.clone()).or_default().count(now)
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

    #[test]
    fn each_peers_failures_are_counted_apart_and_so_many_peers_as_may_be() {
        let mut breakers = PeerBreakers::default();
        let start = Instant::now();
        let peer = |number: usize| Identity::Fqdn(format!("peer-{number}"));
        for at in 1..=limits::FAULTS {
            assert!(!breakers.is_off(start, &peer(0)));
            assert_eq!(breakers.count(start, &peer(0)), at == limits::FAULTS);
        }
        assert!(breakers.is_off(start, &peer(0)) && !breakers.is_off(start, &peer(1)));
        assert!(!breakers.is_off(start + limits::PAUSE, &peer(0)));
        for number in 1..=limits::FAULTY_PEERS * 2 {
            breakers.count(start + Duration::from_millis(number as u64), &peer(number));
        }
        assert_eq!(breakers.0.len(), limits::FAULTY_PEERS);
        assert!(
            !breakers.0.contains_key(&peer(0)) && breakers.0.contains_key(&peer(limits::FAULTY_PEERS * 2))
        );
    }
}
