//! Known answers that an algorithm must give before it is offered: [`admit`].
//!
//! The host owns the answers, not the backend: a backend that tests itself can lie. Right answers are
//! half of it; the other half is what must be refused: forged ICVs, octets of another length, public
//! values that give the secret away (RFC 6989). The vectors lie below `vectors/`, one file an algorithm,
//! each saying where its answers come from.
//!
//! Layers are admitted one by one, and then laid on top of each other: an algorithm that the upper layer
//! got wrong is then served by the lower one.
//!
//! ```
//! use vpnhost_crypto::Layered;
//!
//! let upper = vpnhost_known_answers::admit(vpnhost_aws_lc::backend());
//! let lower = vpnhost_known_answers::admit(vpnhost_rustcrypto::backend());
//! for admission in [&upper, &lower] {
//!     admission.report.refused().for_each(|finding| eprintln!("{finding}"));
//! }
//! let crypto = Layered::new(&[upper.backend, lower.backend]);
//! ```

mod admitted;
mod answer;
mod check;
mod deferred;
mod report;
mod vectors;

use vpnhost_crypto::CryptoBackend;

pub use admitted::examine;
pub use answer::Unreadable;
pub use report::{Algorithm, Fault, Finding, Report, Verdict};

use admitted::Admitted;

/// What is left of a backend, and why.
pub struct Admission {
    /// The backend without what failed, and without what has no known answers here.
    pub backend: &'static dyn CryptoBackend,
    /// What became of each algorithm.
    pub report: Report,
}

/// Asks every algorithm of a backend for its known answers, and leaves out those that fail.
///
/// A panic counts as a wrong answer. What is left is leaked, as a backend lives for the process: call
/// this once for each backend.
pub fn admit(backend: &'static dyn CryptoBackend) -> Admission {
    let mut findings = Vec::new();
    let admitted = Admitted::of(backend, &mut findings);
    let report =
        Report { backend: backend.name().to_owned(), version: backend.version().to_owned(), findings };
    Admission { backend: Box::leak(Box::new(admitted)), report }
}
