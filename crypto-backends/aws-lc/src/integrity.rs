//! HMAC as integrity algorithm (RFC 4868, RFC 2404).

use aws_lc_rs::hmac::{
    Algorithm, Context, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512, Key,
};
use vpnhost_crypto::{CryptoError, IntegrityAlgorithm, IntegrityKey};
use vpnhost_model::Integrity;

pub(crate) static LIST: &[&dyn IntegrityAlgorithm] = &[
    &HmacIcv { id: Integrity::HMAC_SHA2_256_128, hmac: HMAC_SHA256, icv_len: 16 },
    &HmacIcv { id: Integrity::HMAC_SHA2_384_192, hmac: HMAC_SHA384, icv_len: 24 },
    &HmacIcv { id: Integrity::HMAC_SHA2_512_256, hmac: HMAC_SHA512, icv_len: 32 },
    &HmacIcv { id: Integrity::HMAC_SHA1_96, hmac: HMAC_SHA1_FOR_LEGACY_USE_ONLY, icv_len: 12 },
];

/// HMAC over a hash, truncated.
struct HmacIcv {
    id: Integrity,
    hmac: Algorithm,
    icv_len: usize,
}

impl IntegrityAlgorithm for HmacIcv {
    fn id(&self) -> Integrity {
        self.id
    }

    fn key_len(&self) -> usize {
        // RFC 4868, 2.1.1 and RFC 2404, 3: the key is as long as the hash's output.
        self.hmac.tag_len()
    }

    fn icv_len(&self) -> usize {
        self.icv_len
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn IntegrityKey>, CryptoError> {
        if key.len() != self.key_len() {
            return Err(CryptoError::BadLength);
        }
        Ok(Box::new(HmacKey { keyed: Key::new(self.hmac, key), icv_len: self.icv_len }))
    }
}

/// The state behind the key's first block, copied for each packet; the library zeroizes both.
struct HmacKey {
    keyed: Key,
    icv_len: usize,
}

impl IntegrityKey for HmacKey {
    fn sign(&mut self, parts: &[&[u8]], icv: &mut [u8]) -> Result<(), CryptoError> {
        if icv.len() != self.icv_len {
            return Err(CryptoError::BadLength);
        }
        let mut mac = Context::with_key(&self.keyed);
        for part in parts {
            mac.update(part);
        }
        icv.copy_from_slice(&mac.sign().as_ref()[..self.icv_len]);
        Ok(())
    }
}
