//! The backend in pure Rust, always there: RustCrypto's ciphers and hashes, crypto-bigint, x25519-dalek.
//!
//! AES uses the processor's instructions where it has them. 3DES works on tables and is not constant
//! time; it is for peers that have nothing else.

mod encryption;
mod hash;
mod integrity;
mod key_exchange;
mod packet;
mod prf;
mod signature;
mod xcbc;

use vpnhost_crypto::{
    CryptoBackend, EncryptionAlgorithm, HashAlgorithm, IntegrityAlgorithm, KeyExchangeAlgorithm,
    PacketAlgorithm, PrfAlgorithm, SignatureAlgorithm,
};

/// Returns the backend.
pub fn backend() -> &'static dyn CryptoBackend {
    &RustCrypto
}

/// The backend in pure Rust.
struct RustCrypto;

impl CryptoBackend for RustCrypto {
    fn name(&self) -> &str {
        "rustcrypto"
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
