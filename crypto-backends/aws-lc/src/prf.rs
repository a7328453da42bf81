//! HMAC as pseudorandom function (RFC 7296 §2.13, RFC 4868).

use aws_lc_rs::hmac::{
    self, Algorithm, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512, Key,
};
use vpnhost_crypto::{CryptoError, PrfAlgorithm, PrfKey, SecretBytes};
use vpnhost_model::Prf;

pub(crate) static LIST: &[&dyn PrfAlgorithm] = &[
    &HmacPrf { id: Prf::HMAC_SHA2_256, hmac: HMAC_SHA256 },
    &HmacPrf { id: Prf::HMAC_SHA2_384, hmac: HMAC_SHA384 },
    &HmacPrf { id: Prf::HMAC_SHA2_512, hmac: HMAC_SHA512 },
    &HmacPrf { id: Prf::HMAC_SHA1, hmac: HMAC_SHA1_FOR_LEGACY_USE_ONLY },
];

/// HMAC over a hash.
struct HmacPrf {
    id: Prf,
    hmac: Algorithm,
}

impl PrfAlgorithm for HmacPrf {
    fn id(&self) -> Prf {
        self.id
    }

    fn output_len(&self) -> usize {
        self.hmac.tag_len()
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn PrfKey>, CryptoError> {
        Ok(Box::new(HmacPrfKey(Key::new(self.hmac, key))))
    }
}

/// The state behind the key's first block, copied for each computation; the library zeroizes both.
struct HmacPrfKey(Key);

impl PrfKey for HmacPrfKey {
    fn compute(&self, parts: &[&[u8]]) -> Result<SecretBytes, CryptoError> {
        // In one piece, because only then the library writes the output nowhere but where it belongs.
        let input = SecretBytes::new(parts.concat());
        let mut output = SecretBytes::new(vec![0; self.0.algorithm().tag_len()]);
        hmac::sign_to_buffer(&self.0, input.expose(), output.expose_mut())
            .map_err(|_| CryptoError::Backend)?;
        Ok(output)
    }
}
