//! The bodies of the fuzz targets: each takes any octets and panics only where the code under test is
//! wrong. libFuzzer runs them by `tests/fuzz/targets`, the stable test suite by `tests/fuzz_replay.rs`.

mod certificate;
mod eap;
mod endpoint;
mod esp;
mod fragments;
mod key;
mod script;
pub mod seeds;
mod wire;

pub use certificate::certificate;
pub use eap::eap;
pub use endpoint::endpoint;
pub use esp::esp;
pub use fragments::fragments;
pub use wire::wire;
