//! Hashes: SHA-1 and SHA-2 (FIPS 180-4).

use std::marker::PhantomData;

use digest::Digest;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use vpnhost_crypto::{CryptoError, Hash, HashAlgorithm};

pub(crate) static LIST: &[&dyn HashAlgorithm] = &[
    &Sha::<Sha1> { id: Hash::SHA1, hash: PhantomData },
    &Sha::<Sha256> { id: Hash::SHA2_256, hash: PhantomData },
    &Sha::<Sha384> { id: Hash::SHA2_384, hash: PhantomData },
    &Sha::<Sha512> { id: Hash::SHA2_512, hash: PhantomData },
];

/// A hash of the SHA family.
struct Sha<D> {
    id: Hash,
    hash: PhantomData<fn() -> D>,
}

impl<D: Digest> HashAlgorithm for Sha<D> {
    fn id(&self) -> Hash {
        self.id
    }

    fn output_len(&self) -> usize {
        <D as Digest>::output_size()
    }

    fn hash(&self, parts: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoError> {
        if out.len() != self.output_len() {
            return Err(CryptoError::BadLength);
        }
        let mut state = D::new();
        for part in parts {
            state.update(part);
        }
        out.copy_from_slice(&state.finalize());
        Ok(())
    }
}
