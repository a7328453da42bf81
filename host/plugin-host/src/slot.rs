//! A plugin's place in the chain: which component answers there, which did before, and which is on trial beside it.
//!
//! The place stays while components come and go. One takes over between two questions; whoever asks meanwhile waits for
//! as long as the call under way takes, and nothing is lost.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use vpnhost_policy::{Metric, OnFailure, Policy, Question, QuestionSet, RecordedReply, Reply, Sha256};

use crate::trial::{Trial, TrialKind, TrialReport, is_alike};
use crate::{LoadError, WasmPolicy, limits};

/// A place in the chain, and who answers there.
pub struct PluginSlot {
    name: String,
    occupants: RwLock<Occupants>,
    recent: Mutex<VecDeque<(Question, Reply)>>,
}

struct Occupants {
    active: Arc<WasmPolicy>,
    previous: Option<Arc<WasmPolicy>>,
    trial: Option<Trial>,
}

/// What became of the last questions when another component was asked them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// How many it was asked.
    pub asked: usize,
    /// How many it would have decided otherwise than they were.
    pub differs: usize,
}

/// A component has taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// Which answered before.
    pub from: Sha256,
    /// Which answers now.
    pub to: Sha256,
    /// From when it was ready until it was the one that is asked.
    pub took: Duration,
}

impl PluginSlot {
    /// Returns the place of a plugin that was loaded.
    pub fn new(active: WasmPolicy) -> Arc<Self> {
        let name = active.name().to_owned();
        let occupants = Occupants { active: Arc::new(active), previous: None, trial: None };
        Arc::new(Self { name, occupants: RwLock::new(occupants), recent: Mutex::default() })
    }

    /// Returns who answers.
    pub fn active(&self) -> Arc<WasmPolicy> {
        Arc::clone(&self.read().active)
    }

    /// Returns who answered before, if anybody did.
    pub fn previous(&self) -> Option<Arc<WasmPolicy>> {
        self.read().previous.clone()
    }

    /// Returns the component that is on trial, if one is.
    pub fn candidate(&self) -> Option<Arc<WasmPolicy>> {
        self.read().trial.as_ref().map(Trial::candidate)
    }

    /// Returns how the trial beside it goes, if there is one.
    pub fn trial(&self) -> Option<TrialReport> {
        self.read().trial.as_ref().map(Trial::report)
    }

    /// Asks a component the last questions that were asked here. Neither it nor what is stored is the same afterwards:
    /// it is a candidate, with a copy of the store.
    ///
    /// # Errors
    /// [`LoadError::Rehearsal`] if it fails at one, or answers off the menu.
    pub fn rehearse(&self, candidate: &WasmPolicy) -> Result<Rehearsal, LoadError> {
        let recent: Vec<(Question, Reply)> = self.recent().iter().cloned().collect();
        let mut rehearsal = Rehearsal::default();
        for (question, was) in recent.iter().filter(|(it, _)| candidate.questions().contains(it.kind())) {
            let would = candidate.consult(question);
            let failure = match &would {
                Err(failure) => Some(failure.to_string()),
                Ok(Some(answer)) if !question.admits(answer) => Some("answered off the menu".to_owned()),
                Ok(_) => None,
            };
            if let Some(why) = failure {
                let (path, question) = (candidate.path().to_owned(), question.kind());
                return Err(LoadError::Rehearsal { path, question, why });
            }
            rehearsal.asked += 1;
            rehearsal.differs += usize::from(!is_alike(question, was, &would));
        }
        Ok(rehearsal)
    }

    /// Puts a candidate beside the one that answers.
    ///
    /// # Errors
    /// No thread for it.
    pub fn try_beside(&self, candidate: Arc<WasmPolicy>, kind: TrialKind) -> Result<(), LoadError> {
        let trial = Trial::begin(candidate, kind)?;
        // What ends waits for its thread, which must not wait for this lock.
        let before = self.write().trial.replace(trial);
        drop(before);
        Ok(())
    }

    /// Ends a trial; tells whether there was one.
    pub fn end_trial(&self) -> bool {
        let before = self.write().trial.take();
        before.is_some()
    }

    /// Has a candidate's component answer from now on, with what is stored here. A trial ends.
    ///
    /// # Errors
    /// What keeps it from starting, or from taking over what its predecessor stored; nothing has changed then.
    pub fn take_over(&self, candidate: &WasmPolicy) -> Result<Takeover, LoadError> {
        let heir = candidate.heir(&self.active())?;
        let ready = Instant::now();
        let mut occupants = self.write();
        heir.migrate()?;
        let (from, to) = (occupants.active.digest(), heir.digest());
        let predecessor = std::mem::replace(&mut occupants.active, Arc::new(heir));
        let trial = occupants.trial.take();
        occupants.previous = Some(predecessor);
        drop(occupants);
        let took = ready.elapsed();
        drop(trial);
        tracing::info!(
            plugin = %self.name, from = %from.short(), to = %to.short(), ?took, "another component answers"
        );
        Ok(Takeover { from, to, took })
    }

    fn remember(&self, question: &Question, reply: &Reply) {
        let mut recent = self.recent();
        if recent.len() >= limits::RECENT_QUESTIONS {
            recent.pop_front();
        }
        recent.push_back((question.clone(), reply.clone()));
    }

    fn read(&self) -> RwLockReadGuard<'_, Occupants> {
        self.occupants.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Occupants> {
        self.occupants.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<(Question, Reply)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Policy for PluginSlot {
    fn name(&self) -> &str {
        &self.name
    }

    fn questions(&self) -> QuestionSet {
        self.read().active.questions()
    }

    fn consult(&self, question: &Question) -> Reply {
        self.consult_on_record(question).reply
    }

    fn consult_on_record(&self, question: &Question) -> RecordedReply {
        self.consult_within(question, Duration::MAX)
    }

    /// The lock is held for the whole call: who takes over does so between two questions.
    fn consult_within(&self, question: &Question, limit: Duration) -> RecordedReply {
        let occupants = self.read();
        let heard = match &occupants.trial {
            Some(trial) => trial.consult(question, &occupants.active, limit),
            None => occupants.active.consult_within(question, limit),
        };
        drop(occupants);
        self.remember(question, &heard.reply);
        heard
    }

    fn sha256(&self) -> Option<Sha256> {
        Some(self.read().active.digest())
    }

    fn configured(&self) -> Option<Sha256> {
        self.read().active.configured()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.read().active.metrics()
    }

    fn on_failure(&self) -> OnFailure {
        self.read().active.on_failure()
    }
}

impl fmt::Debug for PluginSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSlot").field("name", &self.name).finish_non_exhaustive()
    }
}
