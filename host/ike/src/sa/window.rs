//! Message IDs, retransmission and the cached reply: a window of one in each direction (RFC 7296 §2.1–2.3).
//!
//! Knows datagrams as octets, not what is in them; of where they go only how often an answer went to whom nobody knows.

use std::net::IpAddr;
use std::time::Duration;

use vpnhost_model::Instant;

use crate::config::Timing;
use crate::limits;

/// Both directions of an IKE SA's exchanges.
#[derive(Debug, Default)]
pub(crate) struct Window {
    next_request: u32,
    outstanding: Option<Outstanding>,
    expected: u32,
    deciding: bool,
    reply: Vec<Vec<u8>>,
    /// Where the reply went though the peer is not known to be there.
    elsewhere: Vec<Elsewhere>,
}

/// A request that waits for its response.
#[derive(Debug)]
pub(crate) struct Outstanding {
    message_id: u32,
    datagrams: Vec<Vec<u8>>,
    first_sent: Instant,
    retransmissions: u16,
    wait: Duration,
}

/// An address that the answer to the last request went to though the peer is not known to be there.
#[derive(Debug)]
struct Elsewhere {
    address: IpAddr,
    last: Instant,
    /// It does not go there again before.
    pause: Duration,
}

/// What a request's Message ID says about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The next one.
    New,
    /// The last one again: its answer stands.
    Repeated,
    /// The last one again, while its answer is being decided.
    BeingDecided,
    /// Too old, or beyond the window.
    Outside,
}

/// What a retransmission timer leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Retransmission {
    /// The datagrams go out again, and the next timer is set.
    Again(Vec<Vec<u8>>, Instant),
    /// The peer counts as gone.
    GiveUp {
        /// How often the request was repeated.
        tries: u16,
    },
    /// Nothing is outstanding.
    Nothing,
}

/// When requests are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) factor_percent: u16,
    pub(crate) tries: u16,
}

impl From<&Timing> for Backoff {
    fn from(timing: &Timing) -> Self {
        Self {
            first: timing.retransmit_first,
            factor_percent: timing.retransmit_factor_percent,
            tries: timing.retransmit_tries,
        }
    }
}

impl Window {
    /// Makes the window of an IKE SA whose IKE_SA_INIT was answered: its own next request and the
    /// peer's next one have these IDs.
    pub(crate) fn new(next_request: u32, expected: u32) -> Self {
        Self { next_request, expected, ..Self::default() }
    }

    /// Returns the Message ID of the next request.
    pub(crate) fn next_request(&self) -> u32 {
        self.next_request
    }

    /// Tells whether the Message IDs of either side come to an end.
    pub(crate) fn is_worn_out(&self) -> bool {
        self.next_request.max(self.expected) >= limits::MESSAGE_IDS
    }

    /// Tells whether a request waits for its response.
    pub(crate) fn is_busy(&self) -> bool {
        self.outstanding.is_some()
    }

    /// Keeps a request that goes out now; returns when it has to be repeated.
    pub(crate) fn send(&mut self, now: Instant, datagrams: Vec<Vec<u8>>, backoff: Backoff) -> Instant {
        self.outstanding = Some(Outstanding {
            message_id: self.next_request,
            datagrams,
            first_sent: now,
            retransmissions: 0,
            wait: backoff.first,
        });
        now + backoff.first
    }

    /// Replaces an unanswered request by another with the same Message ID: COOKIE and
    /// INVALID_KE_PAYLOAD have IKE_SA_INIT sent anew with Message ID zero (RFC 7296 §2.6).
    pub(crate) fn withdraw(&mut self) {
        self.outstanding = None;
    }

    /// Tells whether a response with this Message ID answers the outstanding request.
    pub(crate) fn awaits(&self, message_id: u32) -> bool {
        self.outstanding.as_ref().is_some_and(|request| request.message_id == message_id)
    }

    /// Takes the response to the outstanding request; returns the round-trip time if the request
    /// was sent once (Karn's rule).
    pub(crate) fn accept_response(&mut self, now: Instant, message_id: u32) -> Option<Duration> {
        let request = self.outstanding.take_if(|request| request.message_id == message_id)?;
        self.next_request = message_id.saturating_add(1);
        (request.retransmissions == 0).then(|| now - request.first_sent)
    }

    /// Begins the repetitions of the outstanding request anew; returns it, and when it has to be repeated.
    pub(crate) fn restart(&mut self, now: Instant, backoff: Backoff) -> Option<(Vec<Vec<u8>>, Instant)> {
        let request = self.outstanding.as_mut()?;
        request.retransmissions = 1;
        request.wait = backoff.first;
        Some((request.datagrams.clone(), now + backoff.first))
    }

    /// Has the outstanding request repeated by other datagrams of the same content, the first time after `wait`; returns
    /// when.
    pub(crate) fn repeat_as(&mut self, now: Instant, datagrams: Vec<Vec<u8>>, wait: Duration) -> Instant {
        if let Some(request) = &mut self.outstanding {
            request.datagrams = datagrams;
        }
        now + wait
    }

    /// Repeats the outstanding request once more than planned; returns it.
    pub(crate) fn once_more(&mut self) -> Option<Vec<Vec<u8>>> {
        let request = self.outstanding.as_mut()?;
        request.retransmissions = request.retransmissions.saturating_add(1);
        Some(request.datagrams.clone())
    }

    /// Takes the outstanding request for one that goes out now: nobody could have heard an answer before.
    pub(crate) fn rejuvenate(&mut self, now: Instant) {
        if let Some(request) = &mut self.outstanding {
            request.first_sent = now;
        }
    }

    /// Returns when the outstanding request went out first.
    pub(crate) fn first_sent(&self) -> Option<Instant> {
        self.outstanding.as_ref().map(|request| request.first_sent)
    }

    /// Returns how often the outstanding request was repeated.
    pub(crate) fn repetitions(&self) -> u16 {
        self.outstanding.as_ref().map_or(0, |request| request.retransmissions)
    }

    /// Decides what a due timer does.
    pub(crate) fn retransmit(&mut self, now: Instant, backoff: Backoff) -> Retransmission {
        let Some(request) = &mut self.outstanding else { return Retransmission::Nothing };
        if request.retransmissions >= backoff.tries {
            return Retransmission::GiveUp { tries: request.retransmissions };
        }
        request.retransmissions += 1;
        request.wait =
            (request.wait * u32::from(backoff.factor_percent.max(100)) / 100).min(limits::RETRANSMIT_CAP);
        Retransmission::Again(request.datagrams.clone(), now + request.wait)
    }

    /// Places a request by its Message ID.
    pub(crate) fn place(&self, message_id: u32) -> Incoming {
        if message_id == self.expected {
            return if self.deciding { Incoming::BeingDecided } else { Incoming::New };
        }
        let last = self.expected.checked_sub(1);
        if last == Some(message_id) && !self.reply.is_empty() {
            Incoming::Repeated
        } else {
            Incoming::Outside
        }
    }

    /// Notes that the expected request is being decided.
    pub(crate) fn decide(&mut self) {
        self.deciding = true;
    }

    /// Returns the Message ID of the request that is being decided or expected.
    pub(crate) fn expected(&self) -> u32 {
        self.expected
    }

    /// Keeps the answer to the expected request, which is now the last one.
    pub(crate) fn answer(&mut self, datagrams: Vec<Vec<u8>>) {
        self.deciding = false;
        self.expected = self.expected.saturating_add(1);
        self.reply = datagrams;
        self.elsewhere.clear();
    }

    /// Returns the answer to the last request.
    pub(crate) fn reply(&self) -> &[Vec<u8>] {
        &self.reply
    }

    /// Tells whether the answer to the last request may go where the peer is not known to be: once to an address, then ever
    /// more seldom, and not to many. Whoever copies a genuine request can have somebody get no more.
    pub(crate) fn may_reply_elsewhere(&mut self, now: Instant, address: IpAddr) -> bool {
        if let Some(known) = self.elsewhere.iter_mut().find(|it| it.address == address) {
            let is_due = now.saturating_since(known.last) >= known.pause;
            if is_due {
                (known.last, known.pause) = (now, known.pause.saturating_mul(2));
            }
            return is_due;
        }
        let has_room = self.elsewhere.len() < limits::REPLIES_ELSEWHERE;
        if has_room {
            self.elsewhere.push(Elsewhere { address, last: now, pause: limits::REPLY_ELSEWHERE_PAUSE });
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::from(&Timing::default())
    }

    #[test]
    fn a_request_is_repeated_with_growing_gaps_until_it_is_given_up() {
        let mut window = Window::default();
        let mut due = window.send(Instant(0), vec![vec![1]], backoff());
        let mut gaps = vec![due.0];
        loop {
            match window.retransmit(due, backoff()) {
                Retransmission::Again(datagrams, next) => {
                    assert_eq!(datagrams, [vec![1]]);
                    gaps.push(next.0 - due.0);
                    due = next;
                }
                Retransmission::GiveUp { tries } => {
                    assert_eq!(tries, 6);
                    break;
                }
                Retransmission::Nothing => unreachable!("a request is outstanding"),
            }
        }
        assert!(gaps.is_sorted() && gaps.len() == 7);
    }

    #[test]
    fn only_the_outstanding_message_id_is_a_response() {
        let mut window = Window::new(1, 0);
        window.send(Instant(0), vec![vec![1]], backoff());
        assert!(window.awaits(1) && !window.awaits(0) && !window.awaits(2));
        assert_eq!(window.accept_response(Instant(5), 1), Some(Duration::from_nanos(5)));
        assert_eq!(window.next_request(), 2);
        assert!(!window.is_busy());
    }

    #[test]
    fn a_repeated_request_finds_its_answer_and_one_being_decided_does_not() {
        let mut window = Window::default();
        assert_eq!(window.place(0), Incoming::New);
        assert_eq!(window.place(1), Incoming::Outside);
        window.decide();
        assert_eq!(window.place(0), Incoming::BeingDecided);
        window.answer(vec![vec![9]]);
        assert_eq!(window.place(0), Incoming::Repeated);
        assert_eq!(window.reply(), [vec![9]]);
        assert_eq!(window.place(1), Incoming::New);
        window.answer(vec![vec![8]]);
        assert_eq!(window.place(0), Incoming::Outside);
    }

    #[test]
    fn where_the_peer_is_not_known_to_be_an_answer_goes_once_and_then_seldom() {
        let mut window = Window::default();
        window.answer(vec![vec![9]]);
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let at = |millis: u64| Instant(0) + Duration::from_millis(millis);
        let mut went = |address, span: u64| {
            (0..span).step_by(100).filter(|&ms| window.may_reply_elsewhere(at(ms), address)).count()
        };
        assert_eq!(went(address(1), 7_900), 1);
        assert_eq!(went(address(2), 3_600_000), 9, "each pause is twice the last");
        let others = (3..=255).filter(|&last| window.may_reply_elsewhere(at(0), address(last))).count();
        assert_eq!(others, limits::REPLIES_ELSEWHERE - 2);
    }
}
