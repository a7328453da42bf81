//! What an operator is told about a backend.

use std::fmt;

use vpnhost_crypto::{CryptoError, Hash, Signature};
use vpnhost_model::{Encryption, Integrity, KeyExchange, PacketId, Prf};

/// What became of each algorithm of a backend. It is displayed as lines.
#[derive(Clone, Debug)]
pub struct Report {
    /// The backend's name.
    pub backend: String,
    /// Its version.
    pub version: String,
    /// What was found, in the backend's order.
    pub findings: Vec<Finding>,
}

/// What became of one algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// What became of it.
    pub verdict: Verdict,
}

/// Names an algorithm of any list of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// A whole packet protection.
    Packet(PacketId),
    /// A lone cipher with its key length in bits.
    Encryption(Encryption, u16),
    /// A lone integrity algorithm.
    Integrity(Integrity),
    /// A PRF.
    Prf(Prf),
    /// A hash.
    Hash(Hash),
    /// A key exchange method.
    KeyExchange(KeyExchange),
    /// A signature algorithm.
    Signature(Signature),
}

/// What became of an algorithm; only what passed is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gave every known answer.
    Passed {
        /// How many there are.
        answers: usize,
    },
    /// It gave another.
    Failed {
        /// Which known answer, counted from one.
        answer: usize,
        /// What was wrong.
        fault: Fault,
    },
    /// Its known answers take long, and are tried when it is first used; it then fails if one is wrong.
    Deferred,
    /// There are no known answers to hold it against.
    NoAnswers,
}

/// How an algorithm failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It states other lengths, or another kind of IV.
    Layout,
    /// It failed where it should not.
    Failed(&'static str, CryptoError),
    /// Its output is another.
    Differs(&'static str),
    /// It accepts an input of another length.
    LengthAccepted(&'static str),
    /// It accepts what was changed on the way.
    ForgeryAccepted(&'static str),
    /// One packet's outcome is another's.
    Batch,
    /// It accepts a public value that gives the secret away.
    WeakValueAccepted,
    /// It panicked.
    Panicked,
}

impl Report {
    /// Returns what is not offered.
    pub fn refused(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.verdict.is_pass())
    }

    /// Returns how many algorithms passed.
    pub fn passed(&self) -> usize {
        self.findings.len() - self.refused().count()
    }
}

impl Verdict {
    /// Tells whether the algorithm is offered.
    pub fn is_pass(&self) -> bool {
        matches!(self, Self::Passed { .. } | Self::Deferred)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, version, findings } = self;
        write!(f, "{backend} {version}: {} of {} algorithms admitted", self.passed(), findings.len())?;
        findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.algorithm, self.verdict)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Packet(id) => write!(f, "packet {id}"),
            Self::Encryption(encryption, key_bits) => {
                write!(f, "encryption {}", PacketId { encryption, key_bits, integrity: Integrity::NONE })
            }
            Self::Integrity(id) => write!(f, "integrity {id}"),
            Self::Prf(id) => write!(f, "prf {id}"),
            Self::Hash(id) => write!(f, "hash {id}"),
            Self::KeyExchange(id) => write!(f, "key exchange {id}"),
            Self::Signature(id) => write!(f, "signature {id}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { answers: 1 } => f.write_str("passed, 1 known answer"),
            Self::Passed { answers } => write!(f, "passed, {answers} known answers"),
            Self::Failed { answer, fault } => write!(f, "FAILED, not used: known answer {answer}: {fault}"),
            Self::Deferred => f.write_str("its known answers are tried when it is first used"),
            Self::NoAnswers => f.write_str("not used: there are no known answers for it"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout => f.write_str("states other lengths or another kind of IV"),
            Self::Failed(what, error) => write!(f, "{what}: {error}"),
            Self::Differs(what) => write!(f, "another {what}"),
            Self::LengthAccepted(what) => write!(f, "accepts {what} of another length"),
            Self::ForgeryAccepted(what) => write!(f, "accepts a forged {what}"),
            Self::Batch => f.write_str("mixes up the packets of a batch"),
            Self::WeakValueAccepted => f.write_str("accepts a public value that gives the secret away"),
            Self::Panicked => f.write_str("panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_lines_that_an_operator_reads() {
        let gcm = PacketId { encryption: Encryption::AES_GCM_16, key_bits: 256, integrity: Integrity::NONE };
        let fault = Fault::ForgeryAccepted("ICV");
        let report = Report {
            backend: "other".to_owned(),
            version: "1.0".to_owned(),
            findings: vec![
                Finding { algorithm: Algorithm::Packet(gcm), verdict: Verdict::Failed { answer: 3, fault } },
                Finding {
                    algorithm: Algorithm::Encryption(Encryption::AES_CBC, 128),
                    verdict: Verdict::Passed { answers: 6 },
                },
                Finding { algorithm: Algorithm::Hash(Hash(9)), verdict: Verdict::NoAnswers },
            ],
        };
        assert_eq!(
            report.to_string(),
            "other 1.0: 1 of 3 algorithms admitted\n  \
             packet aes256gcm16: FAILED, not used: known answer 3: accepts a forged ICV\n  \
             encryption aes128: passed, 6 known answers\n  \
             hash 9: not used: there are no known answers for it"
        );
        assert_eq!(report.refused().count(), 2);
    }
}
