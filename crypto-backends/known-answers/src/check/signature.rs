//! Signature algorithms: what must verify, what must not, and what a private key signs.

use vpnhost_crypto::{CryptoError, PrivateKey, PublicKey, Scheme, SecureRandom, SignatureAlgorithm};

use super::{failed, in_parts, other_lengths, refused, same};
use crate::{Fault, answer::Answer};

/// Puts one known answer to a signature algorithm.
pub(crate) fn signature(algorithm: &dyn SignatureAlgorithm, answer: &Answer<'_>) -> Result<(), Fault> {
    let [public, data] = ["public", "data"].map(|name| answer.octets(name));
    let key = PublicKey::from_spki(public).map_err(|_| Fault::Layout)?;
    if let Some(forged) = answer.find("forged") {
        return forgery(algorithm.verify(&key, &[data], forged));
    }
    let known = answer.octets("signature");
    algorithm.verify(&key, &in_parts(data), known).map_err(failed("verifying"))?;
    let mut changed = known.to_vec();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    forgery(algorithm.verify(&key, &[data], &changed))?;
    for other in other_lengths(known) {
        refused("a signature", &algorithm.verify(&key, &[data], &other))?;
    }
    let Some(private) = answer.find("private") else {
        return Ok(());
    };
    let private = PrivateKey::read(private).map_err(|_| Fault::Layout)?;
    let loaded = algorithm.load(&private).map_err(failed("loading"))?;
    same("public key", loaded.public().spki(), public)?;
    let made = loaded.sign(&in_parts(data), &mut Weyl(0)).map_err(failed("signing"))?;
    match algorithm.id().scheme {
        Scheme::RsaPkcs1 | Scheme::Ed25519 => same("signature", &made, known),
        Scheme::RsaPss | Scheme::EcdsaP256 | Scheme::EcdsaP384 | Scheme::EcdsaP521 | Scheme::Dsa => {
            algorithm.verify(&key, &[data], &made).map_err(failed("verifying its own"))
        }
    }
}

fn forgery(outcome: Result<(), CryptoError>) -> Result<(), Fault> {
    match outcome {
        Err(CryptoError::AuthenticationFailed) => Ok(()),
        Err(error) => Err(Fault::Failed("verifying a forged one", error)),
        Ok(()) => Err(Fault::ForgeryAccepted("signature")),
    }
}

/// Randomness for blinding and salts, which do not matter here; it must not repeat, as what is drawn may be
/// refused and drawn again.
struct Weyl(u64);

impl SecureRandom for Weyl {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for octet in out {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *octet = (mixed >> 56) as u8;
        }
        Ok(())
    }
}
