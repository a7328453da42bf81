//! Signature algorithms: RSA of 2048 bits and more, ECDSA, Ed25519. The library blinds RSA, and draws its own
//! nonces and salts.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, Ed25519KeyPair,
    KeyPair as _, ParsedPublicKey, RsaKeyPair, RsaParameters, RsaSignatureEncoding, VerificationAlgorithm,
};
use vpnhost_crypto::{
    CryptoError, Hash, KeyKind, PrivateKey, PublicKey, Scheme, SecureRandom, Signature, SignatureAlgorithm,
    SigningKey,
};

pub(crate) static LIST: &[&dyn SignatureAlgorithm] = &[
    &Ed25519,
    &P256_SHA256,
    &P384_SHA384,
    &P521_SHA256,
    &P521_SHA384,
    &P521_SHA512,
    &Rsa {
        id: PSS_SHA256,
        verifies: &signature::RSA_PSS_2048_8192_SHA256,
        signs: &signature::RSA_PSS_SHA256,
    },
    &Rsa {
        id: PSS_SHA384,
        verifies: &signature::RSA_PSS_2048_8192_SHA384,
        signs: &signature::RSA_PSS_SHA384,
    },
    &Rsa {
        id: PSS_SHA512,
        verifies: &signature::RSA_PSS_2048_8192_SHA512,
        signs: &signature::RSA_PSS_SHA512,
    },
    &Rsa {
        id: RSA_SHA256,
        verifies: &signature::RSA_PKCS1_2048_8192_SHA256,
        signs: &signature::RSA_PKCS1_SHA256,
    },
    &Rsa {
        id: RSA_SHA384,
        verifies: &signature::RSA_PKCS1_2048_8192_SHA384,
        signs: &signature::RSA_PKCS1_SHA384,
    },
    &Rsa {
        id: RSA_SHA512,
        verifies: &signature::RSA_PKCS1_2048_8192_SHA512,
        signs: &signature::RSA_PKCS1_SHA512,
    },
];

const RSA_SHA256: Signature = Signature::new(Scheme::RsaPkcs1, Hash::SHA2_256);
const RSA_SHA384: Signature = Signature::new(Scheme::RsaPkcs1, Hash::SHA2_384);
const RSA_SHA512: Signature = Signature::new(Scheme::RsaPkcs1, Hash::SHA2_512);
const PSS_SHA256: Signature = Signature::new(Scheme::RsaPss, Hash::SHA2_256);
const PSS_SHA384: Signature = Signature::new(Scheme::RsaPss, Hash::SHA2_384);
const PSS_SHA512: Signature = Signature::new(Scheme::RsaPss, Hash::SHA2_512);

static P256_SHA256: Ecdsa = Ecdsa {
    id: Signature::new(Scheme::EcdsaP256, Hash::SHA2_256),
    kind: KeyKind::EcdsaP256,
    verifies: &signature::ECDSA_P256_SHA256_ASN1,
    signs: &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
};
static P384_SHA384: Ecdsa = Ecdsa {
    id: Signature::new(Scheme::EcdsaP384, Hash::SHA2_384),
    kind: KeyKind::EcdsaP384,
    verifies: &signature::ECDSA_P384_SHA384_ASN1,
    signs: &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
};
static P521_SHA256: Ecdsa = Ecdsa {
    id: Signature::new(Scheme::EcdsaP521, Hash::SHA2_256),
    kind: KeyKind::EcdsaP521,
    verifies: &signature::ECDSA_P521_SHA256_ASN1,
    signs: &signature::ECDSA_P521_SHA256_ASN1_SIGNING,
};
static P521_SHA384: Ecdsa = Ecdsa {
    id: Signature::new(Scheme::EcdsaP521, Hash::SHA2_384),
    kind: KeyKind::EcdsaP521,
    verifies: &signature::ECDSA_P521_SHA384_ASN1,
    signs: &signature::ECDSA_P521_SHA384_ASN1_SIGNING,
};
static P521_SHA512: Ecdsa = Ecdsa {
    id: Signature::new(Scheme::EcdsaP521, Hash::SHA2_512),
    kind: KeyKind::EcdsaP521,
    verifies: &signature::ECDSA_P521_SHA512_ASN1,
    signs: &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
};

/// Bits of an RSA key that the library signs with; smaller ones are a lower layer's.
const RSA_BITS: u32 = 2048;

fn verify(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    parts: &[&[u8]],
    signature: &[u8],
) -> Result<(), CryptoError> {
    let key = ParsedPublicKey::new(algorithm, key).map_err(|_| CryptoError::BadKey)?;
    key.verify_sig(&parts.concat(), signature).map_err(|_| CryptoError::AuthenticationFailed)
}

/// RSA with a padding and a hash.
struct Rsa {
    id: Signature,
    verifies: &'static RsaParameters,
    signs: &'static RsaSignatureEncoding,
}

impl SignatureAlgorithm for Rsa {
    fn id(&self) -> Signature {
        self.id
    }

    fn min_key_bits(&self) -> u32 {
        RSA_BITS
    }

    fn load(&self, key: &PrivateKey) -> Result<Box<dyn SigningKey>, CryptoError> {
        admit(key.kind())?;
        let key = RsaKeyPair::from_pkcs8(key.pkcs8()).map_err(|_| CryptoError::BadKey)?;
        let public = PublicKey::rsa(key.public_key().as_ref()).map_err(|_| CryptoError::BadKey)?;
        Ok(Box::new(LoadedRsa { key, public, signs: self.signs }))
    }

    fn verify(&self, key: &PublicKey, parts: &[&[u8]], signature: &[u8]) -> Result<(), CryptoError> {
        admit(key.kind())?;
        verify(self.verifies, key.octets(), parts, signature)
    }
}

fn admit(kind: KeyKind) -> Result<(), CryptoError> {
    let good = matches!(kind, KeyKind::Rsa { .. }) && kind.admit(false).is_ok();
    if good { Ok(()) } else { Err(CryptoError::BadKey) }
}

/// An RSA key, which the library zeroizes.
struct LoadedRsa {
    key: RsaKeyPair,
    public: PublicKey,
    signs: &'static RsaSignatureEncoding,
}

impl SigningKey for LoadedRsa {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, parts: &[&[u8]], _random: &mut dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        let signed = self.key.sign(self.signs, &SystemRandom::new(), &parts.concat(), &mut signature);
        signed.map_err(|_| CryptoError::Backend)?;
        Ok(signature)
    }
}

/// ECDSA over a curve with a hash.
struct Ecdsa {
    id: Signature,
    kind: KeyKind,
    verifies: &'static EcdsaVerificationAlgorithm,
    signs: &'static EcdsaSigningAlgorithm,
}

impl SignatureAlgorithm for Ecdsa {
    fn id(&self) -> Signature {
        self.id
    }

    fn load(&self, key: &PrivateKey) -> Result<Box<dyn SigningKey>, CryptoError> {
        if key.kind() != self.kind {
            return Err(CryptoError::BadKey);
        }
        let key = EcdsaKeyPair::from_pkcs8(self.signs, key.pkcs8()).map_err(|_| CryptoError::BadKey)?;
        let public =
            PublicKey::point(self.kind, key.public_key().as_ref()).map_err(|_| CryptoError::BadKey)?;
        Ok(Box::new(LoadedEcdsa { key, public }))
    }

    fn verify(&self, key: &PublicKey, parts: &[&[u8]], signature: &[u8]) -> Result<(), CryptoError> {
        if key.kind() != self.kind {
            return Err(CryptoError::BadKey);
        }
        verify(self.verifies, key.octets(), parts, signature)
    }
}

/// An ECDSA key, which the library zeroizes.
struct LoadedEcdsa {
    key: EcdsaKeyPair,
    public: PublicKey,
}

impl SigningKey for LoadedEcdsa {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, parts: &[&[u8]], _random: &mut dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        let signed = self.key.sign(&SystemRandom::new(), &parts.concat());
        Ok(signed.map_err(|_| CryptoError::Backend)?.as_ref().to_vec())
    }
}

/// Ed25519.
struct Ed25519;

impl SignatureAlgorithm for Ed25519 {
    fn id(&self) -> Signature {
        Signature::ED25519
    }

    fn load(&self, key: &PrivateKey) -> Result<Box<dyn SigningKey>, CryptoError> {
        if key.kind() != KeyKind::Ed25519 {
            return Err(CryptoError::BadKey);
        }
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.pkcs8()).map_err(|_| CryptoError::BadKey)?;
        let public = PublicKey::point(KeyKind::Ed25519, key.public_key().as_ref());
        Ok(Box::new(LoadedEd25519 { key, public: public.map_err(|_| CryptoError::BadKey)? }))
    }

    fn verify(&self, key: &PublicKey, parts: &[&[u8]], signature: &[u8]) -> Result<(), CryptoError> {
        if key.kind() != KeyKind::Ed25519 {
            return Err(CryptoError::BadKey);
        }
        verify(&ED25519, key.octets(), parts, signature)
    }
}

/// An Ed25519 key, which the library zeroizes.
struct LoadedEd25519 {
    key: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey for LoadedEd25519 {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, parts: &[&[u8]], _random: &mut dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        let signed = self.key.try_sign(&parts.concat());
        Ok(signed.map_err(|_| CryptoError::Backend)?.as_ref().to_vec())
    }
}
