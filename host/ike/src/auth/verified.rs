//! The proof that a peer's AUTH payload was right: nothing but this file can make one.

use vpnhost_crypto::{PrfAlgorithm, SecretBytes};

use crate::auth::octets::SignedOctets;
use crate::auth::shared_key;
use crate::output::AuthenticationFailure;

/// The AUTH payload was verified. An established IKE SA holds one; a rekeyed IKE SA inherits it.
#[derive(Clone, Debug)]
pub(crate) struct AuthVerified {
    _only_made_here: (),
}

/// Verifies a peer's AUTH data made with a pre-shared key.
///
/// # Errors
/// [`AuthenticationFailure::WrongSecret`] if they are others.
pub(crate) fn verify_shared_key(
    prf: &dyn PrfAlgorithm,
    secret: &SecretBytes,
    octets: &SignedOctets<'_>,
    auth_data: &[u8],
) -> Result<AuthVerified, AuthenticationFailure> {
    let expected =
        shared_key::compute(prf, secret, octets).map_err(|_| AuthenticationFailure::WrongSecret)?;
    // `SecretBytes` compares in constant time.
    if expected == SecretBytes::copy_of(auth_data) {
        Ok(AuthVerified { _only_made_here: () })
    } else {
        Err(AuthenticationFailure::WrongSecret)
    }
}

#[cfg(test)]
mod tests {
    use vpnhost_model::Prf;

    use super::*;

    #[test]
    fn only_the_same_secret_and_octets_verify() {
        let backend: &dyn vpnhost_crypto::CryptoBackend = vpnhost_rustcrypto::backend();
        let prf = backend.find_prf(Prf::HMAC_SHA2_256).unwrap();
        let sk_p = SecretBytes::new(vec![1; 32]);
        let secret = SecretBytes::new(b"secret".to_vec());
        let octets =
            SignedOctets { message: b"message", nonce: &[2; 32], sk_p: &sk_p, id_body: b"\x02\0\0\0moon" };
        let auth = shared_key::compute(prf, &secret, &octets).unwrap().into_public();
        assert!(verify_shared_key(prf, &secret, &octets, &auth).is_ok());
        let other = SecretBytes::new(b"Secret".to_vec());
        assert!(verify_shared_key(prf, &other, &octets, &auth).is_err());
        let moved = SignedOctets { nonce: &[3; 32], ..octets };
        assert!(verify_shared_key(prf, &secret, &moved, &auth).is_err());
        assert!(verify_shared_key(prf, &secret, &octets, &auth[..31]).is_err());
        assert!(verify_shared_key(prf, &secret, &octets, &[]).is_err());
    }
}
