//! Signature algorithms: the AUTH payload's (RFC 7296 §2.15, RFC 7427) and those of certificates.
//!
//! Signatures of DSA and ECDSA are the DER of RFC 3279 here; [`crate::dss_to_raw`] and
//! [`crate::dss_to_der`] make the `r | s` of the older authentication methods out of it and back.

use std::fmt;

use crate::{CryptoError, Hash, KeyError, KeyKind, PrivateKey, PublicKey, SecureRandom};

/// What signs, without the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
    RsaPkcs1,
    /// RSASSA-PSS (RFC 8017 §8.1), MGF1 over the same hash, a salt as long as a digest.
    RsaPss,
    /// ECDSA over P-256 (FIPS 186-4).
    EcdsaP256,
    /// ECDSA over P-384.
    EcdsaP384,
    /// ECDSA over P-521.
    EcdsaP521,
    /// Ed25519 (RFC 8032, RFC 8420), which hashes for itself.
    Ed25519,
    /// DSA (FIPS 186-4), which RFC 7296 calls DSS.
    Dsa,
}

/// Names a signature algorithm: what signs, and over which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// What signs.
    pub scheme: Scheme,
    /// The hash; [`Hash::IDENTITY`] where the scheme hashes for itself.
    pub hash: Hash,
}

impl Signature {
    /// Ed25519.
    pub const ED25519: Self = Self::new(Scheme::Ed25519, Hash::IDENTITY);

    /// Names an algorithm.
    pub const fn new(scheme: Scheme, hash: Hash) -> Self {
        Self { scheme, hash }
    }

    /// Tells whether only an operator who allows legacy algorithms uses it: SHA-1 and DSA.
    pub fn is_legacy(self) -> bool {
        self.scheme == Scheme::Dsa || self.hash == Hash::SHA1
    }

    /// Tells whether a key of this kind makes such signatures.
    pub fn fits(self, key: KeyKind) -> bool {
        match self.scheme {
            Scheme::RsaPkcs1 | Scheme::RsaPss => matches!(key, KeyKind::Rsa { .. }),
            Scheme::EcdsaP256 => key == KeyKind::EcdsaP256,
            Scheme::EcdsaP384 => key == KeyKind::EcdsaP384,
            Scheme::EcdsaP521 => key == KeyKind::EcdsaP521,
            Scheme::Ed25519 => key == KeyKind::Ed25519,
            Scheme::Dsa => matches!(key, KeyKind::Dsa { .. }),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::RsaPkcs1 => "rsa",
            Scheme::RsaPss => "rsa-pss",
            Scheme::EcdsaP256 => "ecdsa-p256",
            Scheme::EcdsaP384 => "ecdsa-p384",
            Scheme::EcdsaP521 => "ecdsa-p521",
            Scheme::Ed25519 => "ed25519",
            Scheme::Dsa => "dsa",
        })?;
        if self.hash == Hash::IDENTITY { Ok(()) } else { write!(f, "-{}", self.hash) }
    }
}

/// A signature algorithm of a backend. Both calls are slow: they belong on a thread of their own.
pub trait SignatureAlgorithm: Send + Sync {
    /// Returns its name.
    fn id(&self) -> Signature;

    /// Returns the bits that an RSA key must have for this backend; a lower layer may take smaller ones.
    fn min_key_bits(&self) -> u32 {
        0
    }

    /// Makes a private key ready to sign.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] if the key is of another kind, or broken.
    fn load(&self, key: &PrivateKey) -> Result<Box<dyn SigningKey>, CryptoError>;

    /// Verifies a signature of the concatenation of `parts`.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] if the key is of another kind, or broken;
    /// [`CryptoError::AuthenticationFailed`] if the signature is not the key's.
    fn verify(&self, key: &PublicKey, parts: &[&[u8]], signature: &[u8]) -> Result<(), CryptoError>;
}

/// A private key that is ready to sign with one algorithm, zeroized when dropped.
pub trait SigningKey: Send + Sync {
    /// Returns the public half, computed from the private one: a certificate must have the same.
    fn public(&self) -> &PublicKey;

    /// Signs the concatenation of `parts`.
    ///
    /// `random` blinds and salts; a library that draws for itself does not ask it.
    ///
    /// # Errors
    /// [`CryptoError::Backend`] if the library or the randomness fails.
    fn sign(&self, parts: &[&[u8]], random: &mut dyn SecureRandom) -> Result<Vec<u8>, CryptoError>;
}

impl dyn crate::CryptoBackend + '_ {
    /// Finds a signature algorithm for a key of some kind.
    pub fn find_signature(&self, id: Signature, key: KeyKind) -> Option<&'static dyn SignatureAlgorithm> {
        let bits = key.bits();
        let mut fitting = self.signature().iter().copied().filter(|a| a.id() == id && id.fits(key));
        fitting.find(|a| bits >= a.min_key_bits())
    }

    /// Verifies with whatever of this backend has the algorithm. What is weak only by policy is not
    /// refused here: see [`Signature::is_legacy`] and [`KeyKind::admit`].
    ///
    /// # Errors
    /// As [`SignatureAlgorithm::verify`]; [`CryptoError::Unsupported`] if nothing has the algorithm.
    pub fn verify_signature(
        &self,
        id: Signature,
        key: &PublicKey,
        parts: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        key.kind().admit(true).map_err(|_: KeyError| CryptoError::BadKey)?;
        let algorithm = self.find_signature(id, key.kind()).ok_or(CryptoError::Unsupported)?;
        algorithm.verify(key, parts, signature)
    }
}
