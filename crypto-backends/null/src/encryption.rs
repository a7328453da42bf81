//! CBC by number and length only. NO SECURITY.

use vpnhost_crypto::{CryptoError, EncryptionAlgorithm, EncryptionKey, IvKind};
use vpnhost_model::Encryption;

use crate::mix::Mix;

pub(crate) static LIST: &[&dyn EncryptionAlgorithm] = &[
    &NullCbc { id: Encryption::AES_CBC, key_bits: 256, block_len: 16 },
    &NullCbc { id: Encryption::AES_CBC, key_bits: 192, block_len: 16 },
    &NullCbc { id: Encryption::AES_CBC, key_bits: 128, block_len: 16 },
    &NullCbc { id: Encryption::TRIPLE_DES, key_bits: 192, block_len: 8 },
];

/// What looks like a cipher in CBC mode.
struct NullCbc {
    id: Encryption,
    key_bits: u16,
    block_len: usize,
}

impl EncryptionAlgorithm for NullCbc {
    fn id(&self) -> Encryption {
        self.id
    }

    fn key_bits(&self) -> u16 {
        self.key_bits
    }

    fn key_len(&self) -> usize {
        usize::from(self.key_bits) / 8
    }

    fn iv_len(&self) -> usize {
        self.block_len
    }

    fn iv_kind(&self) -> IvKind {
        IvKind::Unpredictable
    }

    fn block_len(&self) -> usize {
        self.block_len
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn EncryptionKey>, CryptoError> {
        if key.len() != self.key_len() {
            return Err(CryptoError::BadLength);
        }
        let mut keyed = Mix::new(3);
        keyed.absorb(key);
        Ok(Box::new(NullCbcKey { keyed, block_len: self.block_len }))
    }
}

struct NullCbcKey {
    keyed: Mix,
    block_len: usize,
}

impl NullCbcKey {
    fn cover(&self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        if iv.len() != self.block_len || !text.len().is_multiple_of(self.block_len) {
            return Err(CryptoError::BadLength);
        }
        let mut mix = self.keyed.clone();
        mix.absorb(iv);
        mix.cover(text);
        Ok(())
    }
}

impl EncryptionKey for NullCbcKey {
    fn encrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        self.cover(iv, text)
    }

    fn decrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        self.cover(iv, text)
    }
}
