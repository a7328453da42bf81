//! Exchanges that wait for the window of an IKE SA, in order; some until a certain time.

use std::collections::VecDeque;

use vpnhost_model::{ChildSaId, Instant};

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
    /// The end of the IKE SA.
    DeleteIkeSa(CloseReason),
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
            | Task::RekeyIkeSa => self.ready.push_back(task),
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

    /// Forgets every exchange about a Child SA.
    pub(crate) fn forget_child(&mut self, id: ChildSaId) {
        let about = |task: &Task| match task {
            Task::RekeyChild(child) | Task::DeleteChild(child, _) => *child == id,
            Task::Liveness
            | Task::CreateChild(_)
            | Task::RekeyIkeSa
            | Task::Reauthenticate
            | Task::AskReauthentication
            | Task::DeleteIkeSa(_) => false,
        };
        self.ready.retain(|task| !about(task));
        self.put_off.retain(|(_, task)| !about(task));
    }

    /// Takes everything that concerns Child SAs, for the IKE SA that inherits them.
    pub(crate) fn take_for_successor(&mut self) -> Vec<Task> {
        let put_off = std::mem::take(&mut self.put_off).into_iter().map(|(_, task)| task);
        let all: Vec<Task> = self.ready.drain(..).chain(put_off).collect();
        all.into_iter()
            .filter(|task| match task {
                Task::CreateChild(_)
                | Task::RekeyChild(_)
                | Task::DeleteChild(..)
                | Task::Reauthenticate
                | Task::AskReauthentication => true,
                Task::Liveness | Task::RekeyIkeSa | Task::DeleteIkeSa(_) => false,
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
