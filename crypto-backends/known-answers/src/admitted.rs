//! A backend without the algorithms that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use vpnhost_crypto::{
    CryptoBackend, EncryptionAlgorithm, HashAlgorithm, IntegrityAlgorithm, KeyExchangeAlgorithm,
    PacketAlgorithm, PrfAlgorithm, SignatureAlgorithm,
};
use vpnhost_model::PacketId;

use crate::{
    Algorithm, Fault, Finding, Verdict,
    answer::{self, Answer, Unreadable},
    check,
    deferred::{self, Deferred},
    vectors,
};

/// The backend underneath, seen through shorter lists.
pub(crate) struct Admitted {
    inner: &'static dyn CryptoBackend,
    packet: &'static [&'static dyn PacketAlgorithm],
    encryption: &'static [&'static dyn EncryptionAlgorithm],
    integrity: &'static [&'static dyn IntegrityAlgorithm],
    prf: &'static [&'static dyn PrfAlgorithm],
    hash: &'static [&'static dyn HashAlgorithm],
    key_exchange: &'static [&'static dyn KeyExchangeAlgorithm],
    signature: &'static [&'static dyn SignatureAlgorithm],
}

impl Admitted {
    /// Signatures take as long as all the others together: they are examined beside them, on a thread of their own.
    pub(crate) fn of(inner: &'static dyn CryptoBackend, findings: &mut Vec<Finding>) -> Self {
        thread::scope(|scope| {
            let signatures = scope.spawn(|| {
                let mut findings = Vec::new();
                let name = |algorithm: &dyn SignatureAlgorithm| Algorithm::Signature(algorithm.id());
                (keep(inner.signature(), &mut findings, name, check::signature), findings)
            });
            let admitted = Self::without_signatures(inner, findings);
            let (signature, found) = signatures.join().expect("what panics is caught where it is examined");
            findings.extend(found);
            Self { signature, ..admitted }
        })
    }

    fn without_signatures(inner: &'static dyn CryptoBackend, findings: &mut Vec<Finding>) -> Self {
        Self {
            inner,
            packet: keep(inner.packet(), findings, |a| Algorithm::Packet(a.id()), check::packet),
            encryption: keep(
                inner.encryption(),
                findings,
                |a| Algorithm::Encryption(a.id(), a.key_bits()),
                check::encryption,
            ),
            integrity: keep(inner.integrity(), findings, |a| Algorithm::Integrity(a.id()), check::integrity),
            prf: keep(inner.prf(), findings, |a| Algorithm::Prf(a.id()), check::prf),
            hash: keep(inner.hash(), findings, |a| Algorithm::Hash(a.id()), check::hash),
            key_exchange: key_exchanges(inner.key_exchange(), findings),
            signature: &[],
        }
    }
}

impl CryptoBackend for Admitted {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn version(&self) -> &str {
        self.inner.version()
    }

    fn packet(&self) -> &'static [&'static dyn PacketAlgorithm] {
        self.packet
    }

    fn encryption(&self) -> &'static [&'static dyn EncryptionAlgorithm] {
        self.encryption
    }

    fn integrity(&self) -> &'static [&'static dyn IntegrityAlgorithm] {
        self.integrity
    }

    fn prf(&self) -> &'static [&'static dyn PrfAlgorithm] {
        self.prf
    }

    fn hash(&self) -> &'static [&'static dyn HashAlgorithm] {
        self.hash
    }

    fn key_exchange(&self) -> &'static [&'static dyn KeyExchangeAlgorithm] {
        self.key_exchange
    }

    fn signature(&self) -> &'static [&'static dyn SignatureAlgorithm] {
        self.signature
    }

    fn serves(&self, packet: PacketId) -> &str {
        self.inner.serves(packet)
    }
}

/// Examines a list, and returns it without what failed.
fn keep<A: ?Sized>(
    list: &'static [&'static A],
    findings: &mut Vec<Finding>,
    name: fn(&A) -> Algorithm,
    check: Check<A>,
) -> &'static [&'static A] {
    let mut kept = Vec::new();
    for &algorithm in list {
        let finding = find(algorithm, name, check);
        if finding.verdict.is_pass() {
            kept.push(algorithm);
        }
        findings.push(finding);
    }
    kept.leak()
}

/// Examines the list of key exchange methods; the slow ones only when they are used.
fn key_exchanges(
    list: &'static [&'static dyn KeyExchangeAlgorithm],
    findings: &mut Vec<Finding>,
) -> &'static [&'static dyn KeyExchangeAlgorithm] {
    let mut kept: Vec<&'static dyn KeyExchangeAlgorithm> = Vec::new();
    for &method in list {
        if deferred::is_slow(method.id()) {
            let algorithm = Algorithm::KeyExchange(method.id());
            findings.push(Finding { algorithm, verdict: Verdict::Deferred });
            kept.push(Box::leak(Box::new(Deferred::new(method, |method| find_key_exchange(method).verdict))));
            continue;
        }
        let finding = find_key_exchange(method);
        if finding.verdict.is_pass() {
            kept.push(method);
        }
        findings.push(finding);
    }
    kept.leak()
}

fn find_key_exchange(method: &'static dyn KeyExchangeAlgorithm) -> Finding {
    find(method, |method| Algorithm::KeyExchange(method.id()), check::key_exchange)
}

/// Puts an algorithm's own file to it.
fn find<A: ?Sized>(algorithm: &A, name: fn(&A) -> Algorithm, check: Check<A>) -> Finding {
    let named = name(algorithm);
    let file = vectors::of(named).unwrap_or_default();
    let answers = answer::parse(file).expect("the files are compiled in, and a test reads each");
    Finding { algorithm: named, verdict: put(algorithm, &answers, check) }
}

/// Puts the known answers of another file to an algorithm of a backend, or to a pair of two. Returns
/// `None` if the backend has no such algorithm.
///
/// A file is lines of `name = hex`, an empty line behind each answer; `vectors/` has examples.
///
/// # Errors
/// The first line that cannot be read.
pub fn examine(
    backend: &dyn CryptoBackend,
    algorithm: Algorithm,
    file: &str,
) -> Result<Option<Verdict>, Unreadable> {
    let answers = answer::parse(file)?;
    Ok(match algorithm {
        Algorithm::Packet(id) => {
            backend.find_packet(id).map(|a| put(&a, &answers, |a, n| check::packet(a, n)))
        }
        Algorithm::Encryption(id, key_bits) => {
            backend.find_encryption(id, key_bits).map(|a| put(a, &answers, check::encryption))
        }
        Algorithm::Integrity(id) => backend.find_integrity(id).map(|a| put(a, &answers, check::integrity)),
        Algorithm::Prf(id) => backend.find_prf(id).map(|a| put(a, &answers, check::prf)),
        Algorithm::Hash(id) => backend.find_hash(id).map(|a| put(a, &answers, check::hash)),
        Algorithm::KeyExchange(id) => {
            backend.find_key_exchange(id).map(|a| put(a, &answers, check::key_exchange))
        }
        Algorithm::Signature(id) => {
            let found = backend.signature().iter().find(|a| a.id() == id);
            found.map(|&a| put(a, &answers, check::signature))
        }
    })
}

/// Puts all answers to one algorithm, up to the first that is wrong.
fn put<A: ?Sized>(algorithm: &A, answers: &[Answer<'_>], check: Check<A>) -> Verdict {
    if answers.is_empty() {
        return Verdict::NoAnswers;
    }
    for (answer, number) in answers.iter().zip(1..) {
        // What panics is dropped at once, so no broken state can be seen afterwards.
        let checked = catch_unwind(AssertUnwindSafe(|| check(algorithm, answer)));
        if let Err(fault) = checked.unwrap_or(Err(Fault::Panicked)) {
            return Verdict::Failed { answer: number, fault };
        }
    }
    Verdict::Passed { answers: answers.len() }
}

/// What puts one answer to an algorithm.
type Check<A> = fn(&A, &Answer<'_>) -> Result<(), Fault>;
