//! Why a plugin is not loaded.

use std::path::PathBuf;

use vpnhost_policy::Failure;

use crate::limits;
use crate::settings::SettingProblem;

/// Why a plugin is not loaded; the text is one line for the operator, [`LoadError::hint`] another.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read plugin {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than any plugin.
    #[error("plugin {} is larger than {} MiB", path.display(), limits::FILE_OCTETS >> 20)]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// The file is not WebAssembly.
    #[error("{} is not a WebAssembly component", path.display())]
    NotWasm {
        /// Which file.
        path: PathBuf,
    },
    /// The file is a core module, which a component is made of.
    #[error("{} is a WebAssembly module, not a component", path.display())]
    CoreModule {
        /// Which file.
        path: PathBuf,
    },
    /// The component is damaged, or needs what this host does not have.
    #[error("plugin {} does not compile", path.display())]
    Compile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: wasmtime::Error,
    },
    /// The component wants more of the host than a plugin gets.
    #[error("plugin {} imports what plugins do not get: {}", path.display(), imports.join(", "))]
    Imports {
        /// Which file.
        path: PathBuf,
        /// What it imports.
        imports: Vec<String>,
    },
    /// The component answers none of the questions that this host asks.
    #[error("{} is no plugin of this host: {}", path.display(), found(exports))]
    NoQuestion {
        /// Which file.
        path: PathBuf,
        /// What it exports.
        exports: Vec<String>,
    },
    /// The component lacks what every plugin has.
    #[error("plugin {} does not export {interface}", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Which interface.
        interface: &'static str,
    },
    /// An interface has another shape than this host's.
    #[error("plugin {} was built against another version of the interface", path.display())]
    Shape {
        /// Which file.
        path: PathBuf,
        /// Which part.
        source: wasmtime::Error,
    },
    /// The plugin does not start.
    #[error("plugin {} does not start", path.display())]
    Start {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Failure,
    },
    /// The plugin refuses its settings.
    #[error("plugin {} refuses its settings: {}", path.display(), joined(problems))]
    Settings {
        /// Which file.
        path: PathBuf,
        /// Every problem.
        problems: Vec<SettingProblem>,
    },
    /// The operator gave the plugin roles of which it can play none.
    #[error("plugin {} answers no question of its roles", path.display())]
    Roles {
        /// Which file.
        path: PathBuf,
    },
    /// This machine cannot run plugins.
    #[error("cannot run plugins on this machine")]
    Engine {
        /// Why.
        source: wasmtime::Error,
    },
}

impl LoadError {
    /// Returns what the operator may do about it, in a line.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::CoreModule { .. } => Some(
                "make a component of it: cargo xtask build-plugins, or wasm-tools component new IN.wasm -o OUT.wasm",
            ),
            Self::NotWasm { .. } => Some("a plugin is built with cargo xtask build-plugins"),
            Self::Imports { .. } => {
                Some("plugins get no clock, files or network: build without WASI (see wit/README.md)")
            }
            Self::NoQuestion { .. } | Self::Missing { .. } => {
                Some("a plugin exports describe, configure and a question of vpnhost:policy@0.1.0 (see wit/)")
            }
            Self::Shape { .. } => Some("rebuild the plugin against this host's wit/v0.1"),
            Self::Start { source: Failure::Memory, .. } => {
                Some("give it more: memory = \"64MiB\" in [[plugin]]")
            }
            Self::Settings { .. } => Some("vpnhost plugin inspect FILE shows the settings that it takes"),
            Self::Roles { .. } => Some("vpnhost plugin inspect FILE shows what it answers"),
            Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::Compile { .. }
            | Self::Start { .. }
            | Self::Engine { .. } => None,
        }
    }
}

fn found(exports: &[String]) -> String {
    match exports {
        [] => "it exports nothing".to_owned(),
        some => format!("it exports {}", some.join(", ")),
    }
}

fn joined(problems: &[SettingProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
