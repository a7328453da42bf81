//! Plugins under the real host: built by `cargo xtask build-plugins`, loaded from files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod agreement;
mod conformance;
mod hostile;
mod journeys;
mod languages;
mod loading;
mod replaying;
mod services;
mod shelf;
mod signed;
mod start;
mod swapping;
mod version_skew;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_plugin_host::{Grant, Limits, LoadError, PluginEngine, PluginSpec, SettingValue, WasmPolicy};

/// Returns the file of a component that was built before.
fn component(name: &str) -> PathBuf {
    let directory = std::env::var_os("VPNHOST_PLUGINS").map_or_else(built, PathBuf::from);
    let path = directory.join(format!("{name}.wasm"));
    assert!(path.is_file(), "there is no {}: run cargo xtask build-plugins first", path.display());
    path
}

fn built() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |it| root.join(it))
        .join("plugins")
}

fn engine() -> Arc<PluginEngine> {
    PluginEngine::new().unwrap()
}

/// Describes a component with texts as settings, and a time for each call.
fn spec(name: &str, settings: &[(&str, &str)], call: Duration) -> PluginSpec {
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), SettingValue::Text((*value).to_owned()));
    let limits = Limits { call, ..Limits::default() };
    let settings = settings.iter().map(text).collect();
    // One component tries everything that there is; the others ask for nothing.
    let grants = if name == "hostile" || name == "successor" { Grant::ALL.to_vec() } else { Vec::new() };
    PluginSpec { settings, limits, grants, ..PluginSpec::new(component(name)) }
}

/// Loads a component that has the time it needs, on however slow a machine: where the deadline is not what a test is about.
fn load(name: &str, settings: &[(&str, &str)]) -> Result<WasmPolicy, LoadError> {
    WasmPolicy::load(&engine(), spec(name, settings, Duration::from_secs(60)))
}
