//! Key exchanges: Diffie-Hellman of every kind, shaped so that a KEM fits.

use vpnhost_model::KeyExchange;

use crate::{CryptoError, SecretBytes, SecureRandom};

/// A key exchange method of a backend.
pub trait KeyExchangeAlgorithm: Send + Sync {
    /// Returns its transform number.
    fn id(&self) -> KeyExchange;

    /// Begins: draws a private value and computes the public one. A Diffie-Hellman method draws its
    /// private value as it is, in one call, so that the same octets give the same values everywhere:
    /// a big-endian exponent (MODP), 32 octets as RFC 7748 decodes them (Curve25519).
    ///
    /// # Errors
    /// [`CryptoError::Backend`] if the randomness or the library fails.
    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError>;

    /// Answers the peer's public value: returns ours and the shared secret. For Diffie-Hellman this
    /// is `start` and `complete` in one.
    ///
    /// # Errors
    /// [`CryptoError::BadPeerKey`] for a value that RFC 6989 or RFC 8031 refuses.
    fn respond(
        &self,
        peer: &[u8],
        random: &mut dyn SecureRandom,
    ) -> Result<(Vec<u8>, SecretBytes), CryptoError> {
        let active = self.start(random)?;
        let public = active.public().to_vec();
        Ok((public, active.complete(peer)?))
    }
}

/// The initiator's half of a key exchange that is under way.
pub trait ActiveKeyExchange: Send {
    /// Returns our key exchange data, as the KE payload carries them.
    fn public(&self) -> &[u8];

    /// Computes the shared secret (g^ir, left-padded to the modulus), and forgets the private value.
    ///
    /// # Errors
    /// [`CryptoError::BadPeerKey`] for a value that RFC 6989 or RFC 8031 refuses.
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SecretBytes, CryptoError>;
}
