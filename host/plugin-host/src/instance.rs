//! One running instance: its memory, its time, its lines in the log.

use std::path::Path;
use std::time::{Duration, Instant};

use tracing::Level;
use vpnhost_policy::Failure;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

use crate::limits::{self, Limits};
use crate::v0_1::{Bindings, Plugin};
use crate::{LoadError, Manifest, PluginEngine, Settings};

/// What the host keeps beside an instance.
pub(crate) struct Guest {
    name: String,
    limits: Limits,
    deadline: Instant,
    /// Memory was asked for and not given.
    starved: bool,
    log_lines: u32,
    log_dropped: u32,
    /// The last line at ERROR: a panic writes its message there.
    last_words: Option<String>,
}

/// An instance that has been described and configured.
pub(crate) struct Instance {
    store: Store<Guest>,
    bindings: Bindings,
}

impl Instance {
    /// Starts an instance and configures it; `describe` is asked first, as the manifest is read anew.
    pub(crate) fn start(
        engine: &PluginEngine,
        plugin: &Plugin,
        name: &str,
        limits: Limits,
        settings: &Settings,
    ) -> Result<(Self, Manifest), StartError> {
        let (mut instance, manifest) = Self::describe(engine, plugin, name, limits)?;
        let configured =
            instance.call(engine, limits::START, |bindings, store| bindings.configure(store, settings));
        configured.map_err(StartError::Failed)?.map_err(StartError::Settings)?;
        Ok((instance, manifest))
    }

    /// Starts an instance and asks only what it is.
    pub(crate) fn describe(
        engine: &PluginEngine,
        plugin: &Plugin,
        name: &str,
        limits: Limits,
    ) -> Result<(Self, Manifest), StartError> {
        let guest = Guest {
            name: name.to_owned(),
            limits,
            deadline: Instant::now() + limits::START,
            starved: false,
            log_lines: 0,
            log_dropped: 0,
            last_words: None,
        };
        let mut store = Store::new(engine.wasmtime(), guest);
        store.limiter(|guest| guest);
        store.set_hostcall_fuel(limits::CROSSING_OCTETS);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            if Instant::now() < store.data().deadline {
                Ok(UpdateDeadline::Continue(1))
            } else {
                Err(Trap::Interrupt.into())
            }
        });
        let watch = engine.watch();
        let started = plugin.instantiate(&mut store);
        drop(watch);
        let bindings = match started {
            Ok(bindings) => bindings,
            Err(error) => return Err(StartError::Failed(failure(store.data_mut(), &error))),
        };
        let mut instance = Self { store, bindings };
        let manifest = instance
            .call(engine, limits::START, |bindings, store| bindings.describe(store))
            .map_err(StartError::Failed)?;
        Ok((instance, manifest))
    }

    /// Calls within a time. After a failure the instance is dead and must be dropped.
    pub(crate) fn call<R>(
        &mut self,
        engine: &PluginEngine,
        limit: Duration,
        call: impl FnOnce(&Bindings, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let guest = self.store.data_mut();
        guest.deadline = Instant::now() + limit;
        guest.log_lines = 0;
        guest.log_dropped = 0;
        guest.last_words = None;
        self.store.set_epoch_deadline(1);
        let watch = engine.watch();
        let result = call(&self.bindings, &mut self.store);
        drop(watch);
        let guest = self.store.data_mut();
        if guest.log_dropped > 0 {
            tracing::warn!(plugin = %guest.name, dropped = guest.log_dropped, "plugin wrote too many lines");
        }
        result.map_err(|error| failure(guest, &error))
    }
}

/// Why an instance does not start.
pub(crate) enum StartError {
    /// It failed.
    Failed(Failure),
    /// It refuses its settings.
    Settings(Vec<crate::SettingProblem>),
}

impl StartError {
    pub(crate) fn at(self, path: &Path) -> LoadError {
        let path = path.to_owned();
        match self {
            Self::Failed(source) => LoadError::Start { path, source },
            Self::Settings(problems) => LoadError::Settings { path, problems },
        }
    }

    /// The same for an instance that started before: it is broken now.
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Settings(_) => Failure::Trap("it refuses settings that it took before".to_owned()),
        }
    }
}

impl Guest {
    /// Writes a guest's line to the host's log.
    pub(crate) fn log(&mut self, level: Level, message: &str) {
        if level == Level::ERROR {
            self.last_words = Some(printable(message, vpnhost_policy::limits::TEXT_OCTETS));
        }
        if self.log_lines >= self.limits.log_lines {
            self.log_dropped = self.log_dropped.saturating_add(1);
            return;
        }
        self.log_lines += 1;
        let (plugin, message) = (&self.name, printable(message, limits::LOG_LINE_OCTETS));
        match level {
            Level::TRACE => tracing::trace!(%plugin, "{message}"),
            Level::DEBUG => tracing::debug!(%plugin, "{message}"),
            Level::INFO => tracing::info!(%plugin, "{message}"),
            Level::WARN => tracing::warn!(%plugin, "{message}"),
            Level::ERROR => tracing::error!(%plugin, "{message}"),
        }
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let given = desired <= self.limits.memory;
        self.starved |= !given;
        Ok(given)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= limits::TABLE_ENTRIES)
    }

    fn instances(&self) -> usize {
        limits::CORE_ITEMS
    }

    fn tables(&self) -> usize {
        limits::CORE_ITEMS
    }

    fn memories(&self) -> usize {
        limits::CORE_ITEMS
    }
}

/// Cuts a guest's text and takes out what would move a terminal's cursor.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let mut cut = text.len().min(most);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    text[..cut].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn failure(guest: &mut Guest, error: &wasmtime::Error) -> Failure {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Failure::Deadline,
        _ if guest.starved => Failure::Memory,
        Some(Trap::StackOverflow) => Failure::Trap("stack overflow".to_owned()),
        Some(trap) => Failure::Trap(guest.last_words.take().unwrap_or_else(|| trap.to_string())),
        None => Failure::Trap(printable(&format!("{:#}", error), vpnhost_policy::limits::TEXT_OCTETS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_text_is_cut_at_a_character_and_moves_no_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\n", 100), "a [2Jb ");
        assert_eq!(printable("äöü", 3), "ä");
    }
}
