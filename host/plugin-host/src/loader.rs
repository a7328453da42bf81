//! From a file to a component that is known to be a plugin.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use vpnhost_policy::{QuestionKind, QuestionSet};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::{LoadError, limits};

/// The package that imports and exports are looked for in.
const PACKAGE: &str = "vpnhost:policy/";
/// What a plugin may import: one interface, and the types, which give nothing.
const GRANTED: [&str; 2] = ["log", "types"];

/// A compiled component and what its outside looks like.
pub(crate) struct Loaded {
    pub(crate) component: Component,
    /// The file's length in octets.
    pub(crate) size: u64,
    /// The names of what it imports that is more than types.
    pub(crate) imports: Vec<String>,
    /// The names of what it exports.
    pub(crate) exports: Vec<String>,
    /// The questions among the exports.
    pub(crate) questions: QuestionSet,
}

/// Reads, compiles, and checks imports and exports.
pub(crate) fn load(engine: &Engine, path: &Path) -> Result<Loaded, LoadError> {
    let octets = read(path)?;
    check_magic(path, &octets)?;
    let component = Component::from_binary(engine, &octets)
        .map_err(|source| LoadError::Compile { path: path.to_owned(), source })?;
    let outside = component.component_type();
    let mut imports = Vec::new();
    let mut foreign = Vec::new();
    for (name, item) in outside.imports(engine) {
        let granted = interface(name).is_some_and(|it| GRANTED.contains(&it));
        if !granted {
            foreign.push(name.to_owned());
        }
        if !granted || has_functions(engine, &item.ty) {
            imports.push(name.to_owned());
        }
    }
    if !foreign.is_empty() {
        return Err(LoadError::Imports { path: path.to_owned(), imports: foreign });
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
    Ok(Loaded { component, size, imports, exports, questions })
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
