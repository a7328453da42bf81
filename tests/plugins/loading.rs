//! What is not a plugin, and what refuses its settings: one clear line each.

use std::path::{Path, PathBuf};

use vpnhost_plugin_host::{Limits, LoadError, PluginSpec, SettingValue, WasmPolicy, inspect};
use vpnhost_policy::{Failure, QuestionKind, QuestionSet};

use crate::{component, engine, load};

/// A file that is gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn holding(name: &str, octets: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("vpnhost-{}-{name}", std::process::id()));
        std::fs::write(&path, octets).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn refused(path: &Path) -> LoadError {
    WasmPolicy::load(&engine(), PluginSpec::new(path)).expect_err("should not load")
}

fn refused_octets(name: &str, octets: &[u8]) -> LoadError {
    refused(&Scratch::holding(name, octets).0)
}

#[test]
fn a_missing_file_is_named() {
    let error = refused(Path::new("/nowhere/plugin.wasm"));
    assert_eq!(error.to_string(), "cannot read plugin /nowhere/plugin.wasm");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn what_is_not_webassembly_is_not_loaded() {
    for octets in [&b""[..], b"\0asm", b"#!/bin/sh\necho plugin\n"] {
        let error = refused_octets("text", octets);
        assert!(matches!(error, LoadError::NotWasm { .. }), "{error}");
    }
}

#[test]
fn a_core_module_is_told_from_a_component() {
    let error = refused_octets("module", b"\0asm\x01\0\0\0");
    assert!(error.to_string().ends_with("is a WebAssembly module, not a component"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("build-plugins")));
}

#[test]
fn a_damaged_component_does_not_compile() {
    let mut octets = std::fs::read(component("template")).unwrap();
    octets.truncate(octets.len() / 2);
    let error = refused_octets("damaged", &octets);
    assert!(matches!(error, LoadError::Compile { .. }), "{error}");
}

#[test]
fn a_component_without_a_known_question_is_no_plugin() {
    let error = refused_octets("empty", b"\0asm\x0d\0\x01\0");
    assert!(error.to_string().ends_with("is no plugin of this host: it exports nothing"), "{error}");
}

#[test]
fn a_component_that_wants_wasi_is_refused() {
    let name = b"wasi:clocks/monotonic-clock@0.2.0";
    let mut octets = b"\0asm\x0d\0\x01\0".to_vec();
    // A type section with one empty instance type, and an import section that imports one such.
    octets.extend([7, 3, 1, 0x42, 0]);
    octets.extend([10, 5 + u8::try_from(name.len()).unwrap(), 1, 0, u8::try_from(name.len()).unwrap()]);
    octets.extend(name);
    octets.extend([5, 0]);
    let error = refused_octets("wasi", &octets);
    let text = error.to_string();
    assert!(text.ends_with("imports what plugins do not get: wasi:clocks/monotonic-clock@0.2.0"), "{text}");
    assert!(error.hint().is_some());
}

#[test]
fn settings_that_the_plugin_refuses_are_all_named() {
    let error = load("office-hours", &[("from", "8 o'clock"), ("to", "25:00")]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`from` must be a time of day like 08:00"), "{text}");
    assert!(text.contains("`to` must be a time of day like 08:00"), "{text}");
}

#[test]
fn an_unknown_setting_a_missing_one_and_one_of_another_kind_are_refused() {
    let problems = |settings: Vec<(String, SettingValue)>| {
        let spec = PluginSpec { settings, ..PluginSpec::new(component("office-hours")) };
        WasmPolicy::load(&engine(), spec).unwrap_err().to_string()
    };
    let text = problems(vec![
        ("form".to_owned(), SettingValue::Text("08:00".to_owned())),
        ("to".to_owned(), SettingValue::Integer(18)),
    ]);
    assert!(text.contains("`form` is unknown: this plugin takes from, to, days, peers"), "{text}");
    assert!(text.contains("`to` must be a text"), "{text}");
    assert!(text.contains("`from` is required"), "{text}");
}

#[test]
fn a_plugin_without_settings_says_so() {
    let error = load("template", &[("speed", "fast")]).unwrap_err().to_string();
    assert!(error.ends_with("`speed` is unknown: this plugin takes no settings"), "{error}");
}

#[test]
fn a_plugin_that_needs_more_memory_than_it_gets_does_not_start() {
    let limits = Limits { memory: 64 << 10, ..Limits::default() };
    let spec = PluginSpec { limits, ..PluginSpec::new(component("template")) };
    let error = WasmPolicy::load(&engine(), spec).unwrap_err();
    assert!(matches!(error, LoadError::Start { source: Failure::Memory, .. }), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("memory")));
}

#[test]
fn a_plugin_that_answers_nothing_of_its_roles_is_not_loaded() {
    let questions = Some(QuestionSet::from_iter([QuestionKind::AuthorizePeer]));
    let spec = PluginSpec { questions, ..PluginSpec::new(component("template")) };
    let error = WasmPolicy::load(&engine(), spec).unwrap_err();
    assert!(matches!(error, LoadError::Roles { .. }), "{error}");
}

#[test]
fn an_inspection_shows_the_outside_without_settings() {
    let found = inspect(&engine(), &component("office-hours"), Limits::default(), &[]).unwrap();
    assert_eq!(found.name, "office-hours");
    assert_eq!(found.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(found.answers, QuestionSet::from_iter([QuestionKind::AuthorizePeer]));
    assert_eq!(found.imports, ["vpnhost:policy/log@0.1.0"]);
    assert!(found.interfaces.contains(&"vpnhost:policy/authorize-peer@0.1.0".to_owned()));
    let keys: Vec<_> = found.settings.iter().map(|spec| (spec.key.as_str(), spec.required)).collect();
    assert_eq!(keys, [("from", true), ("to", true), ("days", false), ("peers", false)]);
    assert!(found.size > 10_000);
    assert!(found.grants.is_empty() && found.signer.is_none());
}
