//! AES-GCM with a 16-octet ICV for ESP (RFC 4106) and SK (RFC 5282).

use std::marker::PhantomData;

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AeadInOut, AesGcm, Tag};
use cipher::{
    BlockCipherEncrypt, BlockSizeUser, KeyInit,
    consts::{U12, U16},
};
use vpnhost_crypto::{AeadParts, CryptoError, IvKind, PacketAlgorithm, PacketKey, PacketLayout, PacketMut};
use vpnhost_model::{Encryption, Integrity, PacketId};
use zeroize::Zeroize;

pub(crate) static LIST: &[&dyn PacketAlgorithm] =
    &[&AesGcm16::<Aes256>(PhantomData), &AesGcm16::<Aes192>(PhantomData), &AesGcm16::<Aes128>(PhantomData)];

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
        let Some((key, &salt)) = encryption.split_last_chunk::<{ AeadParts::SALT_LEN }>() else {
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
        iv_len: AeadParts::IV_LEN,
        iv_kind: IvKind::Counter,
        icv_len: AeadParts::ICV_LEN,
        block_len: 1,
        encryption_key_len: A::key_size() + AeadParts::SALT_LEN,
        integrity_key_len: 0,
    }
}

struct GcmKey<A> {
    cipher: AesGcm<A, U12, U16>,
    salt: [u8; AeadParts::SALT_LEN],
}

impl<A: Aes> GcmKey<A> {
    fn seal_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = AeadParts::of(packet, self.salt)?;
        let icv = self
            .cipher
            .encrypt_inout_detached(&parts.nonce.into(), parts.aad.octets(), parts.text.into())
            .map_err(|_| CryptoError::BadLength)?;
        parts.icv.copy_from_slice(&icv);
        Ok(())
    }

    fn open_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = AeadParts::of(packet, self.salt)?;
        self.cipher
            .decrypt_inout_detached(
                &parts.nonce.into(),
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
