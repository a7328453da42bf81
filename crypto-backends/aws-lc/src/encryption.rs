//! Lone ciphers: AES-CBC (RFC 3602).

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use vpnhost_crypto::{CryptoError, EncryptionAlgorithm, EncryptionKey, IvKind};
use vpnhost_model::Encryption;

pub(crate) static LIST: &[&dyn EncryptionAlgorithm] = &[
    &AesCbc { cipher: &AES_256, key_len: 32 },
    &AesCbc { cipher: &AES_192, key_len: 24 },
    &AesCbc { cipher: &AES_128, key_len: 16 },
];

const BLOCK_LEN: usize = 16;

/// AES-CBC with one key length.
struct AesCbc {
    cipher: &'static Algorithm,
    key_len: usize,
}

impl EncryptionAlgorithm for AesCbc {
    fn id(&self) -> Encryption {
        Encryption::AES_CBC
    }

    fn key_bits(&self) -> u16 {
        (self.key_len * 8) as u16
    }

    fn key_len(&self) -> usize {
        self.key_len
    }

    fn iv_len(&self) -> usize {
        BLOCK_LEN
    }

    fn iv_kind(&self) -> IvKind {
        IvKind::Unpredictable
    }

    fn block_len(&self) -> usize {
        BLOCK_LEN
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn EncryptionKey>, CryptoError> {
        let key = || UnboundCipherKey::new(self.cipher, key).map_err(|_| CryptoError::BadLength);
        let encrypting = EncryptingKey::cbc(key()?).map_err(|_| CryptoError::Backend)?;
        let decrypting = DecryptingKey::cbc(key()?).map_err(|_| CryptoError::Backend)?;
        Ok(Box::new(CbcKey { encrypting, decrypting }))
    }
}

/// The key schedules of both directions; the library zeroizes them.
struct CbcKey {
    encrypting: EncryptingKey,
    decrypting: DecryptingKey,
}

impl EncryptionKey for CbcKey {
    fn encrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        let context = EncryptionContext::Iv128(inputs(iv, text)?);
        let encrypted = self.encrypting.less_safe_encrypt(text, context);
        encrypted.map(|_| ()).map_err(|_| CryptoError::Backend)
    }

    fn decrypt(&mut self, iv: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
        let context = DecryptionContext::Iv128(inputs(iv, text)?);
        let decrypted = self.decrypting.decrypt(text, context);
        decrypted.map(|_| ()).map_err(|_| CryptoError::Backend)
    }
}

/// Checks the lengths of an IV and a text.
fn inputs(iv: &[u8], text: &[u8]) -> Result<FixedLength<BLOCK_LEN>, CryptoError> {
    if !text.len().is_multiple_of(BLOCK_LEN) {
        return Err(CryptoError::BadLength);
    }
    FixedLength::try_from(iv).map_err(|_| CryptoError::BadLength)
}
