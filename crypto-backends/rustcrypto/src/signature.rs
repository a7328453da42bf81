//! Signature algorithms: RSA, ECDSA over the NIST curves, Ed25519, DSA; a file for each scheme.
//!
//! RSA is blinded with the caller's randomness (RUSTSEC-2023-0071: a remote timing attack on what is not);
//! another backend that signs RSA is better laid over this one. ECDSA and DSA draw no nonce (RFC 6979).

mod dsa;
mod ecdsa;
mod ed25519;
mod rsa;

use digest::Digest;
use rand_core::{TryCryptoRng, TryRng};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use vpnhost_crypto::{CryptoError, Hash, SecureRandom, SignatureAlgorithm};

pub(crate) static LIST: &[&dyn SignatureAlgorithm] = &[
    &ed25519::Ed25519,
    &ecdsa::P256::<Sha256>::NEW,
    &ecdsa::P256::<Sha384>::NEW,
    &ecdsa::P256::<Sha512>::NEW,
    &ecdsa::P384::<Sha256>::NEW,
    &ecdsa::P384::<Sha384>::NEW,
    &ecdsa::P384::<Sha512>::NEW,
    &ecdsa::P521::<Sha256>::NEW,
    &ecdsa::P521::<Sha384>::NEW,
    &ecdsa::P521::<Sha512>::NEW,
    &rsa::Pss::<Sha256>::NEW,
    &rsa::Pss::<Sha384>::NEW,
    &rsa::Pss::<Sha512>::NEW,
    &rsa::Pkcs1::<Sha256>::NEW,
    &rsa::Pkcs1::<Sha384>::NEW,
    &rsa::Pkcs1::<Sha512>::NEW,
    &rsa::Pkcs1::<Sha1>::NEW,
    &dsa::Dsa::<Sha256>::NEW,
    &dsa::Dsa::<Sha384>::NEW,
    &dsa::Dsa::<Sha512>::NEW,
    &dsa::Dsa::<Sha1>::NEW,
];

/// A hash of which the number is known.
trait Numbered: Digest {
    const HASH: Hash;
}

impl Numbered for Sha1 {
    const HASH: Hash = Hash::SHA1;
}

impl Numbered for Sha256 {
    const HASH: Hash = Hash::SHA2_256;
}

impl Numbered for Sha384 {
    const HASH: Hash = Hash::SHA2_384;
}

impl Numbered for Sha512 {
    const HASH: Hash = Hash::SHA2_512;
}

fn digest<D: Digest>(parts: &[&[u8]]) -> digest::Output<D> {
    parts.iter().fold(D::new(), D::chain_update).finalize()
}

/// The caller's randomness as the library wants it.
struct Random<'a>(&'a mut dyn SecureRandom);

impl TryRng for Random<'_> {
    type Error = CryptoError;

    fn try_next_u32(&mut self) -> Result<u32, CryptoError> {
        let mut octets = [0; 4];
        self.0.fill(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, CryptoError> {
        let mut octets = [0; 8];
        self.0.fill(&mut octets)?;
        Ok(u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        self.0.fill(out)
    }
}

impl TryCryptoRng for Random<'_> {}
