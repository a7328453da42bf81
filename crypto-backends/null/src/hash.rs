//! Hashes by number and length only. NO SECURITY.

use vpnhost_crypto::{CryptoError, Hash, HashAlgorithm};

use crate::mix::Mix;

pub(crate) static LIST: &[&dyn HashAlgorithm] = &[
    &NullHash { id: Hash::SHA1, output_len: 20 },
    &NullHash { id: Hash::SHA2_256, output_len: 32 },
    &NullHash { id: Hash::SHA2_384, output_len: 48 },
    &NullHash { id: Hash::SHA2_512, output_len: 64 },
];

/// What looks like a hash.
struct NullHash {
    id: Hash,
    output_len: usize,
}

impl HashAlgorithm for NullHash {
    fn id(&self) -> Hash {
        self.id
    }

    fn output_len(&self) -> usize {
        self.output_len
    }

    fn hash(&self, parts: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoError> {
        if out.len() != self.output_len {
            return Err(CryptoError::BadLength);
        }
        let mut mix = Mix::new(6);
        parts.iter().for_each(|part| mix.absorb(part));
        mix.squeeze(out);
        Ok(())
    }
}
