//! A plugin's key-value store: small, bounded, and changed only by calls that return.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{digest, limits};

/// What every file begins with; the digest of the rest follows in 64 digits, and a line feed.
const MAGIC: &[u8] = b"vpnhost-kv ";

type Pairs = BTreeMap<String, Vec<u8>>;

/// The pairs, and the version of the component that wrote last.
#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    pairs: Pairs,
    version: Option<String>,
}

/// What is stored for one plugin, whichever instance of it runs.
#[derive(Debug, Default)]
pub(crate) struct Store {
    content: Mutex<Content>,
    /// Where it is kept over a restart, if it is.
    file: Option<PathBuf>,
}

/// What one call wrote: it counts once the call returns.
#[derive(Debug, Default)]
pub(crate) struct Writes(BTreeMap<String, Option<Vec<u8>>>);

impl Store {
    /// Returns the store that a file holds. A file that is damaged is told and counts as empty.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        let mut octets = Vec::new();
        match File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => drop(opened?.take(limits::STORE_FILE_OCTETS).read_to_end(&mut octets)?),
        }
        let held = if octets.is_empty() { Some(Content::default()) } else { decode(&octets) };
        if held.is_none() {
            tracing::warn!(file = %file.display(), "a plugin's store is damaged: what it held is lost");
        }
        Ok(Self { content: Mutex::new(held.unwrap_or_default()), file: Some(file.to_owned()) })
    }

    /// Returns a copy: what is written there is gone with it.
    pub(crate) fn copy(&self) -> Self {
        Self { content: Mutex::new(self.lock().clone()), file: None }
    }

    /// Takes what a copy holds; what was written here since is gone.
    pub(crate) fn restore(&self, copy: &Self) {
        let content = copy.lock().clone();
        *self.lock() = content;
    }

    /// Returns the version of the component that wrote last, if one did.
    pub(crate) fn version(&self) -> Option<String> {
        self.lock().version.clone()
    }

    /// Notes that what is stored is of this version, as if it had written it.
    pub(crate) fn note_version(&self, version: &str) {
        self.lock().version = Some(version.to_owned());
    }

    /// Tells whether it is kept over a restart.
    pub(crate) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Replaces the file, whole or not at all.
    ///
    /// # Errors
    /// What keeps it from being written; the old file stays then.
    pub(crate) fn write(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let content = encode(&self.lock());
        let unfinished = file.with_added_extension("new");
        let mut options = OpenOptions::new();
        let mut opened = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        opened.write_all(&content)?;
        opened.sync_all()?;
        fs::rename(&unfinished, file)?;
        file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    /// Returns a value as a call sees it that wrote before.
    pub(crate) fn get(&self, writes: &Writes, key: &str) -> Option<Vec<u8>> {
        match writes.0.get(key) {
            Some(written) => written.clone(),
            None => self.lock().pairs.get(key).cloned(),
        }
    }

    /// Returns keys as a call sees them that wrote before, in order.
    pub(crate) fn keys(&self, writes: &Writes, prefix: &str, most: usize) -> Vec<String> {
        let pairs = &self.lock().pairs;
        let from = |it: &str| it >= prefix;
        let old = pairs.range(prefix.to_owned()..).map(|(key, _)| key.as_str());
        let old = old.take_while(|key| key.starts_with(prefix)).filter(|key| !writes.0.contains_key(*key));
        let new = writes.0.iter().filter(|(key, value)| from(key) && value.is_some());
        let new = new.map(|(key, _)| key.as_str()).filter(|key| key.starts_with(prefix));
        let mut keys: Vec<&str> = old.chain(new).collect();
        keys.sort_unstable();
        keys.into_iter().take(most).map(str::to_owned).collect()
    }

    /// Writes on behalf of a call.
    ///
    /// # Errors
    /// A key or value too long, or a store that is full, in words for the plugin's author.
    pub(crate) fn set(&self, writes: &mut Writes, key: String, value: Vec<u8>) -> Result<(), String> {
        if key.is_empty() || key.len() > limits::STORE_KEY_OCTETS {
            return Err(format!("a key has from 1 to {} octets", limits::STORE_KEY_OCTETS));
        }
        if value.len() > limits::STORE_VALUE_OCTETS {
            return Err(format!("a value has at most {} octets", limits::STORE_VALUE_OCTETS));
        }
        let before = writes.0.insert(key.clone(), Some(value));
        if fits(&self.lock().pairs, writes) {
            return Ok(());
        }
        match before {
            Some(before) => writes.0.insert(key, before),
            None => writes.0.remove(&key),
        };
        Err(format!("a store holds {} keys and {} octets", limits::STORE_KEYS, limits::STORE_OCTETS))
    }

    /// Removes on behalf of a call.
    pub(crate) fn delete(&self, writes: &mut Writes, key: &str) {
        if writes.0.contains_key(key) || self.lock().pairs.contains_key(key) {
            writes.0.insert(key.to_owned(), None);
        }
    }

    /// Takes what a call wrote; tells whether anything changed. Two calls of one plugin, old and new, may have
    /// filled the store together: then the later writes are lost, which is told.
    pub(crate) fn commit(&self, writes: Writes, version: &str) -> bool {
        if writes.0.is_empty() {
            return false;
        }
        let mut content = self.lock();
        let Content { pairs, version: noted } = &mut *content;
        if !fits(pairs, &writes) {
            tracing::warn!("a plugin's store is full: what a call wrote is lost");
            return false;
        }
        for (key, value) in writes.0 {
            match value {
                Some(value) => drop(pairs.insert(key, value)),
                None => drop(pairs.remove(&key)),
            }
        }
        if noted.as_deref() != Some(version) {
            *noted = Some(version.to_owned());
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fits(pairs: &Pairs, writes: &Writes) -> bool {
    let mut count = pairs.len();
    let mut octets: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
    for (key, value) in &writes.0 {
        if let Some(old) = pairs.get(key) {
            count -= 1;
            octets -= key.len() + old.len();
        }
        if let Some(value) = value {
            count += 1;
            octets += key.len() + value.len();
        }
    }
    count <= limits::STORE_KEYS && octets <= limits::STORE_OCTETS
}

/// A pair without a key, which no plugin can have, is the version.
fn encode(Content { pairs, version }: &Content) -> Vec<u8> {
    let mut content = Vec::new();
    let version = version.as_deref().map(|version| [&b""[..], version.as_bytes()]);
    let pairs = pairs.iter().map(|(key, value)| [key.as_bytes(), value.as_slice()]);
    for part in version.into_iter().chain(pairs).flatten() {
        content.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        content.extend(part);
    }
    [MAGIC, format!("{}\n", digest::of(&content)).as_bytes(), &content].concat()
}

fn decode(octets: &[u8]) -> Option<Content> {
    let (header, mut content) = octets.split_at_checked(MAGIC.len() + 65)?;
    let told = header.strip_prefix(MAGIC)?.strip_suffix(b"\n")?;
    if told != digest::of(content).to_string().as_bytes() {
        return None;
    }
    let mut pairs = Pairs::new();
    while !content.is_empty() {
        let key = String::from_utf8(part(&mut content)?.to_owned()).ok()?;
        pairs.insert(key, part(&mut content)?.to_owned());
    }
    let version = pairs.remove("").and_then(|version| String::from_utf8(version).ok());
    fits(&pairs, &Writes::default()).then_some(Content { pairs, version })
}

fn part<'a>(content: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = content.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    *content = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(pairs: &[(&str, &str)]) -> Store {
        let store = Store::default();
        let mut writes = Writes::default();
        for (key, value) in pairs {
            store.set(&mut writes, (*key).to_owned(), value.as_bytes().to_owned()).unwrap();
        }
        store.commit(writes, "0.1.0");
        store
    }

    #[test]
    fn a_call_sees_what_it_wrote_and_others_only_what_it_committed() {
        let store = holding(&[("a/1", "one"), ("a/2", "two"), ("b", "bee")]);
        let mut writes = Writes::default();
        store.set(&mut writes, "a/0".to_owned(), b"nought".to_vec()).unwrap();
        store.delete(&mut writes, "a/2");
        assert_eq!(store.keys(&writes, "a/", 9), ["a/0", "a/1"]);
        assert_eq!(store.keys(&writes, "", 2), ["a/0", "a/1"]);
        assert_eq!(store.get(&writes, "a/2"), None);
        let other = Writes::default();
        assert_eq!(store.keys(&other, "a/", 9), ["a/1", "a/2"]);
        assert!(store.commit(writes, "0.1.0"));
        assert_eq!(store.keys(&other, "a/", 9), ["a/0", "a/1"]);
        assert!(!store.commit(Writes::default(), "0.1.0"));
    }

    #[test]
    fn keys_values_their_number_and_their_octets_have_a_bound() {
        let store = Store::default();
        let mut writes = Writes::default();
        let mut set = |key: String, value: usize| store.set(&mut writes, key, vec![7; value]);
        assert!(set(String::new(), 1).is_err());
        assert!(set("k".repeat(limits::STORE_KEY_OCTETS + 1), 1).is_err());
        assert!(set("k".to_owned(), limits::STORE_VALUE_OCTETS + 1).is_err());
        let taken = (0..limits::STORE_KEYS * 2).filter(|it| set(it.to_string(), 0).is_ok()).count();
        assert_eq!(taken, limits::STORE_KEYS);
        set("0".to_owned(), 3).expect("a key that is there may change");
        let mut writes = Writes::default();
        let mut set = |key: String| store.set(&mut writes, key, vec![7; limits::STORE_VALUE_OCTETS]);
        let taken = (0..limits::STORE_KEYS).filter(|it| set(it.to_string()).is_ok()).count();
        assert_eq!(taken, limits::STORE_OCTETS / (limits::STORE_VALUE_OCTETS + 3));
    }

    #[test]
    fn what_two_calls_write_at_once_stays_within_the_bound() {
        let store = Store::default();
        let [mut one, mut two] = [Writes::default(), Writes::default()];
        for number in 0..limits::STORE_KEYS {
            store.set(&mut one, format!("one {number}"), Vec::new()).unwrap();
            store.set(&mut two, format!("two {number}"), Vec::new()).unwrap();
        }
        assert!(store.commit(one, "0.1.0"));
        assert!(!store.commit(two, "0.1.0"));
        assert_eq!(store.lock().pairs.len(), limits::STORE_KEYS);
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_counts_as_empty_once_it_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sticky");
        let store = Store::read(&file).unwrap();
        let mut writes = Writes::default();
        store.set(&mut writes, "peer".to_owned(), vec![0, 255]).unwrap();
        assert!(store.commit(writes, "0.1.0"));
        store.write().unwrap();
        let read = Store::read(&file).unwrap();
        assert_eq!(*read.lock(), *store.lock());
        let good = fs::read(&file).unwrap();
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert!(decode(&changed).is_none(), "octet {at} changed");
            assert!(decode(&good[..at]).is_none(), "cut at {at}");
        }
        fs::write(&file, &good[..good.len() - 1]).unwrap();
        assert!(Store::read(&file).unwrap().lock().pairs.is_empty());
    }
}
