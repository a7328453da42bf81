//! Every algorithm of every backend gives its known answers: those of `admit`, and the larger sets of
//! Wycheproof, NIST and this project in `tests/vectors`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vpnhost_crypto::{CryptoBackend, PacketAlgorithm, Protection};
use vpnhost_known_answers::{Algorithm, Finding, Verdict, admit, examine};
use vpnhost_model::Integrity;

use crate::shelf::{layered, protections, rustcrypto};

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

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn algorithms(backend: &dyn CryptoBackend) -> Vec<Algorithm> {
    let packets = protections(backend).into_iter().map(|protection| Algorithm::Packet(protection.id()));
    packets
        .chain(backend.encryption().iter().map(|a| Algorithm::Encryption(a.id(), a.key_bits())))
        .chain(backend.integrity().iter().map(|a| Algorithm::Integrity(a.id())))
        .chain(backend.prf().iter().map(|a| Algorithm::Prf(a.id())))
        .chain(backend.hash().iter().map(|a| Algorithm::Hash(a.id())))
        .chain(backend.key_exchange().iter().map(|a| Algorithm::KeyExchange(a.id())))
        .collect()
}

#[test]
fn the_larger_sets_pass_too() {
    let mut read = BTreeSet::new();
    for backend in [rustcrypto(), vpnhost_aws_lc::backend()] {
        for algorithm in algorithms(backend) {
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
    let kinds = ["packet", "encryption", "integrity", "prf", "hash", "key_exchange"];
    let all: BTreeSet<_> = kinds.iter().flat_map(|kind| files(&vectors().join(kind))).collect();
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
