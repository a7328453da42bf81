//! The backend on aws-lc, a C library with its own assembly: what it does faster than pure Rust.
//!
//! It lies on top of another backend, which serves what is missing here: 3DES and the MODP groups.
//! Nothing is allocated for a packet.

mod encryption;
mod hash;
mod integrity;
mod key_exchange;
mod packet;
mod prf;
mod signature;

use vpnhost_crypto::{
    CryptoBackend, EncryptionAlgorithm, HashAlgorithm, IntegrityAlgorithm, KeyExchangeAlgorithm,
    PacketAlgorithm, PrfAlgorithm, SignatureAlgorithm,
};

/// Returns the backend.
pub fn backend() -> &'static dyn CryptoBackend {
    &AwsLc
}

/// The backend on aws-lc.
struct AwsLc;

impl CryptoBackend for AwsLc {
    fn name(&self) -> &str {
        "aws-lc"
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

    fn signature(&self) -> &'static [&'static dyn SignatureAlgorithm] {
        signature::LIST
    }
}
