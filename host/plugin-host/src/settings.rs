//! What the operator sets for a plugin, typed as in `configure.wit`.

use std::fmt;

/// Keys and values in the operator's order.
pub type Settings = Vec<(String, SettingValue)>;

/// A setting's value.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A list of texts.
    Texts(Vec<String>),
}

/// What a setting's value is; a number where it crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingKind(pub u8);

impl fmt::Display for SettingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "text",
            1 => "integer",
            2 => "number",
            3 => "flag",
            4 => "texts",
            _ => "other",
        })
    }
}

/// What a plugin finds wrong with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// The setting it is about, if it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "`{key}` {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}
