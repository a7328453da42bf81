//! Pseudorandom functions by number and length only. NO SECURITY.

use vpnhost_crypto::{CryptoError, PrfAlgorithm, PrfKey, SecretBytes};
use vpnhost_model::Prf;

use crate::mix::Mix;

pub(crate) static LIST: &[&dyn PrfAlgorithm] = &[
    &NullPrf { id: Prf::HMAC_SHA2_256, output_len: 32 },
    &NullPrf { id: Prf::HMAC_SHA2_384, output_len: 48 },
    &NullPrf { id: Prf::HMAC_SHA2_512, output_len: 64 },
    &NullPrf { id: Prf::HMAC_SHA1, output_len: 20 },
];

/// What looks like HMAC as a PRF.
struct NullPrf {
    id: Prf,
    output_len: usize,
}

impl PrfAlgorithm for NullPrf {
    fn id(&self) -> Prf {
        self.id
    }

    fn output_len(&self) -> usize {
        self.output_len
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn PrfKey>, CryptoError> {
        let mut keyed = Mix::new(5);
        keyed.absorb(&(key.len() as u64).to_be_bytes());
        keyed.absorb(key);
        Ok(Box::new(NullPrfKey { keyed, output_len: self.output_len }))
    }
}

struct NullPrfKey {
    keyed: Mix,
    output_len: usize,
}

impl PrfKey for NullPrfKey {
    fn compute(&self, parts: &[&[u8]]) -> Result<SecretBytes, CryptoError> {
        let mut mix = self.keyed.clone();
        parts.iter().for_each(|part| mix.absorb(part));
        let mut output = SecretBytes::new(vec![0; self.output_len]);
        mix.squeeze(output.expose_mut());
        Ok(output)
    }
}
