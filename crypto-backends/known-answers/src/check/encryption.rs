//! Lone ciphers: both directions, and broken blocks refused.

use vpnhost_crypto::EncryptionAlgorithm;

use super::{failed, iv_kind, other_lengths, refused, same};
use crate::{Fault, answer::Answer};

/// Puts one known answer to a cipher.
pub(crate) fn encryption(algorithm: &dyn EncryptionAlgorithm, answer: &Answer<'_>) -> Result<(), Fault> {
    let [key, iv, text, sealed] = ["key", "iv", "text", "sealed"].map(|name| answer.octets(name));
    let block_len = algorithm.block_len();
    let whole_blocks = block_len != 0 && text.len().is_multiple_of(block_len);
    let kind = iv_kind(algorithm.id());
    let lengths = [algorithm.key_len(), algorithm.iv_len()] == [key.len(), iv.len()];
    if !lengths || !whole_blocks || algorithm.iv_kind() != kind {
        return Err(Fault::Layout);
    }
    for other in other_lengths(key) {
        refused("a key", &algorithm.key(&other))?;
    }
    let mut keyed = algorithm.key(key).map_err(failed("its key"))?;
    // Twice, so that nothing of the first text may stay.
    for _ in 0..2 {
        let mut octets = text.to_vec();
        keyed.encrypt(iv, &mut octets).map_err(failed("encrypting"))?;
        same("ciphertext", &octets, sealed)?;
        keyed.decrypt(iv, &mut octets).map_err(failed("decrypting"))?;
        same("plaintext", &octets, text)?;
        for other in other_lengths(iv) {
            refused("an IV", &keyed.encrypt(&other, &mut octets))?;
            refused("an IV", &keyed.decrypt(&other, &mut octets))?;
        }
        if block_len > 1 {
            let broken = &mut octets[1..];
            refused("a text", &keyed.encrypt(iv, broken))?;
            refused("a text", &keyed.decrypt(iv, broken))?;
        }
        same("text that was refused", &octets, text)?;
    }
    Ok(())
}
