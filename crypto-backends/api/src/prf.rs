//! Pseudorandom functions and prf+ (RFC 7296 §2.13).

use vpnhost_model::Prf;

use crate::{CryptoError, SecretBytes};

/// A PRF of a backend.
pub trait PrfAlgorithm: Send + Sync {
    /// Returns its transform number.
    fn id(&self) -> Prf;

    /// Returns the length of its output in octets, which is its preferred key length too.
    fn output_len(&self) -> usize;

    /// Makes a key of any length.
    ///
    /// # Errors
    /// [`CryptoError::Backend`] if the library fails.
    fn key(&self, key: &[u8]) -> Result<Box<dyn PrfKey>, CryptoError>;
}

/// A keyed PRF.
pub trait PrfKey: Send {
    /// Computes the PRF of the concatenation of `parts`.
    ///
    /// # Errors
    /// [`CryptoError::Backend`] if the library fails.
    fn compute(&self, parts: &[&[u8]]) -> Result<SecretBytes, CryptoError>;
}

/// Expands a key to `count` octets: prf+ (K, seed), RFC 7296 §2.13.
///
/// # Errors
/// [`CryptoError::BadLength`] beyond 255 blocks, and what the PRF fails with.
pub fn prf_plus(key: &dyn PrfKey, seed: &[&[u8]], count: usize) -> Result<SecretBytes, CryptoError> {
    let mut all = SecretBytes::new(vec![0; count]);
    let mut block = SecretBytes::default();
    let mut filled = 0;
    for number in 1..=u8::MAX {
        if filled == count {
            return Ok(all);
        }
        let tail = [number];
        let parts: Vec<&[u8]> =
            std::iter::once(block.expose()).chain(seed.iter().copied()).chain([&tail[..]]).collect();
        block = key.compute(&parts)?;
        let take = block.len().min(count - filled);
        all.expose_mut()[filled..filled + take].copy_from_slice(&block.expose()[..take]);
        filled += take;
    }
    if filled == count { Ok(all) } else { Err(CryptoError::BadLength) }
}
