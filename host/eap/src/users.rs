//! The users that a server knows, by name.

use std::collections::BTreeMap;

use crate::PasswordHash;

/// Users and the hashes of their passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, PasswordHash>);

impl Users {
    /// Adds a user; tells whether the name was there before.
    pub fn insert(&mut self, name: String, password: PasswordHash) -> bool {
        self.0.insert(name, password).is_some()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Finds a user by the name that a client sent: as it is, or without the domain that Windows puts before it.
    pub(crate) fn find(&self, sent: &str) -> Option<(&str, &PasswordHash)> {
        let bare = sent.rsplit_once('\\').map(|(_, name)| name);
        [Some(sent), bare]
            .into_iter()
            .flatten()
            .find_map(|name| self.0.get_key_value(name).map(|(name, hash)| (name.as_str(), hash)))
    }
}
