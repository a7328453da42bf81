//! What an IKE SA sends: sealed, in fragments where the peer takes them, and repeated until it is answered.

use vpnhost_model::{Instant, Now, Path};

use crate::config::Timing;
use crate::error::IkeError;
use crate::exchange::LocalExchange;
use crate::host::Host;
use crate::limits;
use crate::output::CloseReason;
use crate::reason::Silence;
use crate::sa::IkeSa;
use crate::sa::path_test::{Aim, is_same};
use crate::sa::state::State;
use crate::sa::window::{Backoff, Retransmission};
use crate::timer::Timer;
use crate::wire::{ExchangeType, Flags, Header, Payload};

impl IkeSa {
    /// Sends a request that both sides' keys protect.
    pub(crate) fn request(
        &mut self,
        host: &mut Host,
        now: Now,
        exchange: ExchangeType,
        payloads: &[Payload],
    ) -> Result<(), IkeError> {
        let datagrams = self.seal(host, exchange, (false, self.window.next_request()), payloads)?;
        self.launch(host, now, datagrams);
        Ok(())
    }

    /// Sends a request's datagrams and sets the timer of their repetition.
    pub(crate) fn launch(&mut self, host: &mut Host, now: Now, datagrams: Vec<Vec<u8>>) {
        let aim = std::mem::take(&mut self.next_aim);
        self.test.begin(self.window.next_request(), aim);
        self.send_out(host, now, &datagrams);
        let deadline = self.window.send(now.instant, datagrams, self.backoff());
        self.timers.set(Timer::Retransmit, deadline);
    }

    /// Sends the outstanding request's datagrams where they are to go now.
    fn send_out(&mut self, host: &mut Host, now: Now, datagrams: &[Vec<u8>]) {
        for path in self.aimed_at(host) {
            self.test.note_asked(now.instant, path);
            for datagram in datagrams {
                self.count_octets(&path, datagram.len());
                host.transmit(self.id, path, datagram.clone());
            }
            // What goes elsewhere keeps no NAT's mapping of the IKE SA's own path.
            if is_same(&path, &self.path) {
                self.last_sent = now.instant;
            }
        }
    }

    /// Returns where the outstanding request goes this time.
    fn aimed_at(&mut self, host: &Host) -> Vec<Path> {
        match &mut self.test.aim {
            Aim::Current => vec![self.path_in_turn(host).unwrap_or(self.path)],
            Aim::Other(path, left) => match left.checked_sub(1) {
                Some(less) => {
                    *left = less;
                    vec![*path]
                }
                None => {
                    self.test.aim = Aim::Current;
                    vec![self.path]
                }
            },
            Aim::Beside => self.paths_beside(),
            Aim::Everywhere => self.every_path(host),
        }
    }

    /// Repeats the outstanding request now, as if it went out only now: the path is another.
    pub(crate) fn repeat_now(&mut self, host: &mut Host, now: Now) {
        let backoff = self.backoff();
        if let Some((datagrams, deadline)) = self.window.restart(now.instant, backoff) {
            self.send_out(host, now, &datagrams);
            self.timers.set(Timer::Retransmit, deadline);
        }
    }

    /// Sends the outstanding request once more beside its own repetitions: it is given up no later for that.
    pub(crate) fn repeat_besides(&mut self, host: &mut Host, now: Now) {
        if let Some(datagrams) = self.window.once_more() {
            self.send_out(host, now, &datagrams);
        }
    }

    /// Sends the outstanding request once more; whoever asks for it does so again.
    pub(crate) fn repeat_once(&mut self, host: &mut Host, now: Now) {
        if let Some(datagrams) = self.window.once_more() {
            self.send_out(host, now, &datagrams);
            self.timers.stop(Timer::Retransmit);
        }
    }

    /// Answers the request that is being decided, and keeps the answer for its repetitions.
    pub(crate) fn respond(
        &mut self,
        host: &mut Host,
        now: Now,
        exchange: ExchangeType,
        payloads: &[Payload],
    ) {
        match self.seal(host, exchange, (true, self.window.expected()), payloads) {
            Ok(datagrams) => {
                let path = self.reply_path;
                for datagram in &datagrams {
                    self.count_octets(&path, datagram.len());
                    host.transmit(self.id, path, datagram.clone());
                }
                // What goes elsewhere keeps no NAT's mapping of the IKE SA's own path.
                if is_same(&path, &self.path) {
                    self.last_sent = now.instant;
                }
                self.window.answer(datagrams);
                if !self.is_known_at(&path) {
                    self.window.may_reply_elsewhere(now.instant, path.remote.ip());
                }
                if exchange == ExchangeType::CREATE_CHILD_SA {
                    self.unconfirmed_until = Some(now.instant + limits::ANSWER_ARRIVES);
                }
            }
            Err(error) => self.end(host, now, error.close_reason()),
        }
    }

    /// Seals a message into datagrams that fit every path, where the peer takes fragments.
    pub(crate) fn seal(
        &mut self,
        host: &mut Host,
        exchange: ExchangeType,
        id: (bool, u32),
        payloads: &[Payload],
    ) -> Result<Vec<Vec<u8>>, IkeError> {
        let ip_header = if self.path.remote.is_ipv4() { 20 } else { 40 };
        // RFC 7383, 2.5: what the path is known not to carry is not sent there.
        let found = self.mobility().and_then(|mobility| mobility.found_mtu);
        let found = found.filter(|found| is_same(&found.path, &self.path)).map_or(u16::MAX, |it| it.octets);
        let datagram = usize::from(host.config.fragment_size.min(found).max(limits::DATAGRAM_LEAST));
        // UDP's header and the non-ESP marker.
        let most = if self.fragmentation { datagram - ip_header - 8 - 4 } else { usize::MAX };
        self.seal_within(host, exchange, id, (payloads, most))
    }

    /// Seals a message into datagrams of at most so many octets.
    pub(crate) fn seal_within(
        &mut self,
        host: &mut Host,
        exchange: ExchangeType,
        (response, message_id): (bool, u32),
        (payloads, most): (&[Payload], usize),
    ) -> Result<Vec<Vec<u8>>, IkeError> {
        let flags = Flags { initiator: self.role.is_initiator(), version: false, response };
        let header = Header::new((self.spi_i, self.spi_r), exchange, flags, message_id);
        let secured = self.secured.as_mut().ok_or(IkeError::Local("the protection of the IKE SA"))?;
        secured.seal(&mut *host.random, &header, payloads, most)
    }

    /// Tells of a request that was not answered.
    fn silence(&self, now: Now, tries: u16) -> CloseReason {
        let request = match &self.state {
            State::SaInitSent(_) | State::SaInitAnswered(_) => ExchangeType::IKE_SA_INIT,
            State::AuthSent(_) | State::Authorizing(_) => ExchangeType::IKE_AUTH,
            State::Established(established) => match &established.local {
                Some(LocalExchange::CreateChild(_) | LocalExchange::RekeyIkeSa(_)) => {
                    ExchangeType::CREATE_CHILD_SA
                }
                Some(LocalExchange::Liveness | LocalExchange::Path(_) | LocalExchange::DeleteChild(..))
                | None => ExchangeType::INFORMATIONAL,
            },
            State::Rekeyed | State::Closing(_) | State::Gone | State::Closed => ExchangeType::INFORMATIONAL,
        };
        let heard = match request {
            ExchangeType::IKE_SA_INIT => None,
            _ => Some(now.instant.saturating_since(self.last_heard)),
        };
        let answered = self.floated_from;
        CloseReason::PeerDead(Box::new(Silence { tries, request, path: self.path, answered, heard }))
    }

    pub(crate) fn backoff(&self) -> Backoff {
        let planned = self.established().map(|established| established.plan.backoff);
        let configured = || self.connection.as_ref().map(|connection| Backoff::from(&connection.timing));
        let mut backoff = planned.or_else(configured).unwrap_or_else(|| Backoff::from(&Timing::default()));
        let slow = self.mobility().and_then(|mobility| mobility.repeated_for).unwrap_or_default();
        backoff.first = backoff.first.max(slow + slow / 2);
        match &self.state {
            // Who says goodbye does not wait long for the answer.
            State::Closing(_) => Backoff { tries: backoff.tries.min(limits::FAREWELL_TRIES), ..backoff },
            State::Established(established) if established.queue.ends_ike_sa() => {
                Backoff { tries: backoff.tries.min(limits::FAREWELL_TRIES), ..backoff }
            }
            // Traffic waits for it.
            State::SaInitSent(_) if self.beside.is_some_and(|it| it.in_haste) => {
                Backoff { factor_percent: 100, ..backoff }
            }
            // The next attempt is its repetition.
            State::SaInitSent(_) if self.beside.is_some() => {
                Backoff { first: backoff.first.max(limits::UNHURRIED_ANSWER), tries: 0, ..backoff }
            }
            State::Established(_)
            | State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::AuthSent(_)
            | State::Authorizing(_)
            | State::Rekeyed
            | State::Gone
            | State::Closed => backoff,
        }
    }

    /// The peer did not answer for as long as it may: the IKE SA ends.
    pub(crate) fn end_silent(&mut self, host: &mut Host, now: Now) {
        let reason = self.silence(now, self.window.repetitions());
        self.end(host, now, reason);
    }

    /// Tells whether a peer that does not answer is waited for: then it is asked again when doubt does so.
    fn may_wait(&self, now: Now) -> bool {
        let ends = self.established().is_none_or(|established| established.queue.ends_ike_sa());
        let is_over =
            if self.looks_after_path() { self.is_outage_over(now) } else { self.is_away_for_good(now) };
        !ends && self.redundant_since.is_none() && !is_over
    }

    /// Tells whether an initiator was away for as long as a responder waits for it.
    ///
    /// RFC 4555, 3.11: it has to find out that its path is gone, and another: at least five minutes.
    fn is_away_for_good(&self, now: Now) -> bool {
        let is_mobile = self.mobility().is_some_and(|mobility| mobility.enabled);
        !is_mobile || self.away_until() <= now.instant
    }

    fn away_until(&self) -> Instant {
        let since = self.window.first_sent().map_or(self.last_heard, |sent| sent.max(self.last_heard));
        since + limits::INITIATOR_AWAY
    }

    /// The peer was asked as often as planned, and is waited for all the same.
    fn wait_for_peer(&mut self, host: &mut Host, now: Now) {
        if self.looks_after_path() {
            self.doubt(host, now);
        } else if let Some(datagrams) = self.window.once_more() {
            self.widen_aim(host, now);
            self.send_out(host, now, &datagrams);
            self.timers.set(Timer::Retransmit, self.away_until().min(now.instant + limits::INITIATOR_ASKED));
        }
    }

    /// Repeats the outstanding request, or gives the peer up.
    pub(crate) fn retransmit(&mut self, host: &mut Host, now: Now) {
        let backoff = self.backoff();
        match self.window.retransmit(now.instant, backoff) {
            Retransmission::Again(datagrams, deadline) => {
                tracing::debug!(ike_sa = %self.id, "request repeated");
                self.widen_aim(host, now);
                // That a path which is not in use is silent says nothing of the peer.
                let is_elsewhere = matches!(self.test.aim, Aim::Other(..));
                let is_long = self.window.repetitions() >= limits::REPETITIONS_BEFORE_DOUBT;
                if is_long && !is_elsewhere && self.doubt(host, now) {
                    return;
                }
                self.send_out(host, now, &datagrams);
                self.timers.set(Timer::Retransmit, deadline);
            }
            // Whoever is away may come back, with all that it knows (RFC 4555 §3.11).
            Retransmission::GiveUp { .. } if self.may_wait(now) => self.wait_for_peer(host, now),
            Retransmission::GiveUp { tries } => {
                let reason = match &self.state {
                    State::Closing(reason) => reason.clone(),
                    State::SaInitSent(init) => init.refusal().unwrap_or_else(|| self.silence(now, tries)),
                    State::SaInitAnswered(_)
                    | State::AuthSent(_)
                    | State::Authorizing(_)
                    | State::Established(_)
                    | State::Rekeyed
                    | State::Gone
                    | State::Closed => self.silence(now, tries),
                };
                self.end(host, now, reason);
            }
            Retransmission::Nothing => {}
        }
    }
}
