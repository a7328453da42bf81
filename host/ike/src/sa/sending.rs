//! What an IKE SA sends: sealed, in fragments where the peer takes them, and repeated until it is answered.

use vpnhost_model::Now;

use crate::config::Timing;
use crate::error::IkeError;
use crate::exchange::LocalExchange;
use crate::host::Host;
use crate::limits;
use crate::output::CloseReason;
use crate::reason::Silence;
use crate::sa::IkeSa;
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
        for datagram in &datagrams {
            host.transmit(self.id, self.path, datagram.clone());
        }
        self.last_sent = now.instant;
        let deadline = self.window.send(now.instant, datagrams, self.backoff());
        self.timers.set(Timer::Retransmit, deadline);
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
                for datagram in &datagrams {
                    host.transmit(self.id, self.reply_path, datagram.clone());
                }
                self.last_sent = now.instant;
                self.window.answer(datagrams);
                if exchange == ExchangeType::CREATE_CHILD_SA {
                    self.unconfirmed_until = Some(now.instant + limits::ANSWER_ARRIVES);
                }
            }
            Err(error) => self.end(host, now, error.close_reason()),
        }
    }

    fn seal(
        &mut self,
        host: &mut Host,
        exchange: ExchangeType,
        (response, message_id): (bool, u32),
        payloads: &[Payload],
    ) -> Result<Vec<Vec<u8>>, IkeError> {
        let flags = Flags { initiator: self.role.is_initiator(), version: false, response };
        let header = Header::new((self.spi_i, self.spi_r), exchange, flags, message_id);
        let ip_header = if self.path.remote.is_ipv4() { 20 } else { 40 };
        // UDP's header and the non-ESP marker.
        let datagram = usize::from(host.config.fragment_size.max(limits::DATAGRAM_LEAST));
        let most = if self.fragmentation { datagram - ip_header - 8 - 4 } else { usize::MAX };
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
                Some(LocalExchange::Liveness | LocalExchange::DeleteChild(..)) | None => {
                    ExchangeType::INFORMATIONAL
                }
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

    fn backoff(&self) -> Backoff {
        let planned = self.established().map(|established| established.plan.backoff);
        let configured = || self.connection.as_ref().map(|connection| Backoff::from(&connection.timing));
        let backoff = planned.or_else(configured).unwrap_or_else(|| Backoff::from(&Timing::default()));
        match &self.state {
            // Who says goodbye does not wait long for the answer.
            State::Closing(_) => Backoff { tries: backoff.tries.min(limits::FAREWELL_TRIES), ..backoff },
            State::Established(established) if established.queue.ends_ike_sa() => {
                Backoff { tries: backoff.tries.min(limits::FAREWELL_TRIES), ..backoff }
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

    /// Repeats the outstanding request, or gives the peer up.
    pub(crate) fn retransmit(&mut self, host: &mut Host, now: Now) {
        let backoff = self.backoff();
        match self.window.retransmit(now.instant, backoff) {
            Retransmission::Again(datagrams, deadline) => {
                tracing::debug!(ike_sa = %self.id, "request repeated");
                datagrams.into_iter().for_each(|datagram| host.transmit(self.id, self.path, datagram));
                self.last_sent = now.instant;
                self.timers.set(Timer::Retransmit, deadline);
            }
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
