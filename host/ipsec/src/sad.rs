//! The SAs of one direction by name (RFC 4301 §4.4.2): indexes that the packet path goes by are stable.

use std::collections::BTreeMap;

use vpnhost_model::ChildSaId;

use crate::error::CommandError;
use crate::limits;

/// SAs of one direction.
#[derive(Debug)]
pub(crate) struct Sad<T> {
    slots: Vec<Option<T>>,
    names: BTreeMap<ChildSaId, u32>,
    free: Vec<u32>,
}

impl<T> Default for Sad<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), names: BTreeMap::new(), free: Vec::new() }
    }
}

impl<T> Sad<T> {
    /// Takes an SA; returns its index.
    pub(crate) fn insert(&mut self, id: ChildSaId, sa: T) -> Result<u32, CommandError> {
        self.admit(id)?;
        let index = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(index as usize) {
            Some(slot) => *slot = Some(sa),
            None => self.slots.push(Some(sa)),
        }
        self.names.insert(id, index);
        Ok(index)
    }

    /// Tells whether an SA of that name may be inserted.
    pub(crate) fn admit(&self, id: ChildSaId) -> Result<(), CommandError> {
        if self.names.contains_key(&id) {
            return Err(CommandError::Duplicate(id));
        }
        if self.names.len() >= limits::SAS { Err(CommandError::Full) } else { Ok(()) }
    }

    pub(crate) fn index(&self, id: ChildSaId) -> Result<u32, CommandError> {
        self.names.get(&id).copied().ok_or(CommandError::Unknown(id))
    }

    pub(crate) fn remove(&mut self, id: ChildSaId) -> Result<(u32, T), CommandError> {
        let index = self.names.remove(&id).ok_or(CommandError::Unknown(id))?;
        let sa = self.slots[index as usize].take().ok_or(CommandError::Unknown(id))?;
        self.free.push(index);
        Ok((index, sa))
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_again_and_a_name_only_once() {
        let mut sad = Sad::default();
        let (a, b) = (ChildSaId(1), ChildSaId(2));
        assert_eq!(sad.insert(a, "a"), Ok(0));
        assert_eq!(sad.insert(a, "again"), Err(CommandError::Duplicate(a)));
        assert_eq!(sad.remove(a), Ok((0, "a")));
        assert_eq!(sad.remove(a), Err(CommandError::Unknown(a)));
        assert_eq!(sad.insert(b, "b"), Ok(0));
        assert_eq!(sad.get_mut(0), Some(&mut "b"));
        assert_eq!(sad.index(a), Err(CommandError::Unknown(a)));
    }
}
