//! `cargo xtask build-plugins`: compiles every plugin to WebAssembly and makes components of them.
//!
//! A compiler that brings the standard library for wasm32 builds plainly. Where there is none, a
//! compiler with its library's source (Debian's `rust-web-src`) builds the library too.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";
const LINKERS: [&str; 7] =
    ["rust-lld", "wasm-ld", "wasm-ld-22", "wasm-ld-21", "wasm-ld-19", "wasm-ld-18", "wasm-ld-16"];
const ADVICE: &str = "no Rust compiler here can build for wasm32-unknown-unknown
hint: with rustup: rustup target add wasm32-unknown-unknown
hint: with Debian or Ubuntu: apt-get install rustc-web rust-web-src lld-19 (or rustc, rust-src and lld)
hint: VPNHOST_GUEST_RUSTC names a compiler that is not on the path";

/// Builds all plugins, those of `plugins/` and the hostile ones, and returns the directory that
/// holds the components: `plugins` in cargo's target directory.
///
/// # Errors
/// A compiler that is missing, a plugin that does not compile, a module that is no plugin.
pub(crate) fn build_plugins() -> Result<PathBuf> {
    let root = root();
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let guests = target.join("guests");
    let plugins = find_plugins(&root)?;
    ensure!(!plugins.is_empty(), "no plugin in {}", root.display());
    let toolchain = Toolchain::find()?;
    compile(&root, &guests, &plugins, &toolchain)?;
    let output = target.join("plugins");
    fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;
    for plugin in &plugins {
        let module = guests.join(TARGET).join("guest").join(format!("{}.wasm", plugin.library));
        let component = encode(&module).with_context(|| format!("{} makes no component", plugin.package))?;
        write(&output.join(format!("{}.wasm", plugin.name())), &component)?;
    }
    Ok(output)
}

/// A crate that becomes a plugin.
struct Plugin {
    package: String,
    library: String,
}

impl Plugin {
    fn name(&self) -> &str {
        self.package.strip_prefix("vpnhost-plugin-").unwrap_or(&self.package)
    }
}

/// How guests are built on this machine.
struct Toolchain {
    rustc: PathBuf,
    /// The standard library is built too.
    build_std: bool,
    /// Where the compiler does not know one itself.
    linker: Option<PathBuf>,
}

impl Toolchain {
    fn find() -> Result<Self> {
        let named = env::var_os("VPNHOST_GUEST_RUSTC").filter(|name| !name.is_empty());
        let candidates: Vec<PathBuf> =
            named.map(PathBuf::from).into_iter().chain(["rustc".into(), "/usr/bin/rustc".into()]).collect();
        let prebuilt = candidates.iter().find(|rustc| has_library(rustc));
        if let Some(rustc) = prebuilt {
            let linker = if own_linker(rustc).is_some() { None } else { linker_on_path() };
            return Ok(Self { rustc: rustc.clone(), build_std: false, linker });
        }
        let source = candidates.iter().find(|rustc| has_library_source(rustc));
        let linker = candidates.iter().find_map(|rustc| own_linker(rustc)).or_else(linker_on_path);
        match (source, linker) {
            (Some(rustc), Some(linker)) => {
                Ok(Self { rustc: rustc.clone(), build_std: true, linker: Some(linker) })
            }
            (Some(_), None) => bail!("no linker for wasm32 here\nhint: apt-get install lld-19 (or lld)"),
            (None, _) => bail!(ADVICE),
        }
    }
}

/// Every library of the workspace in `plugins/` or `tests/hostile/` that is built as a `cdylib`.
fn find_plugins(root: &Path) -> Result<Vec<Plugin>> {
    let output = Command::new(cargo())
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let rooms = [root.join("plugins"), root.join("tests/hostile")];
    let mut plugins = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        if !rooms.iter().any(|room| Path::new(manifest).starts_with(room)) {
            continue;
        }
        let library = package["targets"].as_array().into_iter().flatten().find(|target| {
            target["crate_types"].as_array().is_some_and(|types| types.contains(&Value::from("cdylib")))
        });
        if let (Some(package), Some(library)) =
            (package["name"].as_str(), library.and_then(|target| target["name"].as_str()))
        {
            plugins.push(Plugin { package: package.to_owned(), library: library.replace('-', "_") });
        }
    }
    plugins.sort_by(|a, b| a.package.cmp(&b.package));
    Ok(plugins)
}

/// One cargo run for all.
fn compile(root: &Path, guests: &Path, plugins: &[Plugin], toolchain: &Toolchain) -> Result<()> {
    let mut cargo = guest_cargo(root, guests, toolchain);
    cargo.args(["build", "--quiet", "--profile", "guest", "--target", TARGET]);
    for plugin in plugins {
        cargo.args(["--package", &plugin.package]);
    }
    if toolchain.build_std {
        cargo.arg("-Zbuild-std=std,panic_abort");
    }
    let status = cargo.status().context("cannot run cargo")?;
    ensure!(status.success(), "the plugins do not compile");
    Ok(())
}

/// Checks that crates compile for wasm32, which keeps sockets, runtimes and C libraries out of them.
///
/// # Errors
/// A compiler that is missing; a crate that does not compile.
pub(crate) fn check_guest(packages: &[&str]) -> Result<()> {
    let root = root();
    let guests = crate::target().join("guests");
    let toolchain = Toolchain::find()?;
    let mut cargo = guest_cargo(&root, &guests, &toolchain);
    cargo.args(["check", "--quiet", "--profile", "guest", "--target", TARGET]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    if toolchain.build_std {
        cargo.arg("-Zbuild-std=std,panic_abort");
    }
    crate::steps::logged("guest-check", &mut cargo).map(drop)
}

/// A cargo for guests, in a target directory of its own: the outer cargo holds the other's lock.
fn guest_cargo(root: &Path, guests: &Path, toolchain: &Toolchain) -> Command {
    let mut cargo = Command::new(cargo());
    cargo.current_dir(root);
    if toolchain.build_std {
        // The standard library only builds with unstable features.
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    // What is meant for the host's build is not meant for the guests'.
    for name in [
        "RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOCFLAGS",
    ] {
        cargo.env_remove(name);
    }
    cargo.env("RUSTC", &toolchain.rustc).env("CARGO_TARGET_DIR", guests);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped(root));
    if let Some(linker) = &toolchain.linker {
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    cargo
}

/// Paths of this machine do not belong into a component: who builds it elsewhere gets the same one.
fn remapped(root: &Path) -> OsString {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut flags = OsString::from("--remap-path-prefix=");
    flags.push(root);
    flags.push("=.");
    if let Some(home) = home {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(home);
        flags.push("=cargo");
    }
    flags
}

fn encode(module: &Path) -> Result<Vec<u8>> {
    let module = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(&module).and_then(ComponentEncoder::encode);
    encoded.map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// Writes beside and renames, so that a host that loads meanwhile sees the old or the new one.
fn write(path: &Path, component: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == component) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, component).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}

/// A path is printed for a target that is not installed too: what counts is what lies there.
fn has_library(rustc: &Path) -> bool {
    let Some(directory) = print(rustc, &["--print", "target-libdir", "--target", TARGET]) else {
        return false;
    };
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.map(|file| file.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

fn has_library_source(rustc: &Path) -> bool {
    sysroot(rustc).is_some_and(|root| root.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file())
}

fn own_linker(rustc: &Path) -> Option<PathBuf> {
    let version = print(rustc, &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    let linker = sysroot(rustc)?.join("lib/rustlib").join(host).join("bin/rust-lld");
    linker.is_file().then_some(linker)
}

fn linker_on_path() -> Option<PathBuf> {
    let directories: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let mut linkers = LINKERS.iter().flat_map(|name| directories.iter().map(move |it| it.join(name)));
    linkers.find(|linker| linker.is_file())
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    print(rustc, &["--print", "sysroot"]).map(PathBuf::from)
}

fn print(rustc: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(rustc).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
