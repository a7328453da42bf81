//! Puts into the library what a plugin needs to compile and no registry has: the SDK, the crates under it, the WIT, and
//! those lines of the workspace's manifest that the crates inherit.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where in the repository the crates and the WIT lie, and where they lie in a project's `vendor`.
const ROOMS: [&str; 5] = ["host/model", "policies/api", "policies/standard", "plugins/sdk", "wit/v0.1"];
/// What projects in other languages begin with, and the names of their lists.
const TEMPLATES: [(&str, &str); 3] = [
    ("PYTHON", "plugins/template-python"),
    ("JAVASCRIPT", "plugins/template-js"),
    ("C", "plugins/template-c"),
];
/// What is made or installed there when the templates are built where they lie.
const MADE: [&str; 7] = ["target", "tests", "vendor", "deps", ".venv", "node_modules", "__pycache__"];
/// Tables of the workspace's manifest that the crates inherit.
const TABLES: [&str; 5] = [
    "workspace.package",
    "workspace.lints.rust",
    "workspace.lints.clippy",
    "workspace.lints.rustdoc",
    "profile.guest",
];
/// Dependencies of the crates that a registry has.
const DEPENDENCIES: [&str; 1] = ["wit-bindgen"];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = here.ancestors().nth(2).ok_or("the crate lies in the repository")?;
    let mut generated = String::from("pub(crate) const FILES: &[(&str, &[u8])] = &[\n");
    for room in ROOMS {
        list(&root.join(room), root, &mut generated)?;
    }
    for (name, room) in TEMPLATES {
        writeln!(generated, "];\npub(crate) const {name}: &[(&str, &[u8])] = &[")?;
        list(&root.join(room), &root.join(room), &mut generated)?;
    }
    let manifest = root.join("Cargo.toml");
    println!("cargo::rerun-if-changed={}", manifest.display());
    let (tables, dependencies) = inherited(&fs::read_to_string(manifest)?);
    writeln!(generated, "];\npub(crate) const TABLES: &str = {tables:?};")?;
    writeln!(generated, "pub(crate) const DEPENDENCIES: &str = {dependencies:?};")?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("vendored.rs"), generated)?;
    Ok(())
}

/// Lists a room's files, by their names below `base`.
fn list(room: &Path, base: &Path, generated: &mut String) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    find(room, &mut files)?;
    files.sort();
    println!("cargo::rerun-if-changed={}", room.display());
    for file in files {
        let within = file.strip_prefix(base)?.to_str().ok_or("a name that is no text")?;
        writeln!(generated, "    ({within:?}, include_bytes!({:?})),", file.display().to_string())?;
    }
    Ok(())
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_made = path.file_name().is_some_and(|name| MADE.iter().any(|made| name == *made));
        if path.is_dir() && !is_made {
            find(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn inherited(manifest: &str) -> (String, String) {
    let (mut tables, mut dependencies, mut table) = (String::new(), String::new(), "");
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = header;
        }
        if TABLES.contains(&table) && !line.trim().is_empty() && !line.starts_with('#') {
            tables.push_str(if line.starts_with('[') && !tables.is_empty() { "\n" } else { "" });
            tables.push_str(line);
            tables.push('\n');
        }
        let key = line.split(" = ").next().unwrap_or_default();
        if table == "workspace.dependencies" && DEPENDENCIES.contains(&key) {
            dependencies.push_str(line);
            dependencies.push('\n');
        }
    }
    (tables, dependencies)
}
