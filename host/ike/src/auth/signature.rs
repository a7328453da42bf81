//! AUTH as a signature: RFC 7427's, which names its algorithm, and the older methods 1 and 3 (RFC 7296 §3.8) and
//! 9 to 11 (RFC 4754). Does not know whose key it is.

use std::sync::Arc;

use vpnhost_crypto::{
    CryptoBackend, CryptoError, DrawnRandom, Hash, KeyKind, PublicKey, Scheme, Signature, SignatureAlgorithm,
    dss_to_der, dss_to_raw,
};
use vpnhost_pki::signatures_of;

use crate::auth::octets::OwnedOctets;
use crate::config::OwnCertificate;
use crate::output::AuthenticationFailure;
use crate::wire::Payload;
use crate::wire::payload::{AuthMethod, Authentication};

/// Hashes that RSASSA-PKCS1-v1_5 of method 1 may be made with: the signature alone says which.
const RSA_HASHES: [Hash; 4] = [Hash::SHA2_256, Hash::SHA2_384, Hash::SHA2_512, Hash::SHA1];

/// Signs this host's AUTH payload, on whatever thread the driver chooses.
pub struct SignJob {
    pub(crate) own: Arc<OwnCertificate>,
    pub(crate) algorithm: &'static dyn SignatureAlgorithm,
    pub(crate) method: AuthMethod,
    pub(crate) octets: OwnedOctets,
    pub(crate) random: DrawnRandom,
    /// The CERT payloads that go with it.
    pub(crate) certificates: Vec<Payload>,
}

/// This host's proof: CERT payloads, and AUTH.
pub struct Signed {
    pub(crate) certificates: Vec<Payload>,
    pub(crate) authentication: Payload,
}

impl SignJob {
    /// Does the work.
    pub(crate) fn run(mut self) -> Result<Signed, AuthenticationFailure> {
        let data = self.sign().map_err(|error| {
            tracing::warn!(%error, "this host's private key cannot sign");
            AuthenticationFailure::OwnKey
        })?;
        let authentication = Payload::Authentication(Authentication { method: self.method, data });
        Ok(Signed { certificates: self.certificates, authentication })
    }

    fn sign(&mut self) -> Result<Vec<u8>, CryptoError> {
        let key = self.own.signing_key(self.algorithm)?;
        let signature = key.sign(&self.octets.parts(), &mut self.random)?;
        let id = self.algorithm.id();
        match self.method {
            AuthMethod::DIGITAL_SIGNATURE => {
                // RFC 7427, 3: the length of the name, the name, the signature.
                let name = id.algorithm_identifier().ok_or(CryptoError::Unsupported)?;
                let length = u8::try_from(name.len()).map_err(|_| CryptoError::Unsupported)?;
                Ok([&[length], name.as_slice(), &signature].concat())
            }
            AuthMethod::RSA_SIGNATURE => Ok(signature),
            _ => {
                let len = key.public().kind().integer_len().ok_or(CryptoError::Unsupported)?;
                dss_to_raw(&signature, len)
            }
        }
    }
}

/// Which legacy algorithms may make an AUTH payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leave {
    /// The floor admits them: DSA, which an operator chose by its key.
    pub(crate) legacy: bool,
    /// The connection does, too: SHA-1, which would serve any key.
    pub(crate) sha1: bool,
}

impl Leave {
    fn admits(self, id: Signature) -> bool {
        !id.is_legacy() || self.legacy && (self.sha1 || id.scheme == Scheme::Dsa)
    }
}

/// Returns how a key signs for a peer, the preferred way first: as RFC 7427 says where the peer named hashes, and
/// as the older methods have it.
pub(crate) fn ways(key: &PublicKey, hashes: &[Hash], leave: Leave) -> Vec<(AuthMethod, Signature)> {
    let named = signatures_of(key, hashes, leave.legacy);
    let named = named.into_iter().filter(|id| leave.admits(*id));
    let named = named.map(|id| (AuthMethod::DIGITAL_SIGNATURE, id));
    named.chain(older(key.kind(), leave)).collect()
}

/// Returns the older method of a kind of key.
fn older(kind: KeyKind, leave: Leave) -> Option<(AuthMethod, Signature)> {
    match kind {
        // RFC 7296, 3.8: SHA-1 is the default, and what every implementation knows.
        KeyKind::Rsa { .. } => {
            let [old, new] = [Hash::SHA1, Hash::SHA2_256].map(|hash| Signature::new(Scheme::RsaPkcs1, hash));
            Some((AuthMethod::RSA_SIGNATURE, if leave.admits(old) { old } else { new }))
        }
        KeyKind::Dsa { .. } if !leave.legacy => None,
        KeyKind::Dsa { .. } | KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521 => pair(kind),
        KeyKind::Ed25519 => None,
    }
}

/// Returns the method and the algorithm of the kinds of keys whose signatures are pairs of numbers.
fn pair(kind: KeyKind) -> Option<(AuthMethod, Signature)> {
    let (method, scheme, hash) = match kind {
        KeyKind::Dsa { .. } => (AuthMethod::DSS_SIGNATURE, Scheme::Dsa, Hash::SHA1),
        KeyKind::EcdsaP256 => (AuthMethod::ECDSA_SHA256_P256, Scheme::EcdsaP256, Hash::SHA2_256),
        KeyKind::EcdsaP384 => (AuthMethod::ECDSA_SHA384_P384, Scheme::EcdsaP384, Hash::SHA2_384),
        KeyKind::EcdsaP521 => (AuthMethod::ECDSA_SHA512_P521, Scheme::EcdsaP521, Hash::SHA2_512),
        KeyKind::Rsa { .. } | KeyKind::Ed25519 => return None,
    };
    Some((method, Signature::new(scheme, hash)))
}

/// Tells whether an AUTH payload of this method is a signature.
pub(crate) fn is_signature(method: AuthMethod) -> bool {
    matches!(
        method,
        AuthMethod::RSA_SIGNATURE
            | AuthMethod::DSS_SIGNATURE
            | AuthMethod::ECDSA_SHA256_P256
            | AuthMethod::ECDSA_SHA384_P384
            | AuthMethod::ECDSA_SHA512_P521
            | AuthMethod::DIGITAL_SIGNATURE
    )
}

/// Verifies a peer's AUTH payload with the key of its certificate.
///
/// # Errors
/// [`AuthenticationFailure`] says what is wrong with it.
pub(crate) fn verify(
    crypto: &dyn CryptoBackend,
    key: &PublicKey,
    authentication: &Authentication,
    octets: &OwnedOctets,
    leave: Leave,
) -> Result<(), AuthenticationFailure> {
    let wrong = AuthenticationFailure::WrongSignature;
    let check = |id: Signature, signature: &[u8]| {
        if !leave.admits(id) {
            let lacks = if leave.legacy { "needs sha1_auth" } else { "needs allow_legacy" };
            return Err(AuthenticationFailure::SignatureAlgorithm(lacks));
        }
        let verified = crypto.verify_signature(id, key, &octets.parts(), signature);
        if verified == Err(CryptoError::Unsupported) {
            return Err(AuthenticationFailure::SignatureAlgorithm("is in no crypto backend"));
        }
        verified.map_err(|_| AuthenticationFailure::WrongSignature)
    };
    let data = authentication.data.as_slice();
    match authentication.method {
        AuthMethod::DIGITAL_SIGNATURE => {
            let (length, rest) = data.split_first().ok_or(wrong.clone())?;
            let (name, signature) = rest.split_at_checked(usize::from(*length)).ok_or(wrong)?;
            let id = Signature::from_algorithm_identifier(name, key.kind())
                .ok_or(AuthenticationFailure::SignatureAlgorithm("is unknown"))?;
            if !id.fits(key.kind()) {
                return Err(AuthenticationFailure::SignatureAlgorithm("does not fit the certificate's key"));
            }
            check(id, signature)
        }
        AuthMethod::RSA_SIGNATURE if matches!(key.kind(), KeyKind::Rsa { .. }) => {
            let ids = RSA_HASHES.map(|hash| Signature::new(Scheme::RsaPkcs1, hash));
            let made = |id: &Signature| crypto.verify_signature(*id, key, &octets.parts(), data).is_ok();
            check(ids.into_iter().find(made).ok_or(wrong)?, data)
        }
        method => {
            let (_, id) = pair(key.kind())
                .filter(|(known, _)| *known == method)
                .ok_or(AuthenticationFailure::SignatureAlgorithm("does not fit the certificate's key"))?;
            let len = key.kind().integer_len().unwrap_or_default();
            check(id, &dss_to_der(data, len).map_err(|_| wrong)?)
        }
    }
}
