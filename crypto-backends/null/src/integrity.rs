//! HMAC by number and length only. NO SECURITY.

use vpnhost_crypto::{CryptoError, IntegrityAlgorithm, IntegrityKey};
use vpnhost_model::Integrity;

use crate::mix::Mix;

pub(crate) static LIST: &[&dyn IntegrityAlgorithm] = &[
    &NullIcv { id: Integrity::HMAC_SHA2_256_128, key_len: 32, icv_len: 16 },
    &NullIcv { id: Integrity::HMAC_SHA2_384_192, key_len: 48, icv_len: 24 },
    &NullIcv { id: Integrity::HMAC_SHA2_512_256, key_len: 64, icv_len: 32 },
    &NullIcv { id: Integrity::HMAC_SHA1_96, key_len: 20, icv_len: 12 },
];

/// What looks like a truncated HMAC.
struct NullIcv {
    id: Integrity,
    key_len: usize,
    icv_len: usize,
}

impl IntegrityAlgorithm for NullIcv {
    fn id(&self) -> Integrity {
        self.id
    }

    fn key_len(&self) -> usize {
        self.key_len
    }

    fn icv_len(&self) -> usize {
        self.icv_len
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn IntegrityKey>, CryptoError> {
        if key.len() != self.key_len {
            return Err(CryptoError::BadLength);
        }
        let mut keyed = Mix::new(4);
        keyed.absorb(key);
        Ok(Box::new(NullIcvKey { keyed, icv_len: self.icv_len }))
    }
}

struct NullIcvKey {
    keyed: Mix,
    icv_len: usize,
}

impl IntegrityKey for NullIcvKey {
    fn sign(&mut self, parts: &[&[u8]], icv: &mut [u8]) -> Result<(), CryptoError> {
        if icv.len() != self.icv_len {
            return Err(CryptoError::BadLength);
        }
        let mut mix = self.keyed.clone();
        parts.iter().for_each(|part| mix.absorb(part));
        mix.squeeze(icv);
        Ok(())
    }
}
