//! RSA: PKCS#1 v1.5 and PSS (RFC 8017), blinded.

use std::marker::PhantomData;

use ::rsa::pkcs1::{DecodeRsaPublicKey as _, EncodeRsaPublicKey as _};
use ::rsa::pkcs8::DecodePrivateKey as _;
use ::rsa::traits::SignatureScheme;
use ::rsa::{Pkcs1v15Sign, Pss as PssScheme, RsaPrivateKey, RsaPublicKey};
use digest::{Digest, FixedOutputReset, const_oid::AssociatedOid};
use vpnhost_crypto::{
    CryptoError, KeyKind, PrivateKey, PublicKey, Scheme, SecureRandom, Signature, SignatureAlgorithm,
    SigningKey,
};

use super::{Numbered, Random, digest};

/// RSA with a padding and a hash.
pub(super) struct Rsa<P, D>(PhantomData<fn() -> (P, D)>);

pub(super) type Pkcs1<D> = Rsa<Pkcs1Padding, D>;
pub(super) type Pss<D> = Rsa<PssPadding, D>;

impl<P, D> Rsa<P, D> {
    pub(super) const NEW: Self = Self(PhantomData);
}

/// How a digest is padded.
pub(super) trait Padding<D>: 'static {
    const SCHEME: Scheme;
    fn new() -> impl SignatureScheme;
}

/// RSASSA-PKCS1-v1_5; what is verified is compared with what would be signed, nothing is parsed.
pub(super) struct Pkcs1Padding;

impl<D: Digest + AssociatedOid> Padding<D> for Pkcs1Padding {
    const SCHEME: Scheme = Scheme::RsaPkcs1;

    fn new() -> impl SignatureScheme {
        Pkcs1v15Sign::new::<D>()
    }
}

/// RSASSA-PSS with a salt as long as a digest.
pub(super) struct PssPadding;

impl<D: Digest + FixedOutputReset> Padding<D> for PssPadding {
    const SCHEME: Scheme = Scheme::RsaPss;

    fn new() -> impl SignatureScheme {
        PssScheme::<D>::new_blinded()
    }
}

impl<P: Padding<D>, D: Numbered + 'static> SignatureAlgorithm for Rsa<P, D> {
    fn id(&self) -> Signature {
        Signature::new(P::SCHEME, D::HASH)
    }

    fn load(&self, key: &PrivateKey) -> Result<Box<dyn SigningKey>, CryptoError> {
        admit(key.kind())?;
        let key = RsaPrivateKey::from_pkcs8_der(key.pkcs8()).map_err(|_| CryptoError::BadKey)?;
        let pkcs1 = key.to_public_key().to_pkcs1_der().map_err(|_| CryptoError::BadKey)?;
        let public = PublicKey::rsa(pkcs1.as_bytes()).map_err(|_| CryptoError::BadKey)?;
        Ok(Box::new(Loaded { key, public, padding: PhantomData::<fn() -> (P, D)> }))
    }

    fn verify(&self, key: &PublicKey, parts: &[&[u8]], signature: &[u8]) -> Result<(), CryptoError> {
        admit(key.kind())?;
        let key = RsaPublicKey::from_pkcs1_der(key.octets()).map_err(|_| CryptoError::BadKey)?;
        key.verify(P::new(), &digest::<D>(parts), signature).map_err(|_| CryptoError::AuthenticationFailed)
    }
}

fn admit(kind: KeyKind) -> Result<(), CryptoError> {
    let good = matches!(kind, KeyKind::Rsa { .. }) && kind.admit(true).is_ok();
    if good { Ok(()) } else { Err(CryptoError::BadKey) }
}

/// A key, which the library zeroizes.
struct Loaded<P, D> {
    key: RsaPrivateKey,
    public: PublicKey,
    padding: PhantomData<fn() -> (P, D)>,
}

impl<P: Padding<D>, D: Numbered> SigningKey for Loaded<P, D> {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, parts: &[&[u8]], random: &mut dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        // With randomness the library blinds, whatever the padding.
        let signed = P::new().sign(Some(&mut Random(random)), &self.key, &digest::<D>(parts));
        signed.map_err(|_| CryptoError::Backend)
    }
}
