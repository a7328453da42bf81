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
            Self::Metadata { .. } => &["vpnhost plugin new NAME begins one"],
            Self::Name { .. } => {
                &["letters, digits and single hyphens, a letter first, 64 at most: quickest-first"]
            }
            Self::Compile { .. } | Self::Encode { .. } | Self::Exists { .. } | Self::File { .. } => &[],
        }
    }
}
