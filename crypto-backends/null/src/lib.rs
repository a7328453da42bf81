//! # NO SECURITY AT ALL
//!
//! A backend for simulations: it bears the numbers and the lengths of real algorithms, and whoever reads
//! a packet reads its text. Keys can be computed from public values. It fails every known answer on
//! purpose, so `admit` leaves nothing of it, and no configuration can name it.
//!
//! It is deterministic and cheap, and two hosts that use it agree; a flipped bit, another key and another
//! sequence number are noticed as with the real ones, so that what a simulation shows about IKE and ESP holds.

mod encryption;
mod hash;
mod integrity;
mod key_exchange;
mod mix;
mod packet;
mod prf;
mod random;

use vpnhost_crypto::{
    CryptoBackend, EncryptionAlgorithm, HashAlgorithm, IntegrityAlgorithm, KeyExchangeAlgorithm,
    PacketAlgorithm, PrfAlgorithm,
};

pub use random::SeededRandom;

/// Returns the backend WITHOUT SECURITY, for simulations only.
pub fn backend() -> &'static dyn CryptoBackend {
    &Null
}

/// The backend without security.
struct Null;

impl CryptoBackend for Null {
    fn name(&self) -> &str {
        "null"
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn packet(&self) -> &'static [&'static dyn PacketAlgorithm] {
        packet::LIST
    }

    fn encryption(&self) -> &'static [&'static dyn EncryptionAlgorithm] {
        encryption::LIST
    }

    fn integrity(&self) -> &'static [&'static dyn IntegrityAlgorithm] {
        integrity::LIST
    }

    fn prf(&self) -> &'static [&'static dyn PrfAlgorithm] {
        prf::LIST
    }

    fn hash(&self) -> &'static [&'static dyn HashAlgorithm] {
        hash::LIST
    }

    fn key_exchange(&self) -> &'static [&'static dyn KeyExchangeAlgorithm] {
        key_exchange::LIST
    }
}
