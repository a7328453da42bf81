//! What `vpnhost plugin inspect` shows: a component's outside, and what it says of itself.

use std::path::Path;
use std::sync::Arc;

use vpnhost_policy::{QuestionSet, Sha256};

use crate::instance::Instance;
use crate::loader::{self, Admission};
use crate::v0_1::Plugin;
use crate::{Grant, Limits, LoadError, PluginEngine, PluginKey, SettingSpec, Signer};

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
    /// What it needs to be granted.
    pub grants: Vec<Grant>,
    /// The octets of memory that it has once it said what it is: less is not enough.
    pub memory: usize,
    /// The file's length in octets.
    pub size: u64,
    /// The file's digest.
    pub sha256: Sha256,
    /// Who signed it, if anybody did.
    pub signer: Option<Signer>,
}

/// Loads a component and asks it what it is; it is not configured and answers nothing. Where keys are given, one of
/// them must have signed it.
///
/// # Errors
/// As [`crate::WasmPolicy::load`], without those about settings.
pub fn inspect(
    engine: &Arc<PluginEngine>,
    path: &Path,
    limits: Limits,
    keys: &[PluginKey],
) -> Result<Inspection, LoadError> {
    let loaded = loader::load(engine, path, Admission { keys, grants: &Grant::ALL })?;
    let plugin = Plugin::new(&loaded.component, &loaded.outside)
        .map_err(|source| LoadError::Shape { path: path.to_owned(), source })?;
    let (instance, manifest) =
        Instance::describe(engine, &plugin, "inspected", limits).map_err(|error| error.at(path))?;
    Ok(Inspection {
        name: manifest.name,
        version: manifest.version,
        summary: manifest.summary,
        answers: manifest.answers.intersection(loaded.outside.questions),
        settings: manifest.settings,
        interfaces: loaded.exports,
        imports: loaded.imports,
        grants: loaded.outside.grants,
        memory: instance.memory(),
        size: loaded.size,
        sha256: loaded.sha256,
        signer: loaded.signer,
    })
}
