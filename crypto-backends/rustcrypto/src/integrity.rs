//! Integrity algorithms: HMAC (RFC 4868, RFC 2404), AES-CMAC (RFC 4494) and AES-XCBC (RFC 3566).

use std::marker::PhantomData;

use aes::Aes128;
use cmac::Cmac;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use vpnhost_crypto::{CryptoError, IntegrityAlgorithm, IntegrityKey};
use vpnhost_model::Integrity;
use zeroize::Zeroize;

use crate::xcbc::Xcbc;

pub(crate) static LIST: &[&dyn IntegrityAlgorithm] = &[
    &Icv::<Hmac<Sha256>> { id: Integrity::HMAC_SHA2_256_128, icv_len: 16, mac: PhantomData },
    &Icv::<Hmac<Sha384>> { id: Integrity::HMAC_SHA2_384_192, icv_len: 24, mac: PhantomData },
    &Icv::<Hmac<Sha512>> { id: Integrity::HMAC_SHA2_512_256, icv_len: 32, mac: PhantomData },
    &Icv::<Hmac<Sha1>> { id: Integrity::HMAC_SHA1_96, icv_len: 12, mac: PhantomData },
    &Icv::<Cmac<Aes128>> { id: Integrity::AES_CMAC_96, icv_len: 12, mac: PhantomData },
    &Icv::<Xcbc> { id: Integrity::AES_XCBC_96, icv_len: 12, mac: PhantomData },
];

/// A MAC, truncated.
struct Icv<M> {
    id: Integrity,
    icv_len: usize,
    mac: PhantomData<fn() -> M>,
}

impl<M: Mac + KeyInit + Clone + Send + 'static> IntegrityAlgorithm for Icv<M> {
    fn id(&self) -> Integrity {
        self.id
    }

    fn key_len(&self) -> usize {
        // RFC 4868, 2.1.1; RFC 2404, 3; RFC 4494, 2; RFC 3566, 4: the key is as long as the whole output.
        M::output_size()
    }

    fn icv_len(&self) -> usize {
        self.icv_len
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn IntegrityKey>, CryptoError> {
        if key.len() != self.key_len() {
            return Err(CryptoError::BadLength);
        }
        let keyed = <M as KeyInit>::new_from_slice(key).map_err(|_| CryptoError::BadLength)?;
        Ok(Box::new(Keyed { keyed, icv_len: self.icv_len }))
    }
}

/// The state behind the key, cloned for each packet; it zeroizes itself.
struct Keyed<M> {
    keyed: M,
    icv_len: usize,
}

impl<M: Mac + Clone + Send> IntegrityKey for Keyed<M> {
    fn sign(&mut self, parts: &[&[u8]], icv: &mut [u8]) -> Result<(), CryptoError> {
        if icv.len() != self.icv_len {
            return Err(CryptoError::BadLength);
        }
        let mut mac = self.keyed.clone();
        for part in parts {
            mac.update(part);
        }
        let mut whole = mac.finalize().into_bytes();
        icv.copy_from_slice(&whole[..self.icv_len]);
        // What is cut off must not be learned: it would make a longer ICV of the same key.
        whole.as_mut_slice().zeroize();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_icv_of_another_length_is_refused() {
        for algorithm in LIST {
            let mut key = algorithm.key(&vec![1; algorithm.key_len()]).unwrap();
            let mut icv = vec![0; algorithm.icv_len()];
            key.sign(&[b"a", b"b"], &mut icv).unwrap();
            assert_eq!(key.verify(&[b"ab"], &icv), Ok(()));
            assert_eq!(key.verify(&[b"ab"], &icv[1..]), Err(CryptoError::BadLength));
            assert_eq!(key.verify(&[b"ab"], &[]), Err(CryptoError::BadLength));
            icv[0] ^= 1;
            assert_eq!(key.verify(&[b"ab"], &icv), Err(CryptoError::AuthenticationFailed));
        }
    }
}
