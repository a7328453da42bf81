//! One running instance: its memory, its time, its lines in the log.

use std::path::Path;
use std::time::{Duration, Instant};

use vpnhost_policy::{Failure, ImportCall};
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::guest::{Guest, Services, failure};
use crate::limits::{self, Limits};
use crate::v0_1::{Bindings, Plugin};
use crate::{LoadError, Manifest, PluginEngine, Settings};

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
        let guest = Guest::new(name, limits);
        let mut store = Store::new(engine.wasmtime(), guest);
        store.limiter(|guest| guest);
        store.set_hostcall_fuel(limits::CROSSING_OCTETS);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            if Instant::now() < store.data().deadline() {
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

    /// Returns the most octets of memory that it has had.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().memory()
    }

    /// Gives it what it may have of the host from now on: describing and configuring it needs none of it.
    pub(crate) fn serve(&mut self, services: Services) {
        self.store.data_mut().serve(services);
    }

    /// Returns what imports told it in the last call.
    pub(crate) fn take_record(&mut self) -> Vec<ImportCall> {
        self.store.data_mut().take_record()
    }

    /// Calls within a time. After a failure the instance is dead and must be dropped.
    pub(crate) fn call<R>(
        &mut self,
        engine: &PluginEngine,
        limit: Duration,
        call: impl FnOnce(&Bindings, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        self.store.data_mut().begin(limit);
        self.store.set_epoch_deadline(1);
        let watch = engine.watch();
        let result = call(&self.bindings, &mut self.store);
        drop(watch);
        let guest = self.store.data_mut();
        guest.end(result.is_ok());
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
