//! What is right passes, and is quick.

use std::time::Duration;

use vpnhost_crypto::CryptoBackend;

/// What an operator does not notice at start, for all backends together.
const UNNOTICED: Duration = Duration::from_millis(500);

/// Returns how long this thread has been on a processor: other work on the machine does not count.
/// Linux has it, where it was not left out of the kernel.
fn worked() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Admits a backend with all its algorithms, some times, and returns how long one took.
fn admitted(backend: &'static dyn CryptoBackend) -> Option<Duration> {
    const TIMES: u32 = 5;
    let before = worked();
    for _ in 0..TIMES {
        let admission = vpnhost_known_answers::admit(backend);
        assert_eq!(admission.report.refused().count(), 0, "{}", admission.report);
        assert!(admission.report.passed() > 0);
        assert_eq!(admission.backend.name(), backend.name());
        assert_eq!(admission.backend.packet().len(), backend.packet().len());
    }
    let took = (worked()? - before?) / TIMES;
    println!("{}: {took:?}", backend.name());
    Some(took)
}

#[test]
fn every_algorithm_passes_before_an_operator_notices() {
    let both = [vpnhost_rustcrypto::backend(), vpnhost_aws_lc::backend()].map(admitted);
    let all: Duration = both.into_iter().flatten().sum();
    assert!(cfg!(debug_assertions) || all < UNNOTICED, "{all:?}");
}
