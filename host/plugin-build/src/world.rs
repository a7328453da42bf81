//! The world of a project: what its plugin imports and exports, as its `wit` says.

use std::path::Path;

use wit_bindgen_core::wit_parser::{Resolve, WorldId, WorldItem, WorldKey};

use crate::BuildError;

/// Where a project describes what crosses.
pub(crate) const WIT: &str = "wit";

/// The one world that a project describes.
pub(crate) struct World {
    pub(crate) resolve: Resolve,
    pub(crate) id: WorldId,
    name: String,
}

impl World {
    /// Reads the world of the project at `root`.
    pub(crate) fn of(root: &Path, say: &dyn Fn(&str)) -> Result<Self, BuildError> {
        let path = root.join(WIT);
        let mut resolve = Resolve::default();
        let read = resolve.push_dir(&path).and_then(|(package, _)| {
            let id = resolve.select_world(&[package], None)?;
            Ok((resolve.packages[package].name.name.clone(), id))
        });
        match read {
            Ok((name, id)) => Ok(Self { resolve, id, name }),
            Err(error) => {
                say(format!("{error:#}").trim());
                Err(BuildError::Wit { path })
            }
        }
    }

    /// Returns the plugin's name: that of the project's package.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the world's own name.
    pub(crate) fn world(&self) -> &str {
        &self.resolve.worlds[self.id].name
    }

    /// Returns the names of the interfaces that it exports.
    pub(crate) fn exports(&self) -> Vec<&str> {
        let exports = &self.resolve.worlds[self.id].exports;
        exports.keys().filter_map(|key| self.interface(key)).collect()
    }

    /// Returns each interface that crosses: as the component knows it, and its name alone.
    pub(crate) fn interfaces(&self) -> Vec<(String, String)> {
        let world = &self.resolve.worlds[self.id];
        let mut found: Vec<(String, String)> = Vec::new();
        for (key, item) in world.imports.iter().chain(&world.exports) {
            if let (WorldItem::Interface { .. }, Some(name)) = (item, self.interface(key)) {
                found.push((self.resolve.name_world_key(key), name.to_owned()));
            }
        }
        found
    }

    fn interface(&self, key: &WorldKey) -> Option<&str> {
        match key {
            WorldKey::Interface(id) => self.resolve.interfaces[*id].name.as_deref(),
            WorldKey::Name(_) => None,
        }
    }
}
