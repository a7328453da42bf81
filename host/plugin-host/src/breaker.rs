//! Switches a plugin off that fails too often, for a while: for one question, or for the peer that it fails on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use vpnhost_model::Identity;
use vpnhost_policy::{Question, QuestionKind};

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

/// The failures at each question. What is about a peer is counted for that peer alone: none can rid another of a guard.
#[derive(Debug, Default)]
pub(crate) struct Breakers {
    questions: BTreeMap<QuestionKind, Breaker>,
    peers: BTreeMap<Identity, Breaker>,
}

impl Breakers {
    /// Tells whether the plugin is not asked a question.
    pub(crate) fn is_off(&mut self, now: Instant, question: &Question) -> bool {
        let breaker = match question.peer() {
            Some(peer) => self.peers.get_mut(peer),
            None => self.questions.get_mut(&question.kind()),
        };
        breaker.is_some_and(|breaker| breaker.is_off(now))
    }

    /// Tells whether there is a question that it is not asked, whoever the peer is.
    pub(crate) fn is_any_off(&mut self, now: Instant) -> bool {
        self.questions.values_mut().any(|breaker| breaker.is_off(now))
    }

    /// Counts a failure; tells whether it was the one too many. Where too many peers are counted, the one that failed
    /// longest ago is forgotten: it is asked about again, which lets nobody in.
    pub(crate) fn count(&mut self, now: Instant, question: &Question) -> bool {
        let Some(peer) = question.peer() else {
            return self.questions.entry(question.kind()).or_default().count(now);
        };
        let peers = &mut self.peers;
        if !peers.contains_key(peer) && peers.len() >= limits::FAULTY_PEERS {
            let oldest = peers.iter().min_by_key(|(_, breaker)| breaker.last).map(|(peer, _)| peer.clone());
            oldest.map(|peer| peers.remove(&peer));
        }
        peers.entry(peer.clone()).or_default().count(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vpnhost_model::Role;
    use vpnhost_policy::{AddressMenu, PathCause, PathMenu, Power};

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

    fn about(number: usize) -> Question {
        Question::AssignAddresses(AddressMenu {
            connection: "corp".into(),
            peer_id: Identity::Fqdn(format!("peer-{number}")),
            labels: Vec::new(),
            remote: ([198, 51, 100, 1], 4500).into(),
            unix_secs: 0,
            wants_ipv4: true,
            wants_ipv6: false,
            preferred: Vec::new(),
            pools: Vec::new(),
            hints: Vec::new(),
        })
    }

    #[test]
    fn each_peers_failures_are_counted_apart_and_so_many_peers_as_may_be() {
        let mut breakers = Breakers::default();
        let start = Instant::now();
        for at in 1..=limits::FAULTS {
            assert!(!breakers.is_off(start, &about(0)));
            assert_eq!(breakers.count(start, &about(0)), at == limits::FAULTS);
        }
        assert!(breakers.is_off(start, &about(0)) && !breakers.is_off(start, &about(1)));
        assert!(!breakers.is_any_off(start));
        assert!(!breakers.is_off(start + limits::PAUSE, &about(0)));
        for number in 1..=limits::FAULTY_PEERS * 2 {
            breakers.count(start + Duration::from_millis(number as u64), &about(number));
        }
        let is_counted = |number| about(number).peer().is_some_and(|peer| breakers.peers.contains_key(peer));
        assert_eq!(breakers.peers.len(), limits::FAULTY_PEERS);
        assert!(!is_counted(0) && is_counted(limits::FAULTY_PEERS * 2));
    }

    #[test]
    fn who_fails_at_one_question_is_still_asked_the_others() {
        let paths = Question::RankPaths(PathMenu {
            connection: "corp".into(),
            cause: PathCause::ADDED,
            role: Role::Initiator,
            peer_id: Identity::Fqdn("moon".into()),
            labels: Vec::new(),
            unix_secs: 0,
            current: None,
            paths: Vec::new(),
            since_move_ms: None,
            moves: 0,
            power: Power::UNKNOWN,
            hints: Vec::new(),
        });
        let mut breakers = Breakers::default();
        let start = Instant::now();
        for _ in 0..limits::FAULTS {
            breakers.count(start, &paths);
        }
        assert!(breakers.is_off(start, &paths) && breakers.is_any_off(start));
        assert!(!breakers.is_off(start, &about(0)));
    }
}
