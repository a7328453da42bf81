//! A backend of what is handed to it, and good algorithms behind a spoiling hand.

use vpnhost_crypto::{
    CryptoBackend, CryptoError, EncryptionAlgorithm, Hash, HashAlgorithm, IntegrityAlgorithm,
    KeyExchangeAlgorithm, PacketAlgorithm, PrfAlgorithm, SignatureAlgorithm,
};

/// A backend with the lists that a test gives it.
#[derive(Default)]
pub(crate) struct Spoilt {
    pub(crate) packet: Vec<&'static dyn PacketAlgorithm>,
    pub(crate) encryption: Vec<&'static dyn EncryptionAlgorithm>,
    pub(crate) integrity: Vec<&'static dyn IntegrityAlgorithm>,
    pub(crate) prf: Vec<&'static dyn PrfAlgorithm>,
    pub(crate) hash: Vec<&'static dyn HashAlgorithm>,
    pub(crate) key_exchange: Vec<&'static dyn KeyExchangeAlgorithm>,
    pub(crate) signature: Vec<&'static dyn SignatureAlgorithm>,
}

/// Leaks a copy: a list lives for the process.
fn leak<A: ?Sized>(list: &[&'static A]) -> &'static [&'static A] {
    list.to_vec().leak()
}

impl CryptoBackend for Spoilt {
    fn name(&self) -> &str {
        "spoilt"
    }

    fn version(&self) -> &str {
        "0"
    }

    fn packet(&self) -> &'static [&'static dyn PacketAlgorithm] {
        leak(&self.packet)
    }

    fn encryption(&self) -> &'static [&'static dyn EncryptionAlgorithm] {
        leak(&self.encryption)
    }

    fn integrity(&self) -> &'static [&'static dyn IntegrityAlgorithm] {
        leak(&self.integrity)
    }

    fn prf(&self) -> &'static [&'static dyn PrfAlgorithm] {
        leak(&self.prf)
    }

    fn hash(&self) -> &'static [&'static dyn HashAlgorithm] {
        leak(&self.hash)
    }

    fn key_exchange(&self) -> &'static [&'static dyn KeyExchangeAlgorithm] {
        leak(&self.key_exchange)
    }

    fn signature(&self) -> &'static [&'static dyn SignatureAlgorithm] {
        leak(&self.signature)
    }
}

/// A hash that nobody knows.
pub(crate) struct UnknownHash;

impl HashAlgorithm for UnknownHash {
    fn id(&self) -> Hash {
        Hash(999)
    }

    fn output_len(&self) -> usize {
        1
    }

    fn hash(&self, _parts: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoError> {
        out.fill(0);
        Ok(())
    }
}
