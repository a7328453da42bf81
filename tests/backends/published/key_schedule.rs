//! NIST's file for the key derivation of IKEv2 (SP 800-135 §4.1.2), with the PRF and prf+ of each backend; IKE's own
//! derivation is held against it in `vpnhost-ike`, where it is.

use vpnhost_known_answers::Algorithm;
use vpnhost_model::Prf;

use super::cavp::{Record, records};
use super::{Case, Trial, all, known, skip, try_all};

#[test]
fn the_key_schedule_is_as_nist_says() {
    try_all("nist-cavp/ikev2-kdf", "", |_, text| {
        records(text).iter().map(|record| Case::new(record.name(), schedule(record))).collect()
    });
}

fn schedule(record: &Record<'_>) -> Trial {
    let prf = match record.section() {
        "SHA-1" => Prf::HMAC_SHA1,
        "SHA-256" => Prf::HMAC_SHA2_256,
        "SHA-384" => Prf::HMAC_SHA2_384,
        "SHA-512" => Prf::HMAC_SHA2_512,
        "SHA-224" => return skip("IKEv2 has no number for HMAC-SHA-224"),
        other => panic!("{other}: which hash is it?"),
    };
    let field = |name: &str| record.octets(name);
    let nonces = [field("Ni"), field("Nr")].concat();
    let sk_d = field("DKM")[..record.octets("SKEYSEED").len()].to_vec();
    // RFC 7296, 2.14, 2.17 and 2.18.
    all(vec![
        prf_of(prf, &nonces, &field("g^ir"), &field("SKEYSEED")),
        expansion(
            prf,
            &field("SKEYSEED"),
            &[nonces.clone(), field("SPIi"), field("SPIr")].concat(),
            &field("DKM"),
        ),
        expansion(prf, &sk_d, &nonces, &field("DKM(Child SA)")),
        expansion(prf, &sk_d, &[field("g^ir (new)"), nonces.clone()].concat(), &field("DKM(Child SA D-H)")),
        prf_of(prf, &sk_d, &[field("g^ir (new)"), nonces].concat(), &field("SKEYSEED(Rekey)")),
    ])
}

fn prf_of(prf: Prf, key: &[u8], data: &[u8], output: &[u8]) -> Trial {
    known(Algorithm::Prf(prf), &[("key", key), ("data", data), ("output", output)])
}

fn expansion(prf: Prf, key: &[u8], seed: &[u8], keymat: &[u8]) -> Trial {
    known(Algorithm::Prf(prf), &[("key", key), ("seed", seed), ("keymat", keymat)])
}
