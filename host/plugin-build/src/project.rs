//! A project to begin with: it compiles, its test passes, and all that no registry has lies in its `vendor`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::BuildError;
use crate::component::file;

/// What a project's `vendor` is made of, and what its crates inherit from the workspace that they came from.
mod vendored {
    include!(concat!(env!("OUT_DIR"), "/vendored.rs"));
}

/// The plugin that a project begins with, and the name that it bears there.
const TEMPLATE: (&str, &str) = (include_str!("../../../plugins/template/src/lib.rs"), "template");
/// Crates of these names would hide what the plugin needs, or none can have them.
const TAKEN: [&str; 20] = [
    "alloc", "as", "async", "const", "core", "crate", "dyn", "enum", "fn", "impl", "mod", "move", "ref",
    "self", "static", "std", "struct", "super", "test", "trait",
];
/// The most octets of a name.
const NAME_OCTETS: usize = 64;

/// A project that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its directory.
    pub directory: PathBuf,
    /// The plugin's name.
    pub name: String,
    /// How many files were written.
    pub files: usize,
}

impl Project {
    /// Returns where `vpnhost plugin build` puts the component.
    pub fn component(&self) -> PathBuf {
        self.directory.join("target/plugins").join(format!("{}.wasm", self.name))
    }
}

/// Begins a plugin in Rust in a directory that is not there yet, or empty.
///
/// # Errors
/// A name that no crate can have, a directory that is in use, a disk that does not take it.
pub fn begin(directory: &Path, name: &str) -> Result<Project, BuildError> {
    if !is_name(name) {
        return Err(BuildError::Name { name: name.to_owned() });
    }
    let is_in_use = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => directory.exists(),
    };
    if is_in_use {
        return Err(BuildError::Exists { path: directory.to_owned() });
    }
    let own = [
        ("Cargo.toml".to_owned(), manifest(name).into_bytes()),
        ("src/lib.rs".to_owned(), source(name).into_bytes()),
        ("README.md".to_owned(), readme(name).into_bytes()),
        (".gitignore".to_owned(), b"/target\n".to_vec()),
    ];
    let vendored = vendored::FILES.iter().map(|(path, octets)| (format!("vendor/{path}"), octets.to_vec()));
    let mut files = 0;
    for (path, octets) in own.into_iter().chain(vendored) {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| file("create", parent, source))?;
        }
        fs::write(&path, octets).map_err(|source| file("write", &path, source))?;
        files += 1;
    }
    Ok(Project { directory: directory.to_owned(), name: name.to_owned(), files })
}

fn is_name(name: &str) -> bool {
    let parts =
        name.split('-').all(|part| !part.is_empty() && part.bytes().all(|it| it.is_ascii_alphanumeric()));
    let begins = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    let is_free = !TAKEN.contains(&name) && !name.starts_with("vpnhost");
    begins && parts && is_free && name.len() <= NAME_OCTETS && name == name.to_ascii_lowercase()
}

fn source(name: &str) -> String {
    let (source, placeholder) = TEMPLATE;
    source
        .replacen("//! A plugin to copy: the quickest path first.", "//! The quickest path first.", 1)
        .replacen(&format!("{placeholder:?}"), &format!("{name:?}"), 1)
}

fn manifest(name: &str) -> String {
    let (tables, dependencies) = (vendored::TABLES, vendored::DEPENDENCIES);
    format!(
        r#"[package]
name = "{name}"
description = "Ranks paths by their round-trip time"
version = "0.1.0"
edition.workspace = true
rust-version.workspace = true
publish = false

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
vpnhost-plugin-sdk.workspace = true

# The SDK, the crates under it and the WIT, as of the vpnhost that began this project.
[workspace]
resolver = "3"
members = [".", "vendor/host/model", "vendor/policies/*", "vendor/plugins/sdk"]
default-members = ["."]

[workspace.dependencies]
vpnhost-model = {{ path = "vendor/host/model" }}
vpnhost-policy = {{ path = "vendor/policies/api" }}
vpnhost-policy-standard = {{ path = "vendor/policies/standard" }}
vpnhost-plugin-sdk = {{ path = "vendor/plugins/sdk" }}
{dependencies}
{tables}"#
    )
}

fn readme(name: &str) -> String {
    format!(
        "# {name}

A plugin for vpnhost. `src/lib.rs` is all of it; what it may be asked is the trait `Policy` in
`vendor/policies/api/src/policy.rs`, and `vendor/wit/v0.1` is what crosses.

```sh
cargo test              # its tests, natively
vpnhost plugin build    # target/plugins/{name}.wasm
vpnhost plugin inspect target/plugins/{name}.wasm
```
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_all_that_no_registry_has_and_only_its_own_name() {
        let room = tempfile::tempdir().unwrap();
        let project = begin(&room.path().join("a/quickest-first"), "quickest-first").unwrap();
        let read = |path: &str| fs::read_to_string(project.directory.join(path)).unwrap();
        assert!(
            read("src/lib.rs").contains("\"quickest-first\"") && !read("src/lib.rs").contains("template")
        );
        let manifest = read("Cargo.toml");
        for part in
            ["name = \"quickest-first\"", "[profile.guest]", "[workspace.lints.rust]", "wit-bindgen = {"]
        {
            assert!(manifest.contains(part), "{part} in {manifest}");
        }
        for file in ["wit/v0.1/worlds.wit", "plugins/sdk/src/lib.rs", "host/model/Cargo.toml"] {
            assert!(project.directory.join("vendor").join(file).is_file(), "{file}");
        }
        assert!(project.files > 30, "{}", project.files);
        assert!(matches!(begin(&project.directory, "b"), Err(BuildError::Exists { .. })));
    }

    #[test]
    fn a_name_is_one_that_a_crate_and_a_file_can_have() {
        for name in ["a", "quickest-first", "geo2"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(65);
        for name in [
            "",
            "-a",
            "a--b",
            "a-",
            "2fast",
            "Quick",
            "a/b",
            "..",
            "a b",
            "über",
            "std",
            "fn",
            "vpnhost-model",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
            let room = tempfile::tempdir().unwrap();
            assert!(matches!(begin(&room.path().join("x"), name), Err(BuildError::Name { .. })));
        }
    }
}
