//! Lone ciphers: AES-CBC (RFC 3602), AES-CTR (RFC 3686), 3DES-CBC (RFC 2451), and none (RFC 2410).

use std::marker::PhantomData;

use aes::{Aes128, Aes192, Aes256};
use cbc::{Decryptor, Encryptor};
use cipher::consts::U16;
use cipher::{
    Array, Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, BlockSizeUser,
    InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper,
};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use des::TdesEde3;
use vpnhost_crypto::{CryptoError, EncryptionAlgorithm, EncryptionKey, IvKind};
use vpnhost_model::Encryption;
use zeroize::Zeroize;

pub(crate) static LIST: &[&dyn EncryptionAlgorithm] = &[
    &Cbc::<Aes256> { id: Encryption::AES_CBC, block: PhantomData },
    &Cbc::<Aes192> { id: Encryption::AES_CBC, block: PhantomData },
    &Cbc::<Aes128> { id: Encryption::AES_CBC, block: PhantomData },
    // Parity bits of the key are ignored, as RFC 2451 2.2 says of the cipher's input.
    &Cbc::<TdesEde3> { id: Encryption::TRIPLE_DES, block: PhantomData },
    &Ctr::<Aes256>(PhantomData),
    &Ctr::<Aes192>(PhantomData),
    &Ctr::<Aes128>(PhantomData),
    &Null,
];

/// What CTR needs of AES with one key length.
trait Aes: KeyInit + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + 'static {}

impl<A: KeyInit + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + 'static> Aes for A {}

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

/// CTR over one key length of AES.
struct Ctr<A>(PhantomData<fn() -> A>);

/// RFC 3686, 5.1: octets of nonce, which are the last of the key material.
const CTR_NONCE_LEN: usize = 4;
/// RFC 3686, 4: octets of IV.
const CTR_IV_LEN: usize = 8;

impl<A: Aes> EncryptionAlgorithm for Ctr<A> {
    fn id(&self) -> Encryption {
        Encryption::AES_CTR
    }

    fn key_bits(&self) -> u16 {
        (A::key_size() * 8) as u16
    }

    fn key_len(&self) -> usize {
        A::key_size() + CTR_NONCE_LEN
    }

    fn iv_len(&self) -> usize {
        CTR_IV_LEN
    }

    fn iv_kind(&self) -> IvKind {
        IvKind::Counter
    }

    fn block_len(&self) -> usize {
        1
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn EncryptionKey>, CryptoError> {
        let (key, &nonce) = key.split_last_chunk().ok_or(CryptoError::BadLength)?;
        let cipher = A::new_from_slice(key).map_err(|_| CryptoError::BadLength)?;
        Ok(Box::new(CtrKey { cipher, nonce }))
    }
}

/// The cipher with its key schedule, which zeroizes itself, and the nonce.
struct CtrKey<A> {
    cipher: A,
    nonce: [u8; CTR_NONCE_LEN],
}

impl<A: Aes> CtrKey<A> {
    /// Adds the key stream: nonce, IV, and a counter that begins with one (RFC 3686 §4).
    fn apply(&self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        let iv: &[u8; CTR_IV_LEN] = iv.try_into().map_err(|_| CryptoError::BadLength)?;
        let mut block = Array::<u8, U16>::default();
        block[..CTR_NONCE_LEN].copy_from_slice(&self.nonce);
        block[CTR_NONCE_LEN..CTR_NONCE_LEN + CTR_IV_LEN].copy_from_slice(iv);
        block[15] = 1;
        let core = CtrCore::<&A, Ctr32BE>::inner_iv_init(&self.cipher, &block);
        StreamCipherCoreWrapper::from_core(core).try_apply_keystream(text).map_err(|_| CryptoError::BadLength)
    }
}

impl<A: Aes> EncryptionKey for CtrKey<A> {
    fn encrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        self.apply(iv, text)
    }

    fn decrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        self.apply(iv, text)
    }
}

impl<A> Drop for CtrKey<A> {
    fn drop(&mut self) {
        self.nonce.zeroize();
    }
}

/// No encryption (RFC 2410): beside an integrity algorithm, where the operator wants it so.
struct Null;

impl EncryptionAlgorithm for Null {
    fn id(&self) -> Encryption {
        Encryption::NULL
    }

    fn key_bits(&self) -> u16 {
        0
    }

    fn key_len(&self) -> usize {
        0
    }

    fn iv_len(&self) -> usize {
        0
    }

    fn iv_kind(&self) -> IvKind {
        IvKind::Counter
    }

    fn block_len(&self) -> usize {
        1
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn EncryptionKey>, CryptoError> {
        if key.is_empty() { Ok(Box::new(Self)) } else { Err(CryptoError::BadLength) }
    }
}

impl EncryptionKey for Null {
    fn encrypt(&mut self, iv: &[u8], _text: &mut [u8]) -> Result<(), CryptoError> {
        if iv.is_empty() { Ok(()) } else { Err(CryptoError::BadLength) }
    }

    fn decrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        self.encrypt(iv, text)
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
        for algorithm in LIST.iter().filter(|algorithm| algorithm.block_len() > 1) {
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
    fn a_stream_takes_any_text_but_no_other_iv() {
        for algorithm in LIST.iter().filter(|algorithm| algorithm.block_len() == 1) {
            let mut key = algorithm.key(&vec![3; algorithm.key_len()]).unwrap();
            let iv = vec![2; algorithm.iv_len()];
            for len in [0, 1, 15, 16, 17, 1400] {
                let mut text = vec![1; len];
                key.encrypt(&iv, &mut text).unwrap();
                key.decrypt(&iv, &mut text).unwrap();
                assert!(text.iter().all(|&octet| octet == 1));
            }
            let longer = vec![2; algorithm.iv_len() + 1];
            assert_eq!(key.encrypt(&longer, &mut [1]), Err(CryptoError::BadLength));
            assert_eq!(key.decrypt(&longer, &mut [1]), Err(CryptoError::BadLength));
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
