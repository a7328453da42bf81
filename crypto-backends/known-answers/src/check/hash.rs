//! Hashes.

use vpnhost_crypto::HashAlgorithm;

use super::{failed, in_parts, other_lengths, refused, same};
use crate::{Fault, answer::Answer};

/// Puts one known answer to a hash.
pub(crate) fn hash(algorithm: &dyn HashAlgorithm, answer: &Answer<'_>) -> Result<(), Fault> {
    let [data, digest] = ["data", "digest"].map(|name| answer.octets(name));
    if algorithm.output_len() != digest.len() {
        return Err(Fault::Layout);
    }
    for parts in [&[data][..], &in_parts(data)] {
        let mut out = vec![0; digest.len()];
        algorithm.hash(parts, &mut out).map_err(failed("hashing"))?;
        same("digest", &out, digest)?;
    }
    for mut out in other_lengths(digest) {
        refused("an output", &algorithm.hash(&[data], &mut out))?;
    }
    Ok(())
}
