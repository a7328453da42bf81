//! `cargo xtask build-plugins`: compiles every plugin to WebAssembly and makes components of them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use vpnhost_plugin_build::{BuildError, Toolchain, build, packages};

use crate::{root, target};

/// Where the crates lie that become plugins: those that are shipped, and those that tests need.
const ROOMS: [&str; 3] = ["plugins", "tests/hostile", "tests/successor"];

/// Builds all plugins and returns the directory that holds the components: `plugins` in cargo's target directory.
///
/// # Errors
/// A compiler that is missing, a plugin that does not compile, a module that is no plugin.
pub(crate) fn build_plugins() -> Result<PathBuf> {
    let (root, target) = (root(), target());
    let rooms = ROOMS.map(|room| root.join(room));
    let mut plugins = packages(&root).map_err(told)?;
    plugins.retain(|package| rooms.iter().any(|room| package.manifest.starts_with(room)));
    let toolchain = Toolchain::find().map_err(told)?;
    let components = build(&toolchain, &root, &target, &plugins).map_err(told)?;
    let output = components.first().and_then(|component| component.parent());
    output.map(Path::to_owned).context("no plugin was built")
}

/// Checks that crates compile for wasm32, which keeps sockets, runtimes and C libraries out of them.
///
/// # Errors
/// A compiler that is missing; a crate that does not compile.
pub(crate) fn check_guest(crates: &[&str]) -> Result<()> {
    ensure!(!crates.is_empty(), "no crate to check");
    let toolchain = Toolchain::find().map_err(told)?;
    let mut cargo = toolchain.cargo(&root(), &target().join("guests"), "check");
    for name in crates {
        cargo.args(["--package", name]);
    }
    crate::steps::logged("guest-check", &mut cargo).map(drop)
}

fn told(error: BuildError) -> anyhow::Error {
    let hints: String = error.hints().iter().map(|hint| format!("\nhint: {hint}")).collect();
    match std::error::Error::source(&error) {
        Some(source) => anyhow!("{error} ({source}){hints}"),
        None => anyhow!("{error}{hints}"),
    }
}
