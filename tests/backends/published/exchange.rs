//! Key exchanges: CAVP's ECC CDH primitive, Wycheproof's ECDH and Curve25519; what must be refused is (RFC 6989,
//! RFC 8031 §4).

use vpnhost_crypto::{CryptoError, SecureRandom};
use vpnhost_known_answers::Algorithm;
use vpnhost_model::KeyExchange;

use super::cavp::{Record, records};
use super::wycheproof::{Vector, vectors};
use super::{Case, Outcome, Trial, absent, decided, judge, known, skip, try_all};

/// Curves: NIST's name, Wycheproof's, the group, and octets of a coordinate.
const CURVES: [(&str, &str, KeyExchange, usize); 3] = [
    ("P-256", "secp256r1", KeyExchange::ECP_256, 32),
    ("P-384", "secp384r1", KeyExchange::ECP_384, 48),
    ("P-521", "secp521r1", KeyExchange::ECP_521, 66),
];

#[test]
fn ecdh_is_as_nist_says() {
    try_all("nist-cavp/ecdh", "", |_, text| {
        records(text).iter().map(|record| Case::new(record.name(), cdh(record))).collect()
    });
}

fn cdh(record: &Record<'_>) -> Trial {
    let Some((_, _, group, len)) = CURVES.into_iter().find(|(name, ..)| *name == record.section()) else {
        return skip(format!("IKEv2 has no number for a key exchange over {}", record.section()));
    };
    let octets = |name: &str| padded(&record.octets(name), len);
    let public = [octets("QIUTx"), octets("QIUTy")].concat();
    let peer = [octets("QCAVSx"), octets("QCAVSy")].concat();
    let (private, shared) = (octets("dIUT"), octets("ZIUT"));
    let fields = [("private", &private[..]), ("public", &public), ("peer", &peer), ("shared", &shared)];
    known(Algorithm::KeyExchange(group), &fields)
}

/// Makes an integer as long as a coordinate.
fn padded(integer: &[u8], len: usize) -> Vec<u8> {
    let first = integer.iter().position(|&octet| octet != 0).unwrap_or(integer.len());
    let digits = &integer[first..];
    [&vec![0; len - digits.len()][..], digits].concat()
}

#[test]
fn ecdh_is_as_wycheproof_says() {
    try_all("wycheproof", "ecdh_", |name, text| {
        let curve = CURVES.into_iter().find(|(_, curve, ..)| name.contains(curve));
        let (_, _, group, len) = curve.expect("a curve that the product has");
        vectors(text).iter().map(|vector| Case::new(vector.name(), ecdh(vector, group, len))).collect()
    });
}

/// A KE payload has x and y alone (RFC 5903 §7). What begins with the form "uncompressed" is put without it; any
/// other is put as it is, and has another length.
fn ecdh(vector: &Vector, group: KeyExchange, len: usize) -> Trial {
    let [peer, private, shared] = ["public", "private", "shared"].map(|name| vector.octets(name));
    let peer = peer.strip_prefix(&[4]).unwrap_or(&peer).to_vec();
    match vector.result() {
        "valid" => agrees(group, padded(&private, len), peer, shared),
        "invalid" => known(Algorithm::KeyExchange(group), &[("refused", &peer)]),
        "acceptable" if vector.has_flag("CompressedPoint") => {
            let refused = known(Algorithm::KeyExchange(group), &[("refused", &peer)]);
            decided("a compressed point: refused, as KE payloads have none (RFC 5903 §7)", refused)
        }
        other => panic!("{other}: what is to be done?"),
    }
}

#[test]
fn curve25519_is_as_wycheproof_says() {
    try_all("wycheproof", "x25519", |_, text| {
        vectors(text).iter().map(|vector| Case::new(vector.name(), curve25519(vector))).collect()
    });
}

fn curve25519(vector: &Vector) -> Trial {
    let group = KeyExchange::X25519;
    let [peer, private, shared] = ["public", "private", "shared"].map(|name| vector.octets(name));
    if vector.has_flag("ZeroSharedSecret") {
        let refused = known(Algorithm::KeyExchange(group), &[("refused", &peer)]);
        return decided("a secret of zeros: refused (RFC 7748 §6.1)", refused);
    }
    let agrees = agrees(group, private, peer, shared);
    match (vector.result(), vector.has_flag("NonCanonicalPublic"), vector.has_flag("Twist")) {
        ("valid", ..) => agrees,
        ("acceptable", true, _) => decided("a value above the prime: taken modulo it (RFC 7748 §5)", agrees),
        ("acceptable", false, true) => decided("a point of the twist: taken (RFC 7748 §5)", agrees),
        (other, ..) => panic!("{other}: what is to be done?"),
    }
}

/// The files have no public value to a private one: only the secret is held against them.
fn agrees(group: KeyExchange, private: Vec<u8>, peer: Vec<u8>, shared: Vec<u8>) -> Trial {
    Box::new(move |backend| {
        let Some(algorithm) = backend.find_key_exchange(group) else {
            return absent(Algorithm::KeyExchange(group));
        };
        let ours = algorithm.start(&mut Private(&private)).and_then(|active| active.complete(&peer));
        match ours {
            Ok(secret) => judge(secret.expose() == shared, true),
            Err(error) => Outcome::Wrong(error.to_string()),
        }
    })
}

/// Randomness that is a private value, once and whole.
struct Private<'a>(&'a [u8]);

impl SecureRandom for Private<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        if out.len() != self.0.len() {
            return Err(CryptoError::Backend);
        }
        out.copy_from_slice(self.0);
        Ok(())
    }
}
