//! Pseudorandom functions: HMAC (RFC 7296 §2.13, RFC 4868), AES-CMAC (RFC 4615) and AES-XCBC (RFC 4434).

use std::marker::PhantomData;

use aes::Aes128;
use cmac::Cmac;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use vpnhost_crypto::{CryptoError, PrfAlgorithm, PrfKey, SecretBytes};
use vpnhost_model::Prf;
use zeroize::Zeroize;

use crate::xcbc::Xcbc;

pub(crate) static LIST: &[&dyn PrfAlgorithm] = &[
    &MacPrf::<Hmac<Sha256>> { id: Prf::HMAC_SHA2_256, fit: whole, mac: PhantomData },
    &MacPrf::<Hmac<Sha384>> { id: Prf::HMAC_SHA2_384, fit: whole, mac: PhantomData },
    &MacPrf::<Hmac<Sha512>> { id: Prf::HMAC_SHA2_512, fit: whole, mac: PhantomData },
    &MacPrf::<Hmac<Sha1>> { id: Prf::HMAC_SHA1, fit: whole, mac: PhantomData },
    &MacPrf::<Cmac<Aes128>> { id: Prf::AES128_CMAC, fit: folded::<Cmac<Aes128>>, mac: PhantomData },
    &MacPrf::<Xcbc> { id: Prf::AES128_XCBC, fit: padded, mac: PhantomData },
];

/// Octets of a key of AES-128.
const AES_KEY_LEN: usize = 16;

/// A MAC as PRF, with what makes a key of any length fit it.
struct MacPrf<M> {
    id: Prf,
    fit: fn(&[u8]) -> Result<SecretBytes, CryptoError>,
    mac: PhantomData<fn() -> M>,
}

/// HMAC takes keys of any length.
fn whole(key: &[u8]) -> Result<SecretBytes, CryptoError> {
    Ok(SecretBytes::copy_of(key))
}

/// RFC 4615, 3: a key of another length than the cipher's is its MAC under a key of zeros.
fn folded<M: Mac + KeyInit>(key: &[u8]) -> Result<SecretBytes, CryptoError> {
    if key.len() == AES_KEY_LEN {
        return whole(key);
    }
    let mac = <M as KeyInit>::new_from_slice(&[0; AES_KEY_LEN]).map_err(|_| CryptoError::BadLength)?;
    Ok(output(mac, &[key]))
}

/// RFC 4434, 2: a shorter key is padded with zeros, a longer one folded.
fn padded(key: &[u8]) -> Result<SecretBytes, CryptoError> {
    if key.len() > AES_KEY_LEN {
        return folded::<Xcbc>(key);
    }
    let mut padded = SecretBytes::new(vec![0; AES_KEY_LEN]);
    padded.expose_mut()[..key.len()].copy_from_slice(key);
    Ok(padded)
}

fn output<M: Mac>(mut mac: M, parts: &[&[u8]]) -> SecretBytes {
    for part in parts {
        mac.update(part);
    }
    let mut output = mac.finalize().into_bytes();
    let secret = SecretBytes::copy_of(&output);
    output.as_mut_slice().zeroize();
    secret
}

impl<M: Mac + KeyInit + Clone + Send + 'static> PrfAlgorithm for MacPrf<M> {
    fn id(&self) -> Prf {
        self.id
    }

    fn output_len(&self) -> usize {
        M::output_size()
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn PrfKey>, CryptoError> {
        let key = (self.fit)(key)?;
        let keyed = <M as KeyInit>::new_from_slice(key.expose()).map_err(|_| CryptoError::BadLength)?;
        Ok(Box::new(Keyed(keyed)))
    }
}

/// The state behind the key, cloned for each computation; it zeroizes itself.
struct Keyed<M>(M);

impl<M: Mac + Clone + Send> PrfKey for Keyed<M> {
    fn compute(&self, parts: &[&[u8]]) -> Result<SecretBytes, CryptoError> {
        Ok(output(self.0.clone(), parts))
    }
}
