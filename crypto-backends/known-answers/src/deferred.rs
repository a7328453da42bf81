//! Key exchange methods whose known answers would take longer than a start may: tried when first used.
//!
//! Raising to a power modulo 4096 bits and more takes tens of milliseconds, and hardly anybody uses it.

use std::sync::OnceLock;

use vpnhost_crypto::{ActiveKeyExchange, CryptoError, KeyExchangeAlgorithm, SecretBytes, SecureRandom};
use vpnhost_model::KeyExchange;

use crate::Verdict;

/// Tells whether a method's known answers are tried when it is first used.
pub(crate) fn is_slow(method: KeyExchange) -> bool {
    [KeyExchange::MODP_4096, KeyExchange::MODP_6144, KeyExchange::MODP_8192].contains(&method)
}

/// A method that fails for ever if it gives a wrong answer when it is first used.
pub(crate) struct Deferred {
    inner: &'static dyn KeyExchangeAlgorithm,
    examine: fn(&'static dyn KeyExchangeAlgorithm) -> Verdict,
    verdict: OnceLock<Verdict>,
}

impl Deferred {
    /// Puts an examination in front of a method.
    pub(crate) fn new(
        inner: &'static dyn KeyExchangeAlgorithm,
        examine: fn(&'static dyn KeyExchangeAlgorithm) -> Verdict,
    ) -> Self {
        Self { inner, examine, verdict: OnceLock::new() }
    }

    /// Whoever comes meanwhile waits for the verdict.
    fn examined(&self) -> Result<&'static dyn KeyExchangeAlgorithm, CryptoError> {
        let verdict = self.verdict.get_or_init(|| (self.examine)(self.inner));
        if verdict.is_pass() { Ok(self.inner) } else { Err(CryptoError::Backend) }
    }
}

impl KeyExchangeAlgorithm for Deferred {
    fn id(&self) -> KeyExchange {
        self.inner.id()
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.examined()?.start(random)
    }

    fn respond(
        &self,
        peer: &[u8],
        random: &mut dyn SecureRandom,
    ) -> Result<(Vec<u8>, SecretBytes), CryptoError> {
        self.examined()?.respond(peer, random)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use vpnhost_crypto::CryptoBackend;

    use super::*;
    use crate::Fault;

    struct Sevens;

    impl SecureRandom for Sevens {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
            out.fill(7);
            Ok(())
        }
    }

    fn method() -> &'static dyn KeyExchangeAlgorithm {
        let backend: &dyn CryptoBackend = vpnhost_rustcrypto::backend();
        backend.find_key_exchange(KeyExchange::X25519).unwrap()
    }

    #[test]
    fn a_method_is_examined_once_and_only_when_it_is_used() {
        static TIMES: AtomicUsize = AtomicUsize::new(0);
        let deferred = Deferred::new(method(), |_| {
            TIMES.fetch_add(1, Ordering::Relaxed);
            Verdict::Passed { answers: 1 }
        });
        assert_eq!((deferred.id(), TIMES.load(Ordering::Relaxed)), (KeyExchange::X25519, 0));
        let active = deferred.start(&mut Sevens).unwrap();
        assert!(deferred.respond(active.public(), &mut Sevens).is_ok());
        assert_eq!(TIMES.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_method_that_gives_a_wrong_answer_when_it_is_used_is_not_used() {
        let wrong = |_| Verdict::Failed { answer: 1, fault: Fault::WeakValueAccepted };
        let deferred = Deferred::new(method(), wrong);
        assert!(matches!(deferred.start(&mut Sevens), Err(CryptoError::Backend)));
        assert!(matches!(deferred.respond(&[9; 32], &mut Sevens), Err(CryptoError::Backend)));
    }
}
