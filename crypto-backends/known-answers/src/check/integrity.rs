//! Lone integrity algorithms: signed, verified, and forged ICVs refused.

use vpnhost_crypto::{CryptoError, IntegrityAlgorithm, IntegrityKey};

use super::{failed, in_parts, other_lengths, refused, same};
use crate::{Fault, answer::Answer};

/// Puts one known answer to an integrity algorithm.
pub(crate) fn integrity(algorithm: &dyn IntegrityAlgorithm, answer: &Answer<'_>) -> Result<(), Fault> {
    let [key, data, icv] = ["key", "data", "icv"].map(|name| answer.octets(name));
    if let Some(forged) = answer.find("forged") {
        let mut keyed = algorithm.key(key).map_err(failed("its key"))?;
        return refuses(keyed.verify(&[data], forged), "ICV");
    }
    if [algorithm.key_len(), algorithm.icv_len()] != [key.len(), icv.len()] {
        return Err(Fault::Layout);
    }
    for other in other_lengths(key) {
        refused("a key", &algorithm.key(&other))?;
    }
    let mut keyed = algorithm.key(key).map_err(failed("its key"))?;
    for parts in [&[data][..], &in_parts(data)] {
        let mut signed = vec![0; icv.len()];
        keyed.sign(parts, &mut signed).map_err(failed("signing"))?;
        same("ICV", &signed, icv)?;
        keyed.verify(parts, icv).map_err(failed("verifying"))?;
    }
    forgeries(keyed.as_mut(), data, icv)?;
    for other in other_lengths(icv) {
        refused("an ICV", &keyed.verify(&[data], &other))?;
        refused("an ICV", &keyed.sign(&[data], &mut other.clone()))?;
    }
    Ok(())
}

fn forgeries(keyed: &mut dyn IntegrityKey, data: &[u8], icv: &[u8]) -> Result<(), Fault> {
    for place in 0..icv.len() {
        let mut forged = icv.to_vec();
        forged[place] ^= 0x01;
        refuses(keyed.verify(&[data], &forged), "ICV")?;
    }
    let zero = vec![0; icv.len()];
    if zero != icv {
        refuses(keyed.verify(&[data], &zero), "ICV")?;
    }
    refuses(keyed.verify(&[data, &[0]], icv), "text")
}

fn refuses(outcome: Result<(), CryptoError>, what: &'static str) -> Result<(), Fault> {
    match outcome {
        Err(CryptoError::AuthenticationFailed) => Ok(()),
        Err(error) => Err(Fault::Failed("verifying what was changed", error)),
        Ok(()) => Err(Fault::ForgeryAccepted(what)),
    }
}
