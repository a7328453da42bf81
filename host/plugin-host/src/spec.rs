//! What an operator says of a plugin.

use std::path::PathBuf;

use vpnhost_policy::{OnFailure, QuestionSet};

use crate::{Grant, Limits, PluginKey, Settings, StoreKind, TableSpec};

/// What the operator says of a plugin.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// The component's file.
    pub path: PathBuf,
    /// The name to go by; the plugin's own where none is given.
    pub name: Option<String>,
    /// The questions it may be asked; all that it answers where none are given.
    pub questions: Option<QuestionSet>,
    /// What counts when it fails to answer `authorize_peer`.
    pub on_failure: OnFailure,
    /// What it may take.
    pub limits: Limits,
    /// Its settings.
    pub settings: Settings,
    /// Who must have signed it; nobody where none are given.
    pub keys: Vec<PluginKey>,
    /// What it may have of the host, beside the log.
    pub grants: Vec<Grant>,
    /// How long its store is kept; over a restart only under a name that is given.
    pub store: StoreKind,
    /// The tables that it may look into.
    pub tables: Vec<TableSpec>,
}

impl PluginSpec {
    /// Returns the defaults for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            name: None,
            questions: None,
            on_failure: OnFailure::Deny,
            limits: Limits::default(),
            settings: Settings::new(),
            keys: Vec::new(),
            grants: Vec::new(),
            store: StoreKind::Memory,
            tables: Vec::new(),
        }
    }
}
