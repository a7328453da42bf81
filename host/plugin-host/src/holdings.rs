//! What the host holds for plugins while their instances, and their components, come and go: stores and numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use vpnhost_policy::{Metric, MetricValue};

use crate::store::Store;
use crate::{compiled, limits};

/// How long a plugin's store is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// As long as the host runs.
    #[default]
    Memory,
    /// Over a restart, too.
    Keep,
}

/// Everything that is held, by the plugins' names.
pub(crate) struct Holdings {
    /// The directory of stores that are kept.
    directory: Option<PathBuf>,
    held: Mutex<BTreeMap<String, Held>>,
    writing: Arc<Writing>,
    writer: Option<JoinHandle<()>>,
}

/// What is held for one plugin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) store: Arc<Store>,
    pub(crate) numbers: Arc<Numbers>,
}

impl Holdings {
    /// Returns holdings that end with the host.
    pub(crate) fn in_memory() -> Self {
        let (held, writing) = (Mutex::default(), Arc::default());
        Self { directory: None, held, writing, writer: None }
    }

    /// Returns holdings whose stores may be kept in a directory.
    ///
    /// # Errors
    /// A directory that others may write, or that this process may not; no thread.
    pub(crate) fn at(directory: &Path) -> io::Result<Self> {
        compiled::open_private(directory)?;
        let writing = Arc::new(Writing::default());
        let writes = Arc::clone(&writing);
        let writer = thread::Builder::new().name("plugin-stores".to_owned()).spawn(move || writes.run())?;
        let directory = Some(directory.to_owned());
        Ok(Self { directory, held: Mutex::default(), writing, writer: Some(writer) })
    }

    /// Returns what is held for a plugin. A name finds again what was held for it before.
    ///
    /// # Errors
    /// A store that should be kept and is there, but cannot be read.
    pub(crate) fn of(&self, name: &str, kind: StoreKind) -> io::Result<Held> {
        let mut held = lock(&self.held);
        if let Some(known) = held.get(name).filter(|it| it.store.is_kept() == (kind == StoreKind::Keep)) {
            return Ok(known.clone());
        }
        let store = match (kind, &self.directory) {
            (StoreKind::Keep, Some(directory)) => {
                let file = file(directory, name)?;
                // It may have been kept before, and not for a while.
                self.flush();
                Arc::new(Store::read(&file)?)
            }
            (StoreKind::Keep, None) => {
                tracing::warn!(plugin = name, "a plugin's store is not kept: there is no state directory");
                return Ok(held.entry(name.to_owned()).or_default().clone());
            }
            (StoreKind::Memory, _) => Arc::default(),
        };
        let numbers = held.get(name).map(|it| Arc::clone(&it.numbers)).unwrap_or_default();
        held.insert(name.to_owned(), Held { store, numbers });
        Ok(held[name].clone())
    }

    /// Has a store written soon; nobody waits for it.
    pub(crate) fn changed(&self, store: &Arc<Store>) {
        if store.is_kept() {
            self.writing.push(store);
        }
    }

    /// Waits until every store that changed is written.
    pub(crate) fn flush(&self) {
        self.writing.write_all();
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        lock(&self.writing.queue).closed = true;
        self.writing.arrived.notify_all();
        if let Some(writer) = self.writer.take() {
            // A panic of its own would have been reported already.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holdings").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// Stores that wait to be written.
#[derive(Default)]
struct Writing {
    queue: Mutex<Queue>,
    /// Held while files are written: what is newer is not overtaken by what is older.
    disk: Mutex<()>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    changed: Vec<Arc<Store>>,
    closed: bool,
}

impl Writing {
    fn push(&self, store: &Arc<Store>) {
        let mut queue = lock(&self.queue);
        if !queue.changed.iter().any(|it| Arc::ptr_eq(it, store)) {
            queue.changed.push(Arc::clone(store));
            self.arrived.notify_all();
        }
    }

    /// Writes what changed at once, and then waits: a plugin that writes with each question wears no disk out.
    fn run(&self) {
        loop {
            let queue = lock(&self.queue);
            let idle = |queue: &mut Queue| !queue.closed && queue.changed.is_empty();
            let queue = self.arrived.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
            let closed = queue.closed;
            drop(queue);
            self.write_all();
            if closed {
                return;
            }
            let queue = lock(&self.queue);
            let open = |queue: &mut Queue| !queue.closed;
            drop(self.arrived.wait_timeout_while(queue, limits::STORE_PAUSE, open));
        }
    }

    fn write_all(&self) {
        let _turn = lock(&self.disk);
        // The queue's lock is not held over a disk's time: a call that ends meanwhile goes on.
        for store in std::mem::take(&mut lock(&self.queue).changed) {
            if let Err(error) = store.write() {
                tracing::warn!(%error, "a plugin's store could not be written");
            }
        }
    }
}

/// The numbers that a plugin counts and measures.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    numbers: Mutex<BTreeMap<String, MetricValue>>,
}

impl Numbers {
    /// Adds to a counter; false if it is none, or one too many.
    pub(crate) fn count(&self, name: &str, by: u32) -> bool {
        self.change(name, |value| match value {
            None => Some(MetricValue::Counter(by.into())),
            Some(MetricValue::Counter(old)) => Some(MetricValue::Counter(old.saturating_add(by.into()))),
            Some(MetricValue::Gauge(_)) => None,
        })
    }

    /// Sets a gauge; false if it is none, or one too many, or the value is no number.
    pub(crate) fn set(&self, name: &str, value: f64) -> bool {
        value.is_finite()
            && self.change(name, |old| match old {
                None | Some(MetricValue::Gauge(_)) => Some(MetricValue::Gauge(value)),
                Some(MetricValue::Counter(_)) => None,
            })
    }

    /// Returns all, by name.
    pub(crate) fn all(&self) -> Vec<Metric> {
        let numbers = lock(&self.numbers);
        numbers.iter().map(|(name, value)| Metric { name: name.clone(), value: *value }).collect()
    }

    fn change(&self, name: &str, to: impl FnOnce(Option<MetricValue>) -> Option<MetricValue>) -> bool {
        let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
        let is_name = (1..=limits::METRIC_NAME_OCTETS).contains(&name.len())
            && name.bytes().all(plain)
            && !name.starts_with(|first: char| first.is_ascii_digit());
        let mut numbers = lock(&self.numbers);
        if !is_name || numbers.len() >= limits::METRICS && !numbers.contains_key(name) {
            return false;
        }
        let Some(value) = to(numbers.get(name).copied()) else { return false };
        numbers.insert(name.to_owned(), value);
        true
    }
}

/// Returns where a plugin's store lies: a name leads nowhere else.
fn file(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._-@+".contains(&octet);
    let is_plain = !name.is_empty() && !name.starts_with(['.', '-']) && name.bytes().all(plain);
    if !is_plain || name.len() > limits::STORE_NAME_OCTETS || name.ends_with(".new") {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    Ok(directory.join(name))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Writes;

    fn write(holdings: &Holdings, held: &Held, value: &str) {
        let mut writes = Writes::default();
        held.store.set(&mut writes, "key".to_owned(), value.as_bytes().to_owned()).unwrap();
        assert!(held.store.commit(writes, "0.1.0"));
        holdings.changed(&held.store);
    }

    fn value(held: &Held) -> Option<Vec<u8>> {
        held.store.get(&Writes::default(), "key")
    }

    #[test]
    fn a_plugins_store_is_found_again_by_its_name_and_after_a_restart_only_where_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("plugins");
        let holdings = Holdings::at(&directory).unwrap();
        for (name, kind) in [("kept", StoreKind::Keep), ("fleeting", StoreKind::Memory)] {
            write(&holdings, &holdings.of(name, kind).unwrap(), name);
            assert_eq!(value(&holdings.of(name, kind).unwrap()).as_deref(), Some(name.as_bytes()));
            assert_eq!(value(&holdings.of("other", kind).unwrap()), None);
        }
        drop(holdings);
        let holdings = Holdings::at(&directory).unwrap();
        assert_eq!(value(&holdings.of("kept", StoreKind::Keep).unwrap()).as_deref(), Some(&b"kept"[..]));
        assert_eq!(value(&holdings.of("fleeting", StoreKind::Memory).unwrap()), None);
    }

    #[test]
    fn what_a_call_wrote_last_is_on_the_disk_once_it_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let holdings = Holdings::at(dir.path().join("plugins").as_path()).unwrap();
        let held = holdings.of("kept", StoreKind::Keep).unwrap();
        for number in 0..100 {
            write(&holdings, &held, &number.to_string());
        }
        holdings.flush();
        let read = Store::read(&dir.path().join("plugins/kept")).unwrap();
        assert_eq!(read.get(&Writes::default(), "key").as_deref(), Some(&b"99"[..]));
    }

    #[test]
    fn a_name_leads_out_of_the_directory_never() {
        let dir = tempfile::tempdir().unwrap();
        let holdings = Holdings::at(dir.path().join("plugins").as_path()).unwrap();
        for name in ["", ".", "..", "../x", "a/b", "-x", "x.new", &"x".repeat(999)] {
            assert!(holdings.of(name, StoreKind::Keep).is_err(), "{name}");
        }
    }

    #[test]
    fn a_counter_only_grows_a_gauge_is_set_and_their_number_has_a_bound() {
        let numbers = Numbers::default();
        assert!(numbers.count("refusals", 2) && numbers.count("refusals", u32::MAX));
        assert!(numbers.set("peers", 2.5) && numbers.set("peers", -1.0));
        assert!(!numbers.set("refusals", 1.0) && !numbers.count("peers", 1));
        assert!(!numbers.set("peers", f64::NAN) && !numbers.set("new", f64::INFINITY));
        for name in ["", "Refusals", "2nd", "a b", "a\"}", &"x".repeat(limits::METRIC_NAME_OCTETS + 1)] {
            assert!(!numbers.count(name, 1), "{name}");
        }
        let taken = (0..limits::METRICS * 2).filter(|number| numbers.count(&format!("n{number}"), 1)).count();
        assert_eq!(taken, limits::METRICS - 2);
        assert!(numbers.count("refusals", 1), "one that is there may still change");
        let all = numbers.all();
        assert_eq!(all.len(), limits::METRICS);
        let value = |name| all.iter().find(|it| it.name == name).unwrap().value;
        assert_eq!(value("refusals"), MetricValue::Counter(u64::from(u32::MAX) + 3));
        assert_eq!(value("peers"), MetricValue::Gauge(-1.0));
    }
}
