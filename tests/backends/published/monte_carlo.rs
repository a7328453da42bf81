//! NIST's Monte Carlo tests of CBC: a text of one block goes round many times, each time with what came before.
//!
//! AESAVS §6.4.2 and SP 800-20 §5.1: the IV of a round is the ciphertext of the one before; the next text is the
//! output before the last when encrypting, and for 3DES the last output when decrypting.

use vpnhost_crypto::{CryptoError, EncryptionKey};
use vpnhost_known_answers::Algorithm;
use vpnhost_model::Encryption;

use super::cavp::Record;
use super::{Outcome, Trial, absent, judge};
use crate::shelf::rustcrypto;

pub(super) fn aes(record: &Record<'_>, key: Vec<u8>) -> Trial {
    let rounds = if record.section() == "ENCRYPT" { encrypt::<1000> } else { decrypt::<1000> };
    trial(record, Encryption::AES_CBC, key, rounds)
}

pub(super) fn triple_des(record: &Record<'_>, key: Vec<u8>) -> Trial {
    let rounds = if record.section() == "ENCRYPT" { encrypt::<10_000> } else { decrypt_plainly };
    let trial = trial(record, Encryption::TRIPLE_DES, key, rounds);
    Box::new(move |backend| {
        let found = backend.find_encryption(Encryption::TRIPLE_DES, 192);
        let below = rustcrypto().find_encryption(Encryption::TRIPLE_DES, 192);
        match (found, below) {
            (Some(found), Some(below))
                if backend.name() != "rustcrypto" && std::ptr::addr_eq(found, below) =>
            {
                Outcome::Skipped("it is the very algorithm of rustcrypto, and this takes long".to_owned())
            }
            _ => trial(backend),
        }
    })
}

/// Goes round from an IV and a text; returns the last output.
type Rounds = fn(&mut dyn EncryptionKey, Vec<u8>, Vec<u8>) -> Result<Vec<u8>, CryptoError>;

fn trial(record: &Record<'_>, encryption: Encryption, key: Vec<u8>, rounds: Rounds) -> Trial {
    let names = match record.section() {
        "ENCRYPT" => ["IV", "PLAINTEXT", "CIPHERTEXT"],
        _ => ["IV", "CIPHERTEXT", "PLAINTEXT"],
    };
    let [iv, text, output] = names.map(|name| record.octets(name));
    Box::new(move |backend| {
        let key_bits = (key.len() * 8) as u16;
        let Some(found) = backend.find_encryption(encryption, key_bits) else {
            return absent(Algorithm::Encryption(encryption, key_bits));
        };
        match found.key(&key).and_then(|mut key| rounds(key.as_mut(), iv.clone(), text.clone())) {
            Ok(last) => judge(last == output, true),
            Err(error) => Outcome::Wrong(error.to_string()),
        }
    })
}

fn encrypt<const ROUNDS: usize>(
    key: &mut dyn EncryptionKey,
    mut iv: Vec<u8>,
    mut text: Vec<u8>,
) -> Result<Vec<u8>, CryptoError> {
    // Before the first output stands the IV.
    for _ in 0..ROUNDS {
        key.encrypt(&iv, &mut text)?;
        std::mem::swap(&mut iv, &mut text);
    }
    Ok(iv)
}

fn decrypt<const ROUNDS: usize>(
    key: &mut dyn EncryptionKey,
    mut iv: Vec<u8>,
    mut text: Vec<u8>,
) -> Result<Vec<u8>, CryptoError> {
    let mut before = iv.clone();
    for _ in 0..ROUNDS {
        let sealed = text.clone();
        key.decrypt(&iv, &mut text)?;
        iv = sealed;
        std::mem::swap(&mut before, &mut text);
    }
    Ok(before)
}

fn decrypt_plainly(
    key: &mut dyn EncryptionKey,
    mut iv: Vec<u8>,
    mut text: Vec<u8>,
) -> Result<Vec<u8>, CryptoError> {
    for _ in 0..10_000 {
        let sealed = text.clone();
        key.decrypt(&iv, &mut text)?;
        iv = sealed;
    }
    Ok(text)
}
