//! A backend that gets one thing wrong loses that one algorithm, and nothing else.

mod lone;
mod packet;
mod spoilt;

use vpnhost_crypto::{CryptoBackend, Layered};
use vpnhost_known_answers::{Algorithm, Fault, Verdict, admit};

use spoilt::Spoilt;

/// Lays what is spoilt over a good backend, and demands that exactly this is lost, and why.
fn loses(spoilt: Spoilt, lost: Algorithm, why: Fault) {
    let good = vpnhost_rustcrypto::backend();
    let mixed: &'static Layered = Box::leak(Box::new(Layered::new(&[Box::leak(Box::new(spoilt)), good])));
    let admission = admit(mixed);
    let refused: Vec<_> = admission.report.refused().copied().collect();
    assert_eq!(refused.len(), 1, "{}", admission.report);
    assert_eq!(refused[0].algorithm, lost);
    match refused[0].verdict {
        Verdict::Failed { fault, .. } => assert_eq!(fault, why),
        verdict @ (Verdict::Passed { .. } | Verdict::NoAnswers | Verdict::Deferred) => {
            panic!("{lost}: {verdict}")
        }
    }
    assert_eq!(count(admission.backend) + 1, count(mixed));
    assert!(!offers(admission.backend, lost));
    assert!(offers(mixed, lost));
}

fn count(backend: &dyn CryptoBackend) -> usize {
    backend.packet().len()
        + backend.encryption().len()
        + backend.integrity().len()
        + backend.prf().len()
        + backend.hash().len()
        + backend.key_exchange().len()
        + backend.signature().len()
}

fn offers(backend: &dyn CryptoBackend, algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::Packet(id) => backend.packet().iter().any(|a| a.id() == id),
        Algorithm::Encryption(id, key_bits) => backend.find_encryption(id, key_bits).is_some(),
        Algorithm::Integrity(id) => backend.find_integrity(id).is_some(),
        Algorithm::Prf(id) => backend.find_prf(id).is_some(),
        Algorithm::Hash(id) => backend.find_hash(id).is_some(),
        Algorithm::KeyExchange(id) => backend.find_key_exchange(id).is_some(),
        Algorithm::Signature(id) => backend.signature().iter().any(|a| a.id() == id),
    }
}

#[test]
fn an_algorithm_without_known_answers_is_not_used() {
    let spoilt = Spoilt { hash: vec![Box::leak(Box::new(spoilt::UnknownHash))], ..Spoilt::default() };
    let admission = admit(Box::leak(Box::new(spoilt)));
    assert_eq!(admission.report.findings[0].verdict, Verdict::NoAnswers);
    assert_eq!(count(admission.backend), 0);
    assert!(admission.report.to_string().contains("hash 999: not used: there are no known answers"));
}

#[test]
fn a_lower_layer_serves_what_the_upper_one_got_wrong() {
    let good = vpnhost_rustcrypto::backend();
    let spoilt = Spoilt { packet: vec![packet::with_a_wrong_tag()], ..Spoilt::default() };
    let upper = admit(Box::leak(Box::new(spoilt)));
    let crypto = Layered::new(&[upper.backend, admit(good).backend]);
    let id = packet::with_a_wrong_tag().id();
    assert_eq!(crypto.serves(id), "rustcrypto");
    assert!(offers(&crypto, Algorithm::Packet(id)));
}
