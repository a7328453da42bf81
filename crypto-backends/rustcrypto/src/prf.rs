//! HMAC as pseudorandom function (RFC 7296 §2.13, RFC 4868).

use std::marker::PhantomData;

use digest::OutputSizeUser;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use vpnhost_crypto::{CryptoError, PrfAlgorithm, PrfKey, SecretBytes};
use vpnhost_model::Prf;
use zeroize::Zeroize;

pub(crate) static LIST: &[&dyn PrfAlgorithm] = &[
    &HmacPrf::<Sha256> { id: Prf::HMAC_SHA2_256, hash: PhantomData },
    &HmacPrf::<Sha384> { id: Prf::HMAC_SHA2_384, hash: PhantomData },
    &HmacPrf::<Sha512> { id: Prf::HMAC_SHA2_512, hash: PhantomData },
    &HmacPrf::<Sha1> { id: Prf::HMAC_SHA1, hash: PhantomData },
];

/// HMAC over a hash.
struct HmacPrf<D> {
    id: Prf,
    hash: PhantomData<fn() -> D>,
}

impl<D: EagerHash + Send + 'static> PrfAlgorithm for HmacPrf<D>
where
    Hmac<D>: Mac + KeyInit + Clone + Send,
{
    fn id(&self) -> Prf {
        self.id
    }

    fn output_len(&self) -> usize {
        <Hmac<D> as OutputSizeUser>::output_size()
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn PrfKey>, CryptoError> {
        let keyed = <Hmac<D> as KeyInit>::new_from_slice(key).map_err(|_| CryptoError::BadLength)?;
        Ok(Box::new(HmacPrfKey::<D>(keyed)))
    }
}

/// The state behind the key's first block, cloned for each computation; it zeroizes itself.
struct HmacPrfKey<D: EagerHash>(Hmac<D>);

impl<D: EagerHash + Send> PrfKey for HmacPrfKey<D>
where
    Hmac<D>: Mac + Clone + Send,
{
    fn compute(&self, parts: &[&[u8]]) -> Result<SecretBytes, CryptoError> {
        let mut mac = self.0.clone();
        for part in parts {
            Mac::update(&mut mac, part);
        }
        let mut output = mac.finalize().into_bytes();
        let secret = SecretBytes::copy_of(&output);
        output.as_mut_slice().zeroize();
        Ok(secret)
    }
}
