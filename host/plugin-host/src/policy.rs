//! A component that answers as any policy does.

mod aside;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vpnhost_model::Identity;
use vpnhost_policy::{
    AddressMenu, Assignment, Authorization, CredentialChoice, CredentialMenu, Failure, ImportCall,
    MaintenancePlan, Metric, Narrowing, OnFailure, PathMenu, PathRanking, PeerClaim, Policy, ProposalMenu,
    Question, QuestionKind, QuestionSet, Ranking, RecordedReply, Reply, SelectorMenu, Sha256, Situation,
};
use wasmtime::Store;

use crate::breaker::{Breaker, PeerBreakers};
use crate::guest::{Guest, Services};
use crate::instance::{Instance, StartError};
use crate::limits::{self, Limits};
use crate::loader::{self, Admission};
use crate::table::Table;
use crate::v0_1::{Bindings, Plugin};
use crate::{Grant, LoadError, Manifest, PluginEngine, PluginSpec, Signer};

pub use aside::Aside;

/// A loaded plugin.
///
/// Calls run in the caller's thread, one at a time. An instance that fails is dropped; the next call
/// gets a fresh one. Too many failures switch the plugin off for a while. Those of `authorize_peer` are
/// counted for each peer and switch it off for that peer alone, which counts as a failure to answer:
/// otherwise a peer that makes a guard fail would rid everybody of it.
pub struct WasmPolicy {
    engine: Arc<PluginEngine>,
    plugin: Plugin,
    spec: PluginSpec,
    name: String,
    manifest: Manifest,
    sha256: Sha256,
    configured: Sha256,
    asked: Vec<Grant>,
    signer: Option<Signer>,
    services: Services,
    questions: QuestionSet,
    running: Mutex<Running>,
}

struct Running {
    instance: Option<Instance>,
    breaker: Breaker,
    peers: PeerBreakers,
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
        let admission = Admission { keys: &spec.keys, grants: &spec.grants };
        let loaded = loader::load(engine, &spec.path, admission)?;
        let plugin = Plugin::new(&loaded.component, loaded.questions, &loaded.asked)
            .map_err(|source| LoadError::Shape { path: spec.path.clone(), source })?;
        let name = spec.name.clone().unwrap_or_else(|| stem(&spec.path));
        let services = services(engine, &spec)?;
        let (mut instance, manifest) = Instance::start(engine, &plugin, &name, spec.limits, &spec.settings)
            .map_err(|error| error.at(&spec.path))?;
        instance.serve(services.clone());
        let answers = loaded.questions.intersection(manifest.answers);
        if answers.is_empty() {
            return Err(LoadError::NoQuestion { path: spec.path, exports: loaded.exports });
        }
        let questions = spec.questions.map_or(answers, |asked| asked.intersection(answers));
        if questions.is_empty() {
            return Err(LoadError::Roles { path: spec.path });
        }
        let running = Running {
            instance: Some(instance),
            breaker: Breaker::default(),
            peers: PeerBreakers::default(),
            usage: Usage::default(),
        };
        let name = spec.name.clone().unwrap_or_else(|| manifest.name.clone());
        let signer = loaded.signer.filter(|signer| signer.verified);
        tracing::info!(
            plugin = %name, version = %manifest.version, sha256 = %loaded.sha256, file = %spec.path.display(),
            signed_by = signer.as_ref().map(|signer| tracing::field::display(signer.key)), "plugin loaded"
        );
        Ok(Self {
            engine: engine.clone(),
            plugin,
            configured: spec.digest(),
            asked: loaded.asked,
            spec,
            name,
            manifest,
            sha256: loaded.sha256,
            signer,
            services,
            questions,
            running: Mutex::new(running),
        })
    }

    /// Returns what the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns what it uses of the host, beside the log.
    pub fn grants(&self) -> &[Grant] {
        &self.asked
    }

    /// Returns who signed it, where that was asked for.
    pub fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
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
        asking: &mut Asking<'_>,
        call: impl FnOnce(&Bindings, &mut Store<Guest>) -> wasmtime::Result<Option<R>>,
    ) -> Result<Option<R>, Failure> {
        let kind = asking.kind;
        if !self.questions.contains(kind) {
            return Ok(None);
        }
        let mut running = self.running();
        if running.is_off(Instant::now(), asking.peer) {
            let whom = if asking.peer.is_some() { " on this peer" } else { "" };
            return Err(Failure::Disabled(format!("failed{whom} {} times in a minute", limits::FAULTS)));
        }
        running.usage.calls += 1;
        let started = Instant::now();
        let limit = asking.limit.min(self.spec.limits.call);
        let result = self.call(&mut running, limit, &mut asking.record, call);
        let elapsed = started.elapsed();
        match &result {
            Ok(answer) => {
                running.usage.answers += u64::from(answer.is_some());
                tracing::debug!(plugin = %self.name, question = %kind, ?elapsed, answered = answer.is_some(), "asked");
            }
            Err(failure) => {
                running.usage.failures += 1;
                tracing::warn!(
                    plugin = %self.name, sha256 = %self.sha256.short(), question = %kind, ?elapsed, %failure,
                    "plugin failed"
                );
                // Who is given less time than it is due has done nothing wrong.
                let is_hurried = *failure == Failure::Deadline && limit < self.spec.limits.call;
                if !is_hurried && running.count(Instant::now(), asking.peer) {
                    let (faults, pause) = (limits::FAULTS, limits::PAUSE);
                    let whom = asking.peer.map_or("", |_| " for a peer");
                    tracing::warn!(plugin = %self.name, faults, ?pause, "plugin switched off{whom}: it fails too often");
                }
            }
        }
        result
    }

    fn call<R>(
        &self,
        running: &mut Running,
        limit: Duration,
        record: &mut Vec<ImportCall>,
        call: impl FnOnce(&Bindings, &mut Store<Guest>) -> wasmtime::Result<Option<R>>,
    ) -> Result<Option<R>, Failure> {
        let mut instance = match running.instance.take() {
            Some(instance) => instance,
            None => {
                running.usage.restarts += 1;
                self.restart()?
            }
        };
        let answer = instance.call(&self.engine, limit, call);
        *record = instance.take_record();
        let answer = answer?;
        running.instance = Some(instance);
        Ok(answer)
    }

    fn restart(&self) -> Result<Instance, Failure> {
        let started =
            Instance::start(&self.engine, &self.plugin, &self.name, self.spec.limits, &self.spec.settings);
        let (mut instance, _) = started.map_err(StartError::into_failure)?;
        instance.serve(self.services.clone());
        Ok(instance)
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

/// A question on its way to the plugin.
struct Asking<'a> {
    kind: QuestionKind,
    /// Whom it is about, where failures are counted for each peer.
    peer: Option<&'a Identity>,
    /// How long somebody waits for it.
    limit: Duration,
    /// What the plugin's imports told it.
    record: Vec<ImportCall>,
}

impl<'a> Asking<'a> {
    fn of(kind: QuestionKind) -> Self {
        Self { kind, peer: None, limit: Duration::MAX, record: Vec::new() }
    }

    fn about(claim: &'a PeerClaim) -> Self {
        Self { peer: Some(&claim.peer_id), ..Self::of(QuestionKind::AuthorizePeer) }
    }
}

impl Running {
    fn is_off(&mut self, now: Instant, peer: Option<&Identity>) -> bool {
        match peer {
            Some(peer) => self.peers.is_off(now, peer),
            None => self.breaker.is_off(now),
        }
    }

    /// Counts a failure; tells whether it was the one too many.
    fn count(&mut self, now: Instant, peer: Option<&Identity>) -> bool {
        match peer {
            Some(peer) => self.peers.count(now, peer),
            None => self.breaker.count(now),
        }
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
        self.ask(&mut Asking::of(QuestionKind::RankProposals), |it, store| it.rank_proposals(store, menu))
            .ok()
            .flatten()
    }

    /// Without [`Policy::consult`] there is no other word for a failure than the operator's.
    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        match self.ask(&mut Asking::about(claim), |it, store| it.authorize_peer(store, claim)) {
            Ok(answer) => answer,
            Err(failure) => match self.spec.on_failure {
                OnFailure::Deny => Some(Authorization::refuse(format!("{} {failure}", self.name))),
                OnFailure::Native => None,
            },
        }
    }

    fn narrow_selectors(&self, menu: &SelectorMenu) -> Option<Narrowing> {
        self.ask(&mut Asking::of(QuestionKind::NarrowSelectors), |it, store| it.narrow_selectors(store, menu))
            .ok()
            .flatten()
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        self.ask(&mut Asking::of(QuestionKind::RankPaths), |it, store| it.rank_paths(store, menu))
            .ok()
            .flatten()
    }

    fn plan_maintenance(&self, situation: &Situation) -> Option<MaintenancePlan> {
        self.ask(&mut Asking::of(QuestionKind::PlanMaintenance), |it, store| {
            it.plan_maintenance(store, situation)
        })
        .ok()
        .flatten()
    }

    fn assign_addresses(&self, menu: &AddressMenu) -> Option<Assignment> {
        self.ask(&mut Asking::of(QuestionKind::AssignAddresses), |it, store| it.assign_addresses(store, menu))
            .ok()
            .flatten()
    }

    fn choose_credential(&self, menu: &CredentialMenu) -> Option<CredentialChoice> {
        self.ask(&mut Asking::of(QuestionKind::ChooseCredential), |it, store| {
            it.choose_credential(store, menu)
        })
        .ok()
        .flatten()
    }

    fn consult(&self, question: &Question) -> Reply {
        self.consult_on_record(question).reply
    }

    fn consult_on_record(&self, question: &Question) -> RecordedReply {
        self.consult_within(question, self.spec.limits.call)
    }

    /// Runs no longer than whoever waits: what an answer that nobody hears wrote to the store would count otherwise.
    fn consult_within(&self, question: &Question, limit: Duration) -> RecordedReply {
        let mut asking = if let Question::AuthorizePeer(claim) = question {
            Asking::about(claim)
        } else {
            Asking::of(question.kind())
        };
        asking.limit = limit;
        let reply = self.ask(&mut asking, |it, store| it.answer(store, question));
        RecordedReply { reply, imports: asking.record }
    }

    fn sha256(&self) -> Option<Sha256> {
        Some(self.sha256)
    }

    fn configured(&self) -> Option<Sha256> {
        Some(self.configured)
    }

    fn metrics(&self) -> Vec<Metric> {
        self.services.held.numbers.all()
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

/// Finds what is held for a plugin, and reads its tables. Who has no name of the operator's is known by its file: a
/// plugin does not come by another's store by calling itself as that one.
fn services(engine: &Arc<PluginEngine>, spec: &PluginSpec) -> Result<Services, LoadError> {
    let name = spec.name.clone().unwrap_or_else(|| spec.path.display().to_string());
    let held = engine.holdings().of(&name, spec.store).map_err(|source| LoadError::Store { name, source })?;
    let tables = spec.tables.iter().map(|table| Ok((table.name.clone(), Table::read(table)?)));
    let tables: BTreeMap<String, Table> = tables.collect::<Result<_, LoadError>>()?;
    Ok(Services { engine: engine.clone(), held, tables: Arc::new(tables) })
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "plugin".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
