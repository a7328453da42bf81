//! What the host keeps beside an instance: its bounds, its lines in the log, what it has of the host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Level;
use vpnhost_policy::{Failure, ImportCall, ImportValue, Sha256};
use wasmtime::{ResourceLimiter, Result, Trap, bail};

use crate::PluginEngine;
use crate::holdings::Held;
use crate::limits::{self, Limits};
use crate::recorded::StandIn;
use crate::store::Writes;
use crate::table::Table;

/// What the host keeps beside an instance.
pub(crate) struct Guest {
    name: String,
    limits: Limits,
    deadline: Instant,
    /// Memory was asked for and not given.
    starved: bool,
    /// The most octets that one of its memories has had.
    memory: usize,
    log_lines: u32,
    log_dropped: u32,
    /// The last line at ERROR: a panic writes its message there.
    last_words: Option<String>,
    services: Option<Services>,
    /// What is asked instead of the host, where it is not to be.
    stand_in: Option<StandIn>,
    writes: Writes,
    /// Numbers that were not taken in this call.
    numbers_dropped: u32,
    record: Vec<ImportCall>,
    record_octets: usize,
    /// This call is not replayed.
    unrecorded: bool,
}

/// What an instance may have of the host.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) engine: Arc<PluginEngine>,
    pub(crate) held: Held,
    pub(crate) tables: Arc<BTreeMap<String, Table>>,
    /// The component's version, which is noted with what it writes.
    pub(crate) version: String,
}

impl Guest {
    pub(crate) fn new(name: &str, limits: Limits) -> Self {
        Self {
            name: name.to_owned(),
            limits,
            deadline: Instant::now() + limits::START,
            starved: false,
            memory: 0,
            log_lines: 0,
            log_dropped: 0,
            last_words: None,
            services: None,
            stand_in: None,
            writes: Writes::default(),
            numbers_dropped: 0,
            record: Vec::new(),
            record_octets: 0,
            unrecorded: false,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn serve(&mut self, services: Services) {
        self.services = Some(services);
    }

    /// Has something asked instead of the host, from now on.
    pub(crate) fn stand_in(&mut self, stand_in: StandIn) {
        self.stand_in = Some(stand_in);
    }

    /// Returns what was asked that a record does not know.
    pub(crate) fn strayed(&self) -> Option<&str> {
        self.stand_in.as_ref()?.strayed()
    }

    /// Returns how many octets of memory it has.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    pub(crate) fn take_record(&mut self) -> Vec<ImportCall> {
        std::mem::take(&mut self.record)
    }

    /// Begins a call.
    pub(crate) fn begin(&mut self, limit: Duration) {
        self.deadline = Instant::now() + limit;
        self.log_lines = 0;
        self.log_dropped = 0;
        self.last_words = None;
        self.writes = Writes::default();
        self.numbers_dropped = 0;
        self.record = Vec::new();
        self.record_octets = 0;
        self.unrecorded = false;
    }

    /// Has nothing of the call under way recorded; then it may ask for as much as its time allows.
    pub(crate) fn record_nothing(&mut self) {
        self.unrecorded = true;
    }

    /// Ends a call: what it wrote counts only if it returned.
    pub(crate) fn end(&mut self, returned: bool) {
        let plugin = &self.name;
        if self.log_dropped > 0 {
            tracing::warn!(%plugin, dropped = self.log_dropped, "plugin wrote too many lines");
        }
        if self.numbers_dropped > 0 {
            tracing::debug!(%plugin, dropped = self.numbers_dropped, "plugin's numbers were not taken");
        }
        let writes = std::mem::take(&mut self.writes);
        if let Some(Services { engine, held, version, .. }) = self.services.as_ref().filter(|_| returned)
            && held.store.commit(writes, version)
        {
            engine.holdings().changed(&held.store);
        }
    }

    pub(crate) fn kv_get(&mut self, key: String) -> Result<Option<Vec<u8>>> {
        let value = match &mut self.stand_in {
            Some(stand_in) => stand_in.kv_get(&key)?,
            None => self.services()?.held.store.get(&self.writes, &key),
        };
        let told = value.clone().map_or(ImportValue::Nothing, ImportValue::Octets);
        self.tell("kv.get", vec![key], told, None)?;
        Ok(value)
    }

    pub(crate) fn kv_keys(&mut self, prefix: String) -> Result<Vec<String>> {
        let most = if self.unrecorded { limits::STORE_KEYS } else { limits::STORE_KEYS_LISTED };
        let keys = match &mut self.stand_in {
            Some(stand_in) => stand_in.kv_keys(&prefix)?,
            None => self.services()?.held.store.keys(&self.writes, &prefix, most),
        };
        self.tell("kv.keys", vec![prefix], ImportValue::Texts(keys.clone()), None)?;
        Ok(keys)
    }

    pub(crate) fn kv_set(&mut self, key: String, value: Vec<u8>) -> Result<std::result::Result<(), String>> {
        let named = printable(&key, limits::STORE_KEY_OCTETS);
        let set = match &mut self.stand_in {
            Some(stand_in) => stand_in.kv_set(&named, &key, value),
            None => {
                let store = Arc::clone(&self.services()?.held.store);
                store.set(&mut self.writes, key, value)
            }
        };
        let told = set.clone().map_or_else(ImportValue::Refused, |()| ImportValue::Done);
        self.tell("kv.set", vec![named], told, None)?;
        Ok(set)
    }

    /// Nothing comes back that would have to be recorded.
    pub(crate) fn kv_delete(&mut self, key: &str) -> Result<()> {
        match &mut self.stand_in {
            Some(stand_in) => stand_in.kv_delete(key),
            None => {
                let store = Arc::clone(&self.services()?.held.store);
                store.delete(&mut self.writes, key);
            }
        }
        Ok(())
    }

    pub(crate) fn count(&mut self, name: &str, by: u32) -> Result<()> {
        let taken = self.stand_in.is_some() || self.services()?.held.numbers.count(name, by);
        self.numbers_dropped = self.numbers_dropped.saturating_add(u32::from(!taken));
        Ok(())
    }

    pub(crate) fn gauge(&mut self, name: &str, value: f64) -> Result<()> {
        let taken = self.stand_in.is_some() || self.services()?.held.numbers.set(name, value);
        self.numbers_dropped = self.numbers_dropped.saturating_add(u32::from(!taken));
        Ok(())
    }

    pub(crate) fn tables(&mut self) -> Result<Vec<String>> {
        let tables: Vec<String> = match &mut self.stand_in {
            Some(stand_in) => stand_in.tables()?,
            None => self.services()?.tables.keys().cloned().collect(),
        };
        self.tell("data.tables", Vec::new(), ImportValue::Texts(tables.clone()), None)?;
        Ok(tables)
    }

    /// A table that is not there is a mistake of the operator's, not an empty one: who reads a list of whom to keep
    /// out must not take nobody for its content.
    pub(crate) fn look_up(&mut self, table: String, key: String) -> Result<Option<String>> {
        let (value, sha256) = match &mut self.stand_in {
            Some(stand_in) => stand_in.look_up(&table, &key)?,
            None => {
                let Some(found) = self.services()?.tables.get(&table) else {
                    let table = printable(&table, limits::STORE_NAME_OCTETS);
                    bail!("it looks into the table `{table}`, which data in [[plugin]] does not name");
                };
                (found.get(&key).map(str::to_owned), Some(found.sha256()))
            }
        };
        let told = value.clone().map_or(ImportValue::Nothing, ImportValue::Text);
        self.tell("data.get", vec![table, key], told, sha256)?;
        Ok(value)
    }

    fn services(&self) -> Result<&Services> {
        match &self.services {
            Some(services) => Ok(services),
            None => bail!("kv, metrics and data are there only while a question is answered"),
        }
    }

    /// Records a value that the guest gets. What is too much to be recorded ends the call: there is none that could
    /// not be replayed.
    fn tell(
        &mut self,
        import: &'static str,
        arguments: Vec<String>,
        value: ImportValue,
        table: Option<Sha256>,
    ) -> Result<()> {
        if self.unrecorded {
            return Ok(());
        }
        let octets = match &value {
            ImportValue::Nothing | ImportValue::Done => 0,
            ImportValue::Octets(octets) => octets.len(),
            ImportValue::Text(text) | ImportValue::Refused(text) => text.len(),
            ImportValue::Texts(texts) => texts.iter().map(String::len).sum(),
        };
        self.record_octets += octets + arguments.iter().map(String::len).sum::<usize>();
        if self.record.len() >= limits::IMPORTED_VALUES || self.record_octets > limits::IMPORTED_OCTETS {
            bail!("it asks more of kv and data than a call may");
        }
        self.record.push(ImportCall { import, arguments, value, table });
        Ok(())
    }

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
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let given = desired <= self.limits.memory;
        self.starved |= !given;
        if given {
            self.memory = self.memory.saturating_add(desired.saturating_sub(current));
        }
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

/// Says why a call failed.
pub(crate) fn failure(guest: &mut Guest, error: &wasmtime::Error) -> Failure {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Failure::Deadline,
        _ if guest.starved => Failure::Memory,
        Some(Trap::StackOverflow) => Failure::Trap("stack overflow".to_owned()),
        Some(trap) => Failure::Trap(guest.last_words.take().unwrap_or_else(|| trap.to_string())),
        // What an import said, or the run time: the guest's backtrace stands before it.
        None => {
            Failure::Trap(printable(&error.root_cause().to_string(), vpnhost_policy::limits::TEXT_OCTETS))
        }
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
