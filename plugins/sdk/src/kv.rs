//! The plugin's own store, held by the host; the operator grants it with `grant = ["kv"]`.
//!
//! It is there while a question is answered, and what a call writes counts once the call returns. Natively it is
//! a store of the thread's own, so that each test begins with an empty one.

use std::fmt;

/// Why a value was not taken: a key or value that is too long, or a store that is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Returns the value of a key.
pub fn get(key: &str) -> Option<Vec<u8>> {
    held::get(key)
}

/// Returns the value of a key, if it is a text.
pub fn get_text(key: &str) -> Option<String> {
    String::from_utf8(get(key)?).ok()
}

/// Sets the value of a key.
///
/// # Errors
/// One of the bounds is in the way: `wit/v0.1/kv.wit` names them.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Refused> {
    held::set(key, value.as_ref()).map_err(Refused)
}

/// Removes a key.
pub fn delete(key: &str) {
    held::delete(key);
}

/// Returns the keys that begin so, in order: the first 256.
pub fn keys(prefix: &str) -> Vec<String> {
    held::keys(prefix)
}

#[cfg(target_arch = "wasm32")]
use crate::bindings::base::vpnhost::policy::kv as held;

#[cfg(not(target_arch = "wasm32"))]
mod held {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    const KEYS: usize = 4096;
    const OCTETS: usize = 1 << 20;

    thread_local! {
        static STORE: RefCell<BTreeMap<String, Vec<u8>>> = RefCell::default();
    }

    pub(super) fn get(key: &str) -> Option<Vec<u8>> {
        STORE.with_borrow(|store| store.get(key).cloned())
    }

    pub(super) fn set(key: &str, value: &[u8]) -> Result<(), String> {
        if key.is_empty() || key.len() > 128 || value.len() > 4096 {
            return Err("a key has from 1 to 128 octets, a value at most 4096".to_owned());
        }
        STORE.with_borrow_mut(|store| {
            let before = store.insert(key.to_owned(), value.to_owned());
            let octets: usize = store.iter().map(|(key, value)| key.len() + value.len()).sum();
            if store.len() <= KEYS && octets <= OCTETS {
                return Ok(());
            }
            match before {
                Some(before) => store.insert(key.to_owned(), before),
                None => store.remove(key),
            };
            Err("a store holds 4096 keys and 1 MiB".to_owned())
        })
    }

    pub(super) fn delete(key: &str) {
        STORE.with_borrow_mut(|store| store.remove(key));
    }

    pub(super) fn keys(prefix: &str) -> Vec<String> {
        let begins = |key: &&String| key.starts_with(prefix);
        STORE.with_borrow(|store| store.keys().filter(begins).take(256).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_a_store_of_its_own_with_the_hosts_bounds() {
        assert!(keys("").is_empty());
        set("carol/device", "phone").unwrap();
        set("dave/device", [0xff]).unwrap();
        assert_eq!((get_text("carol/device").as_deref(), get_text("dave/device")), (Some("phone"), None));
        assert_eq!(keys("carol/"), ["carol/device"]);
        delete("carol/device");
        assert_eq!((get("carol/device"), keys("").len()), (None, 1));
        assert!(set("", "x").is_err() && set(&"k".repeat(129), "x").is_err() && set("k", [0; 4097]).is_err());
        let taken = (0..5000).filter(|number| set(&number.to_string(), "").is_ok()).count();
        assert_eq!(taken, 4095);
        assert_eq!(keys("").len(), 256);
    }
}
