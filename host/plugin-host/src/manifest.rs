//! What a plugin says of itself.

use vpnhost_policy::QuestionSet;

use crate::settings::SettingKind;

/// The answer of `describe`.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a line.
    pub summary: String,
    /// The questions it says it answers.
    pub answers: QuestionSet,
    /// The settings it takes.
    pub settings: Vec<SettingSpec>,
}

/// One setting that a plugin takes.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingSpec {
    /// Its key.
    pub key: String,
    /// What its value is.
    pub kind: SettingKind,
    /// Whether it must be given.
    pub required: bool,
    /// What it does.
    pub summary: String,
}
