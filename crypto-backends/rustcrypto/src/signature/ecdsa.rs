//! ECDSA over P-256, P-384 and P-521 (FIPS 186-4), each with any hash.

use std::marker::PhantomData;

use signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use vpnhost_crypto::{
    CryptoError, KeyKind, PrivateKey, PublicKey, Scheme, SecureRandom, Signature, SignatureAlgorithm,
    SigningKey, dss_to_der, dss_to_raw,
};

use super::{Numbered, digest};

/// A curve, as one type of the library each for keys and signatures.
macro_rules! curve {
    ($name:ident, $kind:expr, $library:ident, $octets:literal) => {
        /// ECDSA over the curve.
        pub(super) struct $name<D>(PhantomData<fn() -> D>);

        impl<D> $name<D> {
            pub(super) const NEW: Self = Self(PhantomData);
        }

        impl<D: Numbered + 'static> SignatureAlgorithm for $name<D> {
            fn id(&self) -> Signature {
                Signature::new($kind, D::HASH)
            }

            fn load(&self, key: &PrivateKey) -> Result<Box<dyn SigningKey>, CryptoError> {
                use $library::pkcs8::DecodePrivateKey as _;
                let key = $library::ecdsa::SigningKey::from_pkcs8_der(key.pkcs8());
                let key = key.map_err(|_| CryptoError::BadKey)?;
                let point = key.verifying_key().to_sec1_point(false);
                let public = PublicKey::point(KeyKind::$name, point.as_bytes());
                let public = public.map_err(|_| CryptoError::BadKey)?;
                Ok(Box::new(Loaded { key, public, hash: PhantomData::<fn() -> D> }))
            }

            fn verify(&self, key: &PublicKey, parts: &[&[u8]], der: &[u8]) -> Result<(), CryptoError> {
                if key.kind() != KeyKind::$name {
                    return Err(CryptoError::BadKey);
                }
                let key = $library::ecdsa::VerifyingKey::from_sec1_bytes(key.octets());
                let key = key.map_err(|_| CryptoError::BadKey)?;
                let refused = |_| CryptoError::AuthenticationFailed;
                let raw = dss_to_raw(der, $octets)?;
                let signature = $library::ecdsa::Signature::from_slice(&raw).map_err(refused)?;
                key.verify_prehash(&padded::<D>(parts, $octets), &signature).map_err(refused)
            }
        }

        impl<D: Numbered> SigningKey for Loaded<$library::ecdsa::SigningKey, D> {
            fn public(&self) -> &PublicKey {
                &self.public
            }

            fn sign(&self, parts: &[&[u8]], _random: &mut dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
                let signed = self.key.sign_prehash(&padded::<D>(parts, $octets));
                let signature: $library::ecdsa::Signature = signed.map_err(|_| CryptoError::Backend)?;
                dss_to_der(&signature.to_bytes(), $octets)
            }
        }
    };
}

curve!(EcdsaP256, Scheme::EcdsaP256, p256, 32);
curve!(EcdsaP384, Scheme::EcdsaP384, p384, 48);
curve!(EcdsaP521, Scheme::EcdsaP521, p521, 66);

pub(super) use {EcdsaP256 as P256, EcdsaP384 as P384, EcdsaP521 as P521};

/// A key, which the library zeroizes.
struct Loaded<K, D> {
    key: K,
    public: PublicKey,
    hash: PhantomData<fn() -> D>,
}

/// Hashes, and pads the digest in front to the length of a field element: the library refuses digests that
/// are shorter than half of it, which FIPS 186-4 and RFC 6979 take as the same number.
fn padded<D: Numbered>(parts: &[&[u8]], octets: usize) -> Vec<u8> {
    let digest = digest::<D>(parts);
    let mut padded = vec![0; octets.saturating_sub(digest.len())];
    padded.extend_from_slice(&digest);
    padded
}
