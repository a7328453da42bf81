//! Packet protection out of a cipher and a MAC (encrypt-then-MAC), so that ESP and SK see one shape.

use vpnhost_model::{Integrity, PacketId};

use crate::{
    CryptoBackend, CryptoError, EncryptionAlgorithm, EncryptionKey, IntegrityAlgorithm, IntegrityKey,
    PacketAlgorithm, PacketKey, PacketLayout, PacketMut, wipe_stack,
};

/// A packet protection as a backend offers it.
#[derive(Clone, Copy)]
pub enum Protection {
    /// The backend's own.
    Whole(&'static dyn PacketAlgorithm),
    /// Two of its algorithms.
    Pair(EncryptThenMac),
}

impl Protection {
    pub(crate) fn pair(backend: &dyn CryptoBackend, id: PacketId) -> Option<Self> {
        if id.encryption.is_aead() || id.integrity == Integrity::NONE {
            return None;
        }
        let encryption = backend.find_encryption(id.encryption, id.key_bits)?;
        let integrity = backend.find_integrity(id.integrity)?;
        Some(Self::Pair(EncryptThenMac { encryption, integrity }))
    }
}

impl PacketAlgorithm for Protection {
    fn id(&self) -> PacketId {
        match self {
            Self::Whole(algorithm) => algorithm.id(),
            Self::Pair(pair) => pair.id(),
        }
    }

    fn layout(&self) -> PacketLayout {
        match self {
            Self::Whole(algorithm) => algorithm.layout(),
            Self::Pair(pair) => pair.layout(),
        }
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        let key = match self {
            Self::Whole(algorithm) => algorithm.key(encryption, integrity),
            Self::Pair(pair) => pair.key(encryption, integrity),
        };
        wipe_stack();
        key
    }
}

/// A cipher and a MAC over its ciphertext (RFC 4303 §3.3.2, RFC 7296 §3.14).
#[derive(Clone, Copy)]
pub struct EncryptThenMac {
    encryption: &'static dyn EncryptionAlgorithm,
    integrity: &'static dyn IntegrityAlgorithm,
}

impl PacketAlgorithm for EncryptThenMac {
    fn id(&self) -> PacketId {
        PacketId {
            encryption: self.encryption.id(),
            key_bits: self.encryption.key_bits(),
            integrity: self.integrity.id(),
        }
    }

    fn layout(&self) -> PacketLayout {
        PacketLayout {
            iv_len: self.encryption.iv_len(),
            iv_kind: self.encryption.iv_kind(),
            icv_len: self.integrity.icv_len(),
            block_len: self.encryption.block_len(),
            encryption_key_len: self.encryption.key_len(),
            integrity_key_len: self.integrity.key_len(),
        }
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        Ok(Box::new(PairKey {
            layout: self.layout(),
            encryption: self.encryption.key(encryption)?,
            integrity: self.integrity.key(integrity)?,
        }))
    }
}

struct PairKey {
    layout: PacketLayout,
    encryption: Box<dyn EncryptionKey>,
    integrity: Box<dyn IntegrityKey>,
}

impl PairKey {
    fn seal_one(&mut self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let Parts { iv, text, .. } = Parts::of(packet.octets, packet.aad_len, self.layout)?;
        self.encryption.encrypt(iv, text)?;
        let (signed, icv) = packet.octets.split_at_mut(packet.octets.len() - self.layout.icv_len);
        let high = esn_octets(packet.esn_high);
        self.integrity.sign(&[signed, high.as_ref().map_or(&[][..], |h| h)], icv)
    }

    fn open_one(&mut self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        Parts::of(packet.octets, packet.aad_len, self.layout)?;
        let (signed, icv) = packet.octets.split_at(packet.octets.len() - self.layout.icv_len);
        let high = esn_octets(packet.esn_high);
        // The ICV is checked before anything is decrypted, so padding can tell an attacker nothing.
        self.integrity.verify(&[signed, high.as_ref().map_or(&[][..], |h| h)], icv)?;
        let Parts { iv, text, .. } = Parts::of(packet.octets, packet.aad_len, self.layout)?;
        self.encryption.decrypt(iv, text)
    }
}

impl PacketKey for PairKey {
    fn layout(&self) -> PacketLayout {
        self.layout
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

fn esn_octets(high: Option<u32>) -> Option<[u8; 4]> {
    high.map(u32::to_be_bytes)
}

/// A packet taken apart; the ICV is left out because it is written while the rest is read.
struct Parts<'a> {
    iv: &'a [u8],
    text: &'a mut [u8],
}

impl<'a> Parts<'a> {
    fn of(octets: &'a mut [u8], aad_len: usize, layout: PacketLayout) -> Result<Self, CryptoError> {
        let text_end = octets.len().checked_sub(layout.icv_len).ok_or(CryptoError::BadLength)?;
        let text_start = aad_len.checked_add(layout.iv_len).ok_or(CryptoError::BadLength)?;
        if text_start > text_end {
            return Err(CryptoError::BadLength);
        }
        let (head, rest) = octets.split_at_mut(text_start);
        Ok(Self { iv: &head[aad_len..], text: &mut rest[..text_end - text_start] })
    }
}
