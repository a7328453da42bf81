//! What is right passes, and is quick.

use std::time::{Duration, Instant};

use vpnhost_crypto::CryptoBackend;

/// What an operator does not notice at start, for each of two backends.
const UNNOTICED: Duration = Duration::from_millis(100);

fn passes(backend: &'static dyn CryptoBackend) {
    let took = |()| {
        let began = Instant::now();
        let admission = vpnhost_known_answers::admit(backend);
        let took = began.elapsed();
        assert_eq!(admission.report.refused().count(), 0, "{}", admission.report);
        assert!(admission.report.passed() > 0);
        assert_eq!(admission.backend.name(), backend.name());
        assert_eq!(admission.backend.packet().len(), backend.packet().len());
        took
    };
    // The least of some, as other tests run beside this one.
    let least = [(); 5].map(took).into_iter().min().expect("there are five");
    println!("{}: {least:?}", backend.name());
    assert!(cfg!(debug_assertions) || least < UNNOTICED, "{least:?}");
}

#[test]
fn every_algorithm_of_rustcrypto_passes_at_once() {
    passes(vpnhost_rustcrypto::backend());
}

#[test]
fn every_algorithm_of_aws_lc_passes_at_once() {
    passes(vpnhost_aws_lc::backend());
}
