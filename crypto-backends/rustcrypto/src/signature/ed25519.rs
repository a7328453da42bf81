//! Ed25519 (RFC 8032).

use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signature as Octets, Signer as _, SigningKey as Key, VerifyingKey};
use vpnhost_crypto::{
    CryptoError, KeyKind, PrivateKey, PublicKey, SecureRandom, Signature, SignatureAlgorithm, SigningKey,
};

/// Ed25519. Keys of small order and signatures that only some libraries take are refused.
pub(super) struct Ed25519;

impl SignatureAlgorithm for Ed25519 {
    fn id(&self) -> Signature {
        Signature::ED25519
    }

    fn load(&self, key: &PrivateKey) -> Result<Box<dyn SigningKey>, CryptoError> {
        let key = Key::from_pkcs8_der(key.pkcs8()).map_err(|_| CryptoError::BadKey)?;
        let public = PublicKey::point(KeyKind::Ed25519, key.verifying_key().as_bytes());
        Ok(Box::new(Loaded { public: public.map_err(|_| CryptoError::BadKey)?, key }))
    }

    fn verify(&self, key: &PublicKey, parts: &[&[u8]], signature: &[u8]) -> Result<(), CryptoError> {
        let octets = key.octets().try_into().map_err(|_| CryptoError::BadKey)?;
        let key = VerifyingKey::from_bytes(octets).map_err(|_| CryptoError::BadKey)?;
        let refused = |_| CryptoError::AuthenticationFailed;
        let signature = Octets::from_slice(signature).map_err(refused)?;
        key.verify_strict(&parts.concat(), &signature).map_err(refused)
    }
}

/// A key, which the library zeroizes.
struct Loaded {
    key: Key,
    public: PublicKey,
}

impl SigningKey for Loaded {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, parts: &[&[u8]], _random: &mut dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        let signature = self.key.try_sign(&parts.concat()).map_err(|_| CryptoError::Backend)?;
        Ok(signature.to_bytes().to_vec())
    }
}
