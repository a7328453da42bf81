//! Key exchange methods: the values of both ends, and the refusal of those that give the secret away.

use vpnhost_crypto::{ActiveKeyExchange, CryptoError, KeyExchangeAlgorithm, SecureRandom};

use super::{failed, same};
use crate::{Fault, answer::Answer};

/// Puts one known answer to a key exchange method.
pub(crate) fn key_exchange(algorithm: &dyn KeyExchangeAlgorithm, answer: &Answer<'_>) -> Result<(), Fault> {
    if let Some(value) = answer.find("refused") {
        return refuses(start(algorithm, &mut AnyPrivate)?, value);
    }
    let [private, public, peer, shared] =
        ["private", "public", "peer", "shared"].map(|name| answer.octets(name));
    let active = start(algorithm, &mut Private(private))?;
    same("public value", active.public(), public)?;
    let secret = active.complete(peer).map_err(failed("completing"))?;
    same("shared secret", secret.expose(), shared)?;
    let answered = algorithm.respond(peer, &mut Private(private));
    let (ours, secret) = answered.map_err(failed("responding"))?;
    same("public value", &ours, public)?;
    same("shared secret", secret.expose(), shared)
}

fn start(
    algorithm: &dyn KeyExchangeAlgorithm,
    random: &mut dyn SecureRandom,
) -> Result<Box<dyn ActiveKeyExchange>, Fault> {
    algorithm.start(random).map_err(failed("starting"))
}

fn refuses(active: Box<dyn ActiveKeyExchange>, value: &[u8]) -> Result<(), Fault> {
    match active.complete(value) {
        Err(CryptoError::BadPeerKey) => Ok(()),
        Err(error) => Err(Fault::Failed("completing with a bad value", error)),
        Ok(_) => Err(Fault::WeakValueAccepted),
    }
}

/// Randomness that is a private value, once and whole.
struct Private<'a>(&'a [u8]);

impl SecureRandom for Private<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        if out.len() != self.0.len() {
            return Err(CryptoError::Backend);
        }
        out.copy_from_slice(self.0);
        Ok(())
    }
}

/// Randomness for a private value that does not matter.
struct AnyPrivate;

impl SecureRandom for AnyPrivate {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        out.fill(0x5a);
        Ok(())
    }
}
