//! A backend: a name and lists.

use vpnhost_model::{Encryption, Integrity, KeyExchange, PacketId, Prf};

use crate::{
    EncryptionAlgorithm, Hash, HashAlgorithm, IntegrityAlgorithm, KeyExchangeAlgorithm, PacketAlgorithm,
    PrfAlgorithm, Protection, SignatureAlgorithm,
};

/// Lists of algorithms, each empty by default, for the life of the process.
pub trait CryptoBackend: Send + Sync {
    /// Returns the name that operators use: `rustcrypto`, `aws-lc`.
    fn name(&self) -> &str;

    /// Returns the version of the library underneath.
    fn version(&self) -> &str;

    /// Returns whole packet protections: AEADs, and fused pairs where the backend has one.
    fn packet(&self) -> &'static [&'static dyn PacketAlgorithm] {
        &[]
    }

    /// Returns lone ciphers, which [`crate::EncryptThenMac`] pairs with [`Self::integrity`].
    fn encryption(&self) -> &'static [&'static dyn EncryptionAlgorithm] {
        &[]
    }

    /// Returns lone integrity algorithms.
    fn integrity(&self) -> &'static [&'static dyn IntegrityAlgorithm] {
        &[]
    }

    /// Returns PRFs.
    fn prf(&self) -> &'static [&'static dyn PrfAlgorithm] {
        &[]
    }

    /// Returns hashes.
    fn hash(&self) -> &'static [&'static dyn HashAlgorithm] {
        &[]
    }

    /// Returns key exchange methods.
    fn key_exchange(&self) -> &'static [&'static dyn KeyExchangeAlgorithm] {
        &[]
    }

    /// Returns signature algorithms; of one name there may be several for keys of different sizes.
    fn signature(&self) -> &'static [&'static dyn SignatureAlgorithm] {
        &[]
    }

    /// Returns the name of the backend underneath that serves a packet protection; a layered
    /// backend names the layer, a pair is named by its encryption.
    fn serves(&self, _packet: PacketId) -> &str {
        self.name()
    }
}

impl dyn CryptoBackend + '_ {
    /// Returns every packet protection that `find_packet` finds: whole ones, then every cipher with every MAC.
    pub fn packet_ids(&self) -> Vec<PacketId> {
        let whole = self.packet().iter().map(|algorithm| algorithm.id());
        let pairs = self.encryption().iter().flat_map(|cipher| {
            self.integrity().iter().map(|integrity| PacketId {
                encryption: cipher.id(),
                key_bits: cipher.key_bits(),
                integrity: integrity.id(),
            })
        });
        whole.chain(pairs).collect()
    }

    /// Finds a packet protection: whole, or put together from cipher and MAC.
    pub fn find_packet(&self, id: PacketId) -> Option<Protection> {
        let whole = self.packet().iter().copied().find(|a| a.id() == id).map(Protection::Whole);
        whole.or_else(|| Protection::pair(self, id))
    }

    /// Finds a lone cipher.
    pub fn find_encryption(&self, id: Encryption, key_bits: u16) -> Option<&'static dyn EncryptionAlgorithm> {
        self.encryption().iter().copied().find(|a| a.id() == id && a.key_bits() == key_bits)
    }

    /// Finds an integrity algorithm.
    pub fn find_integrity(&self, id: Integrity) -> Option<&'static dyn IntegrityAlgorithm> {
        self.integrity().iter().copied().find(|a| a.id() == id)
    }

    /// Finds a PRF.
    pub fn find_prf(&self, id: Prf) -> Option<&'static dyn PrfAlgorithm> {
        self.prf().iter().copied().find(|a| a.id() == id)
    }

    /// Finds a hash.
    pub fn find_hash(&self, id: Hash) -> Option<&'static dyn HashAlgorithm> {
        self.hash().iter().copied().find(|a| a.id() == id)
    }

    /// Finds a key exchange method.
    pub fn find_key_exchange(&self, id: KeyExchange) -> Option<&'static dyn KeyExchangeAlgorithm> {
        self.key_exchange().iter().copied().find(|a| a.id() == id)
    }
}
