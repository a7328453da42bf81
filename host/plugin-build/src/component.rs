//! From crates to components.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use wit_component::ComponentEncoder;

use crate::toolchain::{TARGET, Toolchain, cargo};
use crate::{BuildError, wasi};

/// A crate that becomes a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Where its `Cargo.toml` is.
    pub manifest: PathBuf,
    library: String,
}

impl Package {
    /// Returns the name of the component's file, without its ending.
    pub fn component(&self) -> &str {
        self.name.strip_prefix("vpnhost-plugin-").unwrap_or(&self.name)
    }
}

/// Lists the libraries of the workspace at `root` that are built as a `cdylib`, by name.
///
/// # Errors
/// No cargo, or no package there.
pub fn packages(root: &Path) -> Result<Vec<Package>, BuildError> {
    let output = Command::new(cargo())
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .output()
        .map_err(|source| BuildError::Cargo { source })?;
    let unknown = |text: String| BuildError::Metadata { path: root.to_owned(), text };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(unknown(
            text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        ));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| unknown(error.to_string()))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut found: Vec<Package> = packages.filter_map(package).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn package(package: &Value) -> Option<Package> {
    let library = package["targets"].as_array()?.iter().find(|target| {
        target["crate_types"].as_array().is_some_and(|types| types.contains(&Value::from("cdylib")))
    })?;
    Some(Package {
        name: package["name"].as_str()?.to_owned(),
        manifest: package["manifest_path"].as_str()?.into(),
        library: library["name"].as_str()?.replace('-', "_"),
    })
}

/// Builds packages of the workspace at `root` in one run of cargo, below the directory `target`, and returns the
/// components: `plugins/NAME.wasm` there.
///
/// # Errors
/// A package that does not compile (the compiler says why on standard error), or makes no component.
pub fn build(
    toolchain: &Toolchain,
    root: &Path,
    target: &Path,
    packages: &[Package],
) -> Result<Vec<PathBuf>, BuildError> {
    if packages.is_empty() {
        return Err(BuildError::NoPlugin { path: root.to_owned() });
    }
    let guests = target.join("guests");
    let mut cargo = toolchain.cargo(root, &guests, "build");
    for package in packages {
        cargo.args(["--package", &package.name]);
    }
    let status = cargo.status().map_err(|source| BuildError::Cargo { source })?;
    if !status.success() {
        return Err(BuildError::Compile { path: root.to_owned() });
    }
    let output = target.join("plugins");
    fs::create_dir_all(&output).map_err(|source| file("create", &output, source))?;
    let component = |package: &Package| {
        let module = guests.join(TARGET).join("guest").join(format!("{}.wasm", package.library));
        let path = output.join(format!("{}.wasm", package.component()));
        let octets = fs::read(&module).map_err(|source| file("read", &module, source))?;
        write(&path, &encode(&package.name, &octets, None)?)?;
        Ok(path)
    };
    packages.iter().map(component).collect()
}

/// Makes a component of a module; `wasi` is what stands for its imports of WASI.
pub(crate) fn encode(package: &str, module: &[u8], wasi: Option<&[u8]>) -> Result<Vec<u8>, BuildError> {
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(module).and_then(|encoder| match wasi {
        Some(stub) => encoder.adapter(wasi::MODULE, stub)?.encode(),
        None => encoder.encode(),
    });
    encoded.map_err(|error| BuildError::Encode { package: package.to_owned(), text: format!("{error:#}") })
}

/// Writes beside and renames, so that a host that loads meanwhile sees the old or the new one.
pub(crate) fn write(path: &Path, component: &[u8]) -> Result<(), BuildError> {
    if fs::read(path).is_ok_and(|old| old == component) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, component).map_err(|source| file("write", &fresh, source))?;
    fs::rename(&fresh, path).map_err(|source| file("write", path, source))
}

pub(crate) fn file(what: &'static str, path: &Path, source: std::io::Error) -> BuildError {
    BuildError::File { what, path: path.to_owned(), source }
}
