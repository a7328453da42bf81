//! Crypto backends by name: admitted by their known answers, laid on top of each other.

use std::sync::{Arc, Mutex, PoisonError};

use vpnhost_crypto::{CryptoBackend, Layered};
use vpnhost_known_answers::Report;

use crate::exit::Failure;
use crate::roles::nearest;

/// Every backend of this program, in the order that is used unless the operator says otherwise.
pub(crate) const NAMES: &[&str] = &[
    #[cfg(feature = "aws-lc")]
    "aws-lc",
    "rustcrypto",
];

fn backend(name: &str) -> Option<&'static dyn CryptoBackend> {
    match name {
        #[cfg(feature = "aws-lc")]
        "aws-lc" => Some(vpnhost_aws_lc::backend()),
        "rustcrypto" => Some(vpnhost_rustcrypto::backend()),
        _ => None,
    }
}

/// A name that no backend of this program has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownBackend {
    name: String,
}

impl UnknownBackend {
    fn is_library(&self) -> bool {
        self.name.contains('/') || self.name.ends_with(".so")
    }

    /// Says what is wrong.
    pub(crate) fn what(&self) -> String {
        match self.is_library() {
            true => format!("backend {}: shared libraries are not in this version", self.name),
            false => format!("there is no backend \"{}\"", self.name),
        }
    }

    /// Says what may be done about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match nearest(&self.name, NAMES.iter().copied()).filter(|_| !self.is_library()) {
            Some(near) => Some(format!("did you mean \"{near}\"?")),
            None => Some(format!("there are {}", NAMES.join(", "))),
        }
    }
}

impl From<UnknownBackend> for Failure {
    fn from(unknown: UnknownBackend) -> Self {
        let failure = Self::usage(unknown.what());
        match unknown.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Tells whether a backend has that name.
///
/// # Errors
/// [`UnknownBackend`] if none has.
pub(crate) fn check_name(name: &str) -> Result<(), UnknownBackend> {
    backend(name).map(drop).ok_or_else(|| UnknownBackend { name: name.to_owned() })
}

/// What algorithms come from.
#[derive(Clone)]
pub(crate) struct Assembly {
    /// The layers as one.
    pub(crate) crypto: &'static dyn CryptoBackend,
    /// What became of each layer's algorithms, the top first.
    pub(crate) reports: Vec<Arc<Report>>,
}

/// Lays the named backends on top of each other, each without what failed its known answers.
///
/// # Errors
/// The first name that no backend has.
pub(crate) fn assemble(names: &[String]) -> Result<Assembly, UnknownBackend> {
    // What is admitted is leaked, as backends live for the process: a reload must not leak it again.
    static KNOWN: Mutex<Vec<(Vec<String>, Assembly)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, assembly)) = known.iter().find(|(known, _)| known == names) {
        return Ok(assembly.clone());
    }
    let layers = names.iter().map(|name| admitted(name)).collect::<Result<Vec<_>, _>>()?;
    let crypto: &'static dyn CryptoBackend = match layers[..] {
        [(only, _)] => only,
        _ => Box::leak(Box::new(Layered::new(&layers.iter().map(|(layer, _)| *layer).collect::<Vec<_>>()))),
    };
    let assembly = Assembly { crypto, reports: layers.into_iter().map(|(_, report)| report).collect() };
    known.push((names.to_vec(), assembly.clone()));
    Ok(assembly)
}

pub(crate) type Admitted = (&'static dyn CryptoBackend, Arc<Report>);

/// Returns a backend without what failed its known answers, and what became of each algorithm.
///
/// # Errors
/// [`UnknownBackend`] if none has that name.
pub(crate) fn admitted(name: &str) -> Result<Admitted, UnknownBackend> {
    static KNOWN: Mutex<Vec<(String, Admitted)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, admitted)) = known.iter().find(|(known, _)| known == name) {
        return Ok(admitted.clone());
    }
    let backend = backend(name).ok_or_else(|| UnknownBackend { name: name.to_owned() })?;
    let admission = vpnhost_known_answers::admit(backend);
    let admitted = (admission.backend, Arc::new(admission.report));
    known.push((name.to_owned(), admitted.clone()));
    Ok(admitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn every_backend_is_found_under_its_own_name() {
        for name in NAMES {
            assert_eq!(backend(name).unwrap().name(), *name);
        }
    }

    #[test]
    fn layers_are_assembled_once() {
        let all = names(NAMES);
        let (first, second) = (assemble(&all).unwrap(), assemble(&all).unwrap());
        assert!(std::ptr::addr_eq(first.crypto, second.crypto));
        assert_eq!(first.crypto.name(), NAMES.join(","));
        assert_eq!(first.reports.len(), NAMES.len());
        assert!(first.reports.iter().all(|report| report.refused().count() == 0));
    }

    #[test]
    fn an_unknown_backend_is_told_with_the_nearest() {
        let text = |name: &str| match assemble(&names(&[name])) {
            Ok(_) => panic!("{name} is a backend"),
            Err(unknown) => Failure::from(unknown).to_string(),
        };
        assert_eq!(
            text("rustcripto"),
            "error: there is no backend \"rustcripto\"\nhint: did you mean \"rustcrypto\"?\n"
        );
        assert!(text("null").starts_with("error: there is no backend \"null\"\nhint: there are "));
        assert!(text("/usr/lib/x.so").contains("not in this version"));
    }
}
