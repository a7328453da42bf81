//! Components that come and go while the daemon runs: loaded, tried beside the one that answers, taken back; and files
//! that are watched.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use vpnhost_plugin_host::{
    LoadError, PluginEngine, PluginSlot, Rehearsal, Takeover, TrialKind, WasmPolicy, falls_to_canary,
};
use vpnhost_policy::{Policy as _, QuestionKind};

use super::{Current, Daemon};
use crate::config::PluginSettings;
use crate::exit::Failure;
use crate::plugins::{self, PluginProblem, PluginProblems};
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

/// What has become of a component.
enum Loaded {
    /// A plugin more.
    Added(Arc<PluginSlot>),
    /// Another took its place.
    Swapped(Rehearsal, Takeover),
    /// It is tried.
    OnTrial(Rehearsal),
}

impl Daemon {
    /// Returns the plugins in the order in which they are asked.
    pub(super) fn slots(&self) -> Vec<Arc<PluginSlot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn keep_slots(&self, slots: Vec<Arc<PluginSlot>>) {
        *self.slots.lock().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    /// Changes the plugins; returns what was done, as a sentence.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(super) async fn change_plugins(&self, order: PluginOrder) -> Result<String, Failure> {
        let current = self.current.lock().await;
        let text = match order {
            PluginOrder::Load { file, name, trial } => self.load(&current, file, name, trial).await?,
            PluginOrder::Unload(name) => {
                let slot = self.slot(&name)?;
                let mut slots = self.slots();
                slots.retain(|other| !Arc::ptr_eq(other, &slot));
                self.keep_slots(slots);
                let guards = slot.questions().contains(QuestionKind::AuthorizePeer);
                let risk = if guards { "; peers are let in without it" } else { "" };
                format!("{name} is asked no more{risk}")
            }
            PluginOrder::Promote(name) => {
                let slot = self.slot(&name)?;
                let Some(candidate) = slot.candidate() else {
                    let failure = Failure::failed(format!("nothing is tried beside {name}"));
                    return Err(failure.hint("vpnhost plugin load FILE.wasm --shadow begins a trial"));
                };
                swapped(&name, None, &blocking(move || slot.take_over(&candidate)).await?)
            }
            PluginOrder::Rollback(name) => {
                let slot = self.slot(&name)?;
                if slot.end_trial() {
                    format!("the trial beside {name} has ended; {} answers", slot.active().digest().short())
                } else {
                    let Some(previous) = slot.previous() else {
                        return Err(Failure::failed(format!(
                            "no other component answered for {name} before"
                        )));
                    };
                    swapped(&name, None, &blocking(move || slot.take_over(&previous)).await?)
                }
            }
        };
        self.tell_host().await?;
        Ok(text)
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
            let candidate = place.active().candidate(&path)?;
            let rehearsal = place.rehearse(&candidate)?;
            match trial {
                None => place.take_over(&candidate).map(|takeover| Loaded::Swapped(rehearsal, takeover)),
                Some(kind) => {
                    place.try_beside(Arc::new(candidate), kind).map(|()| Loaded::OnTrial(rehearsal))
                }
            }
        });
        Ok(match loaded.await? {
            Loaded::Swapped(rehearsal, takeover) => swapped(&wanted, Some(rehearsal), &takeover),
            Loaded::OnTrial(rehearsal) => {
                format!(
                    "{} is tried beside {wanted}: {}{}",
                    file.display(),
                    self.share(current, trial),
                    told(rehearsal)
                )
            }
            Loaded::Added(slot) => added(&slot),
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
            WasmPolicy::load(&engine, plugins::spec(&settings, &keys)).map(PluginSlot::new).map(Loaded::Added)
        });
        let Loaded::Added(slot) = loaded.await? else { return Err(Failure::failed("nothing was loaded")) };
        let mut slots = self.slots();
        if slots.iter().any(|other| other.name() == slot.name()) {
            let failure = Failure::failed(format!("there is a plugin {} already", slot.name()));
            return Err(failure.hint("--name NAME takes its place, or gives this one another name"));
        }
        let text = added(&slot);
        slots.insert(0, slot);
        self.keep_slots(slots);
        Ok(text)
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
    pub(crate) async fn look_after_files(self: Arc<Self>, watched: &mut Vec<Watched>) {
        let slots = self.slots();
        let wanted = {
            let current = self.current.lock().await;
            let plugins = current.prepared.iter().flat_map(|prepared| &prepared.configuration.plugins);
            plugins.filter(|plugin| plugin.watch).map(|plugin| plugin.path.clone()).collect::<Vec<_>>()
        };
        watched.retain(|it| wanted.contains(&it.file));
        for slot in slots {
            let file = slot.active().path().to_owned();
            if !wanted.contains(&file) {
                continue;
            }
            let Some(seen) = watched.iter_mut().find(|it| it.file == file) else {
                let stamp = Stamp::of(&file);
                watched.push(Watched { file, taken: stamp, seen: stamp });
                continue;
            };
            if !seen.is_to_be_taken() {
                continue;
            }
            let name = Some(slot.name().to_owned());
            let order = PluginOrder::Load { file: file.clone(), name, trial: None };
            match self.change_plugins(order).await {
                Ok(text) => tracing::info!(file = %file.display(), "a plugin's file has changed: {text}"),
                Err(failure) => {
                    let why = failure.reasons().join("; ");
                    tracing::warn!(file = %file.display(), "a plugin's file has changed and is not taken, the old component stays: {why}");
                }
            }
        }
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

/// By what a file is seen to be another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    octets: u64,
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let found = std::fs::metadata(file).ok()?;
        Some(Self { modified: found.modified().ok()?, octets: found.len() })
    }
}

impl Watched {
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

fn added(slot: &PluginSlot) -> String {
    let active = slot.active();
    let version = &active.manifest().version;
    format!("{} {version} ({}) is asked from now on", slot.name(), active.digest().short())
}

fn swapped(name: &str, rehearsal: Option<Rehearsal>, takeover: &Takeover) -> String {
    let Takeover { from, to, took } = takeover;
    let micros = took.as_micros();
    let rehearsed = rehearsal.map_or_else(String::new, told);
    format!(
        "{name}: {} answers in the place of {}, {micros} µs after it was ready{rehearsed}",
        to.short(),
        from.short()
    )
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
        std::fs::remove_file(&file).unwrap();
        assert!(!watched.is_to_be_taken() && !watched.is_to_be_taken());
    }
}
