//! Components that come and go while the daemon runs: loaded, tried beside the one that answers, taken back; and files
//! that are watched.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use vpnhost_plugin_host::{
    LoadError, PluginEngine, PluginSlot, PluginSpec, Rehearsal, Takeover, TrialKind, WasmPolicy,
    digest_of_file, falls_to_canary,
};
use vpnhost_policy::{Policy as _, QuestionKind};

use super::{Current, Daemon};
use crate::check::Prepared;
use crate::config::PluginSettings;
use crate::exit::Failure;
use crate::plugins::{self, Loaded, PluginProblem, PluginProblems};
use crate::roles::nearest;
use crate::wiring;

/// What an operator wants of the plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PluginOrder {
    /// A component answers from now on, or is tried.
    Load {
        /// Its file.
        file: PathBuf,
        /// Whose place it takes; by default that of the plugin named as the file is. Without one it is a plugin more.
        name: Option<String>,
        /// It is only tried.
        trial: Option<TrialKind>,
    },
    /// A plugin is asked no more.
    Unload(String),
    /// A component that is on trial answers from now on.
    Promote(String),
    /// A trial ends; or the component that answered before answers again.
    Rollback(String),
}

impl Daemon {
    /// Returns the plugins in the order in which they are asked.
    pub(super) fn slots(&self) -> Vec<Arc<PluginSlot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn keep_slots(&self, slots: Vec<Arc<PluginSlot>>) {
        *self.slots.lock().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    /// Takes the plugins of a configuration that is in force now: what is to answer in the place of another does so from now
    /// on. Returns what should be told beside, or nothing.
    pub(super) async fn take_slots(&self, prepared: &mut Prepared) -> String {
        let before = self.slots();
        let slots = prepared.slots();
        let mut told = String::new();
        for gone in before.iter().filter(|slot| !slots.iter().any(|other| Arc::ptr_eq(slot, other))) {
            if gone.trial().is_some() {
                told += &format!("; the trial beside {} has ended with it", gone.name());
            }
            if !slots.iter().any(|other| other.name() == gone.name()) {
                told += &format!("; {} is asked no more", gone.name());
            }
        }
        self.keep_slots(slots);
        for plugin in &mut prepared.plugins {
            let slot = Arc::clone(plugin.slot());
            let Loaded::Other(_, candidate) = std::mem::replace(plugin, Loaded::Same(Arc::clone(&slot)))
            else {
                continue;
            };
            let had_trial = slot.trial().is_some();
            let place = Arc::clone(&slot);
            told += &match blocking(move || place.take_over(&candidate)).await {
                Ok(takeover) => format!("; {}", swapped(slot.name(), None, &takeover)),
                // The rest of the configuration is in force.
                Err(failure) => {
                    format!("; {} stays as it is: {}", slot.name(), failure.reasons().join("; "))
                }
            };
            if had_trial {
                told += &format!("; the trial beside {} has ended", slot.name());
            }
        }
        if !told.is_empty()
            && let Err(failure) = self.tell_host().await
        {
            told += &format!("; {}", failure.reasons().join("; "));
        }
        told
    }

    /// Changes the plugins; returns what was done, as a sentence.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(super) async fn change_plugins(&self, order: PluginOrder) -> Result<String, Failure> {
        let current = self.current.lock().await;
        match order {
            PluginOrder::Load { file, name, trial } => return self.load(&current, file, name, trial).await,
            PluginOrder::Unload(name) => {
                let slot = self.slot(&name)?;
                let mut slots = self.slots();
                slots.retain(|other| !Arc::ptr_eq(other, &slot));
                self.ask_from_now_on(slots).await?;
                let guards = slot.questions().contains(QuestionKind::AuthorizePeer);
                let risk = if guards { "; peers are let in without it" } else { "" };
                Ok(format!("{name} is asked no more{risk}"))
            }
            PluginOrder::Promote(name) => {
                let slot = self.slot(&name)?;
                let Some(candidate) = slot.candidate() else {
                    let failure = Failure::failed(format!("nothing is tried beside {name}"));
                    return Err(failure.hint("vpnhost plugin load FILE.wasm --shadow begins a trial"));
                };
                let takeover = blocking(move || slot.take_over(&candidate)).await?;
                self.tell_host().await?;
                Ok(swapped(&name, None, &takeover) + "; what it stored on trial is gone")
            }
            PluginOrder::Rollback(name) => {
                let slot = self.slot(&name)?;
                if slot.end_trial() {
                    let answers = slot.active().digest().short();
                    return Ok(format!("the trial beside {name} has ended; {answers} answers"));
                }
                let takeover = blocking(move || slot.roll_back()).await?;
                self.tell_host().await?;
                Ok(swapped(&name, None, &takeover))
            }
        }
    }

    async fn load(
        &self,
        current: &Current,
        file: PathBuf,
        name: Option<String>,
        trial: Option<TrialKind>,
    ) -> Result<String, Failure> {
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let wanted = name.clone().unwrap_or(stem);
        let slot = self.slots().into_iter().find(|slot| slot.name() == wanted);
        let Some(slot) = slot else {
            if trial.is_some() {
                let failure =
                    Failure::failed(format!("there is no plugin {wanted} to try a component beside"));
                return Err(failure.hint(self.names("--name says beside which")));
            }
            return self.add(current, file, name).await;
        };
        let (place, path) = (Arc::clone(&slot), file.clone());
        let loaded = blocking(move || {
            let active = place.active();
            let candidate = active.candidate(PluginSpec { path, ..active.spec().clone() })?;
            if trial.is_none() && candidate.is_same(&active) {
                return Ok(None);
            }
            let rehearsal = place.rehearse(&candidate)?;
            match trial {
                None => place.take_over(&candidate).map(|takeover| Some((rehearsal, Some(takeover)))),
                Some(kind) => place.try_beside(&candidate, kind).map(|()| Some((rehearsal, None))),
            }
        });
        Ok(match loaded.await? {
            None => format!("{wanted}: {} answers already", slot.active().digest().short()),
            Some((rehearsal, Some(takeover))) => {
                self.tell_host().await?;
                swapped(&wanted, Some(rehearsal), &takeover)
            }
            Some((rehearsal, None)) => {
                let (file, share) = (file.display(), self.share(current, trial));
                format!("{file} is tried beside {wanted}: {share}{}", told(rehearsal))
            }
        })
    }

    /// Adds a plugin, which is asked before the others.
    async fn add(&self, current: &Current, file: PathBuf, name: Option<String>) -> Result<String, Failure> {
        let Some(prepared) = current.prepared.clone() else {
            return Err(Failure::failed("the host has not started"));
        };
        let settings = PluginSettings { name, ..PluginSettings::new(file) };
        let (known, state) = (Arc::clone(&self.plugins), prepared.configuration.host.state.clone());
        let keys = prepared.configuration.host.plugin_keys.clone();
        let loaded = blocking(move || {
            let engine = match known.get() {
                Some(engine) => Arc::clone(engine),
                None => {
                    PluginEngine::keeping(&state).map(|engine| Arc::clone(known.get_or_init(|| engine)))?
                }
            };
            WasmPolicy::load(&engine, plugins::spec(&settings, &keys)).map(PluginSlot::new)
        });
        let slot = loaded.await?;
        let mut slots = self.slots();
        if slots.iter().any(|other| other.name() == slot.name()) {
            let failure = Failure::failed(format!("there is a plugin {} already", slot.name()));
            return Err(failure.hint("--name NAME takes its place, or gives this one another name"));
        }
        let active = slot.active();
        let version = &active.manifest().version;
        let text = format!("{} {version} ({}) is asked from now on", slot.name(), active.digest().short());
        slots.insert(0, slot);
        self.ask_from_now_on(slots).await?;
        Ok(text)
    }

    /// Has the host ask other plugins; if it cannot, nothing has changed.
    async fn ask_from_now_on(&self, slots: Vec<Arc<PluginSlot>>) -> Result<(), Failure> {
        let before = self.slots();
        self.keep_slots(slots);
        let told = self.tell_host().await;
        if told.is_err() {
            self.keep_slots(before);
        }
        told
    }

    /// Has the host ask the plugins that there are now, and decide anew what they may decide otherwise.
    async fn tell_host(&self) -> Result<(), Failure> {
        let Some(host) = self.host.get() else { return Err(Failure::failed("the host has not started")) };
        host.use_plugins(wiring::chain(&self.slots())).await?;
        Ok(())
    }

    fn slot(&self, name: &str) -> Result<Arc<PluginSlot>, Failure> {
        let slot = self.slots().into_iter().find(|slot| slot.name() == name);
        slot.ok_or_else(|| {
            let hint = match nearest(name, self.slots().iter().map(|slot| slot.name())) {
                Some(near) => format!("did you mean {near}?"),
                None => self.names("vpnhost list plugins"),
            };
            Failure::failed(format!("there is no plugin {name}")).hint(hint)
        })
    }

    fn names(&self, otherwise: &str) -> String {
        let names: Vec<String> = self.slots().iter().map(|slot| slot.name().to_owned()).collect();
        if names.is_empty() { otherwise.to_owned() } else { format!("there are: {}", names.join(", ")) }
    }

    /// Says for which connections a component decides that is on trial.
    fn share(&self, current: &Current, trial: Option<TrialKind>) -> String {
        let Some(TrialKind::Canary(percent)) = trial else { return "it decides nothing".to_owned() };
        let connections = current.prepared.iter().flat_map(|prepared| &prepared.configuration.connections);
        let names: Vec<&str> = connections
            .map(|connection| connection.peer.name.as_str())
            .filter(|name| falls_to_canary(name, percent))
            .collect();
        match names[..] {
            [] => format!("it decides for {percent} % of the connections, which is none of these"),
            _ => format!("it decides for {}", names.join(", ")),
        }
    }

    /// Takes components whose files have changed, where the operator has them watched.
    pub(crate) async fn look_after_files(self: Arc<Self>, watched: &mut BTreeMap<String, Watched>) {
        let wanted = self.watched().await;
        watched.retain(|name, it| wanted.iter().any(|(slot, file)| slot.name() == name && *file == it.file));
        for (slot, file) in wanted {
            let name = slot.name().to_owned();
            let seen = watched.entry(name.clone()).or_insert_with(|| Watched::new(&file, &slot));
            if !seen.is_to_be_taken() {
                continue;
            }
            let order = PluginOrder::Load { file: file.clone(), name: Some(name), trial: None };
            match self.change_plugins(order).await {
                Ok(text) => tracing::info!(file = %file.display(), "a plugin's file has changed: {text}"),
                Err(failure) => {
                    let why = failure.reasons().join("; ");
                    tracing::warn!(file = %file.display(), "a plugin's file has changed and is not taken, the old component stays: {why}");
                }
            }
        }
    }

    /// Returns the plugins whose files are watched, as the configuration names these.
    async fn watched(&self) -> Vec<(Arc<PluginSlot>, PathBuf)> {
        let current = self.current.lock().await;
        let plugins = current.prepared.iter().flat_map(|prepared| &prepared.configuration.plugins);
        let slots = self.slots();
        let of = |plugin: &PluginSettings| {
            let is_it = |slot: &&Arc<PluginSlot>| match &plugin.name {
                Some(name) => slot.name() == name,
                None => slot.active().spec().name.is_none() && slot.file() == plugin.path,
            };
            Some((Arc::clone(slots.iter().find(is_it)?), plugin.path.clone()))
        };
        plugins.filter(|plugin| plugin.watch).filter_map(of).collect()
    }
}

/// A file that is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    file: PathBuf,
    /// As it was when it was taken, or refused.
    taken: Option<Stamp>,
    /// As it was at the last look.
    seen: Option<Stamp>,
}

/// By what a component and its signature are seen to be others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    component: Mark,
    signature: Option<Mark>,
}

/// Inode, length, and when it was changed: seconds and nanoseconds.
type Mark = (u64, u64, i64, i64);

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let mark = |file: &Path| {
            let found = std::fs::metadata(file).ok()?;
            Some((found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
        };
        Some(Self { component: mark(file)?, signature: mark(&file.with_added_extension("minisig")) })
    }
}

impl Watched {
    /// Begins; a file that is another by now than what answers is to be taken.
    fn new(file: &Path, slot: &PluginSlot) -> Self {
        let stamp = Stamp::of(file);
        let is_taken = digest_of_file(file).is_ok_and(|digest| digest == slot.active().digest());
        Self { file: file.to_owned(), taken: stamp.filter(|_| is_taken), seen: stamp }
    }

    /// Looks; tells whether the file is another than was taken, and was not being written since the last look.
    fn is_to_be_taken(&mut self) -> bool {
        let stamp = Stamp::of(&self.file);
        let is_settled = stamp.is_some() && std::mem::replace(&mut self.seen, stamp) == stamp;
        let is_other = stamp != self.taken;
        if is_settled && is_other {
            self.taken = stamp;
        }
        is_settled && is_other
    }
}

/// Does what takes a compiler's time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    let done =
        done.map_err(|error| Failure::failed("the plugin was not loaded").because(error.to_string()))?;
    done.map_err(|error| {
        let problems = PluginProblems(vec![PluginProblem { place: None, error }]);
        Failure::from(problems).with_code(crate::exit::Code::Failed)
    })
}

fn swapped(name: &str, rehearsal: Option<Rehearsal>, takeover: &Takeover) -> String {
    let Takeover { from, to, took, guards_no_more, forgot } = takeover;
    let micros = took.as_micros();
    let mut text = format!(
        "{name}: {} answers in the place of {}, {micros} µs after it was ready{}",
        to.short(),
        from.short(),
        rehearsal.map_or_else(String::new, told)
    );
    if *guards_no_more {
        text += "; it does not answer for peers as the other did: they are let in without it";
    }
    if *forgot {
        text += "; its store is as it was then, and what the other stored is gone";
    }
    text
}

fn told(Rehearsal { asked, differs }: Rehearsal) -> String {
    match asked {
        0 => String::new(),
        _ => format!("; of the last {asked} questions it decides {differs} otherwise"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_once_it_is_not_written_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.wasm");
        std::fs::write(&file, b"one").unwrap();
        let stamp = Stamp::of(&file);
        let mut watched = Watched { file: file.clone(), taken: stamp, seen: stamp };
        assert!(!watched.is_to_be_taken());
        std::fs::write(&file, b"half").unwrap();
        assert!(!watched.is_to_be_taken(), "it may still be written");
        std::fs::write(&file, b"the whole").unwrap();
        assert!(!watched.is_to_be_taken());
        assert!(watched.is_to_be_taken());
        assert!(!watched.is_to_be_taken(), "it is taken once");
        std::fs::write(file.with_added_extension("minisig"), b"by somebody").unwrap();
        assert!(!watched.is_to_be_taken());
        assert!(watched.is_to_be_taken(), "who signed it is another");
        let other = dir.path().join("other");
        std::fs::write(&other, b"the whole").unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert!(!watched.is_to_be_taken());
        assert!(watched.is_to_be_taken(), "it was put in its place");
        std::fs::remove_file(&file).unwrap();
        assert!(!watched.is_to_be_taken() && !watched.is_to_be_taken());
    }
}
