//! A component that answers as any policy does.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use vpnhost_policy::{
    AddressMenu, Answer, Assignment, Authorization, CredentialChoice, CredentialMenu, Failure,
    MaintenancePlan, Narrowing, OnFailure, PathMenu, PathRanking, PeerClaim, Policy, ProposalMenu, Question,
    QuestionKind, QuestionSet, Ranking, Reply, SelectorMenu, Situation,
};
use wasmtime::Store;

use crate::breaker::Breaker;
use crate::instance::{Guest, Instance};
use crate::limits::{self, Limits};
use crate::v0_1::{Bindings, Plugin};
use crate::{LoadError, Manifest, PluginEngine, Settings, loader};

/// What the operator says of a plugin.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// The component's file.
    pub path: PathBuf,
    /// The name to go by; the plugin's own where none is given.
    pub name: Option<String>,
    /// The questions it may be asked; all that it answers where none are given.
    pub questions: Option<QuestionSet>,
    /// What counts when it fails to answer `authorize_peer`.
    pub on_failure: OnFailure,
    /// What it may take.
    pub limits: Limits,
    /// Its settings.
    pub settings: Settings,
}

impl PluginSpec {
    /// Returns the defaults for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            name: None,
            questions: None,
            on_failure: OnFailure::Deny,
            limits: Limits::default(),
            settings: Settings::new(),
        }
    }
}

/// A loaded plugin.
///
/// Calls run in the caller's thread, one at a time. An instance that fails is dropped; the next call
/// gets a fresh one. Too many failures switch the plugin off for a while, except that
/// `authorize_peer` is always asked and its failures switch nothing off: otherwise a peer that makes
/// a guard fail would rid everybody of it.
pub struct WasmPolicy {
    engine: Arc<PluginEngine>,
    plugin: Plugin,
    spec: PluginSpec,
    name: String,
    manifest: Manifest,
    questions: QuestionSet,
    running: Mutex<Running>,
}

struct Running {
    instance: Option<Instance>,
    breaker: Breaker,
    usage: Usage,
}

/// What a plugin has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Questions that it was asked.
    pub calls: u64,
    /// Questions that it answered, on the menu or off it.
    pub answers: u64,
    /// Questions on which it failed.
    pub failures: u64,
    /// Instances that were started after a failure.
    pub restarts: u64,
}

/// Whether a plugin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// It is.
    Active,
    /// It failed too often and is not, for a while; `authorize_peer` apart.
    Disabled,
}

impl WasmPolicy {
    /// Reads, compiles, describes and configures a plugin.
    ///
    /// # Errors
    /// See [`LoadError`]: each names the file and what is wrong with it.
    pub fn load(engine: &Arc<PluginEngine>, spec: PluginSpec) -> Result<Self, LoadError> {
        let loaded = loader::load(engine.wasmtime(), &spec.path)?;
        let plugin = Plugin::new(&loaded.component, loaded.questions)
            .map_err(|source| LoadError::Shape { path: spec.path.clone(), source })?;
        let name = spec.name.clone().unwrap_or_else(|| stem(&spec.path));
        let (instance, manifest) = Instance::start(engine, &plugin, &name, spec.limits, &spec.settings)
            .map_err(|error| error.at(&spec.path))?;
        let answers = loaded.questions.intersection(manifest.answers);
        if answers.is_empty() {
            return Err(LoadError::NoQuestion { path: spec.path, exports: loaded.exports });
        }
        let questions = spec.questions.map_or(answers, |asked| asked.intersection(answers));
        if questions.is_empty() {
            return Err(LoadError::Roles { path: spec.path });
        }
        let running =
            Running { instance: Some(instance), breaker: Breaker::default(), usage: Usage::default() };
        let name = spec.name.clone().unwrap_or_else(|| manifest.name.clone());
        tracing::info!(plugin = %name, version = %manifest.version, file = %spec.path.display(), "plugin loaded");
        Ok(Self {
            engine: engine.clone(),
            plugin,
            spec,
            name,
            manifest,
            questions,
            running: Mutex::new(running),
        })
    }

    /// Returns what the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the questions that it is asked.
    pub fn questions(&self) -> QuestionSet {
        self.questions
    }

    /// Returns the file it was loaded from.
    pub fn path(&self) -> &Path {
        &self.spec.path
    }

    /// Returns what it may take.
    pub fn limits(&self) -> Limits {
        self.spec.limits
    }

    /// Returns what it has done so far.
    pub fn usage(&self) -> Usage {
        self.running().usage
    }

    /// Tells whether it is asked.
    pub fn state(&self) -> PluginState {
        if self.running().breaker.is_off(Instant::now()) {
            PluginState::Disabled
        } else {
            PluginState::Active
        }
    }

    /// Asks one question; an abstention where the plugin is not to be asked.
    fn ask<R>(
        &self,
        kind: QuestionKind,
        call: impl FnOnce(&Bindings, &mut Store<Guest>) -> wasmtime::Result<Option<R>>,
    ) -> Result<Option<R>, Failure> {
        if !self.questions.contains(kind) {
            return Ok(None);
        }
        let mut running = self.running();
        if !kind.fails_closed() && running.breaker.is_off(Instant::now()) {
            let why = format!("failed {} times in a minute", limits::FAULTS);
            return Err(Failure::Disabled(why));
        }
        running.usage.calls += 1;
        let started = Instant::now();
        let result = self.call(&mut running, call);
        let elapsed = started.elapsed();
        match &result {
            Ok(answer) => {
                running.usage.answers += u64::from(answer.is_some());
                tracing::debug!(plugin = %self.name, question = %kind, ?elapsed, answered = answer.is_some(), "asked");
            }
            Err(failure) => {
                running.usage.failures += 1;
                tracing::warn!(plugin = %self.name, question = %kind, ?elapsed, %failure, "plugin failed");
                if !kind.fails_closed() && running.breaker.count(Instant::now()) {
                    let (faults, pause) = (limits::FAULTS, limits::PAUSE);
                    tracing::warn!(plugin = %self.name, faults, ?pause, "plugin switched off: it fails too often");
                }
            }
        }
        result
    }

    fn call<R>(
        &self,
        running: &mut Running,
        call: impl FnOnce(&Bindings, &mut Store<Guest>) -> wasmtime::Result<Option<R>>,
    ) -> Result<Option<R>, Failure> {
        let mut instance = match running.instance.take() {
            Some(instance) => instance,
            None => {
                running.usage.restarts += 1;
                self.restart()?
            }
        };
        let answer = instance.call(&self.engine, self.spec.limits.call, call)?;
        running.instance = Some(instance);
        Ok(answer)
    }

    fn restart(&self) -> Result<Instance, Failure> {
        Instance::start(&self.engine, &self.plugin, &self.name, self.spec.limits, &self.spec.settings)
            .map(|(instance, _)| instance)
            .map_err(crate::instance::StartError::into_failure)
    }

    /// A panic while the lock was held left an instance behind at worst, and that is replaced.
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut running = poisoned.into_inner();
            running.instance = None;
            running
        })
    }
}

impl Policy for WasmPolicy {
    fn name(&self) -> &str {
        &self.name
    }

    fn questions(&self) -> QuestionSet {
        self.questions
    }

    fn rank_proposals(&self, menu: &ProposalMenu) -> Option<Ranking> {
        self.ask(QuestionKind::RankProposals, |it, store| it.rank_proposals(store, menu)).ok().flatten()
    }

    /// Without [`Policy::consult`] there is no other word for a failure than the operator's.
    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        match self.ask(QuestionKind::AuthorizePeer, |it, store| it.authorize_peer(store, claim)) {
            Ok(answer) => answer,
            Err(failure) => match self.spec.on_failure {
                OnFailure::Deny => Some(Authorization::refuse(format!("{} {failure}", self.name))),
                OnFailure::Native => None,
            },
        }
    }

    fn narrow_selectors(&self, menu: &SelectorMenu) -> Option<Narrowing> {
        self.ask(QuestionKind::NarrowSelectors, |it, store| it.narrow_selectors(store, menu)).ok().flatten()
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        self.ask(QuestionKind::RankPaths, |it, store| it.rank_paths(store, menu)).ok().flatten()
    }

    fn plan_maintenance(&self, situation: &Situation) -> Option<MaintenancePlan> {
        self.ask(QuestionKind::PlanMaintenance, |it, store| it.plan_maintenance(store, situation))
            .ok()
            .flatten()
    }

    fn assign_addresses(&self, menu: &AddressMenu) -> Option<Assignment> {
        self.ask(QuestionKind::AssignAddresses, |it, store| it.assign_addresses(store, menu)).ok().flatten()
    }

    fn choose_credential(&self, menu: &CredentialMenu) -> Option<CredentialChoice> {
        self.ask(QuestionKind::ChooseCredential, |it, store| it.choose_credential(store, menu)).ok().flatten()
    }

    fn consult(&self, question: &Question) -> Reply {
        let kind = question.kind();
        match question {
            Question::RankProposals(menu) => self
                .ask(kind, |it, store| it.rank_proposals(store, menu))
                .map(|answer| answer.map(Answer::RankProposals)),
            Question::AuthorizePeer(claim) => self
                .ask(kind, |it, store| it.authorize_peer(store, claim))
                .map(|answer| answer.map(Answer::AuthorizePeer)),
            Question::NarrowSelectors(menu) => self
                .ask(kind, |it, store| it.narrow_selectors(store, menu))
                .map(|answer| answer.map(Answer::NarrowSelectors)),
            Question::RankPaths(menu) => self
                .ask(kind, |it, store| it.rank_paths(store, menu))
                .map(|answer| answer.map(Answer::RankPaths)),
            Question::PlanMaintenance(situation) => self
                .ask(kind, |it, store| it.plan_maintenance(store, situation))
                .map(|answer| answer.map(Answer::PlanMaintenance)),
            Question::AssignAddresses(menu) => self
                .ask(kind, |it, store| it.assign_addresses(store, menu))
                .map(|answer| answer.map(Answer::AssignAddresses)),
            Question::ChooseCredential(menu) => self
                .ask(kind, |it, store| it.choose_credential(store, menu))
                .map(|answer| answer.map(Answer::ChooseCredential)),
        }
    }

    fn on_failure(&self) -> OnFailure {
        self.spec.on_failure
    }
}

impl fmt::Debug for WasmPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmPolicy")
            .field("name", &self.name)
            .field("path", &self.spec.path)
            .finish_non_exhaustive()
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "plugin".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
