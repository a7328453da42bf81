//! Imports that are not the host's: what a call was told before, so that it can be made anew; or a host that keeps
//! nothing and has nothing, to see what a plugin makes of that.

use std::collections::BTreeMap;

use vpnhost_policy::{ImportCall, ImportValue, Sha256};
use wasmtime::{Result, bail};

use crate::limits;

/// What an instance that is asked aside is told by its imports.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// What another call was told: in the same order where it asks the same, and otherwise what was told to the same
    /// question. What was not asked then ends the call.
    Recorded(&'a [ImportCall]),
    /// Nothing is there, nothing is kept.
    Nothing,
    /// Whatever is asked for is there, and is no sense.
    Nonsense,
}

/// What stands in for the host.
pub(crate) enum StandIn {
    Recorded(Recorded),
    Nothing,
    Nonsense,
}

/// A record that is being told again.
#[derive(Default)]
pub(crate) struct Recorded {
    calls: Vec<ImportCall>,
    /// The next call, as long as everything was asked as it was then.
    at: usize,
    /// What the call itself wrote where the record has nothing of it.
    written: BTreeMap<String, Option<Vec<u8>>>,
    /// What was asked first that was not asked then.
    strayed: Option<String>,
}

/// What is no sense: no text, and longer than what most expect.
const NONSENSE: [u8; 64] = [0xff; 64];

impl StandIn {
    pub(crate) fn new(told: Told<'_>) -> Self {
        match told {
            Told::Recorded(calls) => {
                Self::Recorded(Recorded { calls: calls.to_vec(), ..Recorded::default() })
            }
            Told::Nothing => Self::Nothing,
            Told::Nonsense => Self::Nonsense,
        }
    }

    /// Returns what was asked first that the record does not know.
    pub(crate) fn strayed(&self) -> Option<&str> {
        match self {
            Self::Recorded(recorded) => recorded.strayed.as_deref(),
            Self::Nothing | Self::Nonsense => None,
        }
    }

    pub(crate) fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Nonsense => Ok(Some(NONSENSE.to_vec())),
            Self::Recorded(recorded) => {
                if let Some(call) = recorded.find("kv.get", &[key]) {
                    let ImportValue::Octets(octets) = call.value else { return Ok(None) };
                    return Ok(Some(octets));
                }
                match recorded.written.get(key) {
                    Some(value) => Ok(value.clone()),
                    None => recorded.stray("kv.get", &[key]),
                }
            }
        }
    }

    pub(crate) fn kv_keys(&mut self, prefix: &str) -> Result<Vec<String>> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Nonsense => Ok(vec![format!("{prefix}\u{fffd}"), format!("{prefix} ")]),
            Self::Recorded(recorded) => recorded.texts("kv.keys", &[prefix]),
        }
    }

    pub(crate) fn kv_set(
        &mut self,
        named: &str,
        key: &str,
        value: Vec<u8>,
    ) -> std::result::Result<(), String> {
        match self {
            Self::Nothing | Self::Nonsense => {
                Err(format!("a store holds {} keys and {} octets", limits::STORE_KEYS, limits::STORE_OCTETS))
            }
            Self::Recorded(recorded) => {
                // A write is no question: one that was not made then is taken, as a store that is not full does.
                if let Some(ImportCall { value: ImportValue::Refused(why), .. }) =
                    recorded.find("kv.set", &[named])
                {
                    return Err(why);
                }
                recorded.written.insert(key.to_owned(), Some(value));
                Ok(())
            }
        }
    }

    pub(crate) fn kv_delete(&mut self, key: &str) {
        if let Self::Recorded(recorded) = self
            && recorded.written.len() < limits::STORE_KEYS
        {
            recorded.written.insert(key.to_owned(), None);
        }
    }

    pub(crate) fn tables(&mut self) -> Result<Vec<String>> {
        match self {
            Self::Nothing | Self::Nonsense => Ok(Vec::new()),
            Self::Recorded(recorded) => recorded.texts("data.tables", &[]),
        }
    }

    pub(crate) fn look_up(&mut self, table: &str, key: &str) -> Result<(Option<String>, Option<Sha256>)> {
        match self {
            Self::Nothing => Ok((None, None)),
            Self::Nonsense => Ok((Some("\u{fffd},\u{0}".to_owned()), None)),
            Self::Recorded(recorded) => match recorded.find("data.get", &[table, key]) {
                Some(ImportCall { value: ImportValue::Text(text), table, .. }) => Ok((Some(text), table)),
                Some(ImportCall { table, .. }) => Ok((None, table)),
                None => recorded.stray("data.get", &[table, key]),
            },
        }
    }
}

impl Recorded {
    /// Finds what a call was told: the next one of the record, or the first that asked the same.
    fn find(&mut self, import: &'static str, arguments: &[&str]) -> Option<ImportCall> {
        let is_same = |call: &ImportCall| call.import == import && call.arguments == arguments;
        if self.calls.get(self.at).is_some_and(is_same) {
            self.at += 1;
            return self.calls.get(self.at - 1).cloned();
        }
        self.calls.iter().find(|call| is_same(call)).cloned()
    }

    fn texts(&mut self, import: &'static str, arguments: &[&str]) -> Result<Vec<String>> {
        match self.find(import, arguments) {
            Some(ImportCall { value: ImportValue::Texts(texts), .. }) => Ok(texts),
            Some(_) => Ok(Vec::new()),
            None => self.stray(import, arguments),
        }
    }

    /// Ends a call whose question cannot be answered out of the record.
    fn stray<T>(&mut self, import: &str, arguments: &[&str]) -> Result<T> {
        let asked = format!("{import}({})", arguments.join(", "));
        self.strayed
            .get_or_insert_with(|| crate::guest::printable(&asked, vpnhost_policy::limits::TEXT_OCTETS));
        bail!("the record does not know {asked}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(import: &'static str, arguments: &[&str], value: ImportValue) -> ImportCall {
        ImportCall {
            import,
            arguments: arguments.iter().map(|&it| it.to_owned()).collect(),
            value,
            table: None,
        }
    }

    #[test]
    fn a_key_that_was_read_before_and_after_a_write_is_told_both_values() {
        let one = |octet| ImportValue::Octets(vec![octet]);
        let calls = [
            call("kv.get", &["a"], one(1)),
            call("kv.set", &["a"], ImportValue::Done),
            call("kv.get", &["a"], one(2)),
        ];
        let mut told = StandIn::new(Told::Recorded(&calls));
        assert_eq!(told.kv_get("a").unwrap(), Some(vec![1]));
        told.kv_set("a", "a", vec![2]).unwrap();
        assert_eq!(told.kv_get("a").unwrap(), Some(vec![2]));
        assert_eq!(told.strayed(), None);
    }

    #[test]
    fn what_was_not_asked_then_ends_the_call_and_is_named() {
        let calls = [
            call("kv.get", &["a"], ImportValue::Nothing),
            call("kv.set", &["full"], ImportValue::Refused("no".into())),
        ];
        let mut told = StandIn::new(Told::Recorded(&calls));
        assert_eq!(told.kv_set("full", "full", vec![]), Err("no".to_owned()));
        told.kv_set("own", "own", vec![7]).unwrap();
        assert_eq!(told.kv_get("own").unwrap(), Some(vec![7]), "what it wrote itself it knows");
        told.kv_delete("own");
        assert_eq!(told.kv_get("own").unwrap(), None);
        assert_eq!(told.kv_get("a").unwrap(), None, "in another order, but asked then");
        assert!(told.look_up("users", "carol").is_err() && told.kv_keys("").is_err());
        assert_eq!(told.strayed(), Some("data.get(users, carol)"));
    }
}
