//! Several backends as one: each algorithm comes from the first that has it.

use vpnhost_model::PacketId;

use crate::{
    CryptoBackend, EncryptionAlgorithm, HashAlgorithm, IntegrityAlgorithm, KeyExchangeAlgorithm,
    PacketAlgorithm, PrfAlgorithm, SignatureAlgorithm,
};

/// Backends on top of each other, the first on top.
///
/// A whole packet protection of a lower layer is taken before a pair put together from the ciphers
/// of a higher one: a backend that fused the two knows why.
pub struct Layered {
    name: String,
    version: String,
    layers: Vec<&'static dyn CryptoBackend>,
    packet: &'static [&'static dyn PacketAlgorithm],
    encryption: &'static [&'static dyn EncryptionAlgorithm],
    integrity: &'static [&'static dyn IntegrityAlgorithm],
    prf: &'static [&'static dyn PrfAlgorithm],
    hash: &'static [&'static dyn HashAlgorithm],
    key_exchange: &'static [&'static dyn KeyExchangeAlgorithm],
    signature: &'static [&'static dyn SignatureAlgorithm],
}

impl Layered {
    /// Lays backends on top of each other, the first on top.
    pub fn new(layers: &[&'static dyn CryptoBackend]) -> Self {
        let join_names = |text: fn(&'static dyn CryptoBackend) -> &'static str| {
            layers.iter().map(|&layer| text(layer)).collect::<Vec<_>>().join(",")
        };
        Self {
            name: join_names(|layer| layer.name()),
            version: join_names(|layer| layer.version()),
            layers: layers.to_vec(),
            packet: join(layers, |layer| layer.packet(), |a| a.id()),
            encryption: join(layers, |layer| layer.encryption(), |a| (a.id(), a.key_bits())),
            integrity: join(layers, |layer| layer.integrity(), |a| a.id()),
            prf: join(layers, |layer| layer.prf(), |a| a.id()),
            hash: join(layers, |layer| layer.hash(), |a| a.id()),
            key_exchange: join(layers, |layer| layer.key_exchange(), |a| a.id()),
            signature: join(layers, |layer| layer.signature(), |a| (a.id(), a.min_key_bits())),
        }
    }

    /// Returns the layers, the top first.
    pub fn layers(&self) -> &[&'static dyn CryptoBackend] {
        &self.layers
    }
}

impl CryptoBackend for Layered {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn packet(&self) -> &'static [&'static dyn PacketAlgorithm] {
        self.packet
    }

    fn encryption(&self) -> &'static [&'static dyn EncryptionAlgorithm] {
        self.encryption
    }

    fn integrity(&self) -> &'static [&'static dyn IntegrityAlgorithm] {
        self.integrity
    }

    fn prf(&self) -> &'static [&'static dyn PrfAlgorithm] {
        self.prf
    }

    fn hash(&self) -> &'static [&'static dyn HashAlgorithm] {
        self.hash
    }

    fn key_exchange(&self) -> &'static [&'static dyn KeyExchangeAlgorithm] {
        self.key_exchange
    }

    fn signature(&self) -> &'static [&'static dyn SignatureAlgorithm] {
        self.signature
    }

    fn serves(&self, packet: PacketId) -> &str {
        let whole = self.layers.iter().find(|layer| layer.packet().iter().any(|a| a.id() == packet));
        let cipher = || {
            self.layers
                .iter()
                .find(|layer| layer.find_encryption(packet.encryption, packet.key_bits).is_some())
        };
        whole.or_else(cipher).map_or(self.name(), |layer| layer.name())
    }
}

/// Joins one list of every layer, leaving out what a higher layer has. The list is leaked: a backend
/// lives for the process, and there are as many as the operator names.
fn join<A: ?Sized, K: PartialEq>(
    layers: &[&'static dyn CryptoBackend],
    list: fn(&'static dyn CryptoBackend) -> &'static [&'static A],
    key: fn(&A) -> K,
) -> &'static [&'static A] {
    let mut joined: Vec<&'static A> = Vec::new();
    for &algorithm in layers.iter().flat_map(|&layer| list(layer)) {
        if !joined.iter().any(|above| key(above) == key(algorithm)) {
            joined.push(algorithm);
        }
    }
    joined.leak()
}
