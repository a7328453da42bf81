//! INFORMATIONAL: Delete of Child SAs and of the IKE SA, in any combination with anything (RFC 7296 §1.4).

use vpnhost_model::{ChildSaId, ChildSpi, Now, Protocol};

use crate::auth::certificates;
use crate::exchange::LocalExchange;
use crate::exchange::shape::{ExchangeShapes, Shape};
use crate::extension::idle_probe;
use crate::host::Host;
use crate::limits;
use crate::output::CloseReason;
use crate::reason::{Asked, Proof};
use crate::sa::IkeSa;
use crate::sa::estate::ChildPhase;
use crate::sa::queue::Task;
use crate::sa::state::State;
use crate::wire::payload::{Delete, NotifyType};
use crate::wire::{ExchangeType, Message, Payload};

impl IkeSa {
    /// Tells the peer that a Child SA ends.
    pub(crate) fn begin_delete_child(
        &mut self,
        host: &mut Host,
        now: Now,
        id: ChildSaId,
        reason: CloseReason,
    ) {
        let Some(established) = self.established_mut() else { return };
        let Some(child) = established.estate.children.get_mut(&id) else { return };
        if matches!(child.phase, ChildPhase::Active) {
            child.phase = ChildPhase::Closing;
        }
        let spi = child.spi_in;
        established.local = Some(LocalExchange::DeleteChild(id, reason));
        let delete = Payload::Delete(Delete::esp(vec![spi]));
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &[delete]);
        self.settle(host, now, sent);
    }

    /// Tells the peer that the IKE SA ends, and with it its Child SAs.
    pub(crate) fn begin_delete_ike_sa(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        self.say_goodbye(host, now, reason, Payload::Delete(Delete::ike()));
    }

    /// Ends this IKE SA in an orderly way, as far as its state has one.
    pub(crate) fn order_end(&mut self, host: &mut Host, now: Now, reason: CloseReason) {
        match &mut self.state {
            // Whoever started anew will not answer what is on its way to it.
            State::Established(_) if reason == CloseReason::InitialContact && self.window.is_busy() => {
                self.end(host, now, reason);
            }
            State::Established(established) => {
                established.queue.push(Task::DeleteIkeSa(reason));
                self.recall_unsent(host);
                // Nobody waits for the peer any longer than a farewell does.
                self.dismiss_doubt(host, now.instant);
                self.start_next(host, now);
            }
            State::SaInitSent(_) | State::SaInitAnswered(_) | State::AuthSent(_) | State::Authorizing(_) => {
                self.end(host, now, reason);
            }
            State::Rekeyed => {
                self.say_goodbye(host, now, CloseReason::Replaced, Payload::Delete(Delete::ike()));
            }
            State::Closing(_) | State::Gone | State::Closed => {}
        }
    }

    /// Answers an INFORMATIONAL request of whatever content.
    pub(crate) fn on_informational_request(&mut self, host: &mut Host, now: Now, message: &Message) {
        let deletes = || message.payloads.iter().filter_map(as_delete);
        if deletes().any(|delete| delete.protocol == Protocol::IKE) {
            // With the answer the peer receives on none of its Child SAs any more: what takes its place sends first.
            let unsent = host.withhold(|host| self.respond(host, now, ExchangeType::INFORMATIONAL, &[]));
            self.on_ike_deleted(host, now);
            return host.say_last(unsent);
        }
        self.note_auth_lifetime(host, now, message);
        let mut reply = self.on_address_notifies(host, now, message);
        // RFC 7296, 2.21.2: an initiator may report that our AUTH was wrong.
        if message.notify(NotifyType::AUTHENTICATION_FAILED).is_some() {
            self.respond(host, now, ExchangeType::INFORMATIONAL, &[]);
            let by = self.connection.as_ref().map_or(Proof::Secret, |it| Proof::of(&it.local_auth));
            let ids = self.established().map(|it| (it.local_id.clone(), it.peer_id.clone()));
            let asked =
                ids.map_or(Asked::Nothing, |(local, peer)| Asked::Login { local, remote: Some(peer), by });
            let own = self.connection.as_ref().map_or(Ok(()), |it| certificates::in_time(it, now));
            let reason = match own {
                Err(own) => CloseReason::AuthenticationFailed(own),
                Ok(()) => CloseReason::refused_by_peer(NotifyType::AUTHENTICATION_FAILED, asked),
            };
            return self.end(host, now, reason);
        }
        let spis: Vec<ChildSpi> = deletes()
            .filter(|delete| delete.protocol == Protocol::ESP)
            .flat_map(|delete| delete.spis.iter().copied())
            .collect();
        let answered: Vec<ChildSpi> =
            spis.into_iter().filter_map(|spi| self.on_child_deleted(host, now, spi)).collect();
        reply.extend((!answered.is_empty()).then(|| Payload::Delete(Delete::esp(answered))));
        reply.extend(self.promise_idle_answer(now, message).map(idle_probe::ask));
        self.respond(host, now, ExchangeType::INFORMATIONAL, &reply);
        self.start_next(host, now);
    }

    fn on_ike_deleted(&mut self, host: &mut Host, now: Now) {
        let reason = match &self.state {
            // RFC 7296, 2.25.2: who closes too answers as usual, and forgets its own close.
            State::Closing(reason) => reason.clone(),
            State::Rekeyed => CloseReason::Replaced,
            State::Established(established) => match &established.rival {
                // RFC 7296, 2.25.2: the peer's rekey was the only one it knows of; ours is forgotten.
                Some(rival) => {
                    let heir = rival.ike_sa;
                    self.forget_local_ike_rekey(host);
                    self.bequeath(host, now, heir);
                    CloseReason::Replaced
                }
                None if !self.announced || self.redundant_since.is_some() => CloseReason::Replaced,
                None => CloseReason::DeletedByPeer,
            },
            State::SaInitSent(_)
            | State::SaInitAnswered(_)
            | State::AuthSent(_)
            | State::Authorizing(_)
            | State::Gone
            | State::Closed => CloseReason::DeletedByPeer,
        };
        self.end(host, now, reason);
    }

    /// The peer deletes a Child SA by the SPI that it receives on; returns ours, for the answer.
    ///
    /// RFC 7296, 1.4.1: who deletes the same pair at the same time leaves it out of the answer.
    fn on_child_deleted(&mut self, host: &mut Host, now: Now, spi: ChildSpi) -> Option<ChildSpi> {
        if !self.announced && self.early_deletes.len() < limits::CHILDREN_PER_IKE_SA * 2 {
            self.early_deletes.push(spi);
        }
        let established = self.established_mut()?;
        if let (None, Some(LocalExchange::CreateChild(child))) =
            (established.estate.by_peer_spi(spi), &mut established.local)
            && child.early_deletes.len() < limits::EARLY_DELETES
        {
            child.early_deletes.push(spi);
        }
        let child = established.estate.by_peer_spi(spi)?;
        let (id, index, spi_in) = (child.id, child.index, child.spi_in);
        let both = match &established.local {
            Some(LocalExchange::DeleteChild(other, _)) => *other == id,
            Some(
                LocalExchange::Liveness
                | LocalExchange::Path(_)
                | LocalExchange::CreateChild(_)
                | LocalExchange::RekeyIkeSa(_),
            )
            | None => false,
        };
        let reason = match child.phase {
            ChildPhase::ReplacedByPeer { .. } | ChildPhase::ReplacedByUs { .. } => CloseReason::Replaced,
            ChildPhase::Closing => CloseReason::Local,
            // The peer made a redundant one, and nothing was ever sent on it.
            ChildPhase::Active if !child.sends => CloseReason::Replaced,
            ChildPhase::Active => CloseReason::DeletedByPeer,
        };
        let made_anew = reason == CloseReason::DeletedByPeer;
        self.remove_child(host, now, id, reason);
        if made_anew {
            self.make_child_anew(now, index);
        }
        (!both).then_some(spi_in)
    }

    /// A child of a connection that is kept up is made again after a pause, unless there is another.
    fn make_child_anew(&mut self, now: Now, index: usize) {
        let Some(established) = self.established() else { return };
        let connection = &established.connection;
        let kept_up = connection.start == crate::config::Start::Up && self.role.is_initiator();
        let (pause, there) = (connection.timing.retry_first, established.estate.has(index));
        if kept_up && !there {
            self.put_off_for(now, pause, Task::CreateChild(index));
        }
    }
}

fn as_delete(payload: &Payload) -> Option<&Delete> {
    if let Payload::Delete(delete) = payload { Some(delete) } else { None }
}

/// INFORMATIONAL may hold anything (RFC 7296 §1.4).
pub(crate) const SHAPES: ExchangeShapes = ExchangeShapes {
    exchange: ExchangeType::INFORMATIONAL,
    requests: &[Shape::of("anything", &[], &[])],
    responses: &[Shape::of("anything", &[], &[])],
};
