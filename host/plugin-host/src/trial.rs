//! A component on trial beside the one that answers: it is asked the same and only compared, or it answers for some
//! connections.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vpnhost_policy::{
    Answer, Authorization, OnFailure, Policy, Question, QuestionKind, RecordedReply, Reply, Sha256,
};

use crate::{LoadError, WasmPolicy, digest, limits};

/// What a candidate may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialKind {
    /// It is asked everything and decides nothing.
    Shadow,
    /// It decides for so many of a hundred connections.
    Canary(u8),
}

/// How a trial goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialReport {
    /// What the candidate may do.
    pub kind: TrialKind,
    /// Which component it is.
    pub sha256: Sha256,
    /// Its version.
    pub version: String,
    /// Questions that it was asked.
    pub asked: u64,
    /// Those that it decided as the other did; of a canary nobody asks the other.
    pub alike: u64,
    /// Those that it would have decided otherwise.
    pub differs: u64,
    /// Those at which it failed, or answered off the menu; of a canary the other answered them.
    pub failed: u64,
    /// Those that it was not asked, since it was too slow.
    pub missed: u64,
    /// The last that it would have decided otherwise.
    pub last: Option<Difference>,
}

/// A question that two components decide differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which question.
    pub question: QuestionKind,
    /// Of which connection.
    pub connection: String,
    /// What the one that answers said.
    pub active: Reply,
    /// What the candidate said.
    pub candidate: Reply,
}

/// A trial that is under way.
pub(crate) struct Trial {
    candidate: Arc<WasmPolicy>,
    report: Arc<Mutex<TrialReport>>,
    shadow: Option<Shadow>,
}

/// The thread that compares.
struct Shadow {
    asked: SyncSender<Asked>,
    /// It is to end after the call under way.
    closing: Arc<AtomicBool>,
}

/// A question, what a failure at it counts for, and what was replied.
type Asked = (Question, OnFailure, Reply);

impl Trial {
    pub(crate) fn begin(candidate: Arc<WasmPolicy>, kind: TrialKind) -> Result<Self, LoadError> {
        let report = TrialReport {
            kind,
            sha256: candidate.digest(),
            version: candidate.manifest().version.clone(),
            asked: 0,
            alike: 0,
            differs: 0,
            failed: 0,
            missed: 0,
            last: None,
        };
        let report = Arc::new(Mutex::new(report));
        let shadow = match kind {
            TrialKind::Shadow => Some(Shadow::start(Arc::clone(&candidate), Arc::clone(&report))?),
            TrialKind::Canary(_) => None,
        };
        Ok(Self { candidate, report, shadow })
    }

    pub(crate) fn candidate(&self) -> Arc<WasmPolicy> {
        Arc::clone(&self.candidate)
    }

    pub(crate) fn report(&self) -> TrialReport {
        lock(&self.report).clone()
    }

    /// Asks whom the trial says.
    pub(crate) fn consult(&self, question: &Question, active: &WasmPolicy, limit: Duration) -> RecordedReply {
        let kind = lock(&self.report).kind;
        match (kind, &self.shadow) {
            // What the candidate does not answer, a guard's question too, stays with who answers it.
            (TrialKind::Canary(percent), _)
                if falls_to_canary(question.connection(), percent)
                    && self.candidate.questions().contains(question.kind()) =>
            {
                let begun = Instant::now();
                let heard = self.candidate.consult_within(question, limit);
                let mut report = lock(&self.report);
                report.asked += 1;
                let is_good =
                    matches!(&heard.reply, Ok(answer) if answer.iter().all(|it| question.admits(it)));
                if is_good {
                    return heard;
                }
                report.failed += 1;
                drop(report);
                match limit.checked_sub(begun.elapsed()) {
                    Some(left) => active.consult_within(question, left),
                    // Nobody waits any more: what the other would store must not count.
                    None => heard,
                }
            }
            (TrialKind::Shadow, Some(shadow)) => {
                let heard = active.consult_within(question, limit);
                if !shadow.give((question.clone(), active.on_failure(), heard.reply.clone())) {
                    lock(&self.report).missed += 1;
                }
                heard
            }
            (TrialKind::Canary(_) | TrialKind::Shadow, _) => active.consult_within(question, limit),
        }
    }
}

impl Shadow {
    fn start(candidate: Arc<WasmPolicy>, report: Arc<Mutex<TrialReport>>) -> Result<Self, LoadError> {
        let (asked, questions) = sync_channel(limits::SHADOW_QUESTIONS);
        let closing = Arc::new(AtomicBool::new(false));
        let closes = Arc::clone(&closing);
        thread::Builder::new()
            .name("plugin-shadow".to_owned())
            .spawn(move || compare(&questions, &closes, &candidate, &report))
            .map_err(|source| LoadError::Engine { source: source.into() })?;
        Ok(Self { asked, closing })
    }

    /// Gives a question away; false if too many wait.
    fn give(&self, asked: Asked) -> bool {
        self.asked.try_send(asked).is_ok()
    }
}

/// Nobody waits for the thread: it ends after its call, which has a deadline.
impl Drop for Shadow {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

fn compare(
    questions: &Receiver<Asked>,
    closing: &AtomicBool,
    candidate: &WasmPolicy,
    report: &Mutex<TrialReport>,
) {
    while let Ok((question, on_failure, was)) = questions.recv() {
        if closing.load(Ordering::Relaxed) {
            return;
        }
        let would = candidate.consult(&question);
        let is_bad = match &would {
            Ok(answer) => answer.as_ref().is_some_and(|it| !question.admits(it)),
            Err(_) => true,
        };
        let mut report = lock(report);
        report.asked += 1;
        if is_bad {
            report.failed += 1;
        } else if is_alike(&question, on_failure, &was, &would) {
            report.alike += 1;
        } else {
            report.differs += 1;
            report.last = Some(Difference {
                question: question.kind(),
                connection: question.connection().to_owned(),
                active: was,
                candidate: would,
            });
        }
    }
}

/// Tells whether two replies decide the same: reasons are words; a failure, and what is off the menu, is a refusal where
/// leave is asked and the operator says so, else an abstention.
pub(crate) fn is_alike(question: &Question, on_failure: OnFailure, one: &Reply, other: &Reply) -> bool {
    decides(question, on_failure, one) == decides(question, on_failure, other)
}

fn decides(question: &Question, on_failure: OnFailure, reply: &Reply) -> Option<Answer> {
    match reply {
        Ok(None) => None,
        Ok(Some(answer)) if question.admits(answer) => Some(answer.clone().without_reason()),
        Ok(Some(_)) | Err(_) => {
            let refuses = question.kind().fails_closed() && on_failure == OnFailure::Deny;
            refuses.then(|| Answer::AuthorizePeer(Authorization::refuse("")))
        }
    }
}

/// Tells whether a connection is one of so many of a hundred: always the same ones, and with a greater share these and
/// others.
pub fn falls_to_canary(connection: &str, percent: u8) -> bool {
    let Sha256([first, second, ..]) = digest::of(connection.as_bytes());
    u32::from(u16::from_be_bytes([first, second])) * 100 < u32::from(percent) << 16
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for TrialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shadow => f.write_str("shadow"),
            Self::Canary(percent) => write!(f, "canary {percent} %"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_connections_falls_to_the_canary_and_always_the_same() {
        let count = |percent| (0..10_000).filter(|n| falls_to_canary(&format!("peer-{n}"), percent)).count();
        assert_eq!((count(0), count(100)), (0, 10_000));
        assert!((400..600).contains(&count(5)), "{}", count(5));
        let few = (0..10_000).map(|n| format!("peer-{n}")).filter(|name| falls_to_canary(name, 5));
        assert!(few.into_iter().all(|name| falls_to_canary(&name, 10)), "a greater share has these too");
    }
}
