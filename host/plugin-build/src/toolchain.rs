//! A compiler that can build for WebAssembly.
//!
//! One that brings the standard library for wasm32 builds plainly. Where there is none, one with its library's source
//! (Debian's `rust-web-src`) builds the library too.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::BuildError;

/// What plugins are built for: no clock, no files, no sockets.
pub const TARGET: &str = "wasm32-unknown-unknown";

const LINKERS: [&str; 7] =
    ["rust-lld", "wasm-ld", "wasm-ld-22", "wasm-ld-21", "wasm-ld-19", "wasm-ld-18", "wasm-ld-16"];
/// What is meant for the host's build is not meant for the guests'.
const NOT_INHERITED: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOCFLAGS",
];

/// How guests are built on this machine.
#[derive(Clone, Debug)]
pub struct Toolchain {
    rustc: PathBuf,
    /// The standard library is built too.
    build_std: bool,
    /// Where the compiler does not know one itself.
    linker: Option<PathBuf>,
}

impl Toolchain {
    /// Finds a compiler: the one that `VPNHOST_GUEST_RUSTC` names, the one on the path, Debian's.
    ///
    /// # Errors
    /// [`BuildError::NoCompiler`], [`BuildError::NoLinker`].
    pub fn find() -> Result<Self, BuildError> {
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
            (Some(_), None) => Err(BuildError::NoLinker),
            (None, _) => Err(BuildError::NoCompiler),
        }
    }

    /// Returns the compiler.
    pub fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// Tells whether the standard library is built too, which takes a minute the first time.
    pub fn builds_std(&self) -> bool {
        self.build_std
    }

    /// Returns a cargo that does `verb` for guests of the workspace at `root`, in a target directory of its own: the
    /// outer cargo may hold the other's lock.
    pub fn cargo(&self, root: &Path, target: &Path, verb: &str) -> Command {
        let mut cargo = Command::new(cargo());
        cargo.current_dir(root);
        if self.build_std {
            // The standard library only builds with unstable features.
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        for name in NOT_INHERITED {
            cargo.env_remove(name);
        }
        cargo.env("RUSTC", &self.rustc).env("CARGO_TARGET_DIR", target);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped(root));
        if let Some(linker) = &self.linker {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        cargo.args([verb, "--quiet", "--profile", "guest", "--target", TARGET]);
        if self.build_std {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        cargo
    }
}

/// Paths of this machine do not belong into a component: who builds it elsewhere gets the same one. What comes last wins.
fn remapped(root: &Path) -> OsString {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut prefixes = vec![(root.to_owned(), ".")];
    if let Some(home) = home {
        // A directory for each registry, called by a digest of where it is.
        let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
        let registries: Vec<PathBuf> = registries.map(|it| it.path()).collect();
        prefixes.push((home, "cargo"));
        prefixes.extend(registries.into_iter().map(|it| (it, "crates")));
    }
    let mut flags = OsString::new();
    for (prefix, instead) in prefixes {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(prefix);
        flags.push("=");
        flags.push(instead);
    }
    flags
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

pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
