//! Why there is no component, or no project.

use std::io;
use std::path::PathBuf;

/// Why there is no component, or no project; [`BuildError::hints`] says what may be done.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No compiler here can build for WebAssembly.
    #[error("no Rust compiler here can build for wasm32-unknown-unknown")]
    NoCompiler,
    /// No linker for WebAssembly is here.
    #[error("no linker for wasm32 is here")]
    NoLinker,
    /// Cargo cannot be run.
    #[error("cannot run cargo")]
    Cargo {
        /// Why.
        source: io::Error,
    },
    /// A tool of the language cannot be run.
    #[error("cannot run {tool}")]
    Tool {
        /// Its name.
        tool: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No compiler for C is here, nor what could install one.
    #[error("no C compiler here can build for wasm32-wasi")]
    NoCCompiler,
    /// Python makes no virtual environment.
    #[error("python3 makes no virtual environment in {}", path.display())]
    Venv {
        /// The directory that it was to be in.
        path: PathBuf,
    },
    /// What a project needs cannot be installed; the tool said why.
    #[error("{tool} does not install what {} names", list.display())]
    Install {
        /// What was to install it.
        tool: &'static str,
        /// The list.
        list: PathBuf,
    },
    /// The directory holds no project of a language that is known here.
    #[error("{} holds no plugin: none of Cargo.toml, plugin.py, plugin.js, plugin.c", path.display())]
    NoProject {
        /// The directory.
        path: PathBuf,
    },
    /// The project's WIT is wrong; what is wrong with it was said.
    #[error("{} does not say what the plugin answers", path.display())]
    Wit {
        /// Its directory.
        path: PathBuf,
    },
    /// Cargo knows no such package.
    #[error("{} is no package of cargo: {text}", path.display())]
    Metadata {
        /// The directory.
        path: PathBuf,
        /// What cargo says.
        text: String,
    },
    /// None of the crates becomes a plugin.
    #[error("no library in {} is built as a cdylib", path.display())]
    NoPlugin {
        /// The directory.
        path: PathBuf,
    },
    /// The compiler said what is wrong.
    #[error("{} does not compile", path.display())]
    Compile {
        /// The directory.
        path: PathBuf,
    },
    /// The module is none of a component.
    #[error("{package} makes no component: {text}")]
    Encode {
        /// The crate.
        package: String,
        /// What is wrong with it.
        text: String,
    },
    /// A name that no crate can have.
    #[error("{name:?} is no name for a plugin")]
    Name {
        /// The name.
        name: String,
    },
    /// There is something already.
    #[error("{} exists and is not empty", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl BuildError {
    /// Returns what may be done about it, a line each.
    pub fn hints(&self) -> &'static [&'static str] {
        match self {
            Self::NoCompiler => &[
                "with rustup: rustup target add wasm32-unknown-unknown",
                "with Debian or Ubuntu: apt-get install rustc-web rust-web-src lld-19 (or rustc, rust-src and lld)",
                "VPNHOST_GUEST_RUSTC names a compiler that is not on the path",
            ],
            Self::NoLinker => &["apt-get install lld-19 (or lld)"],
            Self::Cargo { .. } => &["is Rust installed? https://rustup.rs, or apt-get install cargo"],
            Self::NoPlugin { .. } => &["its Cargo.toml needs: [lib] crate-type = [\"cdylib\", \"rlib\"]"],
            Self::Metadata { .. } | Self::NoProject { .. } => &["vpnhost plugin new NAME begins one"],
            Self::Name { .. } => {
                &["letters, digits and single hyphens, a letter first, 64 at most: quickest-first"]
            }
            Self::Tool { tool: "python3", .. } | Self::Venv { .. } => {
                &["with Debian or Ubuntu: apt-get install python3 python3-venv"]
            }
            Self::Tool { tool: "npm", .. } => &["with Debian or Ubuntu: apt-get install nodejs npm"],
            Self::NoCCompiler => &[
                "with Debian or Ubuntu: apt-get install python3 python3-venv (zig comes with pip)",
                "or: apt-get install clang lld wasi-libc libclang-rt-dev-wasm32",
                "VPNHOST_GUEST_CC names a clang with a C library for WebAssembly",
            ],
            Self::Install { .. } => &["is its registry reached from here?"],
            Self::Wit { .. } => &["wit/plugin.wit: package plugin:NAME; and one world"],
            Self::Tool { .. }
            | Self::Compile { .. }
            | Self::Encode { .. }
            | Self::Exists { .. }
            | Self::File { .. } => &[],
        }
    }
}
