//! AES-GCM with a 16-octet ICV (RFC 4106, RFC 5282) and ChaCha20-Poly1305 (RFC 7634) for ESP and SK.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use vpnhost_crypto::{
    AEAD_IV_LEN, AeadParts, CryptoError, IvKind, PacketAlgorithm, PacketKey, PacketLayout, PacketMut,
};
use vpnhost_model::{Encryption, Integrity, PacketId};
use zeroize::Zeroize;

pub(crate) static LIST: &[&dyn PacketAlgorithm] =
    &[&gcm(&AES_256_GCM), &gcm(&AES_192_GCM), &gcm(&AES_128_GCM), &CHACHA20];

static CHACHA20: Aead = Aead { id: Encryption::CHACHA20_POLY1305, algorithm: &CHACHA20_POLY1305 };

const fn gcm(algorithm: &'static Algorithm) -> Aead {
    Aead { id: Encryption::AES_GCM_16, algorithm }
}

/// Octets of salt and IV.
const NONCE_LEN: usize = 12;
/// Octets of ICV.
const ICV_LEN: usize = 16;

type Parts<'a> = AeadParts<'a, NONCE_LEN, ICV_LEN>;

/// An AEAD with one key length.
struct Aead {
    id: Encryption,
    algorithm: &'static Algorithm,
}

impl PacketAlgorithm for Aead {
    fn id(&self) -> PacketId {
        PacketId {
            encryption: self.id,
            key_bits: (self.algorithm.key_len() * 8) as u16,
            integrity: Integrity::NONE,
        }
    }

    fn layout(&self) -> PacketLayout {
        layout(self.algorithm)
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        // RFC 4106, 8.1: the salt is the last of the key material.
        let parts = encryption.split_at_checked(self.algorithm.key_len());
        let (key, salt) = parts.filter(|_| integrity.is_empty()).ok_or(CryptoError::BadLength)?;
        let salted = Parts::salted(salt)?;
        let key = UnboundKey::new(self.algorithm, key).map_err(|_| CryptoError::BadLength)?;
        Ok(Box::new(AeadKey { cipher: LessSafeKey::new(key), salted }))
    }
}

fn layout(algorithm: &Algorithm) -> PacketLayout {
    PacketLayout {
        iv_len: AEAD_IV_LEN,
        iv_kind: IvKind::Counter,
        icv_len: ICV_LEN,
        block_len: 1,
        encryption_key_len: algorithm.key_len() + Parts::SALT_LEN,
        integrity_key_len: 0,
    }
}

/// The key with its schedule and hash table; the library zeroizes them.
struct AeadKey {
    cipher: LessSafeKey,
    salted: [u8; NONCE_LEN],
}

impl AeadKey {
    fn seal_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = Parts::of(packet, self.salted)?;
        // "Less safe" because the caller answers for the nonce: it counts (`IvKind::Counter`).
        let nonce = Nonce::assume_unique_for_key(parts.nonce);
        self.cipher
            .seal_in_place_scatter(nonce, Aad::from(parts.aad.octets()), parts.text, &[], parts.icv)
            .map_err(|_| CryptoError::Backend)
    }

    fn open_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = Parts::of(packet, self.salted)?;
        let nonce = Nonce::assume_unique_for_key(parts.nonce);
        self.cipher
            .open_in_place_separate_tag(nonce, Aad::from(parts.aad.octets()), parts.icv, parts.text)
            .map(|_| ())
            .map_err(|_| CryptoError::AuthenticationFailed)
    }
}

impl PacketKey for AeadKey {
    fn layout(&self) -> PacketLayout {
        layout(self.cipher.algorithm())
    }

    fn seal(&mut self, packets: &mut [PacketMut<'_>]) {
        for packet in packets {
            packet.outcome = self.seal_one(packet);
        }
    }

    fn open(&mut self, packets: &mut [PacketMut<'_>]) {
        for packet in packets {
            packet.outcome = self.open_one(packet);
        }
    }
}

impl Drop for AeadKey {
    fn drop(&mut self) {
        self.salted.zeroize();
    }
}
