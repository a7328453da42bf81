//! Exchanges that wait for the window of an IKE SA, in order; some until a certain time.

use std::collections::VecDeque;

use vpnhost_model::{ChildSaId, Instant, Path};

use crate::limits;
use crate::output::CloseReason;

/// An exchange that this host wants to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// An empty INFORMATIONAL.
    Liveness,
    /// A further Child SA, by its place in the connection.
    CreateChild(usize),
    /// A new Child SA in the place of one.
    RekeyChild(ChildSaId),
    /// The end of a Child SA.
    DeleteChild(ChildSaId, CloseReason),
    /// A new IKE SA in the place of this one.
    RekeyIkeSa,
    /// A further IKE SA that asks for an address again, in the place of this one.
    Reauthenticate,
    /// An INFORMATIONAL that asks the peer to authenticate anew.
    AskReauthentication,
    /// An INFORMATIONAL with the token that proves a loss of this IKE SA (RFC 6290).
    GiveToken,
    /// Something about the path.
    Path(PathTask),
    /// The end of the IKE SA.
    DeleteIkeSa(CloseReason),
}

/// An exchange about the path (RFC 4555).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathTask {
    /// UPDATE_SA_ADDRESSES: the IKE SA takes another path.
    Update,
    /// The list of this host's addresses.
    Announce,
    /// A check that the peer is where it was heard.
    Check,
    /// An empty INFORMATIONAL on a path that is not in use.
    Test(Path),
    /// An empty INFORMATIONAL from an address that the peer has not heard of this host at.
    Introduce,
    /// An empty INFORMATIONAL on every path.
    TestAll,
    /// An INFORMATIONAL of a certain size on the path in use.
    Mtu,
    /// The trial of a silence.
    TryIdle,
}

/// The waiting exchanges.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    ready: VecDeque<Task>,
    put_off: Vec<(Instant, Task)>,
}

impl Queue {
    /// Adds an exchange behind the others, once; beyond the bound it is not added.
    pub(crate) fn push(&mut self, task: Task) {
        let waits = self.ready.contains(&task);
        if waits || self.ready.len() >= limits::QUEUED_EXCHANGES {
            return;
        }
        self.put_off.retain(|(_, other)| *other != task);
        match task {
            // Nothing that waits matters to an IKE SA that ends.
            Task::DeleteIkeSa(_) => {
                self.clear();
                self.ready.push_back(task);
            }
            Task::Liveness
            | Task::CreateChild(_)
            | Task::RekeyChild(_)
            | Task::DeleteChild(..)
            | Task::Reauthenticate
            | Task::AskReauthentication
            | Task::GiveToken
            | Task::Path(_)
            | Task::RekeyIkeSa => self.ready.push_back(task),
        }
    }

    /// Adds an exchange before all others, but not before the end of the IKE SA.
    pub(crate) fn push_first(&mut self, task: Task) {
        if !self.ends_ike_sa() {
            self.ready.retain(|other| *other != task);
            self.ready.push_front(task);
        }
    }

    /// Adds an exchange that waits until `at`.
    pub(crate) fn put_off(&mut self, at: Instant, task: Task) {
        let waits = self.ready.contains(&task) || self.put_off.iter().any(|(_, other)| *other == task);
        if !waits && self.put_off.len() < limits::QUEUED_EXCHANGES {
            self.put_off.push((at, task));
        }
    }

    /// Moves what waited until `now` behind the others; returns the next such time.
    pub(crate) fn resume(&mut self, now: Instant) -> Option<Instant> {
        let (due, later) = std::mem::take(&mut self.put_off).into_iter().partition(|(at, _)| *at <= now);
        self.put_off = later;
        let due: Vec<(Instant, Task)> = due;
        due.into_iter().for_each(|(_, task)| self.push(task));
        self.put_off.iter().map(|(at, _)| *at).min()
    }

    /// Takes the next exchange.
    pub(crate) fn pop(&mut self) -> Option<Task> {
        self.ready.pop_front()
    }

    /// Tells whether an exchange waits, put off or not.
    pub(crate) fn holds(&self, task: &Task) -> bool {
        self.ready.contains(task) || self.put_off.iter().any(|(_, other)| other == task)
    }

    /// Tells whether a Child SA is to be made next, other than one that was put off.
    pub(crate) fn makes_child(&self) -> bool {
        self.ready.iter().any(|task| matches!(task, Task::CreateChild(_)))
    }

    /// Tells whether the end of the IKE SA waits.
    pub(crate) fn ends_ike_sa(&self) -> bool {
        self.ready.iter().any(|task| matches!(task, Task::DeleteIkeSa(_)))
    }

    /// Tells whether what comes next is about no Child SA, so that it does not matter which of them the peer knows.
    pub(crate) fn waits_for_nothing(&self) -> bool {
        self.ends_ike_sa() || matches!(self.ready.front(), Some(Task::Path(_)))
    }

    /// Forgets every exchange about a Child SA.
    pub(crate) fn forget_child(&mut self, id: ChildSaId) {
        let about = |task: &Task| match task {
            Task::RekeyChild(child) | Task::DeleteChild(child, _) => *child == id,
            Task::Liveness
            | Task::CreateChild(_)
            | Task::RekeyIkeSa
            | Task::Reauthenticate
            | Task::AskReauthentication
            | Task::GiveToken
            | Task::Path(_)
            | Task::DeleteIkeSa(_) => false,
        };
        self.ready.retain(|task| !about(task));
        self.put_off.retain(|(_, task)| !about(task));
    }

    /// Takes everything that concerns Child SAs and the path, for the IKE SA that inherits them.
    pub(crate) fn take_for_successor(&mut self) -> Vec<Task> {
        let put_off = std::mem::take(&mut self.put_off).into_iter().map(|(_, task)| task);
        let all: Vec<Task> = self.ready.drain(..).chain(put_off).collect();
        all.into_iter()
            .filter(|task| match task {
                Task::CreateChild(_)
                | Task::RekeyChild(_)
                | Task::DeleteChild(..)
                | Task::Reauthenticate
                | Task::Path(
                    PathTask::Update
                    | PathTask::Announce
                    | PathTask::Check
                    | PathTask::Mtu
                    | PathTask::Introduce,
                )
                | Task::AskReauthentication => true,
                Task::Liveness
                | Task::RekeyIkeSa
                | Task::GiveToken
                | Task::Path(PathTask::Test(_) | PathTask::TestAll | PathTask::TryIdle)
                | Task::DeleteIkeSa(_) => false,
            })
            .collect()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.ready.clear();
        self.put_off.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_wait_in_order_and_once() {
        let mut queue = Queue::default();
        queue.push(Task::CreateChild(1));
        queue.push(Task::Liveness);
        queue.push(Task::CreateChild(1));
        assert_eq!(queue.pop(), Some(Task::CreateChild(1)));
        assert_eq!(queue.pop(), Some(Task::Liveness));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn a_move_comes_before_everything_but_the_end() {
        let mut queue = Queue::default();
        queue.push(Task::Liveness);
        queue.push(Task::Path(PathTask::Update));
        queue.push_first(Task::Path(PathTask::Update));
        assert_eq!(queue.pop(), Some(Task::Path(PathTask::Update)));
        assert_eq!(queue.pop(), Some(Task::Liveness));
        assert_eq!(queue.pop(), None);
        queue.push(Task::DeleteIkeSa(CloseReason::Local));
        queue.push_first(Task::Path(PathTask::Update));
        assert_eq!(queue.pop(), Some(Task::DeleteIkeSa(CloseReason::Local)));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn what_is_put_off_comes_back_at_its_time() {
        let mut queue = Queue::default();
        queue.put_off(Instant(10), Task::RekeyIkeSa);
        queue.put_off(Instant(20), Task::Liveness);
        assert_eq!(queue.resume(Instant(9)), Some(Instant(10)));
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.resume(Instant(10)), Some(Instant(20)));
        assert_eq!(queue.pop(), Some(Task::RekeyIkeSa));
    }

    #[test]
    fn the_end_of_the_ike_sa_forgets_the_rest() {
        let mut queue = Queue::default();
        queue.push(Task::Liveness);
        queue.push(Task::DeleteIkeSa(CloseReason::Local));
        assert_eq!(queue.pop(), Some(Task::DeleteIkeSa(CloseReason::Local)));
        assert_eq!(queue.pop(), None);
    }
}
