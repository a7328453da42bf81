//! What a host shows of itself: its certificate, those between it and a CA, and the private key.

use vpnhost_crypto::{CryptoBackend, Hash, PrivateKey, PublicKey, Scheme, Signature, SigningKey};

use crate::{Certificate, FileError};

/// Hashes that RFC 7427 signatures are made over, the preferred first.
const HASHES: [Hash; 4] = [Hash::SHA2_256, Hash::SHA2_384, Hash::SHA2_512, Hash::SHA1];

/// A host's own certificates and key.
#[derive(Clone, Debug)]
pub struct Credential {
    certificates: Vec<Certificate>,
    key: PrivateKey,
    public: PublicKey,
}

impl Credential {
    /// Puts certificates, the own first, and a private key together.
    ///
    /// # Errors
    /// [`FileError`] if the key is not the certificate's, is too weak, or cannot be used.
    pub fn new(
        crypto: &dyn CryptoBackend,
        certificates: Vec<Certificate>,
        key: PrivateKey,
        allow_legacy: bool,
    ) -> Result<Self, FileError> {
        let own = certificates.first().ok_or(FileError::Empty { what: "certificate" })?;
        key.kind().admit(allow_legacy)?;
        // A certificate of DSA may lack the parameters that the private key has.
        let loaded = load_any(crypto, &key)?;
        let public = loaded.public().clone();
        let certified = PublicKey::inheriting(own.spki(), &public)?;
        if certified != public {
            return Err(FileError::KeyMismatch { subject: own.subject().to_string() });
        }
        Ok(Self { certificates, key, public })
    }

    /// Makes a credential of a private key alone, whose public key the peer knows beforehand (RFC 7670).
    ///
    /// # Errors
    /// [`FileError`] if the key is too weak, or cannot be used.
    pub fn raw(crypto: &dyn CryptoBackend, key: PrivateKey, allow_legacy: bool) -> Result<Self, FileError> {
        key.kind().admit(allow_legacy)?;
        let public = load_any(crypto, &key)?.public().clone();
        Ok(Self { certificates: Vec::new(), key, public })
    }

    /// Returns the certificates, the own first, as CERT payloads have them; none of a raw public key.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Returns the private key, for a job that signs.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Returns the public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns what the key can sign RFC 7427 AUTH payloads with, the preferred first, where the peer knows some
    /// hashes (SIGNATURE_HASH_ALGORITHMS).
    pub fn signatures(&self, peer: &[Hash], allow_legacy: bool) -> Vec<Signature> {
        signatures_of(&self.public, peer, allow_legacy)
    }

    /// Tells whether a CERTREQ payload asks for this: one of its hashes is that of a CA's key above the own
    /// certificate, or it is empty.
    pub fn answers(&self, crypto: &dyn CryptoBackend, request: &[u8], anchors: &[Certificate]) -> bool {
        let (hashes, _) = request.as_chunks::<20>();
        let named = |ca: &Certificate| ca.key_hash(crypto).is_ok_and(|hash| hashes.contains(&hash));
        let mut above = self.certificates.iter().skip(1).chain(anchors);
        hashes.is_empty()
            || above.any(|ca| named(ca) && self.certificates.iter().any(|own| own.issuer() == ca.subject()))
    }
}

/// Returns the signature algorithms of a key that a peer who knows some hashes can verify.
pub fn signatures_of(key: &PublicKey, peer: &[Hash], allow_legacy: bool) -> Vec<Signature> {
    let hashed = |scheme: Scheme| HASHES.map(|hash| Signature::new(scheme, hash));
    // RFC 7427, 4: RSASSA-PSS should be preferred.
    let schemes = [
        Scheme::EcdsaP256,
        Scheme::EcdsaP384,
        Scheme::EcdsaP521,
        Scheme::RsaPss,
        Scheme::RsaPkcs1,
        Scheme::Dsa,
    ];
    let mut all: Vec<Signature> = schemes.iter().flat_map(|scheme| hashed(*scheme)).collect();
    // A hash as long as the curve first.
    let native = |id: &Signature| match id.scheme {
        Scheme::EcdsaP384 => id.hash != Hash::SHA2_384,
        Scheme::EcdsaP521 => id.hash != Hash::SHA2_512,
        Scheme::EcdsaP256 | Scheme::RsaPkcs1 | Scheme::RsaPss | Scheme::Ed25519 | Scheme::Dsa => false,
    };
    all.sort_by_key(native);
    all.insert(0, Signature::ED25519);
    all.retain(|id| {
        let exists = id.algorithm_identifier().is_some();
        exists && id.fits(key.kind()) && peer.contains(&id.hash) && (allow_legacy || !id.is_legacy())
    });
    all
}

fn load_any(crypto: &dyn CryptoBackend, key: &PrivateKey) -> Result<Box<dyn SigningKey>, FileError> {
    let all = [Hash::SHA2_256, Hash::SHA1, Hash::IDENTITY];
    let schemes = [
        Scheme::RsaPkcs1,
        Scheme::EcdsaP256,
        Scheme::EcdsaP384,
        Scheme::EcdsaP521,
        Scheme::Ed25519,
        Scheme::Dsa,
    ];
    let mut ids = schemes.iter().flat_map(|scheme| all.map(|hash| Signature::new(*scheme, hash)));
    let algorithm = ids.find_map(|id| crypto.find_signature(id, key.kind())).ok_or(FileError::NoBackend)?;
    algorithm.load(key).map_err(|_| FileError::Key(vpnhost_crypto::KeyError::Unreadable))
}
