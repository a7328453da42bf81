//! A plugin's place in the chain: which component answers there, which did before, and which is on trial beside it.
//!
//! The place stays while components come and go. One takes over between two questions: it waits for the call under way, as
//! the next question does. Who only looks at the place waits for nothing.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use vpnhost_policy::{
    Failure, Metric, OnFailure, Policy, Question, QuestionKind, QuestionSet, RecordedReply, Reply, Sha256,
};

use crate::store::Store;
use crate::trial::{Trial, TrialKind, TrialReport, is_alike};
use crate::{LoadError, WasmPolicy, limits};

/// A place in the chain, and who answers there.
pub struct PluginSlot {
    name: String,
    /// The file that it was set up with: what answers by now may be from another.
    file: PathBuf,
    /// Held for a call, and for a change.
    turn: Mutex<()>,
    /// Held for a moment.
    occupants: RwLock<Occupants>,
    recent: Mutex<VecDeque<(Question, Reply)>>,
}

struct Occupants {
    active: Arc<WasmPolicy>,
    previous: Option<Previous>,
    trial: Option<Arc<Trial>>,
}

/// Who answered before.
struct Previous {
    policy: Arc<WasmPolicy>,
    /// What was stored when it went, if its successor took that over in another form.
    store: Option<Arc<Store>>,
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
    /// It does not answer for peers, and the one before did.
    pub guards_no_more: bool,
    /// What was stored since the one before took over is gone.
    pub forgot: bool,
}

impl PluginSlot {
    /// Returns the place of a plugin that was loaded.
    pub fn new(active: WasmPolicy) -> Arc<Self> {
        let (name, file) = (active.name().to_owned(), active.path().to_owned());
        let occupants = Occupants { active: Arc::new(active), previous: None, trial: None };
        let (turn, recent) = (Mutex::default(), Mutex::default());
        Arc::new(Self { name, file, turn, occupants: RwLock::new(occupants), recent })
    }

    /// Returns the file that the place was set up with.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns who answers.
    pub fn active(&self) -> Arc<WasmPolicy> {
        Arc::clone(&self.read().active)
    }

    /// Returns who answered before, if anybody did.
    pub fn previous(&self) -> Option<Arc<WasmPolicy>> {
        self.read().previous.as_ref().map(|previous| Arc::clone(&previous.policy))
    }

    /// Returns the component that is on trial, if one is.
    pub fn candidate(&self) -> Option<Arc<WasmPolicy>> {
        self.read().trial.as_ref().map(|trial| trial.candidate())
    }

    /// Returns how the trial beside it goes, if there is one.
    pub fn trial(&self) -> Option<TrialReport> {
        self.read().trial.as_ref().map(|trial| trial.report())
    }

    /// Asks a component the last questions that were asked here. What it stores is in its copy of the store.
    ///
    /// # Errors
    /// [`LoadError::Rehearsal`] if it fails at one, or answers off the menu.
    pub fn rehearse(&self, candidate: &WasmPolicy) -> Result<Rehearsal, LoadError> {
        let recent: Vec<(Question, Reply)> = self.recent().iter().cloned().collect();
        let on_failure = self.active().on_failure();
        let mut rehearsal = Rehearsal { asked: recent.len(), differs: 0 };
        for (question, was) in &recent {
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
            rehearsal.differs += usize::from(!is_alike(question, on_failure, was, &would));
        }
        Ok(rehearsal)
    }

    /// Puts a candidate beside the one that answers; what it stored before is forgotten.
    ///
    /// # Errors
    /// No thread for it, or what keeps it from starting anew.
    pub fn try_beside(&self, candidate: &WasmPolicy, kind: TrialKind) -> Result<(), LoadError> {
        let trial = Trial::begin(Arc::new(candidate.anew(&self.active())?), kind)?;
        let before = self.write().trial.replace(Arc::new(trial));
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
        let turn = self.turn();
        let store = heir.store_before().map(Arc::new);
        heir.migrate()?;
        Ok(self.swap(heir, (ready, turn), store, false))
    }

    /// Has the component answer again that did before. If its successor took the store over in another form, it is again as
    /// it was then. The operator's terms (keys, grants, what a failure counts for) are those of its successor.
    ///
    /// # Errors
    /// [`LoadError::Nobody`] if no other answered before; what keeps it from starting. Nothing has changed then.
    pub fn roll_back(&self) -> Result<Takeover, LoadError> {
        let Some(policy) = self.previous() else { return Err(LoadError::Nobody { name: self.name.clone() }) };
        let heir = policy.heir_on_terms_of(&self.active())?;
        let ready = Instant::now();
        let turn = self.turn();
        let kept = self.read().previous.as_ref().and_then(|previous| previous.store.clone());
        let forgot = kept.is_some();
        let store = match kept {
            Some(kept) => {
                heir.restore(&kept);
                None
            }
            None => {
                let store = heir.store_before().map(Arc::new);
                heir.migrate()?;
                store
            }
        };
        Ok(self.swap(heir, (ready, turn), store, forgot))
    }

    fn swap(
        &self,
        heir: WasmPolicy,
        (ready, turn): (Instant, MutexGuard<'_, ()>),
        store: Option<Arc<Store>>,
        forgot: bool,
    ) -> Takeover {
        let mut occupants = self.write();
        let (from, to) = (occupants.active.digest(), heir.digest());
        let guards = |policy: &WasmPolicy| policy.questions().contains(QuestionKind::AuthorizePeer);
        let guards_no_more = guards(&occupants.active) && !guards(&heir);
        let policy = std::mem::replace(&mut occupants.active, Arc::new(heir));
        occupants.previous = Some(Previous { policy, store });
        let trial = occupants.trial.take();
        drop((occupants, turn));
        let took = ready.elapsed();
        drop(trial);
        tracing::info!(
            plugin = %self.name, from = %from.short(), to = %to.short(), ?took, "another component answers"
        );
        Takeover { from, to, took, guards_no_more, forgot }
    }

    fn remember(&self, question: &Question, reply: &Reply) {
        let mut recent = self.recent();
        if recent.len() >= limits::RECENT_QUESTIONS {
            recent.pop_front();
        }
        recent.push_back((question.clone(), reply.clone()));
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.active().questions()
    }

    fn consult(&self, question: &Question) -> Reply {
        self.consult_on_record(question).reply
    }

    fn consult_on_record(&self, question: &Question) -> RecordedReply {
        self.consult_within(question, Duration::MAX)
    }

    fn consult_within(&self, question: &Question, limit: Duration) -> RecordedReply {
        let begun = Instant::now();
        let turn = self.turn();
        // A change may have taken its time, and who asks counted that too.
        let Some(limit) = limit.checked_sub(begun.elapsed()) else {
            return RecordedReply::from(Err(Failure::Deadline));
        };
        let (active, trial) = {
            let occupants = self.read();
            (Arc::clone(&occupants.active), occupants.trial.clone())
        };
        let heard = match trial {
            Some(trial) => trial.consult(question, &active, limit),
            None => active.consult_within(question, limit),
        };
        drop(turn);
        self.remember(question, &heard.reply);
        heard
    }

    fn sha256(&self) -> Option<Sha256> {
        Some(self.active().digest())
    }

    fn configured(&self) -> Option<Sha256> {
        self.active().configured()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.active().metrics()
    }

    fn on_failure(&self) -> OnFailure {
        self.active().on_failure()
    }
}

impl fmt::Debug for PluginSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSlot").field("name", &self.name).finish_non_exhaustive()
    }
}
