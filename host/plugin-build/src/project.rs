//! A project to begin with: it compiles, its test passes, and all that no registry has lies in its `vendor`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::component::file;
use crate::world::WIT;
use crate::{BuildError, Language};

/// What a project's `vendor` is made of, what its crates inherit from the workspace that they came from, and what
/// projects in other languages begin with.
pub(crate) mod vendored {
    include!(concat!(env!("OUT_DIR"), "/vendored.rs"));
}

/// The plugin that a project begins with, and the name that it bears there.
const TEMPLATE: (&str, &str) = (include_str!("../../../plugins/template/src/lib.rs"), "template");
/// Where the WIT lies in the repository, and in a project that is no crate.
const INTERFACES: (&str, &str) = ("wit/v0.1/", "deps/vpnhost-policy/");
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
    /// What it is written in.
    pub language: Language,
    /// How many files were written.
    pub files: usize,
}

impl Project {
    /// Returns where `vpnhost plugin build` puts the component.
    pub fn component(&self) -> PathBuf {
        self.directory.join("target/plugins").join(format!("{}.wasm", self.name))
    }
}

/// Begins a plugin in a directory that is not there yet, or empty.
///
/// # Errors
/// A name that no plugin can have, a directory that is in use, a disk that does not take it.
pub fn begin(directory: &Path, name: &str, language: Language) -> Result<Project, BuildError> {
    if !is_name(name) || (language != Language::Rust && !is_wit_name(name)) {
        return Err(BuildError::Name { name: name.to_owned() });
    }
    let is_in_use = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => directory.exists(),
    };
    if is_in_use {
        return Err(BuildError::Exists { path: directory.to_owned() });
    }
    let own = if language == Language::Rust { crates(name) } else { named(language, name) };
    let files: Vec<(String, Vec<u8>)> = own.into_iter().chain(vendored(language)).collect();
    for (path, octets) in &files {
        write(&directory.join(path), octets)?;
    }
    let name = name.to_owned();
    Ok(Project { directory: directory.to_owned(), name, language, files: files.len() })
}

/// Writes what is vendored into a project that has none of it: who keeps a project may leave out what this program has.
pub(crate) fn restore(root: &Path, language: Language, say: &dyn Fn(&str)) -> Result<(), BuildError> {
    let missing: Vec<_> = vendored(language).filter(|(path, _)| !root.join(path).is_file()).collect();
    if !missing.is_empty() {
        say(&format!("writing {} files of vendor and wit/deps that are not there", missing.len()));
    }
    missing.iter().try_for_each(|(path, octets)| write(&root.join(path), octets))
}

/// What no registry has, and where it goes.
fn vendored(language: Language) -> impl Iterator<Item = (String, Vec<u8>)> {
    let (here, there) = INTERFACES;
    let helpers = language.helpers().map(|(name, text)| (format!("vendor/{name}"), text.as_bytes().to_vec()));
    let files = vendored::FILES.iter().filter_map(move |(path, octets)| {
        let path = match language {
            Language::Rust => format!("vendor/{path}"),
            Language::Python | Language::JavaScript | Language::C => {
                format!("{WIT}/{there}{}", path.strip_prefix(here)?)
            }
        };
        Some((path, octets.to_vec()))
    });
    helpers.into_iter().chain(files)
}

/// The files of a crate that are its author's.
fn crates(name: &str) -> Vec<(String, Vec<u8>)> {
    vec![
        ("Cargo.toml".to_owned(), manifest(name).into_bytes()),
        ("src/lib.rs".to_owned(), source(name).into_bytes()),
        ("README.md".to_owned(), readme(name).into_bytes()),
        (".gitignore".to_owned(), b"/target\n".to_vec()),
    ]
}

/// The files of a template, with the plugin's own name where it bears one.
fn named(language: Language, name: &str) -> Vec<(String, Vec<u8>)> {
    let renamed = |octets: &[u8]| {
        let text = String::from_utf8_lossy(octets);
        let text = text.replace("\"template\"", &format!("{name:?}"));
        let text = text.replace("plugin:template;", &format!("plugin:%{name};"));
        text.replace("template.wasm", &format!("{name}.wasm")).replace("# template", &format!("# {name}"))
    };
    let files = language.template().iter();
    files.map(|(path, octets)| ((*path).to_owned(), renamed(octets).into_bytes())).collect()
}

fn write(path: &Path, octets: &[u8]) -> Result<(), BuildError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|source| file("create", parent, source))?;
    }
    fs::write(path, octets).map_err(|source| file("write", path, source))
}

/// A word of WIT begins with a letter.
fn is_wit_name(name: &str) -> bool {
    name.split('-').all(|word| word.bytes().next().is_some_and(|first| first.is_ascii_lowercase()))
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
    use crate::world::World;

    #[test]
    fn a_project_has_all_that_no_registry_has_and_only_its_own_name() {
        let room = tempfile::tempdir().unwrap();
        let project = begin(&room.path().join("a/quickest-first"), "quickest-first", Language::Rust).unwrap();
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
        assert!(matches!(begin(&project.directory, "b", Language::Rust), Err(BuildError::Exists { .. })));
    }

    #[test]
    fn a_project_in_another_language_has_its_wit_its_helpers_and_only_its_own_name() {
        for language in [Language::Python, Language::JavaScript, Language::C] {
            let room = tempfile::tempdir().unwrap();
            // A word that WIT knows too.
            let project = begin(&room.path().join("record"), "record", language).unwrap();
            assert_eq!(Language::of(&project.directory).unwrap(), language);
            let (helpers, _) = language.helpers().unwrap();
            assert!(project.directory.join("vendor").join(helpers).is_file(), "{language}");
            for (path, _) in language.template() {
                let text = fs::read_to_string(project.directory.join(path)).unwrap();
                assert!(!text.contains("template"), "{language}: {path}: {text}");
            }
            let world = World::of(&project.directory, &|said| panic!("{said}")).unwrap();
            assert_eq!(world.name(), "record", "{language}");
            assert!(world.exports().contains(&"rank-paths"), "{language}");
        }
    }

    #[test]
    fn what_is_vendored_comes_back_and_what_its_author_changed_stays() {
        let room = tempfile::tempdir().unwrap();
        let root = room.path().join("p");
        begin(&root, "p", Language::Python).unwrap();
        let (wit, helpers) = (root.join("wit/deps"), root.join("vendor/vpnhost.py"));
        fs::remove_dir_all(&wit).unwrap();
        fs::write(&helpers, "# mine").unwrap();
        let said = std::cell::Cell::new(0);
        let say = |_: &str| said.set(said.get() + 1);
        restore(&root, Language::Python, &say).unwrap();
        assert!(wit.join("vpnhost-policy/worlds.wit").is_file());
        assert_eq!(fs::read_to_string(&helpers).unwrap(), "# mine");
        restore(&root, Language::Python, &say).unwrap();
        assert_eq!(said.get(), 1);
    }

    #[test]
    fn a_word_of_wit_begins_with_a_letter() {
        let room = tempfile::tempdir().unwrap();
        assert!(begin(&room.path().join("r"), "geo-2", Language::Rust).is_ok());
        for language in [Language::Python, Language::JavaScript, Language::C] {
            let begun = begin(&room.path().join("x"), "geo-2", language);
            assert!(matches!(begun, Err(BuildError::Name { .. })), "{language}");
        }
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
            assert!(matches!(
                begin(&room.path().join("x"), name, Language::Rust),
                Err(BuildError::Name { .. })
            ));
        }
    }
}
