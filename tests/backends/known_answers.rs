//! Every algorithm of every backend gives its known answers: those of `admit`, and the longer packets of this
//! project in `tests/vectors/packet`; what others published is in [`crate::published`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vpnhost_crypto::{CryptoBackend, PacketAlgorithm, Protection};
use vpnhost_known_answers::{Algorithm, Finding, Verdict, admit, examine};
use vpnhost_model::Integrity;

use crate::shelf::{layered, protections, rustcrypto, vectors};

/// Every cipher with every integrity as if the backend had fused them.
struct Fused(&'static dyn CryptoBackend);

impl CryptoBackend for Fused {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn version(&self) -> &str {
        self.0.version()
    }

    fn packet(&self) -> &'static [&'static dyn PacketAlgorithm] {
        let leak =
            |protection: Protection| -> &'static dyn PacketAlgorithm { Box::leak(Box::new(protection)) };
        protections(self.0).into_iter().map(leak).collect::<Vec<_>>().leak()
    }
}

#[test]
fn every_algorithm_of_every_backend_is_admitted() {
    for backend in [rustcrypto(), vpnhost_aws_lc::backend(), layered()] {
        let report = admit(backend).report;
        println!("{report}");
        assert_eq!(report.refused().count(), 0, "{report}");
    }
}

#[test]
fn every_cipher_is_right_with_every_integrity() {
    for backend in [rustcrypto(), layered()] {
        let report = admit(Box::leak(Box::new(Fused(backend)))).report;
        // What no backend fuses has its answers in the larger set alone.
        let there =
            |refused: &Finding| refused.verdict == Verdict::NoAnswers && file_of(refused.algorithm).exists();
        assert!(report.refused().all(there), "{report}");
        // AEADs, and every cipher with every integrity.
        assert_eq!(report.findings.len(), 19 + 8 * 6, "{report}");
    }
}

#[test]
fn nothing_of_the_backend_without_security_is_admitted() {
    let admission = admit(vpnhost_null::backend());
    assert_eq!(admission.report.passed(), 0, "{}", admission.report);
    assert!(admission.backend.packet().is_empty());
    assert!(admission.backend.key_exchange().is_empty());
    assert!(admission.report.refused().all(|finding| finding.verdict != Verdict::NoAnswers));
}

/// Returns where the larger set of an algorithm lies: `packet/aes128-sha256.hex`.
fn file_of(algorithm: Algorithm) -> PathBuf {
    let text = algorithm.to_string();
    let (kind, name) = text.rsplit_once(' ').expect("the kind stands in front");
    let name = name.strip_prefix("prf").unwrap_or(name);
    vectors().join(kind.replace(' ', "_")).join(format!("{name}.hex"))
}

#[test]
fn the_longer_packets_pass_too() {
    let mut read = BTreeSet::new();
    for backend in [rustcrypto(), vpnhost_aws_lc::backend()] {
        for protection in protections(backend) {
            let algorithm = Algorithm::Packet(protection.id());
            let path = file_of(algorithm);
            let Ok(file) = std::fs::read_to_string(&path) else {
                continue;
            };
            let verdict = examine(backend, algorithm, &file).expect("a file of ours can be read");
            println!("{}: {algorithm}: {}", backend.name(), verdict.expect("the backend lists it"));
            assert!(verdict.is_some_and(|verdict| verdict.is_pass()), "{algorithm}: {verdict:?}");
            read.insert(path);
        }
    }
    let all: BTreeSet<_> = files(&vectors().join("packet")).into_iter().collect();
    assert_eq!(read, all, "a file that nobody reads checks nothing");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory is in the repository");
    entries.map(|entry| entry.expect("it can be listed").path()).collect()
}

#[test]
fn a_file_is_examined_only_where_there_is_the_algorithm() {
    let unknown = Algorithm::Integrity(Integrity(u16::MAX));
    assert_eq!(examine(rustcrypto(), unknown, "key = 00"), Ok(None));
    let known = Algorithm::Integrity(Integrity::HMAC_SHA2_256_128);
    assert_eq!(examine(rustcrypto(), known, "# nothing"), Ok(Some(Verdict::NoAnswers)));
    assert_eq!(examine(rustcrypto(), known, "\nkey 00").map_err(|error| error.line), Err(2));
}
