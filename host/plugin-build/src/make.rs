//! From a project, whatever its language, to its component.

use std::fs;
use std::path::{Path, PathBuf};

use crate::component::{self, file, packages, write};
use crate::world::World;
use crate::{BuildError, Language, Toolchain, c, javascript, project, python};

/// A project whose language is built by tools of its own, and where its parts go.
pub(crate) struct Job<'a> {
    /// The project's directory, absolute.
    pub(crate) root: &'a Path,
    /// Where what is between source and component goes.
    pub(crate) bindings: &'a Path,
    pub(crate) world: &'a World,
    /// Takes a line for people: what takes long, what is wrong with the source.
    pub(crate) say: &'a dyn Fn(&str),
}

/// Builds the project at `root`, an absolute path, below the directory `target`, and returns its components:
/// `plugins/NAME.wasm` there. What takes long is said before it begins, and what is wrong with the source.
///
/// # Errors
/// No project, no tool for its language, a source that does not compile, a module that makes no component.
pub fn make(root: &Path, target: &Path, say: &dyn Fn(&str)) -> Result<Vec<PathBuf>, BuildError> {
    let language = Language::of(root)?;
    let build: fn(&Job<'_>) -> Result<Vec<u8>, BuildError> = match language {
        Language::Rust => return crates(root, target, say),
        Language::Python => python::build,
        Language::JavaScript => javascript::build,
        Language::C => c::build,
    };
    project::restore(root, language, say)?;
    let world = World::of(root, say)?;
    let (bindings, output) = (target.join("bindings"), target.join("plugins"));
    for directory in [&bindings, &output] {
        fs::create_dir_all(directory).map_err(|source| file("create", directory, source))?;
    }
    let component = build(&Job { root, bindings: &bindings, world: &world, say })?;
    let path = output.join(format!("{}.wasm", world.name()));
    write(&path, &component)?;
    Ok(vec![path])
}

fn crates(root: &Path, target: &Path, say: &dyn Fn(&str)) -> Result<Vec<PathBuf>, BuildError> {
    let packages = packages(root)?;
    let toolchain = Toolchain::find()?;
    let slow =
        if toolchain.builds_std() { ", with its standard library: a minute the first time" } else { "" };
    let names: Vec<&str> = packages.iter().map(|package| package.component()).collect();
    say(&format!("building {} with {}{slow}", names.join(", "), toolchain.rustc().display()));
    component::build(&toolchain, root, target, &packages)
}
