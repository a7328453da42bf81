//! Lone ciphers without integrity, the other half of encrypt-then-MAC.

use vpnhost_model::Encryption;

use crate::{CryptoError, IvKind};

/// A cipher of a backend, for one key length.
pub trait EncryptionAlgorithm: Send + Sync {
    /// Returns its transform number.
    fn id(&self) -> Encryption;

    /// Returns the key length in bits, as the Key Length attribute has it; without salt.
    fn key_bits(&self) -> u16;

    /// Returns the length in octets of the key material it takes, with salt.
    fn key_len(&self) -> usize;

    /// Returns the length of the IV in the packet, in octets.
    fn iv_len(&self) -> usize;

    /// Returns what the IV must be.
    fn iv_kind(&self) -> IvKind;

    /// Returns the block length that the plaintext is padded to, in octets; 1 for a stream.
    fn block_len(&self) -> usize;

    /// Makes a key.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] unless `key` is [`Self::key_len`] long.
    fn key(&self, key: &[u8]) -> Result<Box<dyn EncryptionKey>, CryptoError>;
}

/// A cipher's key, with the key schedule done.
pub trait EncryptionKey: Send {
    /// Encrypts `text`, whole blocks, in place.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] for an IV of another length or a text of broken blocks.
    fn encrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError>;

    /// Decrypts `text`, whole blocks, in place.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    fn decrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError>;
}
