//! What is particular to a CREATE_CHILD_SA that replaces a Child SA: who may, who wins when both do, and when
//! the old one goes (RFC 7296 §1.3.3, §2.8, §2.25.1).

use vpnhost_model::{ChildSaId, Now};

use crate::exchange::LocalExchange;
use crate::exchange::create_child_sa::Refusal;
use crate::host::Host;
use crate::limits;
use crate::output::{CloseReason, Outlook};
use crate::sa::IkeSa;
use crate::sa::estate::{ChildPhase, ours_is_redundant};
use crate::sa::queue::Task;
use crate::timer::Timer;
use crate::wire::payload::{Notify, NotifyType};

impl IkeSa {
    /// Begins to replace a Child SA, unless it is on its way out.
    pub(crate) fn begin_rekey_child(&mut self, host: &mut Host, now: Now, id: ChildSaId) {
        let Some(established) = self.established() else { return };
        let Some(child) = established.estate.children.get(&id) else { return };
        if child.phase == ChildPhase::Active {
            self.begin_create_child(host, now, child.index, Some(id));
        }
    }

    /// Finds the Child SA that the peer's REKEY_SA names.
    ///
    /// RFC 7296, 2.25.1: one that this host is closing is refused with TEMPORARY_FAILURE, one that
    /// does not exist with CHILD_SA_NOT_FOUND.
    pub(crate) fn find_rekeyed(&self, notify: &Notify) -> Result<ChildSaId, Refusal> {
        let Some(established) = self.established() else {
            return Err(Refusal::of(NotifyType::TEMPORARY_FAILURE));
        };
        let child = notify.child_spi().and_then(|spi| established.estate.by_peer_spi(spi));
        let Some(child) = child else {
            // It may be what the answer makes that is still on its way to us.
            let making = matches!(established.local, Some(LocalExchange::CreateChild(_)));
            return Err(match making {
                true => Refusal::of(NotifyType::TEMPORARY_FAILURE),
                false => Refusal::child_not_found(notify.child_spi()),
            });
        };
        let closes = Task::DeleteChild(child.id, CloseReason::Local);
        match child.phase {
            ChildPhase::Active if !established.queue.holds(&closes) => Ok(child.id),
            ChildPhase::Active
            | ChildPhase::ReplacedByPeer { .. }
            | ChildPhase::ReplacedByUs { .. }
            | ChildPhase::Closing => Err(Refusal::of(NotifyType::TEMPORARY_FAILURE)),
        }
    }

    /// The peer refused to replace a Child SA.
    pub(crate) fn on_rekey_child_refused(
        &mut self,
        host: &mut Host,
        now: Now,
        old: ChildSaId,
        (kind, reason): (NotifyType, CloseReason),
    ) {
        let Some(established) = self.established() else { return };
        let Some(child) = established.estate.children.get(&old) else { return };
        if child.phase != ChildPhase::Active {
            // RFC 7296, 2.8.1: the peer has replaced it already.
            return;
        }
        let index = child.index;
        match kind {
            NotifyType::CHILD_SA_NOT_FOUND => {
                // RFC 7296, 2.25: it is gone there; it goes here without a word, and is made anew.
                self.remove_child(host, now, old, CloseReason::DeletedByPeer);
                self.want(Task::CreateChild(index));
            }
            _ => {
                tracing::debug!(ike_sa = %self.id, child_sa = %old, notify = %kind, "rekey put off");
                let pause = self.put_off(host, now, Task::RekeyChild(old));
                if kind != NotifyType::TEMPORARY_FAILURE {
                    self.tell_child_failed(host, index, (reason, Outlook::Retried(pause)));
                }
            }
        }
    }

    /// Our exchange made a Child SA in the place of `old`: decides which of two stands if the peer
    /// did so too, and lets the old one go.
    pub(crate) fn finish_local_rekey(
        &mut self,
        host: &mut Host,
        (old, new): (ChildSaId, ChildSaId),
        lowest: &[u8],
        remembered: Option<(ChildSaId, Vec<u8>)>,
    ) {
        let Some(established) = self.established() else { return };
        let estate = &established.estate;
        let rival = match estate.children.get(&old).map(|child| &child.phase) {
            Some(ChildPhase::ReplacedByPeer { by, lowest_nonce }) if estate.children.contains_key(by) => {
                Some((*by, lowest_nonce.clone()))
            }
            Some(
                ChildPhase::ReplacedByPeer { .. }
                | ChildPhase::ReplacedByUs { .. }
                | ChildPhase::Active
                | ChildPhase::Closing,
            ) => None,
            None => remembered,
        };
        if let Some((by, theirs)) = &rival
            && ours_is_redundant(lowest, theirs)
        {
            tracing::debug!(ike_sa = %self.id, redundant = %new, stays = %by, "simultaneous rekey: the peer's stands");
            self.mark(new, ChildPhase::ReplacedByUs { by: *by });
            return self.want(Task::DeleteChild(new, CloseReason::Replaced));
        }
        if let Some((by, _)) = rival {
            tracing::debug!(ike_sa = %self.id, redundant = %by, stays = %new, "simultaneous rekey: ours stands");
        }
        self.activate_child(host, new);
        if self.mark(old, ChildPhase::ReplacedByUs { by: new }) {
            self.timers.stop(Timer::RekeyChildSa(old));
            self.want(Task::DeleteChild(old, CloseReason::Replaced));
        }
    }

    fn mark(&mut self, id: ChildSaId, phase: ChildPhase) -> bool {
        let child = self.established_mut().and_then(|established| established.estate.children.get_mut(&id));
        child.map(|child| child.phase = phase).is_some()
    }

    /// A Child SA's sequence numbers are used up: it ends, and is made anew if no rekey did so.
    pub(crate) fn on_exhausted(&mut self, host: &mut Host, now: Now, id: ChildSaId) {
        let Some(established) = self.established() else { return };
        let Some(child) = established.estate.children.get(&id) else { return };
        let (index, phase) = (child.index, child.phase.clone());
        let rekeying = match &established.local {
            Some(LocalExchange::CreateChild(child)) => child.rekeys == Some(id),
            Some(
                LocalExchange::Liveness
                | LocalExchange::Path(_)
                | LocalExchange::RekeyIkeSa(_)
                | LocalExchange::DeleteChild(..),
            )
            | None => false,
        };
        if phase == ChildPhase::Active && !rekeying {
            self.want(Task::DeleteChild(
                id,
                CloseReason::Internal("its sequence numbers are used up".into()),
            ));
            self.put_off_for(now, limits::TEMPORARY_FAILURE_PAUSE, Task::CreateChild(index));
            self.start_next(host, now);
        }
    }
}
