//! The pairs of addresses that an IKE SA could take, and what is known of each (RFC 4555 §3.5, §3.10).
//!
//! Facts only: which pair is the best, a policy decides.

use std::collections::VecDeque;
use std::time::Duration;

use vpnhost_model::{AddressPair, Instant};
use vpnhost_policy::PathStanding;

use crate::limits;
use crate::sa::round_trip::RoundTrip;

/// Every pair that the machine has a route for, in the order in which they are preferred by whoever names them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    known: Vec<Candidate>,
    /// Pairs that went away lately, and when.
    gone: VecDeque<(AddressPair, Instant)>,
    /// When the IKE SA moved lately.
    moves: VecDeque<Instant>,
    /// When pairs were gone or silent lately, the oldest first.
    outages: VecDeque<Outage>,
}

/// A time in which a pair was gone or silent.
#[derive(Clone, Copy, Debug)]
struct Outage {
    pair: AddressPair,
    since: Instant,
    /// None: it still is.
    until: Option<Instant>,
}

/// A pair of addresses, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Which.
    pub(crate) pair: AddressPair,
    /// Since when it has been there without interruption.
    pub(crate) since: Instant,
    /// The round-trip time.
    pub(crate) round_trip: Option<RoundTrip>,
    /// The share of requests that were not answered, smoothed.
    pub(crate) loss_permille: Option<u16>,
    /// When a request was answered last.
    pub(crate) answered: Option<Instant>,
    /// When a request remained without an answer last.
    pub(crate) failed: Option<Instant>,
    /// The loss as it was before that: the answer may only have been late.
    loss_before: Option<Option<u16>>,
}

/// What became of the pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// A pair came.
    pub(crate) added: bool,
    /// A pair went.
    pub(crate) removed: bool,
}

impl Candidate {
    fn new(pair: AddressPair, since: Instant) -> Self {
        Self {
            pair,
            since,
            round_trip: None,
            loss_permille: None,
            answered: None,
            failed: None,
            loss_before: None,
        }
    }

    /// Tells how it stands. What failed is worth another try after a while; what worked long ago is not proven now.
    pub(crate) fn standing(&self, now: Instant) -> PathStanding {
        let within = |at: Option<Instant>, span| at.is_some_and(|at| now.saturating_since(at) < span);
        if self.failed > self.answered {
            if within(self.failed, limits::PATH_FAILED) {
                PathStanding::FAILED
            } else {
                PathStanding::UNPROVEN
            }
        } else if within(self.answered, limits::PATH_PROVEN) {
            PathStanding::WORKS
        } else {
            PathStanding::UNPROVEN
        }
    }

    fn count(&mut self, lost: bool) {
        let sample: u16 = if lost { 1000 } else { 0 };
        self.loss_permille = Some(match self.loss_permille {
            None => sample,
            // An eighth of what is new, as with round-trip times (RFC 6298 §2).
            Some(before) => before - before / 8 + sample / 8,
        });
    }
}

impl Paths {
    /// Takes the pairs that there are now; what stays keeps what is known of it.
    pub(crate) fn update(&mut self, now: Instant, pairs: &[AddressPair]) -> Change {
        let mut change = Change::default();
        let mut before = std::mem::take(&mut self.known);
        for &pair in pairs.iter().take(limits::PATHS) {
            let kept = before.iter().position(|candidate| candidate.pair == pair);
            change.added |= kept.is_none();
            let candidate = kept.map(|at| before.swap_remove(at));
            if candidate.is_none() {
                self.end_outage(now, pair);
            }
            self.known.push(candidate.unwrap_or_else(|| Candidate::new(pair, now)));
        }
        change.removed = !before.is_empty();
        for candidate in before {
            if self.gone.len() >= limits::PATHS {
                self.gone.pop_front();
            }
            self.gone.push_back((candidate.pair, now));
            self.begin_outage(now, candidate.pair);
        }
        change
    }

    /// Returns every pair in its order.
    pub(crate) fn all(&self) -> &[Candidate] {
        &self.known
    }

    /// Returns what is known of a pair.
    pub(crate) fn find(&self, pair: AddressPair) -> Option<&Candidate> {
        self.known.iter().find(|candidate| candidate.pair == pair)
    }

    fn find_mut(&mut self, pair: AddressPair) -> Option<&mut Candidate> {
        self.known.iter_mut().find(|candidate| candidate.pair == pair)
    }

    /// Notes that a request was answered on a pair; after which time, if it was sent there once.
    pub(crate) fn note_answer(&mut self, now: Instant, pair: AddressPair, round_trip: Option<Duration>) {
        self.end_outage(now, pair);
        let Some(candidate) = self.find_mut(pair) else { return };
        candidate.answered = Some(now);
        candidate.loss_before = None;
        candidate.count(false);
        if let Some(sample) = round_trip {
            candidate.round_trip = Some(RoundTrip::after(candidate.round_trip, sample));
        }
    }

    /// Takes back that a request was not answered on a pair: the answer was late.
    pub(crate) fn take_back_silence(&mut self, pair: AddressPair) {
        if let Some(candidate) = self.find_mut(pair)
            && let Some(before) = candidate.loss_before.take()
        {
            candidate.loss_permille = before;
            self.take_back_outage(pair);
        }
    }

    /// Notes that packets of the peer came in on a pair.
    pub(crate) fn note_traffic(&mut self, at: Instant, pair: AddressPair) {
        if let Some(candidate) = self.find_mut(pair) {
            candidate.answered = candidate.answered.max(Some(at));
            self.end_outage(at, pair);
        }
    }

    /// Notes that a request was not answered on a pair.
    pub(crate) fn note_silence(&mut self, now: Instant, pair: AddressPair) {
        if let Some(candidate) = self.find_mut(pair) {
            candidate.failed = Some(now);
            candidate.loss_before = Some(candidate.loss_permille);
            candidate.count(true);
            self.begin_outage(now, pair);
        }
    }

    /// Notes that the peer does not want a pair, though it answered on it.
    pub(crate) fn note_refusal(&mut self, now: Instant, pair: AddressPair) {
        if let Some(candidate) = self.find_mut(pair) {
            (candidate.failed, candidate.answered) = (Some(now), None);
        }
    }

    /// Notes a move.
    pub(crate) fn note_move(&mut self, now: Instant) {
        if self.moves.len() >= limits::MOVES_REMEMBERED {
            self.moves.pop_front();
        }
        self.moves.push_back(now);
    }

    /// Returns when the IKE SA moved last.
    pub(crate) fn last_move(&self) -> Option<Instant> {
        self.moves.back().copied()
    }

    /// Returns how often it moved within [`limits::PATH_MEMORY`].
    pub(crate) fn moves(&self, now: Instant) -> u16 {
        count(self.moves.iter().copied(), now)
    }

    /// Returns how often a pair went away within [`limits::PATH_MEMORY`].
    pub(crate) fn flaps(&self, now: Instant, pair: AddressPair) -> u16 {
        count(self.gone.iter().filter(|(other, _)| *other == pair).map(|(_, at)| *at), now)
    }
}

impl Paths {
    /// Returns how often a pair was gone or silent within [`limits::OUTAGE_MEMORY`], and for how long of that time.
    pub(crate) fn outages(&self, now: Instant, pair: AddressPair) -> (u16, Duration) {
        let mut outages = (0, Duration::ZERO);
        for outage in self.outages.iter().filter(|outage| outage.pair == pair) {
            let until = outage.until.unwrap_or(now);
            let ago = now.saturating_since(until);
            if ago < limits::OUTAGE_MEMORY {
                let lasted = until.saturating_since(outage.since).min(limits::OUTAGE_MEMORY - ago);
                outages = (outages.0 + 1, outages.1 + lasted);
            }
        }
        outages
    }

    fn begin_outage(&mut self, now: Instant, pair: AddressPair) {
        if self.outages.iter().any(|outage| outage.pair == pair && outage.until.is_none()) {
            return;
        }
        if self.outages.len() >= limits::OUTAGES_REMEMBERED {
            self.outages.pop_front();
        }
        self.outages.push_back(Outage { pair, since: now, until: None });
    }

    fn end_outage(&mut self, at: Instant, pair: AddressPair) {
        let lasts =
            |outage: &&mut Outage| outage.pair == pair && outage.until.is_none() && at >= outage.since;
        if let Some(outage) = self.outages.iter_mut().find(lasts) {
            outage.until = Some(at);
        }
    }

    /// The answer was late: there was none.
    fn take_back_outage(&mut self, pair: AddressPair) {
        self.outages.retain(|outage| outage.pair != pair || outage.until.is_some());
    }
}

fn count(instants: impl Iterator<Item = Instant>, now: Instant) -> u16 {
    let lately = instants.filter(|at| now.saturating_since(*at) < limits::PATH_MEMORY).count();
    u16::try_from(lately).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(local: u8) -> AddressPair {
        AddressPair {
            local: [192, 0, 2, local].into(),
            interface: local.into(),
            remote: [198, 51, 100, 1].into(),
        }
    }

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    #[test]
    fn what_stays_keeps_what_is_known_of_it_and_what_went_is_counted() {
        let mut paths = Paths::default();
        assert_eq!(paths.update(at(1), &[pair(1), pair(2)]), Change { added: true, removed: false });
        paths.note_answer(at(2), pair(2), Some(Duration::from_millis(80)));
        assert_eq!(paths.update(at(3), &[pair(2)]), Change { added: false, removed: true });
        assert_eq!(
            paths.find(pair(2)).and_then(|it| it.round_trip).map(RoundTrip::time),
            Some(Duration::from_millis(80))
        );
        assert_eq!(paths.update(at(4), &[pair(1), pair(2)]), Change { added: true, removed: false });
        assert_eq!((paths.find(pair(1)).map(|it| it.since), paths.flaps(at(4), pair(1))), (Some(at(4)), 1));
        assert_eq!(paths.flaps(at(4) + limits::PATH_MEMORY, pair(1)), 0);
        assert_eq!(paths.update(at(5), &[pair(1), pair(2)]), Change::default());
    }

    #[test]
    fn a_path_is_proven_by_an_answer_and_failed_by_silence_for_a_while() {
        let mut paths = Paths::default();
        paths.update(at(0), &[pair(1)]);
        let standing = |paths: &Paths, now| paths.find(pair(1)).unwrap().standing(now);
        assert_eq!(standing(&paths, at(1)), PathStanding::UNPROVEN);
        paths.note_answer(at(1), pair(1), None);
        assert_eq!(standing(&paths, at(2)), PathStanding::WORKS);
        assert_eq!(standing(&paths, at(1) + limits::PATH_PROVEN), PathStanding::UNPROVEN);
        paths.note_silence(at(3), pair(1));
        assert_eq!(standing(&paths, at(4)), PathStanding::FAILED);
        assert_eq!(standing(&paths, at(3) + limits::PATH_FAILED), PathStanding::UNPROVEN);
        paths.note_traffic(at(5), pair(1));
        assert_eq!(standing(&paths, at(6)), PathStanding::WORKS);
    }

    #[test]
    fn an_answer_that_was_late_was_not_lost() {
        let mut paths = Paths::default();
        paths.update(at(0), &[pair(1)]);
        paths.note_answer(at(1), pair(1), None);
        paths.note_silence(at(2), pair(1));
        paths.take_back_silence(pair(1));
        paths.note_answer(at(3), pair(1), None);
        let candidate = paths.find(pair(1)).unwrap();
        assert_eq!((candidate.loss_permille, candidate.standing(at(3))), (Some(0), PathStanding::WORKS));
    }

    #[test]
    fn a_path_that_is_gone_or_silent_is_out_until_it_is_back_or_answers() {
        let mut paths = Paths::default();
        paths.update(at(0), &[pair(1), pair(2)]);
        paths.update(at(10), &[pair(2)]);
        assert_eq!(paths.outages(at(12), pair(1)), (1, Duration::from_secs(2)), "it still is");
        paths.update(at(15), &[pair(1), pair(2)]);
        paths.note_silence(at(20), pair(1));
        paths.note_silence(at(21), pair(1));
        paths.note_answer(at(27), pair(1), None);
        assert_eq!(paths.outages(at(60), pair(1)), (2, Duration::from_secs(12)));
        assert_eq!(paths.outages(at(60), pair(2)), (0, Duration::ZERO));
        assert_eq!(
            paths.outages(at(15) + limits::OUTAGE_MEMORY, pair(1)),
            (1, Duration::from_secs(7)),
            "older ones are forgotten"
        );
        paths.note_silence(at(70), pair(2));
        paths.take_back_silence(pair(2));
        assert_eq!(paths.outages(at(80), pair(2)), (0, Duration::ZERO), "the answer was late");
    }

    #[test]
    fn loss_is_the_share_of_unanswered_requests() {
        let mut paths = Paths::default();
        paths.update(at(0), &[pair(1)]);
        for second in 0..100 {
            if second % 2 == 0 {
                paths.note_silence(at(second), pair(1));
            } else {
                paths.note_answer(at(second), pair(1), None);
            }
        }
        let loss = paths.find(pair(1)).and_then(|it| it.loss_permille).unwrap();
        assert!((400..=600).contains(&loss), "{loss}");
    }
}
