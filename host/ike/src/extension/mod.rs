//! What rides on exchanges: each extension is switched on by a Notify or carried by a payload.

pub(crate) mod childless;
pub(crate) mod configuration;
pub(crate) mod cookie;
pub(crate) mod crash_detection;
pub mod fragmentation;
pub(crate) mod idle_probe;
pub(crate) mod initial_contact;
pub(crate) mod mobike;
pub(crate) mod nat_detection;
pub(crate) mod signature_hashes;
pub(crate) mod transport_nat;
pub(crate) mod unknown_spi;
