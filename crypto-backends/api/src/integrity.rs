//! Lone integrity algorithms, the half of encrypt-then-MAC.

use vpnhost_model::Integrity;

use crate::CryptoError;

/// A keyed MAC with a truncated output, of a backend.
pub trait IntegrityAlgorithm: Send + Sync {
    /// Returns its transform number.
    fn id(&self) -> Integrity;

    /// Returns the fixed key length in octets (RFC 4868 §2.1.1).
    fn key_len(&self) -> usize;

    /// Returns the length of the ICV in octets.
    fn icv_len(&self) -> usize;

    /// Makes a key.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] unless `key` is [`Self::key_len`] long.
    fn key(&self, key: &[u8]) -> Result<Box<dyn IntegrityKey>, CryptoError>;
}

/// A keyed MAC, with the key schedule done.
pub trait IntegrityKey: Send {
    /// Writes the truncated MAC of the concatenation of `parts` into `icv`, which is exactly one long.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] for another length, [`CryptoError::Backend`] if the library fails.
    fn sign(&mut self, parts: &[&[u8]], icv: &mut [u8]) -> Result<(), CryptoError>;

    /// Checks an ICV in constant time.
    ///
    /// # Errors
    /// [`CryptoError::AuthenticationFailed`] if it is another, and what [`Self::sign`] fails with.
    fn verify(&mut self, parts: &[&[u8]], icv: &[u8]) -> Result<(), CryptoError> {
        let mut expected = [0; 64];
        let expected = expected.get_mut(..icv.len()).ok_or(CryptoError::BadLength)?;
        self.sign(parts, expected)?;
        let equal: bool = subtle::ConstantTimeEq::ct_eq(&*expected, icv).into();
        if equal { Ok(()) } else { Err(CryptoError::AuthenticationFailed) }
    }
}
