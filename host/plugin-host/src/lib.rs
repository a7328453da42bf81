//! WebAssembly components as policies.
//!
//! A component is compiled once and instantiated at will; it sees nothing but the menus that it is
//! asked, writes to the log, and has of the host what the operator grants it: a small store of its own, numbers
//! that it shows, tables to look into. What it is told there is recorded: a call can be made anew. Each call has a deadline and a memory cap; an instance that
//! traps is thrown away, and a fresh one answers the next question. This room knows WIT and the
//! vocabulary of policies; of IKE and of packets it knows nothing.
//!
//! ```no_run
//! use vpnhost_plugin_host::{PluginEngine, PluginSpec, WasmPolicy};
//!
//! # fn main() -> Result<(), vpnhost_plugin_host::LoadError> {
//! let engine = PluginEngine::new()?;
//! let policy = WasmPolicy::load(&engine, PluginSpec::new("plugins/office-hours.wasm"))?;
//! println!("{} {}", policy.manifest().name, policy.manifest().version);
//! # Ok(())
//! # }
//! ```

mod breaker;
mod compiled;
mod digest;
mod engine;
mod error;
mod grant;
mod guest;
mod holdings;
mod inspection;
mod instance;
pub mod limits;
mod loader;
mod manifest;
mod policy;
mod recorded;
mod settings;
mod signature;
mod slot;
mod spec;
mod store;
mod table;
mod trial;
mod v0_1;

pub use digest::digest_of_file;
pub use engine::PluginEngine;
pub use error::LoadError;
pub use grant::Grant;
pub use holdings::StoreKind;
pub use inspection::{Inspection, inspect};
pub use limits::Limits;
pub use manifest::{Manifest, SettingSpec};
pub use policy::{Aside, PluginState, Usage, WasmPolicy};
pub use recorded::Told;
pub use settings::{SettingKind, SettingProblem, SettingValue, Settings};
pub use signature::{KeyId, PluginKey, Signer};
pub use slot::{PluginSlot, Rehearsal, Takeover};
pub use spec::PluginSpec;
pub use table::{TableKeys, TableSpec};
pub use trial::{Difference, TrialKind, TrialReport, falls_to_canary};
