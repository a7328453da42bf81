//! Why a plugin is not loaded.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::PathBuf;

use vpnhost_policy::{Failure, QuestionKind};

use crate::settings::SettingProblem;
use crate::{Grant, KeyId, limits};

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
    /// The component wants what the operator did not grant.
    #[error("plugin {} uses what it was not granted: {}", path.display(), listed(missing))]
    NotGranted {
        /// Which file.
        path: PathBuf,
        /// What it wants.
        missing: Vec<Grant>,
        /// The grants that it would run with.
        wanted: Vec<Grant>,
    },
    /// The operator wants signed plugins only, and this one is not.
    #[error("plugin {} is not signed: there is no {}, and [host] plugin_keys takes {} only", path.display(), file.display(), listed(keys))]
    Unsigned {
        /// Which file.
        path: PathBuf,
        /// Where its signature would be.
        file: PathBuf,
        /// The keys that are believed.
        keys: Vec<KeyId>,
    },
    /// Another key signed it than those that the operator believes.
    #[error("plugin {} is signed by the key {key}, and [host] plugin_keys takes {} only", path.display(), listed(keys))]
    ForeignSigner {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: KeyId,
        /// The keys that are believed.
        keys: Vec<KeyId>,
    },
    /// It answered before, when other keys were believed, or none had to sign.
    #[error("plugin {} was not checked by a key that [host] plugin_keys takes now", path.display())]
    Unchecked {
        /// Which file.
        path: PathBuf,
    },
    /// The signature is none of this file.
    #[error("plugin {} is not what the key {key} signed", path.display())]
    SignatureWrong {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: KeyId,
    },
    /// The signature's file is none.
    #[error("{} is no signature of minisign", path.display())]
    SignatureForm {
        /// Which file.
        path: PathBuf,
    },
    /// The signature's file cannot be read.
    #[error("cannot read the signature {}", path.display())]
    SignatureRead {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A table that the operator names is none.
    #[error("table {}: line {line} {problem}", path.display())]
    Table {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The store that a plugin should find again cannot be had.
    #[error("the store of plugin {name} cannot be read")]
    Store {
        /// Whose.
        name: String,
        /// Why.
        source: std::io::Error,
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
    /// A component that should take the place of another does not do so as it was tried.
    #[error("plugin {} fails at a question that was asked lately: {question}: {why}", path.display())]
    Rehearsal {
        /// Which file.
        path: PathBuf,
        /// Which question.
        question: QuestionKind,
        /// How.
        why: String,
    },
    /// No other component answered in a plugin's place before.
    #[error("no other component answered for {name} before")]
    Nobody {
        /// Whose place.
        name: String,
    },
    /// A component does not take over what another version stored.
    #[error("plugin {} does not take over what its version {from} stored: {why}", path.display())]
    Migration {
        /// Which file.
        path: PathBuf,
        /// Who stored it.
        from: String,
        /// Why.
        why: String,
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
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
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
            Self::NotGranted { wanted, .. } => {
                let words: Vec<String> = wanted.iter().map(|grant| format!("\"{grant}\"")).collect();
                return Some(format!("write grant = [{}] in its [[plugin]]", words.join(", ")).into());
            }
            Self::Unsigned { .. } => Some("minisign -S -m FILE.wasm signs it; or leave plugin_keys out"),
            Self::Unchecked { .. } => {
                Some("vpnhost plugin load FILE takes it again, if one of them signed it")
            }
            Self::ForeignSigner { .. } => Some("vpnhost plugin inspect FILE shows who signed it"),
            Self::SignatureWrong { .. } => {
                Some("one of the two files was changed, or copied without the other: sign it anew")
            }
            Self::SignatureForm { .. } => Some("minisign -S -m FILE.wasm makes one"),
            Self::Table { .. } => Some("a table has lines of key,value; # begins a comment"),
            Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::Compile { .. }
            | Self::Start { .. }
            | Self::Rehearsal { .. }
            | Self::Nobody { .. }
            | Self::Migration { .. }
            | Self::SignatureRead { .. }
            | Self::Store { .. }
            | Self::Engine { .. } => None,
        };
        hint.map(Cow::Borrowed)
    }
}

fn listed<T: Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
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
