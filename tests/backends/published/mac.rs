//! HMAC and AES-CMAC: CAVP and Wycheproof, cut or not; what is cut as IPsec cuts it is an ICV, too.

use vpnhost_known_answers::Algorithm;
use vpnhost_model::{Integrity, Prf};

use super::cavp::{Record, records};
use super::wycheproof::{Vector, vectors};
use super::{Case, Outcome, Trial, absent, all, judge, known, skip, try_all};

/// HMAC over a hash: as PRF, as integrity algorithm, and how long its digest, which is its key there, and its ICV are.
const HMACS: [(Prf, Integrity, usize, usize); 4] = [
    (Prf::HMAC_SHA1, Integrity::HMAC_SHA1_96, 20, 12),
    (Prf::HMAC_SHA2_256, Integrity::HMAC_SHA2_256_128, 32, 16),
    (Prf::HMAC_SHA2_384, Integrity::HMAC_SHA2_384_192, 48, 24),
    (Prf::HMAC_SHA2_512, Integrity::HMAC_SHA2_512_256, 64, 32),
];

#[test]
fn hmac_is_as_nist_says() {
    try_all("nist-cavp/hmac", "", |_, text| {
        records(text).iter().map(|record| Case::new(record.name(), cavp_hmac(record))).collect()
    });
}

fn cavp_hmac(record: &Record<'_>) -> Trial {
    let len = record.number("L");
    let [key, data] = ["Key", "Msg"].map(|name| record.octets(name));
    match HMACS.iter().find(|(_, _, digest, _)| *digest == len) {
        Some(_) => hmac(len, &key, &data, &record.octets("Mac"), true),
        None => skip("IKEv2 and ESP have no number for HMAC-SHA-224"),
    }
}

/// The whole MAC is what the PRF gives; where key and MAC are long enough for an ICV, that is held against it, too.
fn hmac(len: usize, key: &[u8], data: &[u8], mac: &[u8], valid: bool) -> Trial {
    let found = HMACS.iter().find(|(_, _, digest, _)| *digest == len);
    let &(prf, integrity, _, icv_len) = found.expect("the caller has found it");
    let mut trials = vec![starts_with(prf, key, data, mac, valid)];
    let cut = mac.get(..icv_len).filter(|_| key.len() == len);
    match (cut, valid) {
        (Some(icv), true) => {
            trials
                .push(known(Algorithm::Integrity(integrity), &[("key", key), ("data", data), ("icv", icv)]));
        }
        // An octet behind the ICV may be the one that is wrong.
        (Some(icv), false) if mac.len() == icv_len => {
            let forged = [("key", key), ("data", data), ("forged", icv)];
            trials.push(known(Algorithm::Integrity(integrity), &forged));
        }
        (Some(_), false) | (None, _) => {}
    }
    all(trials)
}

fn starts_with(prf: Prf, key: &[u8], data: &[u8], mac: &[u8], valid: bool) -> Trial {
    let [key, data, mac] = [key, data, mac].map(<[u8]>::to_vec);
    Box::new(move |backend| {
        let Some(algorithm) = backend.find_prf(prf) else { return absent(Algorithm::Prf(prf)) };
        match algorithm.key(&key).and_then(|key| key.compute(&[&data])) {
            Ok(output) => judge(output.expose().starts_with(&mac), valid),
            Err(error) => Outcome::Wrong(error.to_string()),
        }
    })
}

#[test]
fn hmac_is_as_wycheproof_says() {
    try_all("wycheproof", "hmac_", |name, text| {
        let len = match name {
            "hmac_sha1_test.json" => 20,
            "hmac_sha256_test.json" => 32,
            "hmac_sha512_test.json" => 64,
            other => panic!("{other}: which hash is it?"),
        };
        vectors(text).iter().map(|vector| Case::new(vector.name(), wycheproof(vector, len))).collect()
    });
}

fn wycheproof(vector: &Vector, len: usize) -> Trial {
    let [key, data, mac] = ["key", "msg", "tag"].map(|name| vector.octets(name));
    assert!(["valid", "invalid"].contains(&vector.result()));
    hmac(len, &key, &data, &mac, vector.result() == "valid")
}

#[test]
fn aes_cmac_is_as_nist_says() {
    try_all("nist-cavp/aes-cmac", "", |_, text| {
        records(text).iter().map(|record| Case::new(record.name(), cmac(record))).collect()
    });
}

/// RFC 4615 §3: with a key of 128 bits the PRF is AES-CMAC itself; RFC 4494 §2 cuts it to 96 bits.
fn cmac(record: &Record<'_>) -> Trial {
    let key = record.octets("Key");
    if key.len() != 16 {
        return skip("IKEv2 and ESP have AES-CMAC with keys of 128 bits alone");
    }
    let (data, mac) = (record.octets_of("Msg", "Mlen"), record.octets("Mac"));
    let valid = match record.text("Result").as_bytes() {
        [b'P', ..] => true,
        [b'F', ..] => false,
        other => panic!("{other:?}"),
    };
    let mut trials = vec![starts_with(Prf::AES128_CMAC, &key, &data, &mac, valid)];
    if let Some(icv) = mac.get(..12).filter(|_| valid) {
        let integrity = Algorithm::Integrity(Integrity::AES_CMAC_96);
        trials.push(known(integrity, &[("key", &key), ("data", &data), ("icv", icv)]));
    }
    all(trials)
}
