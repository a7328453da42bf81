//! COOKIE (RFC 7296 §2.6): who asks for an IKE SA must be reachable where he says, before anything is kept of him.

use std::net::SocketAddr;

use vpnhost_crypto::{CryptoBackend, CryptoError, SecretBytes, SecureRandom};
use vpnhost_model::{IkeSpi, Instant};

use crate::limits;

/// The secrets behind stateless cookies; the last one is accepted for a while.
#[derive(Debug, Default)]
pub(crate) struct CookieJar {
    current: Option<CookieSecret>,
    previous: Option<CookieSecret>,
    made: u8,
}

#[derive(Debug)]
struct CookieSecret {
    version: u8,
    octets: SecretBytes,
    since: Instant,
}

/// What a cookie is bound to.
#[derive(Clone, Copy)]
pub(crate) struct CookieClaim<'a> {
    pub(crate) nonce_i: &'a [u8],
    pub(crate) remote: SocketAddr,
    pub(crate) spi_i: IkeSpi,
}

impl CookieJar {
    /// Bakes the cookie that an initiator has to return.
    pub(crate) fn bake(
        &mut self,
        now: Instant,
        random: &mut dyn SecureRandom,
        crypto: &dyn CryptoBackend,
        claim: CookieClaim<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        self.rotate(now, random)?;
        let secret = self.current.as_ref().ok_or(CryptoError::Backend)?;
        secret.bake(crypto, claim)
    }

    /// Tells whether a returned cookie is one of ours for this initiator, in constant time.
    pub(crate) fn admits(
        &mut self,
        now: Instant,
        crypto: &dyn CryptoBackend,
        claim: CookieClaim<'_>,
        cookie: &[u8],
    ) -> bool {
        let fresh = |secret: &&CookieSecret| now - secret.since < limits::COOKIE_SECRET * 2;
        let secrets = [&self.current, &self.previous];
        let secret = secrets.into_iter().flatten().filter(fresh).find(|s| cookie.first() == Some(&s.version));
        let Some(Ok(expected)) = secret.map(|secret| secret.bake(crypto, claim)) else { return false };
        SecretBytes::new(expected) == SecretBytes::copy_of(cookie)
    }

    fn rotate(&mut self, now: Instant, random: &mut dyn SecureRandom) -> Result<(), CryptoError> {
        let worn = self.current.as_ref().is_none_or(|secret| now - secret.since >= limits::COOKIE_SECRET);
        if worn {
            let mut octets = SecretBytes::new(vec![0; 32]);
            random.fill(octets.expose_mut())?;
            self.made = self.made.wrapping_add(1);
            let fresh = CookieSecret { version: self.made, octets, since: now };
            self.previous = self.current.replace(fresh);
        }
        Ok(())
    }
}

impl CookieSecret {
    /// Cookie = version | prf(secret, Ni | IPi | port | SPIi).
    fn bake(&self, crypto: &dyn CryptoBackend, claim: CookieClaim<'_>) -> Result<Vec<u8>, CryptoError> {
        let prf = crypto.prf().first().ok_or(CryptoError::Unsupported)?;
        let address = super::nat_detection::address_octets(claim.remote.ip());
        let port = claim.remote.port().to_be_bytes();
        let key = prf.key(self.octets.expose())?;
        let mac = key.compute(&[claim.nonce_i, &address, &port, &claim.spi_i.0])?.into_public();
        let mut cookie = vec![self.version];
        cookie.extend(mac.into_iter().take(limits::COOKIE - 1));
        Ok(cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u8);

    impl SecureRandom for Counting {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
            self.0 += 1;
            out.fill(self.0);
            Ok(())
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000_000)
    }

    #[test]
    fn a_cookie_is_bound_to_nonce_address_and_spi() {
        let crypto = vpnhost_rustcrypto::backend();
        let mut jar = CookieJar::default();
        let remote: SocketAddr = "192.0.2.1:500".parse().unwrap();
        let claim = CookieClaim { nonce_i: &[1; 32], remote, spi_i: IkeSpi([1; 8]) };
        let cookie = jar.bake(at(0), &mut Counting(0), crypto, claim).unwrap();
        assert!(cookie.len() <= limits::COOKIE);
        assert!(jar.admits(at(1), crypto, claim, &cookie));
        assert!(!jar.admits(at(1), crypto, CookieClaim { nonce_i: &[2; 32], ..claim }, &cookie));
        assert!(!jar.admits(at(1), crypto, CookieClaim { spi_i: IkeSpi([2; 8]), ..claim }, &cookie));
        let elsewhere = CookieClaim { remote: "192.0.2.2:500".parse().unwrap(), ..claim };
        assert!(!jar.admits(at(1), crypto, elsewhere, &cookie));
        assert!(!jar.admits(at(1), crypto, claim, &[]));
    }

    #[test]
    fn the_previous_secret_is_accepted_for_a_while() {
        let crypto = vpnhost_rustcrypto::backend();
        let (mut jar, mut random) = (CookieJar::default(), Counting(0));
        let remote: SocketAddr = "192.0.2.1:500".parse().unwrap();
        let claim = CookieClaim { nonce_i: &[1; 32], remote, spi_i: IkeSpi([1; 8]) };
        let old = jar.bake(at(0), &mut random, crypto, claim).unwrap();
        let new = jar.bake(at(61), &mut random, crypto, claim).unwrap();
        assert_ne!(old, new);
        assert!(jar.admits(at(62), crypto, claim, &old) && jar.admits(at(62), crypto, claim, &new));
        assert!(!jar.admits(at(121), crypto, claim, &old));
    }
}
