//! A question put to an instance of its own, beside those that count: for tests, measurements and replays.

use std::time::{Duration, Instant};

use vpnhost_policy::{Question, RecordedReply};

use super::WasmPolicy;
use crate::instance::{Instance, StartError};
use crate::recorded::{StandIn, Told};

/// What an instance of its own made of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Aside {
    /// What it said, and what it was told.
    pub recorded: RecordedReply,
    /// What it asked first that a record does not know; its failure is no fault of its own then.
    pub strayed: Option<String>,
    /// Octets of linear memory that the instance had in the end.
    pub memory: usize,
    /// How long it took to start, describe and configure.
    pub started_in: Duration,
}

impl WasmPolicy {
    /// Puts a question to a fresh instance. Nothing of it is counted or kept, and no store is touched.
    pub fn aside(&self, question: &Question, told: Told<'_>) -> Aside {
        let begun = Instant::now();
        let started =
            Instance::start(&self.engine, &self.plugin, &self.name, self.spec.limits, &self.spec.settings);
        let started_in = begun.elapsed();
        let mut instance = match started {
            Ok((instance, _)) => instance,
            Err(error) => {
                let recorded = Err(StartError::into_failure(error)).into();
                return Aside { recorded, strayed: None, memory: 0, started_in };
            }
        };
        instance.stand_in(StandIn::new(told));
        let reply = instance
            .call(&self.engine, self.spec.limits.call, |bindings, store| bindings.answer(store, question));
        let recorded = RecordedReply { imports: instance.take_record(), component: Some(self.sha256), reply };
        let strayed = instance.strayed().map(str::to_owned);
        Aside { recorded, strayed, memory: instance.memory(), started_in }
    }

    /// Lays something into the plugin's store, as if it had written it.
    ///
    /// # Errors
    /// A key or value that is too long, or a store that is full.
    pub fn lay_in(&self, key: &str, value: &[u8]) -> Result<(), String> {
        let store = &self.services.held.store;
        let mut writes = crate::store::Writes::default();
        store.set(&mut writes, key.to_owned(), value.to_owned())?;
        store.commit(writes, &self.manifest.version);
        Ok(())
    }

    /// Returns what is in the plugin's store under a key.
    pub fn laid_in(&self, key: &str) -> Option<Vec<u8>> {
        self.services.held.store.get(&crate::store::Writes::default(), key)
    }
}
