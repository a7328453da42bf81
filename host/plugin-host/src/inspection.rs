//! What `vpnhost plugin inspect` shows: a component's outside, and what it says of itself.

use std::path::Path;
use std::sync::Arc;

use vpnhost_policy::QuestionSet;

use crate::instance::Instance;
use crate::v0_1::Plugin;
use crate::{Limits, LoadError, PluginEngine, SettingSpec, loader};

/// What can be known of a plugin without settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a line.
    pub summary: String,
    /// The questions it answers.
    pub answers: QuestionSet,
    /// The settings it takes.
    pub settings: Vec<SettingSpec>,
    /// The interfaces it exports, with their versions.
    pub interfaces: Vec<String>,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// The file's length in octets.
    pub size: u64,
}

/// Loads a component and asks it what it is; it is not configured and answers nothing.
///
/// # Errors
/// As [`crate::WasmPolicy::load`], without those about settings.
pub fn inspect(engine: &Arc<PluginEngine>, path: &Path, limits: Limits) -> Result<Inspection, LoadError> {
    let loaded = loader::load(engine.wasmtime(), path)?;
    let plugin = Plugin::new(&loaded.component, loaded.questions)
        .map_err(|source| LoadError::Shape { path: path.to_owned(), source })?;
    let (_, manifest) =
        Instance::describe(engine, &plugin, "inspected", limits).map_err(|error| error.at(path))?;
    Ok(Inspection {
        name: manifest.name,
        version: manifest.version,
        summary: manifest.summary,
        answers: manifest.answers.intersection(loaded.questions),
        settings: manifest.settings,
        interfaces: loaded.exports,
        imports: loaded.imports,
        size: loaded.size,
    })
}
