//! AES-GCM with a 16-octet ICV for ESP (RFC 4106) and SK (RFC 5282).

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey,
};
use vpnhost_crypto::{AeadParts, CryptoError, IvKind, PacketAlgorithm, PacketKey, PacketLayout, PacketMut};
use vpnhost_model::{Encryption, Integrity, PacketId};
use zeroize::Zeroize;

pub(crate) static LIST: &[&dyn PacketAlgorithm] =
    &[&AesGcm16(&AES_256_GCM), &AesGcm16(&AES_192_GCM), &AesGcm16(&AES_128_GCM)];

/// AES-GCM with one key length.
struct AesGcm16(&'static Algorithm);

impl PacketAlgorithm for AesGcm16 {
    fn id(&self) -> PacketId {
        PacketId {
            encryption: Encryption::AES_GCM_16,
            key_bits: (self.0.key_len() * 8) as u16,
            integrity: Integrity::NONE,
        }
    }

    fn layout(&self) -> PacketLayout {
        layout(self.0)
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        // RFC 4106, 8.1: the salt is the last four octets of the key material.
        let Some((key, &salt)) = encryption.split_last_chunk::<{ AeadParts::SALT_LEN }>() else {
            return Err(CryptoError::BadLength);
        };
        if !integrity.is_empty() {
            return Err(CryptoError::BadLength);
        }
        let key = UnboundKey::new(self.0, key).map_err(|_| CryptoError::BadLength)?;
        Ok(Box::new(GcmKey { cipher: LessSafeKey::new(key), salt }))
    }
}

fn layout(algorithm: &Algorithm) -> PacketLayout {
    PacketLayout {
        iv_len: AeadParts::IV_LEN,
        iv_kind: IvKind::Counter,
        icv_len: AeadParts::ICV_LEN,
        block_len: 1,
        encryption_key_len: algorithm.key_len() + AeadParts::SALT_LEN,
        integrity_key_len: 0,
    }
}

/// The key with its schedule and hash table; the library zeroizes them.
struct GcmKey {
    cipher: LessSafeKey,
    salt: [u8; AeadParts::SALT_LEN],
}

impl GcmKey {
    fn seal_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = AeadParts::of(packet, self.salt)?;
        // "Less safe" because the caller answers for the nonce: it counts (`IvKind::Counter`).
        let nonce = Nonce::assume_unique_for_key(parts.nonce);
        self.cipher
            .seal_in_place_scatter(nonce, Aad::from(parts.aad.octets()), parts.text, &[], parts.icv)
            .map_err(|_| CryptoError::Backend)
    }

    fn open_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = AeadParts::of(packet, self.salt)?;
        let nonce = Nonce::assume_unique_for_key(parts.nonce);
        self.cipher
            .open_in_place_separate_tag(nonce, Aad::from(parts.aad.octets()), parts.icv, parts.text)
            .map(|_| ())
            .map_err(|_| CryptoError::AuthenticationFailed)
    }
}

impl PacketKey for GcmKey {
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

impl Drop for GcmKey {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}
