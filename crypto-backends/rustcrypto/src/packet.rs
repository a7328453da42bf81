//! AES-GCM with a 16-octet ICV for ESP (RFC 4106) and SK (RFC 5282).

use std::marker::PhantomData;

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AeadInOut, AesGcm, Nonce, Tag};
use cipher::{
    BlockCipherEncrypt, BlockSizeUser, KeyInit,
    consts::{U12, U16},
};
use vpnhost_crypto::{CryptoError, IvKind, PacketAlgorithm, PacketKey, PacketLayout, PacketMut};
use vpnhost_model::{Encryption, Integrity, PacketId};
use zeroize::Zeroize;

pub(crate) static LIST: &[&dyn PacketAlgorithm] =
    &[&AesGcm16::<Aes256>(PhantomData), &AesGcm16::<Aes192>(PhantomData), &AesGcm16::<Aes128>(PhantomData)];

const SALT_LEN: usize = 4;
const IV_LEN: usize = 8;
const ICV_LEN: usize = 16;
/// SPI, and both halves of an extended sequence number (RFC 4106 §5).
const ESN_AAD_LEN: usize = 12;

/// What this needs of AES with one key length.
trait Aes: KeyInit + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + 'static {}

impl<A: KeyInit + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + 'static> Aes for A {}

/// AES-GCM over one key length of AES.
struct AesGcm16<A>(PhantomData<fn() -> A>);

impl<A: Aes> PacketAlgorithm for AesGcm16<A> {
    fn id(&self) -> PacketId {
        PacketId {
            encryption: Encryption::AES_GCM_16,
            key_bits: (A::key_size() * 8) as u16,
            integrity: Integrity::NONE,
        }
    }

    fn layout(&self) -> PacketLayout {
        layout::<A>()
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        // RFC 4106, 8.1: the salt is the last four octets of the key material.
        let Some((key, &salt)) = encryption.split_last_chunk::<SALT_LEN>() else {
            return Err(CryptoError::BadLength);
        };
        if !integrity.is_empty() {
            return Err(CryptoError::BadLength);
        }
        let cipher = A::new_from_slice(key).map_err(|_| CryptoError::BadLength)?;
        Ok(Box::new(GcmKey { cipher: AesGcm::from(cipher), salt }))
    }
}

fn layout<A: Aes>() -> PacketLayout {
    PacketLayout {
        iv_len: IV_LEN,
        iv_kind: IvKind::Counter,
        icv_len: ICV_LEN,
        block_len: 1,
        encryption_key_len: A::key_size() + SALT_LEN,
        integrity_key_len: 0,
    }
}

struct GcmKey<A> {
    cipher: AesGcm<A, U12, U16>,
    salt: [u8; SALT_LEN],
}

impl<A: Aes> GcmKey<A> {
    fn seal_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = Parts::of(packet, self.salt)?;
        let icv = self
            .cipher
            .encrypt_inout_detached(&parts.nonce, parts.aad.octets(), parts.text.into())
            .map_err(|_| CryptoError::BadLength)?;
        parts.icv.copy_from_slice(&icv);
        Ok(())
    }

    fn open_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = Parts::of(packet, self.salt)?;
        self.cipher
            .decrypt_inout_detached(
                &parts.nonce,
                parts.aad.octets(),
                parts.text.into(),
                &Tag::<U16>::from(*parts.icv),
            )
            .map_err(|_| CryptoError::AuthenticationFailed)
    }
}

impl<A: Aes> PacketKey for GcmKey<A> {
    fn layout(&self) -> PacketLayout {
        layout::<A>()
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

impl<A> Drop for GcmKey<A> {
    fn drop(&mut self) {
        // The cipher zeroizes itself.
        self.salt.zeroize();
    }
}

/// A packet taken apart.
struct Parts<'a> {
    aad: Aad<'a>,
    nonce: Nonce<U12>,
    text: &'a mut [u8],
    icv: &'a mut [u8; ICV_LEN],
}

impl<'a> Parts<'a> {
    fn of(packet: &'a mut PacketMut<'_>, salt: [u8; SALT_LEN]) -> Result<Self, CryptoError> {
        let aad_len = packet.aad_len;
        if packet.octets.len() < ICV_LEN + IV_LEN || aad_len > packet.octets.len() - ICV_LEN - IV_LEN {
            return Err(CryptoError::BadLength);
        }
        let (aad, rest) = packet.octets.split_at_mut(aad_len);
        let (iv, rest) = rest.split_first_chunk_mut::<IV_LEN>().ok_or(CryptoError::BadLength)?;
        let (text, icv) = rest.split_last_chunk_mut::<ICV_LEN>().ok_or(CryptoError::BadLength)?;
        let mut nonce = Nonce::<U12>::default();
        nonce[..SALT_LEN].copy_from_slice(&salt);
        nonce[SALT_LEN..].copy_from_slice(iv);
        Ok(Self { aad: Aad::of(aad, packet.esn_high)?, nonce, text, icv })
    }
}

/// What is authenticated beside the text.
enum Aad<'a> {
    Written(&'a [u8]),
    Extended([u8; ESN_AAD_LEN]),
}

impl<'a> Aad<'a> {
    /// RFC 4106, 5: with an extended sequence number the AAD is SPI, high half, low half.
    fn of(written: &'a [u8], esn_high: Option<u32>) -> Result<Self, CryptoError> {
        let Some(high) = esn_high else {
            return Ok(Self::Written(written));
        };
        let &[s0, s1, s2, s3, l0, l1, l2, l3] = written else {
            return Err(CryptoError::BadLength);
        };
        let [h0, h1, h2, h3] = high.to_be_bytes();
        Ok(Self::Extended([s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3]))
    }

    fn octets(&self) -> &[u8] {
        match self {
            Self::Written(octets) => octets,
            Self::Extended(octets) => octets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_shorter_than_its_layout_is_left_as_it_was() {
        let mut key = AesGcm16::<Aes128>(PhantomData).key(&[7; 20], &[]).unwrap();
        for len in 0..32 {
            let mut octets = vec![1; len];
            let mut packet = [PacketMut::new(&mut octets, 8)];
            key.open(&mut packet);
            assert_eq!(packet[0].outcome, Err(CryptoError::BadLength), "{len}");
            key.seal(&mut packet);
            assert_eq!(packet[0].outcome, Err(CryptoError::BadLength), "{len}");
            assert!(octets.iter().all(|&o| o == 1));
        }
    }

    #[test]
    fn one_bad_packet_does_not_spoil_its_batch() {
        let mut key = AesGcm16::<Aes256>(PhantomData).key(&[7; 36], &[]).unwrap();
        let mut all = [vec![1; 64], vec![2; 64], vec![3; 64]];
        let batch = |all: &mut [Vec<u8>; 3], work: &mut dyn FnMut(&mut [PacketMut<'_>])| {
            let mut packets: Vec<_> = all.iter_mut().map(|octets| PacketMut::new(octets, 8)).collect();
            work(&mut packets);
            packets.iter().map(|packet| packet.outcome).collect::<Vec<_>>()
        };
        assert_eq!(batch(&mut all, &mut |packets| key.seal(packets)), [Ok(()); 3]);
        all[1][30] ^= 1;
        let outcomes = batch(&mut all, &mut |packets| key.open(packets));
        assert_eq!(outcomes, [Ok(()), Err(CryptoError::AuthenticationFailed), Ok(())]);
        assert_eq!(all[2][16..48], [3; 32]);
    }

    #[test]
    fn an_extended_sequence_number_takes_part_in_the_icv() {
        let mut key = AesGcm16::<Aes128>(PhantomData).key(&[7; 20], &[]).unwrap();
        let mut octets = vec![1; 64];
        let mut packet = [PacketMut::new(&mut octets, 8)];
        packet[0].esn_high = Some(1);
        key.seal(&mut packet);
        packet[0].esn_high = Some(2);
        key.open(&mut packet);
        assert_eq!(packet[0].outcome, Err(CryptoError::AuthenticationFailed));
        packet[0].esn_high = Some(1);
        key.open(&mut packet);
        assert_eq!(packet[0].outcome, Ok(()));
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let algorithm = AesGcm16::<Aes192>(PhantomData);
        assert_eq!(algorithm.layout().encryption_key_len, 28);
        for len in (0..40).filter(|&len| len != 28) {
            assert!(algorithm.key(&vec![0; len], &[]).is_err());
        }
        assert!(algorithm.key(&[0; 28], &[0]).is_err());
    }
}
