//! One plugin's thread and its two queues: questions of authenticated peers come first.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::mpsc;
use vpnhost_ike::output::QuestionId;
use vpnhost_model::Instant;
use vpnhost_policy::{Failure, OnFailure, Policy, Question, QuestionSet, Reply};

use super::PluginReply;
use crate::clock::Clock;
use crate::error::DriverError;
use crate::limits;

/// A question for one plugin.
pub(super) struct Asked {
    pub(super) id: QuestionId,
    pub(super) position: usize,
    pub(super) question: Question,
    pub(super) deadline: Instant,
}

/// A plugin and its thread, which ends after the present call when this is dropped.
pub(super) struct PluginThread {
    policy: Arc<dyn Policy>,
    queue: Arc<Queue>,
}

impl PluginThread {
    pub(super) fn start(
        policy: Arc<dyn Policy>,
        replies: mpsc::Sender<PluginReply>,
    ) -> Result<Self, DriverError> {
        let queue = Arc::new(Queue::default());
        let (asked, answering) = (Arc::clone(&queue), Arc::clone(&policy));
        thread::Builder::new()
            .name(format!("plugin {}", policy.name()).chars().take(15).collect())
            .spawn(move || answer(&*answering, &asked, &replies))
            .map_err(|source| DriverError::io("start a plugin's thread", source))?;
        Ok(Self { policy, queue })
    }

    /// Tells whether it is this policy's.
    pub(super) fn is_of(&self, policy: &Arc<dyn Policy>) -> bool {
        Arc::ptr_eq(&self.policy, policy)
    }

    pub(super) fn policy(&self) -> &dyn Policy {
        &*self.policy
    }

    pub(super) fn name(&self) -> &str {
        self.policy.name()
    }

    pub(super) fn questions(&self) -> QuestionSet {
        self.policy.questions()
    }

    pub(super) fn on_failure(&self) -> OnFailure {
        self.policy.on_failure()
    }

    /// Gives a question to the thread; false if as many wait as may.
    pub(super) fn give(&self, asked: Asked, authenticated: bool) -> bool {
        let mut waiting = self.queue.lock();
        let (queue, most) = if authenticated {
            (&mut waiting.authenticated, limits::QUESTIONS_AUTHENTICATED)
        } else {
            (&mut waiting.unauthenticated, limits::QUESTIONS_UNAUTHENTICATED)
        };
        if queue.len() >= most {
            return false;
        }
        queue.push_back(asked);
        self.queue.arrived.notify_one();
        true
    }
}

impl Drop for PluginThread {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.arrived.notify_one();
    }
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    authenticated: VecDeque<Asked>,
    unauthenticated: VecDeque<Asked>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next question; `None` at the end.
    fn next(&self) -> Option<Asked> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            let next = waiting.authenticated.pop_front();
            if let Some(asked) = next.or_else(|| waiting.unauthenticated.pop_front()) {
                return Some(asked);
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn answer(policy: &dyn Policy, queue: &Queue, replies: &mpsc::Sender<PluginReply>) {
    while let Some(asked) = queue.next() {
        let started = Clock.instant();
        if asked.deadline <= started {
            // The resolver has ended it already.
            continue;
        }
        let reply = catch_unwind(AssertUnwindSafe(|| {
            policy.consult_within(&asked.question, asked.deadline - started)
        }))
        .unwrap_or_else(|_| Reply::Err(Failure::Trap("panic".to_owned())).into());
        let elapsed = Clock.instant() - started;
        let heard = PluginReply { id: asked.id, position: asked.position, reply, elapsed };
        if replies.blocking_send(heard).is_err() {
            return;
        }
    }
}
