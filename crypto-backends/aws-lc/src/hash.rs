//! Hashes: SHA-1 and SHA-2 (FIPS 180-4).

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use vpnhost_crypto::{CryptoError, Hash, HashAlgorithm};

pub(crate) static LIST: &[&dyn HashAlgorithm] = &[
    &Sha { id: Hash::SHA1, digest: &SHA1_FOR_LEGACY_USE_ONLY },
    &Sha { id: Hash::SHA2_256, digest: &SHA256 },
    &Sha { id: Hash::SHA2_384, digest: &SHA384 },
    &Sha { id: Hash::SHA2_512, digest: &SHA512 },
];

/// A hash of the SHA family.
struct Sha {
    id: Hash,
    digest: &'static Algorithm,
}

impl HashAlgorithm for Sha {
    fn id(&self) -> Hash {
        self.id
    }

    fn output_len(&self) -> usize {
        self.digest.output_len()
    }

    fn hash(&self, parts: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoError> {
        if out.len() != self.output_len() {
            return Err(CryptoError::BadLength);
        }
        let mut state = Context::new(self.digest);
        for part in parts {
            state.update(part);
        }
        out.copy_from_slice(state.finish().as_ref());
        Ok(())
    }
}
