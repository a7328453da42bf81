//! Deadlines with their reasons: one table per IKE SA.

use std::collections::BTreeMap;

use vpnhost_model::{ChildSaId, Instant};

/// Why the endpoint wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A request was not answered.
    Retransmit,
    /// A delegated question was not answered.
    Answer,
    /// A half-open IKE SA is forgotten.
    HalfOpen,
    /// An initiator takes an unprotected error at its word.
    UnprotectedError,
    /// Silence of the peer.
    Liveness,
    /// Silence towards a NAT.
    Keepalive,
    /// A silence is to be tried, or nothing came through after one.
    IdleProbe,
    /// The peer is owed an answer once more.
    IdleAnswer,
    /// An IKE SA has reached its age.
    RekeyIkeSa,
    /// A Child SA has reached its age.
    RekeyChildSa(ChildSaId),
    /// The peers are to be authenticated anew.
    Reauthenticate,
    /// The peer was not authenticated anew in time.
    AuthenticationExpires,
    /// An IKE SA could not be rekeyed in time.
    IkeSaExpires,
    /// A Child SA could not be rekeyed in time.
    ChildSaExpires(ChildSaId),
    /// A further Child SA for the same traffic is taken for known to the peer.
    Activate(ChildSaId),
    /// An IKE SA has a twin.
    Twins,
    /// A rekeyed Child SA's old one was not deleted by the peer that replaced it.
    Handover(ChildSaId),
    /// A replaced IKE SA was not deleted by the peer that replaced it.
    ReplacedIkeSa,
    /// The peer's certificate ends, or is to be judged again.
    CertificateEnds,
    /// A set of fragments remained incomplete.
    Fragments,
    /// An exchange that was put off is tried again.
    Resume,
    /// A maintenance plan is made anew.
    Review,
    /// Other policies decide now: what they may decide otherwise is asked anew.
    Policies,
    /// Packets go out and none come in.
    Suspect,
    /// A peer that may be gone is begun with anew.
    Doubt,
    /// Answers on paths that were tested are no longer waited for.
    PathTest,
    /// A better path has lasted for long enough.
    PathSettled,
    /// The paths are ranked anew.
    PathReview,
    /// A replaced Child SA's inbound half ends.
    OldInbound(ChildSaId),
    /// A connection is tried again.
    Retry,
}

/// The deadlines of one IKE SA.
#[derive(Debug, Default)]
pub(crate) struct TimerTable {
    deadlines: BTreeMap<Timer, Instant>,
}

impl TimerTable {
    /// Sets a timer, instead of what was set before.
    pub(crate) fn set(&mut self, timer: Timer, deadline: Instant) {
        self.deadlines.insert(timer, deadline);
    }

    /// Sets a timer unless an earlier deadline stands.
    pub(crate) fn set_earlier(&mut self, timer: Timer, deadline: Instant) {
        let slot = self.deadlines.entry(timer).or_insert(deadline);
        *slot = deadline.min(*slot);
    }

    /// Puts a timer off, if it is set.
    pub(crate) fn postpone(&mut self, timer: Timer, span: std::time::Duration) {
        if let Some(deadline) = self.deadlines.get_mut(&timer) {
            *deadline += span;
        }
    }

    /// Stops a timer.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.deadlines.remove(&timer);
    }

    /// Stops every timer.
    pub(crate) fn clear(&mut self) {
        self.deadlines.clear();
    }

    /// Returns a timer's deadline.
    pub(crate) fn deadline(&self, timer: Timer) -> Option<Instant> {
        self.deadlines.get(&timer).copied()
    }

    /// Returns the Child SAs that are not sent on yet.
    pub(crate) fn awaiting_activation(&self) -> Vec<ChildSaId> {
        let waiting = |timer: &Timer| if let Timer::Activate(id) = timer { Some(*id) } else { None };
        self.deadlines.keys().filter_map(waiting).collect()
    }

    /// Returns the next deadline and its reason.
    pub(crate) fn next(&self) -> Option<(Instant, Timer)> {
        self.deadlines.iter().map(|(&timer, &deadline)| (deadline, timer)).min()
    }

    /// Takes the next timer that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (deadline, timer) = self.next()?;
        (deadline <= now).then(|| {
            self.deadlines.remove(&timer);
            timer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_due_in_order_and_once() {
        let mut table = TimerTable::default();
        table.set(Timer::Liveness, Instant(20));
        table.set(Timer::Retransmit, Instant(10));
        table.set_earlier(Timer::Retransmit, Instant(15));
        assert_eq!(table.next(), Some((Instant(10), Timer::Retransmit)));
        assert_eq!(table.take_due(Instant(9)), None);
        assert_eq!(table.take_due(Instant(30)), Some(Timer::Retransmit));
        assert_eq!(table.take_due(Instant(30)), Some(Timer::Liveness));
        assert_eq!(table.take_due(Instant(30)), None);
    }
}
