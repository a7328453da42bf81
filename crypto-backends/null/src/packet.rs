//! AES-GCM by number and length only. NO SECURITY.

use vpnhost_crypto::{CryptoError, IvKind, PacketAlgorithm, PacketKey, PacketLayout, PacketMut};
use vpnhost_model::{Encryption, Integrity, PacketId};

use crate::mix::Mix;

pub(crate) static LIST: &[&dyn PacketAlgorithm] =
    &[&NullGcm { key_bits: 256 }, &NullGcm { key_bits: 192 }, &NullGcm { key_bits: 128 }];

const SALT_LEN: usize = 4;
const IV_LEN: usize = 8;
const ICV_LEN: usize = 16;

/// What looks like AES-GCM with a 16-octet ICV.
#[derive(Clone, Copy)]
struct NullGcm {
    key_bits: u16,
}

impl PacketAlgorithm for NullGcm {
    fn id(&self) -> PacketId {
        PacketId { encryption: Encryption::AES_GCM_16, key_bits: self.key_bits, integrity: Integrity::NONE }
    }

    fn layout(&self) -> PacketLayout {
        PacketLayout {
            iv_len: IV_LEN,
            iv_kind: IvKind::Counter,
            icv_len: ICV_LEN,
            block_len: 1,
            encryption_key_len: usize::from(self.key_bits) / 8 + SALT_LEN,
            integrity_key_len: 0,
        }
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        if encryption.len() != self.layout().encryption_key_len || !integrity.is_empty() {
            return Err(CryptoError::BadLength);
        }
        let keyed = |domain| {
            let mut mix = Mix::new(domain);
            mix.absorb(encryption);
            mix
        };
        Ok(Box::new(NullGcmKey { algorithm: *self, cover: keyed(1), check: keyed(2) }))
    }
}

struct NullGcmKey {
    algorithm: NullGcm,
    cover: Mix,
    check: Mix,
}

impl NullGcmKey {
    fn seal_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        self.cover_text(packet)?;
        let icv = self.icv(packet)?;
        let icv_at = packet.octets.len() - ICV_LEN;
        packet.octets[icv_at..].copy_from_slice(&icv);
        Ok(())
    }

    fn open_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let icv = self.icv(packet)?;
        if packet.octets.last_chunk() != Some(&icv) {
            return Err(CryptoError::AuthenticationFailed);
        }
        self.cover_text(packet)
    }

    fn cover_text(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let text_end = text_end(packet)?;
        let (head, text) = packet.octets[..text_end].split_at_mut(packet.aad_len + IV_LEN);
        let mut cover = self.cover.clone();
        cover.absorb(&head[packet.aad_len..]);
        cover.cover(text);
        Ok(())
    }

    fn icv(&self, packet: &PacketMut<'_>) -> Result<[u8; ICV_LEN], CryptoError> {
        let mut check = self.check.clone();
        check.absorb(&packet.octets[..text_end(packet)?]);
        check.absorb(&packet.esn_high.map_or([0; 4], u32::to_be_bytes));
        let mut icv = [0; ICV_LEN];
        check.squeeze(&mut icv);
        Ok(icv)
    }
}

impl PacketKey for NullGcmKey {
    fn layout(&self) -> PacketLayout {
        self.algorithm.layout()
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

/// Finds where the text ends and the ICV begins.
fn text_end(packet: &PacketMut<'_>) -> Result<usize, CryptoError> {
    let end = packet.octets.len().checked_sub(ICV_LEN).ok_or(CryptoError::BadLength)?;
    let room = end.checked_sub(IV_LEN).ok_or(CryptoError::BadLength)?;
    if packet.aad_len <= room { Ok(end) } else { Err(CryptoError::BadLength) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tampering_is_noticed_wherever_it_is() {
        let mut key = LIST[0].key(&[7; 36], &[]).unwrap();
        let mut sealed: Vec<u8> = (0..64).collect();
        key.seal(&mut [PacketMut::new(&mut sealed, 8)]);
        assert_ne!(sealed[16..48], (16..48).collect::<Vec<u8>>());
        for bit in 0..64 * 8 {
            let mut octets = sealed.clone();
            octets[bit / 8] ^= 1 << (bit % 8);
            let mut packet = [PacketMut::new(&mut octets, 8)];
            key.open(&mut packet);
            assert_eq!(packet[0].outcome, Err(CryptoError::AuthenticationFailed));
        }
        let mut packet = [PacketMut::new(&mut sealed, 8)];
        packet[0].esn_high = Some(1);
        key.open(&mut packet);
        assert_eq!(packet[0].outcome, Err(CryptoError::AuthenticationFailed));
        packet[0].esn_high = None;
        key.open(&mut packet);
        assert_eq!(packet[0].outcome, Ok(()));
        assert_eq!(sealed[16..48], (16..48).collect::<Vec<u8>>());
    }

    #[test]
    fn a_packet_shorter_than_its_layout_is_refused() {
        let mut key = LIST[2].key(&[7; 20], &[]).unwrap();
        for len in 0..32 {
            let mut octets = vec![1; len];
            let mut packet = [PacketMut::new(&mut octets, 8)];
            key.open(&mut packet);
            assert_eq!(packet[0].outcome, Err(CryptoError::BadLength), "{len}");
        }
    }
}
