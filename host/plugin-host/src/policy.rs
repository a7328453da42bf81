//! A component that answers as any policy does.

mod aside;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vpnhost_policy::{
    AddressMenu, Advertisement, AdvertisementMenu, Answer, Assignment, Authorization, CredentialChoice,
    CredentialMenu, Failure, ImportCall, LifetimeMenu, Lifetimes, MaintenancePlan, Metric, Narrowing,
    OnFailure, PathMenu, PathRanking, PeerClaim, Policy, ProposalMenu, Question, QuestionSet, Ranking,
    RecordedReply, Reply, SelectorMenu, Sha256, Situation,
};

use crate::breaker::Breakers;
use crate::guest::Services;
use crate::holdings::Held;
use crate::instance::{Instance, StartError};
use crate::limits::{self, Limits};
use crate::loader::{self, Admission};
use crate::store::Store;
use crate::table::Table;
use crate::v0_1::Plugin;
use crate::{Grant, LoadError, Manifest, PluginEngine, PluginSpec, Signer};

pub use aside::Aside;

/// A loaded plugin.
///
/// Calls run in the caller's thread, one at a time. An instance that fails is dropped; the next call
/// gets a fresh one. Too many failures switch the plugin off for a while: for that question, or, where it is
/// about a peer, for that peer alone, which counts as a failure to answer. Otherwise a peer that makes a guard
/// fail would rid everybody of it.
pub struct WasmPolicy {
    engine: Arc<PluginEngine>,
    plugin: Arc<Plugin>,
    spec: PluginSpec,
    name: String,
    manifest: Manifest,
    sha256: Sha256,
    configured: Sha256,
    asked: Vec<Grant>,
    signer: Option<Signer>,
    services: Services,
    questions: QuestionSet,
    /// Held for a call.
    instance: Mutex<Option<Instance>>,
    /// Held for a moment: who looks at the plugin does not wait for a call.
    book: Mutex<Book>,
}

/// What is written down of the calls.
#[derive(Default)]
struct Book {
    breakers: Breakers,
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
    /// It failed too often at a question and is not asked it, for a while; what is asked about a peer apart.
    Disabled,
}

impl WasmPolicy {
    /// Reads, compiles, describes and configures a plugin. It takes over what another version of it stored.
    ///
    /// # Errors
    /// See [`LoadError`]: each names the file and what is wrong with it.
    pub fn load(engine: &Arc<PluginEngine>, spec: PluginSpec) -> Result<Self, LoadError> {
        let held = held(engine, &spec)?;
        let policy = Self::start(engine, spec, held, None)?;
        policy.migrate()?;
        Ok(policy)
    }

    /// Returns what the operator says of it.
    pub fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    /// Loads a component that may take this one's place: under its name, with a copy of its store, which it takes over.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn candidate(&self, spec: PluginSpec) -> Result<Self, LoadError> {
        let policy = Self::start(&self.engine, spec, self.held_aside(), Some(self.name.clone()))?;
        policy.migrate()?;
        Ok(policy)
    }

    /// Returns the same component anew, with a copy of what another has stored: what it was tried with before is forgotten.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn anew(&self, beside: &Self) -> Result<Self, LoadError> {
        let policy = self.with_held(beside.held_aside())?;
        policy.migrate()?;
        Ok(policy)
    }

    /// Tells whether another is the same component, set up in the same way, on the same terms, with the same tables.
    pub fn is_same(&self, other: &Self) -> bool {
        let tables = |it: &Self| -> Vec<Sha256> { it.services.tables.values().map(Table::sha256).collect() };
        self.sha256 == other.sha256
            && self.configured == other.configured
            && self.spec.path == other.spec.path
            && self.spec.limits == other.spec.limits
            && self.spec.on_failure == other.spec.on_failure
            && self.spec.keys == other.spec.keys
            && self.spec.grants == other.spec.grants
            && self.questions == other.questions
            && tables(self) == tables(other)
    }

    /// Tells whether its store is kept as another says, so that it can be handed on.
    pub fn stores_as(&self, spec: &PluginSpec) -> bool {
        self.spec.store == spec.store
    }

    fn held_aside(&self) -> Held {
        Held { store: Arc::new(self.services.held.store.copy()), ..Held::default() }
    }

    fn start(
        engine: &Arc<PluginEngine>,
        spec: PluginSpec,
        held: Held,
        name: Option<String>,
    ) -> Result<Self, LoadError> {
        let admission = Admission { keys: &spec.keys, grants: &spec.grants };
        let loaded = loader::load(engine, &spec.path, admission)?;
        let plugin = Plugin::new(&loaded.component, &loaded.outside)
            .map_err(|source| LoadError::Shape { path: spec.path.clone(), source })?;
        let name = name.or_else(|| spec.name.clone());
        let called = name.clone().unwrap_or_else(|| stem(&spec.path));
        let (mut instance, manifest) = Instance::start(engine, &plugin, &called, spec.limits, &spec.settings)
            .map_err(|error| error.at(&spec.path))?;
        let version = manifest.version.clone();
        let services = Services { engine: engine.clone(), held, tables: tables(&spec)?, version };
        instance.serve(services.clone());
        let answers = loaded.outside.questions.intersection(manifest.answers);
        if answers.is_empty() {
            return Err(LoadError::NoQuestion { path: spec.path, exports: loaded.exports });
        }
        let questions = spec.questions.map_or(answers, |asked| asked.intersection(answers));
        if questions.is_empty() {
            return Err(LoadError::Roles { path: spec.path });
        }
        let name = name.unwrap_or_else(|| manifest.name.clone());
        let signer = loaded.signer.filter(|signer| signer.verified);
        tracing::info!(
            plugin = %name, version = %manifest.version, sha256 = %loaded.sha256, file = %spec.path.display(),
            signed_by = signer.as_ref().map(|signer| tracing::field::display(signer.key)), "plugin loaded"
        );
        Ok(Self {
            engine: engine.clone(),
            plugin: Arc::new(plugin),
            configured: spec.digest(),
            asked: loaded.outside.grants,
            spec,
            name,
            manifest,
            sha256: loaded.sha256,
            signer,
            services,
            questions,
            instance: Mutex::new(Some(instance)),
            book: Mutex::default(),
        })
    }

    /// Returns the same component as the successor of another: a fresh instance that has what is held for that one.
    pub(crate) fn heir(&self, of: &Self) -> Result<Self, LoadError> {
        self.with_held(of.services.held.clone())
    }

    /// Returns the same component anew in place of another, with all that this one has stored, on the terms of that one: whose
    /// signature counts, what is granted, and what a failure counts for are today's.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn heir_on_terms_of(&self, active: &Self) -> Result<Self, LoadError> {
        let path = || self.spec.path.clone();
        let terms = &active.spec;
        let is_signed =
            |signer: &Signer| signer.verified && terms.keys.iter().any(|key| key.id() == signer.key);
        if !terms.keys.is_empty() && !self.signer.as_ref().is_some_and(is_signed) {
            return Err(LoadError::Unchecked { path: path() });
        }
        let is_missing = |grant: &Grant| !terms.grants.contains(grant);
        let missing: Vec<Grant> = self.asked.iter().copied().filter(is_missing).collect();
        if !missing.is_empty() {
            return Err(LoadError::NotGranted { path: path(), missing, wanted: self.asked.clone() });
        }
        let mut heir = self.heir(active)?;
        heir.spec.on_failure = terms.on_failure;
        heir.spec.keys.clone_from(&terms.keys);
        heir.spec.grants.clone_from(&terms.grants);
        Ok(heir)
    }

    fn with_held(&self, held: Held) -> Result<Self, LoadError> {
        let started =
            Instance::start(&self.engine, &self.plugin, &self.name, self.spec.limits, &self.spec.settings);
        let (mut instance, manifest) = started.map_err(|error| error.at(&self.spec.path))?;
        let services = Services { held, ..self.services.clone() };
        instance.serve(services.clone());
        Ok(Self {
            engine: self.engine.clone(),
            plugin: Arc::clone(&self.plugin),
            configured: self.configured,
            asked: self.asked.clone(),
            spec: self.spec.clone(),
            name: self.name.clone(),
            manifest,
            sha256: self.sha256,
            signer: self.signer.clone(),
            services,
            questions: self.questions,
            instance: Mutex::new(Some(instance)),
            book: Mutex::default(),
        })
    }

    /// Returns a copy of the store, where it is going to be taken over in another form: for who may want it back.
    pub(crate) fn store_before(&self) -> Option<Store> {
        let store = &self.services.held.store;
        let is_other = store.version().is_some_and(|version| version != self.manifest.version);
        (is_other && self.plugin.migrates()).then(|| store.copy())
    }

    /// Has the store hold what it held before.
    pub(crate) fn restore(&self, before: &Store) {
        self.services.held.store.restore(before);
        self.engine.holdings().changed(&self.services.held.store);
    }

    /// Takes over what another version stored, if one did.
    pub(crate) fn migrate(&self) -> Result<(), LoadError> {
        let (store, version) = (&self.services.held.store, &self.manifest.version);
        let from = store.version().filter(|from| from != version && self.plugin.migrates());
        let Some(from) = from else { return Ok(()) };
        let mut held = self.instance();
        let Some(mut instance) = held.take() else { return Ok(()) };
        // What it writes is noted as of its version, together with it.
        let migrated = instance.call(&self.engine, limits::START, |bindings, store| {
            // Nobody replays it, and it has to see all that there is.
            store.data_mut().record_nothing();
            bindings.migrate(store, &from)?.map_err(wasmtime::Error::msg)
        });
        if let Err(failure) = migrated {
            let why = if let Failure::Trap(how) = failure { how } else { failure.to_string() };
            return Err(LoadError::Migration { path: self.spec.path.clone(), from, why });
        }
        *held = Some(instance);
        // It may have found nothing to write.
        store.note_version(version);
        self.engine.holdings().changed(store);
        Ok(())
    }

    /// Returns the digest of the component.
    pub fn digest(&self) -> Sha256 {
        self.sha256
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
        self.book().usage
    }

    /// Tells whether it is asked.
    pub fn state(&self) -> PluginState {
        if self.book().breakers.is_any_off(Instant::now()) {
            PluginState::Disabled
        } else {
            PluginState::Active
        }
    }

    /// Asks a question; an abstention where the plugin is not to be asked. `record` gets what the plugin's imports told it.
    fn ask(&self, question: &Question, limit: Duration, record: &mut Vec<ImportCall>) -> Reply {
        let kind = question.kind();
        if !self.questions.contains(kind) {
            return Ok(None);
        }
        if self.book().breakers.is_off(Instant::now(), question) {
            let whom = if question.peer().is_some() { " on this peer" } else { "" };
            return Err(Failure::Disabled(format!("failed{whom} {} times in a minute", limits::FAULTS)));
        }
        self.book().usage.calls += 1;
        let started = Instant::now();
        let limit = limit.min(self.spec.limits.call);
        let result = self.call(question, limit, record);
        let elapsed = started.elapsed();
        let mut book = self.book();
        match &result {
            Ok(answer) => {
                book.usage.answers += u64::from(answer.is_some());
                tracing::debug!(plugin = %self.name, question = %kind, ?elapsed, answered = answer.is_some(), "asked");
            }
            Err(failure) => {
                book.usage.failures += 1;
                tracing::warn!(
                    plugin = %self.name, sha256 = %self.sha256.short(), question = %kind, ?elapsed, %failure,
                    "plugin failed"
                );
                // Who is given less time than it is due has done nothing wrong.
                let is_hurried = *failure == Failure::Deadline && limit < self.spec.limits.call;
                if !is_hurried && book.breakers.count(Instant::now(), question) {
                    let (faults, pause) = (limits::FAULTS, limits::PAUSE);
                    let whom = question.peer().map_or("", |_| " for a peer");
                    tracing::warn!(
                        plugin = %self.name, question = %kind, faults, ?pause,
                        "plugin switched off{whom}: it fails too often"
                    );
                }
            }
        }
        result
    }

    fn call(&self, question: &Question, limit: Duration, record: &mut Vec<ImportCall>) -> Reply {
        let mut held = self.instance();
        let mut instance = match held.take() {
            Some(instance) => instance,
            None => {
                self.book().usage.restarts += 1;
                self.restart()?
            }
        };
        let answer = instance.call(&self.engine, limit, |bindings, store| bindings.answer(store, question));
        *record = instance.take_record();
        let answer = answer?;
        *held = Some(instance);
        Ok(answer)
    }

    fn restart(&self) -> Result<Instance, Failure> {
        let started =
            Instance::start(&self.engine, &self.plugin, &self.name, self.spec.limits, &self.spec.settings);
        let (mut instance, _) = started.map_err(StartError::into_failure)?;
        instance.serve(self.services.clone());
        Ok(instance)
    }

    /// A panic while the lock was held left no instance behind, or one that is replaced.
    fn instance(&self) -> MutexGuard<'_, Option<Instance>> {
        self.instance.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut instance = poisoned.into_inner();
            *instance = None;
            instance
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
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
        match self.consult(&Question::RankProposals(menu.clone())) {
            Ok(Some(Answer::RankProposals(ranking))) => Some(ranking),
            _ => None,
        }
    }

    /// Without [`Policy::consult`] there is no other word for a failure than the operator's.
    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        match self.consult(&Question::AuthorizePeer(claim.clone())) {
            Ok(Some(Answer::AuthorizePeer(authorization))) => Some(authorization),
            Ok(_) => None,
            Err(failure) => match self.spec.on_failure {
                OnFailure::Deny => Some(Authorization::refuse(format!("{} {failure}", self.name))),
                OnFailure::Native => None,
            },
        }
    }

    fn narrow_selectors(&self, menu: &SelectorMenu) -> Option<Narrowing> {
        match self.consult(&Question::NarrowSelectors(menu.clone())) {
            Ok(Some(Answer::NarrowSelectors(answer))) => Some(answer),
            _ => None,
        }
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        match self.consult(&Question::RankPaths(menu.clone())) {
            Ok(Some(Answer::RankPaths(answer))) => Some(answer),
            _ => None,
        }
    }

    fn plan_maintenance(&self, situation: &Situation) -> Option<MaintenancePlan> {
        match self.consult(&Question::PlanMaintenance(situation.clone())) {
            Ok(Some(Answer::PlanMaintenance(answer))) => Some(answer),
            _ => None,
        }
    }

    fn assign_addresses(&self, menu: &AddressMenu) -> Option<Assignment> {
        match self.consult(&Question::AssignAddresses(menu.clone())) {
            Ok(Some(Answer::AssignAddresses(answer))) => Some(answer),
            _ => None,
        }
    }

    fn choose_credential(&self, menu: &CredentialMenu) -> Option<CredentialChoice> {
        match self.consult(&Question::ChooseCredential(menu.clone())) {
            Ok(Some(Answer::ChooseCredential(answer))) => Some(answer),
            _ => None,
        }
    }

    fn advertise_addresses(&self, menu: &AdvertisementMenu) -> Option<Advertisement> {
        match self.consult(&Question::AdvertiseAddresses(menu.clone())) {
            Ok(Some(Answer::AdvertiseAddresses(answer))) => Some(answer),
            _ => None,
        }
    }

    fn plan_lifetimes(&self, menu: &LifetimeMenu) -> Option<Lifetimes> {
        match self.consult(&Question::PlanLifetimes(menu.clone())) {
            Ok(Some(Answer::PlanLifetimes(answer))) => Some(answer),
            _ => None,
        }
    }

    fn consult(&self, question: &Question) -> Reply {
        self.consult_on_record(question).reply
    }

    fn consult_on_record(&self, question: &Question) -> RecordedReply {
        self.consult_within(question, self.spec.limits.call)
    }

    /// Runs no longer than whoever waits: what an answer that nobody hears wrote to the store would count otherwise.
    fn consult_within(&self, question: &Question, limit: Duration) -> RecordedReply {
        let mut record = Vec::new();
        let reply = self.ask(question, limit, &mut record);
        RecordedReply { reply, imports: record, component: Some(self.sha256) }
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

/// Finds what is held for a plugin. Who has no name of the operator's is known by its file: a plugin does not come by
/// another's store by calling itself as that one.
fn held(engine: &PluginEngine, spec: &PluginSpec) -> Result<Held, LoadError> {
    let name = spec.name.clone().unwrap_or_else(|| spec.path.display().to_string());
    engine.holdings().of(&name, spec.store).map_err(|source| LoadError::Store { name, source })
}

/// Reads the tables that the plugin may look into.
fn tables(spec: &PluginSpec) -> Result<Arc<BTreeMap<String, Table>>, LoadError> {
    let tables = spec.tables.iter().map(|table| Ok((table.name.clone(), Table::read(table)?)));
    tables.collect::<Result<_, LoadError>>().map(Arc::new)
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "plugin".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
