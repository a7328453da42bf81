//! Tables that an operator lets a plugin look things up in: lists of users, calendars, networks.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use vpnhost_policy::Sha256;

use crate::{LoadError, digest, limits};

/// A file with a table, and how it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// What the plugin calls it.
    pub name: String,
    /// The file: lines of `key,value`; a line that begins with `#` is a comment.
    pub path: PathBuf,
    /// What its keys are.
    pub keys: TableKeys,
}

/// What the keys of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKeys {
    /// Texts that are equal or not.
    Texts,
    /// Networks and addresses: `10.0.0.0/8`. The longest that holds an address is meant.
    Networks,
}

/// A table as it was when it was read.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Rows,
    sha256: Sha256,
}

#[derive(Debug)]
enum Rows {
    Texts(HashMap<Box<str>, Box<str>>),
    Networks(Networks),
}

impl Table {
    /// Reads a table whole.
    ///
    /// # Errors
    /// A file that cannot be read, is too large, or has a line that is none of a table.
    pub(crate) fn read(spec: &TableSpec) -> Result<Self, LoadError> {
        let octets = read(&spec.path)?;
        let wrong = |line, problem| LoadError::Table { path: spec.path.clone(), line, problem };
        let text = std::str::from_utf8(&octets).map_err(|error| {
            let before = &octets[..error.valid_up_to()];
            wrong(1 + before.iter().filter(|&&octet| octet == b'\n').count(), "is no UTF-8 text")
        })?;
        let mut rows = match spec.keys {
            TableKeys::Texts => Rows::Texts(HashMap::new()),
            TableKeys::Networks => Rows::Networks(Networks::default()),
        };
        let mut count = 0;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            count += 1;
            let added = if count > limits::TABLE_ROWS {
                Err("is one too many")
            } else {
                pair(line).and_then(|(key, value)| rows.add(key, value))
            };
            added.map_err(|problem| wrong(number + 1, problem))?;
        }
        Ok(Self { rows, sha256: digest::of(&octets) })
    }

    /// Returns the digest of the file.
    pub(crate) fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Looks a key up.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        match &self.rows {
            Rows::Texts(rows) => rows.get(key).map(|value| &**value),
            Rows::Networks(rows) => rows.find(key.parse().ok()?),
        }
    }
}

impl Rows {
    fn add(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let before = match self {
            Self::Texts(rows) => rows.insert(key.into(), value.into()).is_some(),
            Self::Networks(rows) => rows.add(key, value)?,
        };
        if before { Err("has a key that stands there before") } else { Ok(()) }
    }
}

/// Networks of both families, by the length of their prefixes.
#[derive(Debug, Default)]
struct Networks([BTreeMap<u32, HashMap<u128, Box<str>>>; 2]);

impl Networks {
    fn add(&mut self, key: &str, value: &str) -> Result<bool, &'static str> {
        const NONE: &str = "has a key that is no network like 10.0.0.0/8 and no address";
        let (address, length) = key.split_once('/').map_or((key, None), |(it, length)| (it, Some(length)));
        let (family, bits, width) = split(address.parse().map_err(|_| NONE)?);
        let length = length.map_or(Ok(width), str::parse).map_err(|_| NONE)?;
        if length > width {
            return Err(NONE);
        }
        if prefix(bits, width, length) != bits {
            return Err("has a network with bits set behind its prefix");
        }
        Ok(self.0[family].entry(length).or_default().insert(bits, value.into()).is_some())
    }

    fn find(&self, address: IpAddr) -> Option<&str> {
        let (family, bits, width) = split(address.to_canonical());
        let longest_first = self.0[family].iter().rev();
        longest_first
            .filter_map(|(&length, networks)| networks.get(&prefix(bits, width, length)))
            .map(|value| &**value)
            .next()
    }
}

/// Returns an address's family, its bits, and how many they are.
fn split(address: IpAddr) -> (usize, u128, u32) {
    match address {
        IpAddr::V4(address) => (0, address.to_bits().into(), 32),
        IpAddr::V6(address) => (1, address.to_bits(), 128),
    }
}

/// Clears what stands behind a prefix.
fn prefix(bits: u128, width: u32, length: u32) -> u128 {
    let behind = width - length;
    bits.checked_shr(behind).and_then(|it| it.checked_shl(behind)).unwrap_or(0)
}

fn pair(line: &str) -> Result<(&str, &str), &'static str> {
    let (key, value) = line.split_once(',').ok_or("has no comma between a key and its value")?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || key.len() > limits::TABLE_KEY_OCTETS {
        return Err("has an empty key, or one that is too long");
    }
    if value.len() > limits::TABLE_VALUE_OCTETS {
        return Err("has a value that is too long");
    }
    Ok((key, value))
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let mut octets = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limits::TABLE_OCTETS + 1).read_to_end(&mut octets).map_err(failed)?;
    match u64::try_from(octets.len()) {
        Ok(length) if length <= limits::TABLE_OCTETS => Ok(octets),
        Ok(_) | Err(_) => Err(failed(std::io::ErrorKind::FileTooLarge.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(keys: TableKeys, text: &str) -> Result<Table, LoadError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&TableSpec { name: "table".to_owned(), path, keys })
    }

    #[test]
    fn a_key_is_looked_up_as_it_stands() {
        let users = table(TableKeys::Texts, "# who, and what for\ncarol, sales, west\n\ndave,\n").unwrap();
        assert_eq!(users.get("carol"), Some("sales, west"));
        assert_eq!(users.get("dave"), Some(""));
        assert_eq!(users.get("Carol"), None);
        assert_eq!(users.sha256(), digest::of(b"# who, and what for\ncarol, sales, west\n\ndave,\n"));
    }

    #[test]
    fn an_address_is_looked_up_by_the_longest_prefix() {
        let text = "0.0.0.0/0,world\n10.0.0.0/8,ten\n10.1.0.0/16,west\n10.1.2.3,desk\n2001:db8::/32,doc\n";
        let networks = table(TableKeys::Networks, text).unwrap();
        for (address, found) in [
            ("192.0.2.1", Some("world")),
            ("10.2.0.1", Some("ten")),
            ("10.1.2.4", Some("west")),
            ("10.1.2.3", Some("desk")),
            ("::ffff:10.1.2.3", Some("desk")),
            ("2001:db8::1", Some("doc")),
            ("2001:db9::1", None),
            ("carol", None),
        ] {
            assert_eq!(networks.get(address), found, "{address}");
        }
        let everywhere = table(TableKeys::Networks, "::/0,six\n").unwrap();
        assert_eq!((everywhere.get("::1"), everywhere.get("127.0.0.1")), (Some("six"), None));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (keys, text, line, problem) in [
            (TableKeys::Texts, "carol,1\ndave\n", 2, "no comma"),
            (TableKeys::Texts, "carol,1\n# x\ncarol,2\n", 3, "stands there before"),
            (TableKeys::Texts, ",1\n", 1, "empty key"),
            (TableKeys::Networks, "10.0.0.0/8,a\n10.0.0.1/8,b\n", 2, "bits set behind"),
            (TableKeys::Networks, "10.0.0.0/33,a\n", 1, "no network"),
            (TableKeys::Networks, "carol,a\n", 1, "no network"),
        ] {
            let error = table(keys, text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line} ")) && error.contains(problem), "{text}: {error}");
        }
        let long = format!("carol,{}\n", "x".repeat(limits::TABLE_VALUE_OCTETS + 1));
        assert!(table(TableKeys::Texts, &long).is_err());
    }
}
