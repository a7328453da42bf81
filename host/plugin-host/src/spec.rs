//! What an operator says of a plugin.

use std::path::PathBuf;

use vpnhost_policy::{OnFailure, QuestionSet, Sha256};

use crate::{Grant, Limits, PluginKey, SettingValue, Settings, StoreKind, TableSpec, digest};

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

    /// Returns the digest of what answers depend on beside the component, the question and what imports tell: the
    /// settings in their order, and the memory. Without the grants that it needs it is not loaded, and others change
    /// nothing. Each part stands with its length before it, so that no two specifications read alike.
    pub fn digest(&self) -> Sha256 {
        let mut octets = Vec::new();
        let mut part = |text: &str| {
            octets.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            octets.extend(text.as_bytes());
        };
        part(&self.limits.memory.to_string());
        for (key, value) in &self.settings {
            part(key);
            let (kind, content) = match value {
                SettingValue::Text(text) => ("text".to_owned(), vec![text.clone()]),
                SettingValue::Integer(number) => ("integer".to_owned(), vec![number.to_string()]),
                SettingValue::Number(number) => ("number".to_owned(), vec![number.to_bits().to_string()]),
                SettingValue::Flag(flag) => ("flag".to_owned(), vec![flag.to_string()]),
                SettingValue::Texts(texts) => (format!("texts {}", texts.len()), texts.clone()),
            };
            part(&kind);
            content.iter().for_each(|text| part(text));
        }
        digest::of(&octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_depend_on_has_a_digest_of_its_own() {
        let spec = |settings: &[(&str, SettingValue)]| PluginSpec {
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            ..PluginSpec::new("a.wasm")
        };
        let texts = |texts: &[&str]| SettingValue::Texts(texts.iter().map(|&it| it.to_owned()).collect());
        let text = |text: &str| SettingValue::Text(text.to_owned());
        let mut roomy = spec(&[]);
        roomy.limits.memory *= 2;
        let all = [
            spec(&[]),
            roomy,
            spec(&[("a", text("b"))]),
            spec(&[("a", texts(&["b"]))]),
            spec(&[("a", texts(&["b", "c"]))]),
            spec(&[("a", texts(&["bc"]))]),
            spec(&[("a", SettingValue::Integer(1))]),
            spec(&[("a", SettingValue::Number(1.0))]),
            spec(&[("a", text("b")), ("b", text("a"))]),
            spec(&[("b", text("a")), ("a", text("b"))]),
        ];
        let digests: std::collections::BTreeSet<Sha256> = all.iter().map(PluginSpec::digest).collect();
        assert_eq!(digests.len(), all.len());
        let grants = vec![Grant::Kv];
        let elsewhere = PluginSpec { name: Some("x".into()), grants, ..PluginSpec::new("b.wasm") };
        assert_eq!(elsewhere.digest(), all[0].digest(), "a name, a place and a grant change no answer");
    }
}
