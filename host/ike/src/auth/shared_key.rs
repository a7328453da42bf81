//! AUTH with a pre-shared key (RFC 7296 §2.15): prf(prf(secret, "Key Pad for IKEv2"), octets).

use vpnhost_crypto::{CryptoError, PrfAlgorithm, SecretBytes};

use crate::auth::octets::SignedOctets;

/// Keeps a secret that was typed for IKE from serving another purpose.
const KEY_PAD: &[u8] = b"Key Pad for IKEv2";

/// Computes the AUTH payload's data.
pub(crate) fn compute(
    prf: &dyn PrfAlgorithm,
    secret: &SecretBytes,
    octets: &SignedOctets<'_>,
) -> Result<SecretBytes, CryptoError> {
    let key = prf.key(secret.expose())?.compute(&[KEY_PAD])?;
    let maced_id = octets.maced_id(prf)?;
    prf.key(key.expose())?.compute(&[octets.message, octets.nonce, maced_id.expose()])
}
