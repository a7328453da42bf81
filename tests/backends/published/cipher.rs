//! AES-CBC and 3DES-CBC: CAVP's known answers and messages of many blocks, both directions of each, and Wycheproof.

use vpnhost_crypto::CryptoError;
use vpnhost_known_answers::Algorithm;
use vpnhost_model::Encryption;

use super::cavp::{Record, records};
use super::wycheproof::{Vector, vectors};
use super::{Case, Outcome, Trial, absent, known, monte_carlo, try_all};

#[test]
fn aes_cbc_is_as_nist_says() {
    try_all("nist-cavp/aes-cbc", "", |name, text| {
        let all = records(text);
        let monte_carlo = name.contains("MCT");
        all.iter().map(|record| Case::new(record.name(), aes(record, monte_carlo))).collect()
    });
}

fn aes(record: &Record<'_>, monte_carlo: bool) -> Trial {
    let key = record.octets("KEY");
    if monte_carlo { monte_carlo::aes(record, key) } else { cbc(record, Encryption::AES_CBC, &key) }
}

fn cbc(record: &Record<'_>, encryption: Encryption, key: &[u8]) -> Trial {
    let [iv, text, sealed] = ["IV", "PLAINTEXT", "CIPHERTEXT"].map(|name| record.octets(name));
    let algorithm = Algorithm::Encryption(encryption, (key.len() * 8) as u16);
    known(algorithm, &[("key", key), ("iv", &iv), ("text", &text), ("sealed", &sealed)])
}

#[test]
fn triple_des_cbc_is_as_nist_says() {
    try_all("nist-cavp/tdes-cbc", "", |name, text| {
        let all = records(text);
        let monte_carlo = name.contains("Monte");
        all.iter().map(|record| Case::new(record.name(), triple_des(record, monte_carlo))).collect()
    });
}

fn triple_des(record: &Record<'_>, monte_carlo: bool) -> Trial {
    let names = if record.has("KEYs") { ["KEYs"; 3] } else { ["KEY1", "KEY2", "KEY3"] };
    let key = names.map(|name| record.octets(name)).concat();
    if monte_carlo { monte_carlo::triple_des(record, key) } else { cbc(record, Encryption::TRIPLE_DES, &key) }
}

#[test]
fn aes_cbc_is_as_wycheproof_says() {
    try_all("wycheproof", "aes_cbc", |_, text| {
        vectors(text).iter().map(|vector| Case::new(vector.name(), padded(vector))).collect()
    });
}

/// The padding of these is PKCS #7's, which is no matter of the product's ciphers: it is written out here, and
/// where it is bad it must come out of the cipher as bad as it went in.
fn padded(vector: &Vector) -> Trial {
    let [key, iv, text, sealed] = ["key", "iv", "msg", "ct"].map(|name| vector.octets(name));
    let algorithm = Algorithm::Encryption(Encryption::AES_CBC, vector.bits("keySize"));
    if vector.result() == "valid" {
        let pad = 16 - text.len() % 16;
        let text = [&text[..], &vec![pad as u8; pad]].concat();
        return known(algorithm, &[("key", &key), ("iv", &iv), ("text", &text), ("sealed", &sealed)]);
    }
    assert_eq!(vector.result(), "invalid");
    Box::new(move |backend| {
        let Some(found) = backend.find_encryption(Encryption::AES_CBC, (key.len() * 8) as u16) else {
            return absent(algorithm);
        };
        let mut octets = sealed.clone();
        let decrypted = found.key(&key).and_then(|mut key| key.decrypt(&iv, &mut octets));
        match decrypted {
            Err(CryptoError::BadLength) if !sealed.len().is_multiple_of(16) => Outcome::Right,
            Ok(()) if !is_padded(&octets) => Outcome::Right,
            outcome => Outcome::Wrong(format!("{outcome:?}")),
        }
    })
}

fn is_padded(text: &[u8]) -> bool {
    let Some(&last) = text.last() else { return false };
    let pad = usize::from(last);
    (1..=16).contains(&pad)
        && pad <= text.len()
        && text[text.len() - pad..].iter().all(|&octet| octet == last)
}
