//! Published vectors, whole files as they were published, tried with every backend: NIST's CAVP and Wycheproof.
//!
//! `tests/vectors/README.md` says where each file comes from; `tests/vectors/cases.txt` says what must come of it,
//! with each reason for which a case is not tried (see [`crate::ledger`]).

mod aead;
mod cavp;
mod cipher;
mod exchange;
mod hash;
mod key_schedule;
mod mac;
mod monte_carlo;
mod wycheproof;

use std::fmt::Write as _;

use vpnhost_crypto::CryptoBackend;
use vpnhost_known_answers::{Algorithm, examine};

use crate::ledger::{Ledger, Settlement};
use crate::shelf::{backends, vectors};

type Backend = &'static dyn CryptoBackend;

/// What came of a case with a backend.
pub(crate) enum Outcome {
    /// It is as the file says.
    Right,
    /// The file leaves it open, and this is what is done.
    Decided(&'static str),
    /// It is not tried, and why.
    Skipped(String),
    /// It is not as the file says.
    Wrong(String),
}

/// What a case asks of a backend.
pub(crate) type Trial = Box<dyn Fn(Backend) -> Outcome>;

/// A case of a file: its name there, and what it asks.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) trial: Trial,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, trial: Trial) -> Self {
        Self { name: name.into(), trial }
    }
}

/// Leaves a case out, whatever the backend.
pub(crate) fn skip(why: impl Into<String>) -> Trial {
    let why = why.into();
    Box::new(move |_| Outcome::Skipped(why.clone()))
}

/// Puts a known answer to an algorithm, with all that the host puts to it before it is offered: forgeries, other
/// lengths, parts and batches.
pub(crate) fn known(algorithm: Algorithm, fields: &[(&str, &[u8])]) -> Trial {
    let mut text = String::new();
    for (name, value) in fields {
        writeln!(text, "{name} = {}", hex(value)).expect("a string");
    }
    Box::new(move |backend| match examine(backend, algorithm, &text).expect("it is written just above") {
        None => absent(algorithm),
        Some(verdict) if verdict.is_pass() => Outcome::Right,
        Some(verdict) => Outcome::Wrong(verdict.to_string()),
    })
}

/// Says that a backend lacks an algorithm.
pub(crate) fn absent(algorithm: Algorithm) -> Outcome {
    Outcome::Skipped(format!("the backend has no {algorithm}"))
}

/// Tries one thing after another, up to the first that is not right.
pub(crate) fn all(trials: Vec<Trial>) -> Trial {
    Box::new(move |backend| {
        let outcomes = trials.iter().map(|trial| trial(backend));
        outcomes
            .reduce(|first, next| if matches!(first, Outcome::Right) { next } else { first })
            .unwrap_or(Outcome::Right)
    })
}

/// Records what the product does where the file leaves it open.
pub(crate) fn decided(what: &'static str, trial: Trial) -> Trial {
    Box::new(move |backend| match trial(backend) {
        Outcome::Right => Outcome::Decided(what),
        outcome @ (Outcome::Decided(_) | Outcome::Skipped(_) | Outcome::Wrong(_)) => outcome,
    })
}

/// Says whether an output is, or is not, the one of the file.
pub(crate) fn judge(same: bool, valid: bool) -> Outcome {
    match (same, valid) {
        (true, true) | (false, false) => Outcome::Right,
        (false, true) => Outcome::Wrong("another output".to_owned()),
        (true, false) => Outcome::Wrong("what is invalid is accepted".to_owned()),
    }
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

pub(crate) fn octets(digits: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// Tries every file of a directory whose name has a prefix.
fn try_all(directory: &str, prefix: &str, read: impl Fn(&str, &str) -> Vec<Case>) {
    let entries = std::fs::read_dir(vectors().join(directory)).expect("the directory is in the repository");
    let names =
        entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    assert!(!names.is_empty(), "{directory}/{prefix}");
    let mut settlement = Settlement::default();
    for name in names {
        let text = std::fs::read_to_string(vectors().join(directory).join(&name)).expect("it can be read");
        let cases = read(&name, &text);
        let mut ledger = Ledger::new(format!("{directory}/{name}"));
        for (label, backend) in backends() {
            for case in &cases {
                match (case.trial)(backend) {
                    Outcome::Right => ledger.passed(label),
                    Outcome::Decided(what) => ledger.note(label, format!("open, {what}")),
                    Outcome::Skipped(why) => ledger.note(label, format!("skipped, {why}")),
                    Outcome::Wrong(what) => ledger.wrong(label, &case.name, &what),
                }
            }
        }
        settlement.settle(ledger);
    }
    settlement.close();
}
