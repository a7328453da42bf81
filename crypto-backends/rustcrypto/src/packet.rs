//! AEADs for ESP and SK: AES-GCM (RFC 4106, RFC 5282), AES-CCM (RFC 4309, RFC 5282) and
//! ChaCha20-Poly1305 (RFC 7634).

use std::marker::PhantomData;

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AeadInOut, AesGcm, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;
use cipher::Array;
use cipher::array::ArraySize;
use cipher::consts::{U8, U11, U12, U16};
use vpnhost_crypto::{
    AEAD_IV_LEN, AeadParts, CryptoError, IvKind, PacketAlgorithm, PacketKey, PacketLayout, PacketMut,
};
use vpnhost_model::{Encryption, Integrity, PacketId};
use zeroize::Zeroize;

pub(crate) static LIST: &[&dyn PacketAlgorithm] = &[
    &Gcm::<Aes256, U16, 16>::new(Encryption::AES_GCM_16),
    &Gcm::<Aes192, U16, 16>::new(Encryption::AES_GCM_16),
    &Gcm::<Aes128, U16, 16>::new(Encryption::AES_GCM_16),
    &CHACHA20,
    &Gcm::<Aes256, U12, 12>::new(Encryption::AES_GCM_12),
    &Gcm::<Aes192, U12, 12>::new(Encryption::AES_GCM_12),
    &Gcm::<Aes128, U12, 12>::new(Encryption::AES_GCM_12),
    &Gcm::<Aes256, U8, 8>::new(Encryption::AES_GCM_8),
    &Gcm::<Aes192, U8, 8>::new(Encryption::AES_GCM_8),
    &Gcm::<Aes128, U8, 8>::new(Encryption::AES_GCM_8),
    &Ccm::<Aes256, U16, 16>::new(Encryption::AES_CCM_16),
    &Ccm::<Aes192, U16, 16>::new(Encryption::AES_CCM_16),
    &Ccm::<Aes128, U16, 16>::new(Encryption::AES_CCM_16),
    &Ccm::<Aes256, U12, 12>::new(Encryption::AES_CCM_12),
    &Ccm::<Aes192, U12, 12>::new(Encryption::AES_CCM_12),
    &Ccm::<Aes128, U12, 12>::new(Encryption::AES_CCM_12),
    &Ccm::<Aes256, U8, 8>::new(Encryption::AES_CCM_8),
    &Ccm::<Aes192, U8, 8>::new(Encryption::AES_CCM_8),
    &Ccm::<Aes128, U8, 8>::new(Encryption::AES_CCM_8),
];

static CHACHA20: Aead<ChaCha20Poly1305, 12, 16> = Aead::new(Encryption::CHACHA20_POLY1305);

/// RFC 4106, 4: a salt of four octets.
type Gcm<A, M, const ICV: usize> = Aead<AesGcm<A, U12, M>, 12, ICV>;
/// RFC 4309, 4: a salt of three octets.
type Ccm<A, M, const ICV: usize> = Aead<ccm::Ccm<A, M, U11>, 11, ICV>;

/// An AEAD with one key length, a nonce of `NONCE` octets and an ICV of `ICV`.
struct Aead<C, const NONCE: usize, const ICV: usize> {
    id: Encryption,
    cipher: PhantomData<fn() -> C>,
}

impl<C, const NONCE: usize, const ICV: usize> Aead<C, NONCE, ICV> {
    const fn new(id: Encryption) -> Self {
        Self { id, cipher: PhantomData }
    }
}

/// What this needs of a cipher.
trait Cipher: KeyInit + AeadInOut + Send + 'static {}

impl<C: KeyInit + AeadInOut + Send + 'static> Cipher for C {}

impl<C: Cipher, const NONCE: usize, const ICV: usize> PacketAlgorithm for Aead<C, NONCE, ICV> {
    fn id(&self) -> PacketId {
        PacketId { encryption: self.id, key_bits: (C::key_size() * 8) as u16, integrity: Integrity::NONE }
    }

    fn layout(&self) -> PacketLayout {
        layout::<C, NONCE, ICV>()
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        // RFC 4106, 8.1; RFC 4309, 7.1: the salt is the last of the key material.
        let parts = encryption.split_at_checked(C::key_size());
        let (key, salt) = parts.filter(|_| integrity.is_empty()).ok_or(CryptoError::BadLength)?;
        let salted = AeadParts::<NONCE, ICV>::salted(salt)?;
        let cipher = C::new_from_slice(key).map_err(|_| CryptoError::BadLength)?;
        Ok(Box::new(AeadKey::<C, NONCE, ICV> { cipher, salted }))
    }
}

fn layout<C: Cipher, const NONCE: usize, const ICV: usize>() -> PacketLayout {
    PacketLayout {
        iv_len: AEAD_IV_LEN,
        iv_kind: IvKind::Counter,
        icv_len: ICV,
        block_len: 1,
        encryption_key_len: C::key_size() + AeadParts::<NONCE, ICV>::SALT_LEN,
        integrity_key_len: 0,
    }
}

struct AeadKey<C, const NONCE: usize, const ICV: usize> {
    cipher: C,
    salted: [u8; NONCE],
}

impl<C: Cipher, const NONCE: usize, const ICV: usize> AeadKey<C, NONCE, ICV> {
    fn seal_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = AeadParts::<NONCE, ICV>::of(packet, self.salted)?;
        let nonce: &Array<u8, C::NonceSize> = fixed(&parts.nonce)?;
        let icv = self
            .cipher
            .encrypt_inout_detached(nonce, parts.aad.octets(), parts.text.into())
            .map_err(|_| CryptoError::BadLength)?;
        parts.icv.copy_from_slice(&icv);
        Ok(())
    }

    fn open_one(&self, packet: &mut PacketMut<'_>) -> Result<(), CryptoError> {
        let parts = AeadParts::<NONCE, ICV>::of(packet, self.salted)?;
        let nonce: &Array<u8, C::NonceSize> = fixed(&parts.nonce)?;
        let icv: &Array<u8, C::TagSize> = fixed(parts.icv)?;
        self.cipher
            .decrypt_inout_detached(nonce, parts.aad.octets(), parts.text.into(), icv)
            .map_err(|_| CryptoError::AuthenticationFailed)
    }
}

/// Views octets as the library counts them; the known answers show that the counts agree.
fn fixed<N: ArraySize>(octets: &[u8]) -> Result<&Array<u8, N>, CryptoError> {
    octets.try_into().map_err(|_| CryptoError::BadLength)
}

impl<C: Cipher, const NONCE: usize, const ICV: usize> PacketKey for AeadKey<C, NONCE, ICV> {
    fn layout(&self) -> PacketLayout {
        layout::<C, NONCE, ICV>()
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

impl<C, const NONCE: usize, const ICV: usize> Drop for AeadKey<C, NONCE, ICV> {
    fn drop(&mut self) {
        // The cipher zeroizes itself.
        self.salted.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn algorithm(encryption: Encryption, key_bits: u16) -> &'static dyn PacketAlgorithm {
        let id = PacketId { encryption, key_bits, integrity: Integrity::NONE };
        LIST.iter().copied().find(|algorithm| algorithm.id() == id).unwrap()
    }

    #[test]
    fn a_packet_shorter_than_its_layout_is_left_as_it_was() {
        let mut key = algorithm(Encryption::AES_GCM_16, 128).key(&[7; 20], &[]).unwrap();
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
        let mut key = algorithm(Encryption::AES_GCM_16, 256).key(&[7; 36], &[]).unwrap();
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
        let mut key = algorithm(Encryption::AES_GCM_16, 128).key(&[7; 20], &[]).unwrap();
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
        let algorithm = algorithm(Encryption::AES_GCM_16, 192);
        assert_eq!(algorithm.layout().encryption_key_len, 28);
        for len in (0..40).filter(|&len| len != 28) {
            assert!(algorithm.key(&vec![0; len], &[]).is_err());
        }
        assert!(algorithm.key(&[0; 28], &[0]).is_err());
    }
}
