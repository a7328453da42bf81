//! PRFs, and prf+ over them (RFC 7296 §2.13).

use vpnhost_crypto::{PrfAlgorithm, prf_plus};

use super::{failed, in_parts, same};
use crate::{Fault, answer::Answer};

/// Puts one known answer to a PRF.
pub(crate) fn prf(algorithm: &dyn PrfAlgorithm, answer: &Answer<'_>) -> Result<(), Fault> {
    let keyed = algorithm.key(answer.octets("key")).map_err(failed("its key"))?;
    if let Some(keymat) = answer.find("keymat") {
        let seed = in_parts(answer.octets("seed"));
        let expanded = prf_plus(keyed.as_ref(), &seed, keymat.len()).map_err(failed("expanding"))?;
        return same("prf+", expanded.expose(), keymat);
    }
    let [data, output] = ["data", "output"].map(|name| answer.octets(name));
    if algorithm.output_len() != output.len() {
        return Err(Fault::Layout);
    }
    for parts in [&[data][..], &in_parts(data)] {
        let computed = keyed.compute(parts).map_err(failed("computing"))?;
        same("output", computed.expose(), output)?;
    }
    Ok(())
}
