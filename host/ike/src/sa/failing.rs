//! A Child SA, or the address for it, that could not be had: the IKE SA is authenticated all the same, and stands
//! (RFC 7296 §1.2, §2.21.2). What becomes of both is the operator's policy.

use std::time::Duration;

use vpnhost_model::{Instant, Now};

use crate::config::ChildFailure;
use crate::host::Host;
use crate::output::{CloseReason, Event, Outlook};
use crate::sa::IkeSa;
use crate::sa::queue::Task;
use crate::wire::payload::NotifyType;

/// How a child of the connection failed lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    /// How often in a row.
    count: u32,
    /// Not before this is it tried again for traffic's sake.
    not_before: Instant,
}

impl IkeSa {
    /// Tells that a Child SA of the connection could not be made, or not renewed, and what comes next.
    pub(crate) fn tell_child_failed(
        &self,
        host: &mut Host,
        index: usize,
        (reason, outlook): (CloseReason, Outlook),
    ) {
        let Some(established) = self.established() else { return };
        tracing::debug!(ike_sa = %self.id, index, %reason, ?outlook, "no Child SA");
        let connection = &established.connection;
        let child = connection.children.get(index).map_or_else(String::new, |child| child.name.clone());
        host.event(Event::ChildSaFailed {
            ike_sa: self.id,
            connection: connection.name.clone(),
            child,
            reason,
            outlook,
        });
    }

    /// A Child SA that this host wanted could not be made.
    pub(crate) fn on_child_failed(&mut self, host: &mut Host, now: Now, index: usize, reason: CloseReason) {
        let outlook = self.after_failure(host, now, index, &reason);
        self.tell_child_failed(host, index, (reason, outlook));
    }

    /// The peer did not get the Child SA that it asked for.
    pub(crate) fn on_peer_child_failed(&mut self, host: &mut Host, index: usize, reason: CloseReason) {
        let outlook = if self.closes_without_child() { self.close_for(&reason) } else { Outlook::LeftToPeer };
        self.tell_child_failed(host, index, (reason, outlook));
    }

    /// Tells whether a child that failed for traffic's sake, or for whatever, may be asked for again by traffic.
    pub(crate) fn may_begin_for_traffic(&self, now: Now, index: usize) -> bool {
        let Some(established) = self.established() else { return false };
        let failures = established.estate.failures.get(&index);
        failures.is_none_or(|failures| failures.not_before <= now.instant)
    }

    fn after_failure(&mut self, host: &mut Host, now: Now, index: usize, reason: &CloseReason) -> Outlook {
        if self.closes_without_child() {
            return self.close_for(reason);
        }
        let is_initiator = self.role.is_initiator();
        let Some(established) = self.established_mut() else { return Outlook::Kept };
        let timing = established.connection.timing;
        let policy = established.connection.on_child_failed;
        let failures = established.estate.failures.entry(index).or_default();
        let pause = timing.retry_first.saturating_mul(2u32.saturating_pow(failures.count.min(16)));
        let pause = pause.min(timing.retry_cap.max(timing.retry_first));
        failures.count = failures.count.saturating_add(1);
        failures.not_before = now.instant + pause;
        if policy == ChildFailure::Keep || !is_initiator {
            return Outlook::Kept;
        }
        if is_about_address(reason) {
            // An address is asked for in IKE_AUTH, which takes a further IKE SA; and pools do not fill up again soon.
            let pause = Self::jittered(host, timing.retry_cap.max(timing.retry_first), 20);
            self.put_off_for(now, pause, Task::Reauthenticate);
            return Outlook::Retried(pause);
        }
        // Many hosts that one gateway refuses must not come back all at once.
        let pause = Self::jittered(host, pause, 20);
        self.put_off_for(now, pause, Task::CreateChild(index));
        Outlook::Retried(pause)
    }

    /// Has the peers authenticated anew, so that an address is asked for again; and again, if that fails.
    pub(crate) fn begin_reauthenticate(&mut self, host: &mut Host, now: Now) {
        let Some(established) = self.established() else { return };
        if !established.estate.children.is_empty() {
            return;
        }
        let pause: Duration = established.connection.timing.retry_cap;
        host.reauthentications.push(self.id);
        self.put_off_for(now, pause, Task::Reauthenticate);
    }

    /// Tells whether the connection's policy ends an IKE SA that has no Child SA, and this one has none.
    fn closes_without_child(&self) -> bool {
        self.established().is_some_and(|established| {
            let closes = established.connection.on_child_failed == ChildFailure::Close;
            closes && established.estate.children.is_empty() && !established.queue.makes_child()
        })
    }

    fn close_for(&mut self, reason: &CloseReason) -> Outlook {
        self.want(Task::DeleteIkeSa(reason.clone()));
        Outlook::Closes
    }
}

/// Tells whether what the peer refused was an address: without one no Child SA would be of use.
pub(crate) fn is_about_address(reason: &CloseReason) -> bool {
    let of = [NotifyType::INTERNAL_ADDRESS_FAILURE, NotifyType::FAILED_CP_REQUIRED];
    matches!(reason, CloseReason::RefusedByPeer { notify, .. } if of.iter().any(|it| it.to_string() == *notify))
}
