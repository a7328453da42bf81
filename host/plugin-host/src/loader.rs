//! From a file to a component that is known to be a plugin.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use vpnhost_policy::{QuestionKind, QuestionSet, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::signature::{self, PluginKey, Signer};
use crate::{Grant, LoadError, PluginEngine, digest, limits};

/// The package that imports and exports are looked for in.
const PACKAGE: &str = "vpnhost:policy/";
/// What every plugin may import: the log, and the types, which give nothing.
const FREE: [&str; 2] = ["log", "types"];

/// On what terms a component is taken in.
#[derive(Clone, Copy)]
pub(crate) struct Admission<'a> {
    /// Who must have signed it, if anybody.
    pub(crate) keys: &'a [PluginKey],
    /// What it may import beside the log.
    pub(crate) grants: &'a [Grant],
}

/// A compiled component and what its outside looks like.
pub(crate) struct Loaded {
    pub(crate) component: Component,
    /// The file's length in octets.
    pub(crate) size: u64,
    /// The file's digest.
    pub(crate) sha256: Sha256,
    /// Who signed it.
    pub(crate) signer: Option<Signer>,
    /// What of it is linked and asked.
    pub(crate) outside: Outside,
    /// The names of what it imports that is more than types.
    pub(crate) imports: Vec<String>,
    /// The names of what it exports.
    pub(crate) exports: Vec<String>,
}

/// What a component has of the interfaces that this host knows.
pub(crate) struct Outside {
    /// What it imports of that which is granted.
    pub(crate) grants: Vec<Grant>,
    /// The questions among its exports.
    pub(crate) questions: QuestionSet,
    /// It takes over what another version stored.
    pub(crate) migrates: bool,
}

/// Reads, checks who signed it, compiles, and checks imports and exports.
pub(crate) fn load(
    plugins: &PluginEngine,
    path: &Path,
    admission: Admission<'_>,
) -> Result<Loaded, LoadError> {
    let engine = plugins.wasmtime();
    let octets = read(path)?;
    check_magic(path, &octets)?;
    let signer = signature::check(path, &octets, admission.keys)?;
    let sha256 = digest::of(&octets);
    let component = compile(plugins, path, &octets, sha256)?;
    let outside = component.component_type();
    let mut imports = Vec::new();
    let mut foreign = Vec::new();
    let mut asked = Vec::new();
    for (name, item) in outside.imports(engine) {
        let grant = Grant::ALL.into_iter().find(|grant| interface(name) == Some(grant.name()));
        let known = grant.is_some() || interface(name).is_some_and(|it| FREE.contains(&it));
        if !known {
            foreign.push(name.to_owned());
        }
        if !known || has_functions(engine, &item.ty) {
            imports.push(name.to_owned());
        }
        asked.extend(grant);
    }
    if !foreign.is_empty() {
        return Err(LoadError::Imports { path: path.to_owned(), imports: foreign });
    }
    asked.sort_unstable();
    let is_missing = |grant: &Grant| !admission.grants.contains(grant);
    let missing: Vec<Grant> = asked.iter().copied().filter(is_missing).collect();
    if !missing.is_empty() {
        return Err(LoadError::NotGranted { path: path.to_owned(), missing, wanted: asked });
    }
    let exports: Vec<String> = outside.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let has = |wanted: &str| exports.iter().any(|name| interface(name) == Some(wanted));
    let questions: QuestionSet = QuestionKind::ALL.into_iter().filter(|kind| has(kind.name())).collect();
    if questions.is_empty() {
        return Err(LoadError::NoQuestion { path: path.to_owned(), exports });
    }
    for required in ["describe", "configure"] {
        if !has(required) {
            return Err(LoadError::Missing { path: path.to_owned(), interface: required });
        }
    }
    let size = u64::try_from(octets.len()).unwrap_or(u64::MAX);
    let outside = Outside { migrates: has("migrate"), grants: asked, questions };
    Ok(Loaded { component, size, sha256, signer, outside, imports, exports })
}

/// Finds what the component was compiled to before, or compiles it.
fn compile(
    plugins: &PluginEngine,
    path: &Path,
    octets: &[u8],
    sha256: Sha256,
) -> Result<Component, LoadError> {
    let engine = plugins.wasmtime();
    if let Some(component) = plugins.compiled().and_then(|cache| cache.find(engine, sha256)) {
        return Ok(component);
    }
    let component = Component::from_binary(engine, octets)
        .map_err(|source| LoadError::Compile { path: path.to_owned(), source })?;
    if let Some(cache) = plugins.compiled() {
        cache.keep(engine, sha256, &component);
    }
    Ok(component)
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut octets = Vec::new();
    file.take(limits::FILE_OCTETS + 1).read_to_end(&mut octets).map_err(failed)?;
    match u64::try_from(octets.len()) {
        Ok(length) if length <= limits::FILE_OCTETS => Ok(octets),
        Ok(_) | Err(_) => Err(LoadError::TooLarge { path: path.to_owned() }),
    }
}

/// Both kinds of file begin alike; the seventh octet tells a component from a core module.
fn check_magic(path: &Path, octets: &[u8]) -> Result<(), LoadError> {
    match octets.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(LoadError::CoreModule { path: path.to_owned() }),
        _ => Err(LoadError::NotWasm { path: path.to_owned() }),
    }
}

/// The interface's name, if it is one of ours in a version that this host speaks: any `0.1.x`.
fn interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    version.strip_prefix("0.1.").map(|_| interface)
}

fn has_functions(engine: &Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).any(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_)))
        }
        ComponentItem::Type(_) => false,
        ComponentItem::ComponentFunc(_)
        | ComponentItem::CoreFunc(_)
        | ComponentItem::Module(_)
        | ComponentItem::Component(_)
        | ComponentItem::Resource(_) => true,
    }
}
