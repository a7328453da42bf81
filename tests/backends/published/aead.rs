//! AES-GCM, AES-CCM, AES-GMAC and ChaCha20-Poly1305 as packet protections: CAVP and Wycheproof.
//!
//! The nonce of a packet is the salt behind the key and an IV of eight octets: twelve octets, and eleven for CCM
//! (RFC 4106 §4, RFC 4309 §4, RFC 7634 §2). Cases with another nonce or another ICV cannot be put to the product.

use vpnhost_known_answers::Algorithm;
use vpnhost_model::{Encryption, Integrity, PacketId};

use super::cavp::{Record, records};
use super::wycheproof::{Vector, vectors};
use super::{Case, Trial, known, skip, try_all};

/// A case of an AEAD, whatever file it is of.
struct Sealed {
    key: Vec<u8>,
    nonce: Vec<u8>,
    aad: Vec<u8>,
    /// What must come out, or nothing where it must be refused.
    text: Option<Vec<u8>>,
    /// Ciphertext and ICV.
    sealed: Vec<u8>,
    icv_len: usize,
}

/// An AEAD: octets of its nonce, and its number by octets of ICV.
struct Family {
    nonce_len: usize,
    numbers: &'static [(usize, Encryption)],
}

const GCM: Family = Family {
    nonce_len: 12,
    numbers: &[(16, Encryption::AES_GCM_16), (12, Encryption::AES_GCM_12), (8, Encryption::AES_GCM_8)],
};
const CCM: Family = Family {
    nonce_len: 11,
    numbers: &[(16, Encryption::AES_CCM_16), (12, Encryption::AES_CCM_12), (8, Encryption::AES_CCM_8)],
};
const CHACHA20: Family = Family { nonce_len: 12, numbers: &[(16, Encryption::CHACHA20_POLY1305)] };

impl Sealed {
    fn trial(&self, family: &Family) -> Trial {
        let Some((_, encryption)) = family.numbers.iter().find(|(len, _)| *len == self.icv_len) else {
            return skip(format!("IKEv2 and ESP have no number for an ICV of {} octets", self.icv_len));
        };
        if self.nonce.len() != family.nonce_len {
            let wanted = family.nonce_len;
            return skip(format!("a nonce that is not {wanted} octets long is none of salt and IV"));
        }
        let key_bits = (self.key.len() * 8) as u16;
        let id = PacketId { encryption: *encryption, key_bits, integrity: Integrity::NONE };
        let (salt, iv) = self.nonce.split_at(family.nonce_len - 8);
        let key = [&self.key[..], salt].concat();
        let fields = [("key", &key[..]), ("iv", iv), ("aad", &self.aad)];
        let what = match &self.text {
            Some(text) => vec![("text", &text[..]), ("sealed", &self.sealed)],
            None => vec![("forged", &self.sealed[..])],
        };
        known(Algorithm::Packet(id), &[&fields[..], &what].concat())
    }
}

#[test]
fn aes_gcm_is_as_nist_says() {
    try_all("nist-cavp/aes-gcm", "", |_, text| {
        records(text).iter().map(|record| Case::new(gcm_name(record), gcm(record))).collect()
    });
}

fn gcm_name(record: &Record<'_>) -> String {
    let lengths = ["IVlen", "PTlen", "AADlen", "Taglen"].map(|name| record.text(name)).join("/");
    format!("{lengths} {}", record.name())
}

fn gcm(record: &Record<'_>) -> Trial {
    let [key, nonce, aad, text, icv] = ["Key", "IV", "AAD", "CT", "Tag"].map(|name| record.octets(name));
    let opened = if record.has("FAIL") { None } else { Some(record.octets("PT")) };
    let icv_len = icv.len();
    Sealed { key, nonce, aad, text: opened, sealed: [text, icv].concat(), icv_len }.trial(&GCM)
}

#[test]
fn aes_ccm_is_as_nist_says() {
    try_all("nist-cavp/aes-ccm", "", |_, text| {
        records(text).iter().map(|record| Case::new(record.name(), ccm(record))).collect()
    });
}

fn ccm(record: &Record<'_>) -> Trial {
    let [key, nonce, sealed] = ["Key", "Nonce", "CT"].map(|name| record.octets(name));
    let fails = record.has("Result") && record.text("Result") == "Fail";
    let text = if fails { None } else { Some(record.octets_of("Payload", "Plen")) };
    let aad = record.octets_of("Adata", "Alen");
    Sealed { key, nonce, aad, text, sealed, icv_len: record.number("Tlen") }.trial(&CCM)
}

#[test]
fn aes_gcm_is_as_wycheproof_says() {
    try_all("wycheproof", "aes_gcm", |_, text| cases(text, &GCM));
}

#[test]
fn chacha20_poly1305_is_as_wycheproof_says() {
    try_all("wycheproof", "chacha20", |_, text| cases(text, &CHACHA20));
}

fn cases(text: &str, family: &Family) -> Vec<Case> {
    let case = |vector: &Vector| Case::new(vector.name(), aead(vector).trial(family));
    vectors(text).iter().map(case).collect()
}

fn aead(vector: &Vector) -> Sealed {
    let [key, nonce, aad, text, icv] = ["key", "iv", "aad", "ct", "tag"].map(|name| vector.octets(name));
    let opened = is_valid(vector).then(|| vector.octets("msg"));
    let icv_len = usize::from(vector.bits("tagSize") / 8);
    Sealed { key, nonce, aad, text: opened, sealed: [text, icv].concat(), icv_len }
}

fn is_valid(vector: &Vector) -> bool {
    match vector.result() {
        "valid" => true,
        "invalid" => false,
        other => panic!("{other}: what is to be done?"),
    }
}

/// GMAC is GCM of no text (SP 800-38D §6.5).
#[test]
fn aes_gmac_is_as_wycheproof_says() {
    try_all("wycheproof", "aes_gmac", |_, text| {
        let case = |vector: &Vector| {
            let [key, nonce, aad, icv] = ["key", "iv", "msg", "tag"].map(|name| vector.octets(name));
            let text = is_valid(vector).then(Vec::new);
            let icv_len = usize::from(vector.bits("tagSize") / 8);
            Case::new(vector.name(), Sealed { key, nonce, aad, text, sealed: icv, icv_len }.trial(&GCM))
        };
        vectors(text).iter().map(case).collect()
    });
}
