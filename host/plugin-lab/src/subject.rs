//! A component under test, and a place for what it is compiled to.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vpnhost_plugin_host::{LoadError, PluginEngine, PluginSpec, WasmPolicy};

/// A component and how it is set up. It is compiled once, for as long as this lives.
#[derive(Debug)]
pub struct Subject {
    spec: PluginSpec,
    scratch: Scratch,
}

impl Subject {
    /// Takes a component.
    ///
    /// # Errors
    /// No place for temporary files.
    pub fn new(spec: PluginSpec) -> io::Result<Self> {
        Ok(Self { spec, scratch: Scratch::new()? })
    }

    /// Returns how it is set up.
    pub fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    /// Starts it with an empty store of its own.
    ///
    /// # Errors
    /// Why it is not loaded.
    pub fn start(&self) -> Result<WasmPolicy, LoadError> {
        self.start_with(self.spec.clone())
    }

    /// Starts it set up in another way.
    ///
    /// # Errors
    /// Why it is not loaded.
    pub fn start_with(&self, spec: PluginSpec) -> Result<WasmPolicy, LoadError> {
        WasmPolicy::load(&self.engine()?, spec)
    }

    /// Returns an engine of its own: what is held for a plugin, such as its store, is held by its engine.
    pub(crate) fn engine(&self) -> Result<Arc<PluginEngine>, LoadError> {
        PluginEngine::keeping(&self.scratch.0)
    }
}

/// A directory of this process alone, removed with the value.
#[derive(Debug)]
struct Scratch(PathBuf);

static TURN: AtomicU64 = AtomicU64::new(0);

impl Scratch {
    fn new() -> io::Result<Self> {
        let (process, base) = (std::process::id(), std::env::temp_dir());
        loop {
            let turn = TURN.fetch_add(1, Ordering::Relaxed);
            let path: &Path = &base.join(format!("vpnhost-lab-{process}-{turn}"));
            match DirBuilder::new().mode(0o700).create(path) {
                Ok(()) => return Ok(Self(path.to_owned())),
                // Left by another process of that number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && turn < 1000 => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is a temporary file all the same.
        let _ = fs::remove_dir_all(&self.0);
    }
}
