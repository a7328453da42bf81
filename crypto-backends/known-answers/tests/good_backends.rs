//! What is right passes, and is quick.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vpnhost_crypto::CryptoBackend;
use vpnhost_known_answers::Verdict;
use vpnhost_model::KeyExchange;

/// What an operator does not notice at start, for all backends together.
const UNNOTICED: Duration = Duration::from_millis(200);

/// How often a backend is admitted.
const TIMES: u32 = 5;

/// What is measured is the time of the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Processor time: other work on the machine does not count.
#[derive(Clone, Copy)]
struct Worked {
    /// Of this thread.
    here: Duration,
    /// Of the whole process, in hundredths of a second.
    all: Duration,
}

impl Worked {
    /// Linux has it, where it was not left out of the kernel.
    fn so_far() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let here = text.split(' ').next()?.parse().ok().map(Duration::from_nanos)?;
        // utime and stime, the 12th and 13th behind the name; threads that have ended count.
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        let ticks: Vec<u64> = fields.split(' ').skip(11).take(2).filter_map(|it| it.parse().ok()).collect();
        Some(Self { here, all: Duration::from_millis(10 * ticks.iter().sum::<u64>()) })
    }
}

/// Admits a backend with all its algorithms, some times, and returns how long one took: the thread that admits, or
/// those that it has beside it, whichever took longer.
fn admitted(backend: &'static dyn CryptoBackend) -> Option<Duration> {
    let before = Worked::so_far();
    for _ in 0..TIMES {
        let admission = vpnhost_known_answers::admit(backend);
        assert_eq!(admission.report.refused().count(), 0, "{}", admission.report);
        assert!(admission.report.passed() > 0);
        assert_eq!(admission.backend.name(), backend.name());
        assert_eq!(admission.backend.packet().len(), backend.packet().len());
    }
    let (before, after) = (before?, Worked::so_far()?);
    let here = (after.here - before.here) / TIMES;
    let beside = ((after.all - before.all) / TIMES).saturating_sub(here);
    println!("{}: {here:?}, beside it {beside:?}", backend.name());
    Some(here.max(beside))
}

#[test]
fn what_is_tried_when_it_is_used_passes_then() {
    struct Ones;
    impl vpnhost_crypto::SecureRandom for Ones {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), vpnhost_crypto::CryptoError> {
            out.fill(1);
            Ok(())
        }
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let admission = vpnhost_known_answers::admit(vpnhost_rustcrypto::backend());
    let deferred = |finding: &&vpnhost_known_answers::Finding| finding.verdict == Verdict::Deferred;
    assert_eq!(admission.report.findings.iter().filter(deferred).count(), 3, "{}", admission.report);
    for method in [KeyExchange::MODP_4096, KeyExchange::MODP_6144, KeyExchange::MODP_8192] {
        let method = admission.backend.find_key_exchange(method).unwrap();
        assert!(method.start(&mut Ones).is_ok(), "{}", method.id());
    }
}

#[test]
fn every_algorithm_passes_before_an_operator_notices() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let both = [vpnhost_rustcrypto::backend(), vpnhost_aws_lc::backend()].map(admitted);
    let all: Duration = both.into_iter().flatten().sum();
    assert!(cfg!(debug_assertions) || all < UNNOTICED, "{all:?}");
}
