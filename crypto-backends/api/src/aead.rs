//! A packet of an AEAD taken apart: salt and IV make the nonce, SPI and sequence number the AAD.
//!
//! AES-GCM (RFC 4106), AES-CCM (RFC 4309), ChaCha20-Poly1305 (RFC 7634), and all of them in SK (RFC 5282,
//! RFC 7634 §3).

use crate::{CryptoError, PacketMut};

/// A packet with an IV of eight octets, under a nonce of salt and IV.
pub struct AeadParts<'a, const NONCE: usize, const ICV: usize> {
    /// Salt and IV.
    pub nonce: [u8; NONCE],
    /// What is authenticated beside the text.
    pub aad: AeadAad<'a>,
    /// What is encrypted in place.
    pub text: &'a mut [u8],
    /// The ICV, to be written or read.
    pub icv: &'a mut [u8; ICV],
}

/// Octets of IV of every AEAD for packets.
pub const AEAD_IV_LEN: usize = 8;

impl<'a, const NONCE: usize, const ICV: usize> AeadParts<'a, NONCE, ICV> {
    /// Octets of salt, which are the last of the key material.
    pub const SALT_LEN: usize = NONCE - AEAD_IV_LEN;

    /// Returns a nonce that begins with a salt, for [`Self::of`]; the rest is zero.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] for a salt of another length.
    pub fn salted(salt: &[u8]) -> Result<[u8; NONCE], CryptoError> {
        let mut nonce = [0; NONCE];
        if salt.len() != Self::SALT_LEN {
            return Err(CryptoError::BadLength);
        }
        nonce[..Self::SALT_LEN].copy_from_slice(salt);
        Ok(nonce)
    }

    /// Takes a packet apart; its IV is written into a nonce that begins with the salt.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] for a packet too short for AAD, IV and ICV, and for one with an
    /// extended sequence number whose AAD is not eight octets.
    pub fn of(packet: &'a mut PacketMut<'_>, salted: [u8; NONCE]) -> Result<Self, CryptoError> {
        let (aad, rest) = packet.octets.split_at_mut_checked(packet.aad_len).ok_or(CryptoError::BadLength)?;
        let (iv, rest) = rest.split_first_chunk_mut::<AEAD_IV_LEN>().ok_or(CryptoError::BadLength)?;
        let (text, icv) = rest.split_last_chunk_mut().ok_or(CryptoError::BadLength)?;
        let mut nonce = salted;
        nonce[Self::SALT_LEN..].copy_from_slice(iv);
        Ok(Self { nonce, aad: AeadAad::of(aad, packet.esn_high)?, text, icv })
    }
}

/// The additional authenticated data of an AEAD.
pub enum AeadAad<'a> {
    /// As they are in the packet.
    Written(&'a [u8]),
    /// SPI, and both halves of an extended sequence number.
    Extended([u8; 12]),
}

impl<'a> AeadAad<'a> {
    /// RFC 4106, 5 and RFC 7634, 2.1: SPI, high half, low half.
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

    /// Returns the octets to authenticate.
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::Written(octets) => octets,
            Self::Extended(octets) => octets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = AeadParts<'a, 12, 16>;

    #[test]
    fn a_packet_comes_apart_where_its_lengths_say() {
        let mut octets: Vec<u8> = (0..8 + 8 + 3 + 16).collect();
        let mut packet = PacketMut::new(&mut octets, 8);
        let parts = Parts::of(&mut packet, Parts::salted(&[91, 92, 93, 94]).unwrap()).unwrap();
        assert_eq!(parts.nonce, [91, 92, 93, 94, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(parts.aad.octets(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(parts.text, [16, 17, 18]);
        assert_eq!(parts.icv[0], 19);
        packet.esn_high = Some(0x0102_0304);
        let parts = Parts::of(&mut packet, [0; 12]).unwrap();
        assert_eq!(parts.aad.octets(), [0, 1, 2, 3, 1, 2, 3, 4, 4, 5, 6, 7]);
    }

    #[test]
    fn a_shorter_salt_and_a_shorter_icv_come_apart_too() {
        let mut octets: Vec<u8> = (0..8 + 8 + 3 + 12).collect();
        let mut packet = PacketMut::new(&mut octets, 8);
        let salted = AeadParts::<11, 12>::salted(&[91, 92, 93]).unwrap();
        assert!(AeadParts::<11, 12>::salted(&[91, 92, 93, 94]).is_err());
        let parts = AeadParts::<11, 12>::of(&mut packet, salted).unwrap();
        assert_eq!(parts.nonce, [91, 92, 93, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!((&*parts.text, parts.icv[11]), (&[16, 17, 18][..], 30));
    }

    #[test]
    fn a_packet_that_is_too_short_does_not_come_apart() {
        for aad_len in [0, 1, 8, 28, usize::MAX] {
            for len in 0..aad_len.min(40) + 24 {
                let mut octets = vec![0; len];
                assert!(Parts::of(&mut PacketMut::new(&mut octets, aad_len), [0; 12]).is_err());
            }
        }
    }

    #[test]
    fn only_spi_and_sequence_number_have_a_high_half() {
        let mut octets = vec![0; 64];
        let mut packet = PacketMut::new(&mut octets, 12);
        packet.esn_high = Some(1);
        assert!(Parts::of(&mut packet, [0; 12]).is_err());
    }
}
