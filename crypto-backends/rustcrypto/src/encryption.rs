//! Lone ciphers: AES-CBC (RFC 3602) and 3DES-CBC (RFC 2451).

use std::marker::PhantomData;

use aes::{Aes128, Aes192, Aes256};
use cbc::{Decryptor, Encryptor};
use cipher::{
    Array, Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit,
    KeyInit,
};
use des::TdesEde3;
use vpnhost_crypto::{CryptoError, EncryptionAlgorithm, EncryptionKey, IvKind};
use vpnhost_model::Encryption;

pub(crate) static LIST: &[&dyn EncryptionAlgorithm] = &[
    &Cbc::<Aes256> { id: Encryption::AES_CBC, block: PhantomData },
    &Cbc::<Aes192> { id: Encryption::AES_CBC, block: PhantomData },
    &Cbc::<Aes128> { id: Encryption::AES_CBC, block: PhantomData },
    // Parity bits of the key are ignored, as RFC 2451 2.2 says of the cipher's input.
    &Cbc::<TdesEde3> { id: Encryption::TRIPLE_DES, block: PhantomData },
];

/// What CBC needs of a block cipher.
trait BlockCipher: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt + Send + 'static {}

impl<C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt + Send + 'static> BlockCipher for C {}

/// CBC over a block cipher.
struct Cbc<C> {
    id: Encryption,
    block: PhantomData<fn() -> C>,
}

impl<C: BlockCipher> EncryptionAlgorithm for Cbc<C> {
    fn id(&self) -> Encryption {
        self.id
    }

    fn key_bits(&self) -> u16 {
        (C::key_size() * 8) as u16
    }

    fn key_len(&self) -> usize {
        C::key_size()
    }

    fn iv_len(&self) -> usize {
        C::block_size()
    }

    fn iv_kind(&self) -> IvKind {
        IvKind::Unpredictable
    }

    fn block_len(&self) -> usize {
        C::block_size()
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn EncryptionKey>, CryptoError> {
        let cipher = C::new_from_slice(key).map_err(|_| CryptoError::BadLength)?;
        Ok(Box::new(CbcKey(cipher)))
    }
}

/// The cipher with its key schedule; it zeroizes itself.
struct CbcKey<C>(C);

impl<C: BlockCipher> EncryptionKey for CbcKey<C> {
    fn encrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        let mut mode = Encryptor::inner_iv_slice_init(&self.0, iv).map_err(|_| CryptoError::BadLength)?;
        mode.encrypt_blocks(blocks::<C>(text)?);
        Ok(())
    }

    fn decrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        let mut mode = Decryptor::inner_iv_slice_init(&self.0, iv).map_err(|_| CryptoError::BadLength)?;
        mode.decrypt_blocks(blocks::<C>(text)?);
        Ok(())
    }
}

/// Views a text as whole blocks.
fn blocks<C: BlockCipher>(text: &mut [u8]) -> Result<&mut [Block<C>], CryptoError> {
    let (blocks, tail) = Array::slice_as_chunks_mut(text);
    if tail.is_empty() { Ok(blocks) } else { Err(CryptoError::BadLength) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_blocks_and_other_ivs_are_refused_before_a_thing_is_written() {
        for algorithm in LIST {
            let mut key = algorithm.key(&vec![3; algorithm.key_len()]).unwrap();
            let mut text = vec![1; 3 * algorithm.block_len() + 1];
            let iv = vec![2; algorithm.iv_len()];
            assert_eq!(key.encrypt(&iv, &mut text), Err(CryptoError::BadLength));
            assert_eq!(key.decrypt(&iv, &mut text), Err(CryptoError::BadLength));
            text.pop();
            assert_eq!(key.encrypt(&iv[1..], &mut text), Err(CryptoError::BadLength));
            assert!(text.iter().all(|&octet| octet == 1));
        }
    }

    #[test]
    fn triple_des_ignores_parity_bits() {
        let algorithm = LIST[3];
        let key: Vec<u8> = (0..24).map(|i| i * 10).collect();
        let flipped: Vec<u8> = key.iter().map(|octet| octet ^ 1).collect();
        let (mut one, mut other) = ([9; 16], [9; 16]);
        algorithm.key(&key).unwrap().encrypt(&[0; 8], &mut one).unwrap();
        algorithm.key(&flipped).unwrap().encrypt(&[0; 8], &mut other).unwrap();
        assert_eq!(one, other);
        assert_ne!(one, [9; 16]);
    }
}
