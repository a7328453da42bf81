//! DSA (FIPS 186-4) with the four sizes of FIPS 186-4; nonces by RFC 6979.

use std::marker::PhantomData;

use ::dsa::pkcs8::PrivateKeyInfoRef;
use ::dsa::{Components, Signature as Pair, SigningKey as Key, VerifyingKey};
use crypto_bigint::BoxedUint;
use digest::{Digest, common::BlockSizeUser};
use signature::{SignatureEncoding as _, hazmat::PrehashVerifier as _};
use spki::EncodePublicKey as _;
use spki::der::Decode as _;
use vpnhost_crypto::{
    CryptoError, KeyKind, PrivateKey, PublicKey, Scheme, SecureRandom, Signature, SignatureAlgorithm,
    SigningKey, dss_to_raw,
};

use super::{Numbered, digest};

/// DSA with a hash.
pub(super) struct Dsa<D>(PhantomData<fn() -> D>);

impl<D> Dsa<D> {
    pub(super) const NEW: Self = Self(PhantomData);
}

impl<D: Numbered + BlockSizeUser + 'static> SignatureAlgorithm for Dsa<D> {
    fn id(&self) -> Signature {
        Signature::new(Scheme::Dsa, D::HASH)
    }

    fn load(&self, key: &PrivateKey) -> Result<Box<dyn SigningKey>, CryptoError> {
        admit(key.kind())?;
        let key = PrivateKeyInfoRef::from_der(key.pkcs8()).map_err(|_| CryptoError::BadKey)?;
        let key = Key::try_from(key).map_err(|_| CryptoError::BadKey)?;
        let spki = key.verifying_key().to_public_key_der().map_err(|_| CryptoError::BadKey)?;
        let public = PublicKey::from_spki(spki.as_bytes()).map_err(|_| CryptoError::BadKey)?;
        Ok(Box::new(Loaded { key, public, hash: PhantomData::<fn() -> D> }))
    }

    fn verify(&self, key: &PublicKey, parts: &[&[u8]], signature: &[u8]) -> Result<(), CryptoError> {
        // Before any exponentiation: the peer chose these numbers.
        let integer_len = admit(key.kind())?;
        let numbers = key.dsa_numbers().ok_or(CryptoError::BadKey)?;
        let [p, q] = [numbers[0], numbers[1]].map(BoxedUint::from_be_slice_vartime);
        // As wide as p, whose width the library expects, and smaller than it.
        let wide =
            |number| BoxedUint::from_be_slice(number, p.bits_precision()).ok().filter(|number| *number < p);
        let (g, y) =
            (wide(numbers[2]).ok_or(CryptoError::BadKey)?, wide(numbers[3]).ok_or(CryptoError::BadKey)?);
        let refused = |_| CryptoError::AuthenticationFailed;
        let raw = dss_to_raw(signature, integer_len)?;
        let (r, s) = raw.split_at(integer_len);
        let [r, s] = [r, s].map(BoxedUint::from_be_slice_vartime);
        let signature = Pair::from_components(r, s).ok_or(CryptoError::AuthenticationFailed)?;
        let components = Components::from_components(p, q, g).map_err(|_| CryptoError::BadKey)?;
        let key = VerifyingKey::from_components(components, y).map_err(|_| CryptoError::BadKey)?;
        key.verify_prehash(&digest::<D>(parts), &signature).map_err(refused)
    }
}

/// Refuses other kinds and other sizes, and returns the octets of r and of s.
fn admit(kind: KeyKind) -> Result<usize, CryptoError> {
    let dsa = matches!(kind, KeyKind::Dsa { .. }) && kind.admit(true).is_ok();
    kind.integer_len().filter(|_| dsa).ok_or(CryptoError::BadKey)
}

/// A key, which the library zeroizes.
struct Loaded<D> {
    key: Key,
    public: PublicKey,
    hash: PhantomData<fn() -> D>,
}

impl<D: Numbered + Digest + BlockSizeUser> SigningKey for Loaded<D> {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, parts: &[&[u8]], _random: &mut dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        let signed = self.key.sign_prehashed_rfc6979::<D>(&digest::<D>(parts));
        let signature = signed.map_err(|_| CryptoError::Backend)?;
        Ok(signature.to_vec())
    }
}
