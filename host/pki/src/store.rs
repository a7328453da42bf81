//! What a host trusts and knows: trust anchors, intermediate CAs, revocation lists.

use vpnhost_crypto::{CryptoBackend, CryptoError};

use crate::{Certificate, Crl};

/// Trust anchors, certificates that help to find a path, and revocation lists.
#[derive(Clone, Debug, Default)]
pub struct Store {
    anchors: Vec<Certificate>,
    intermediates: Vec<Certificate>,
    crls: Vec<Crl>,
}

impl Store {
    /// Makes a store of trust anchors: CAs, or a peer's own certificate that is trusted as it is.
    pub fn new(anchors: Vec<Certificate>) -> Self {
        Self { anchors, ..Self::default() }
    }

    /// Adds certificates that are not trusted, but may stand between an anchor and a peer.
    pub fn add_intermediates(&mut self, certificates: impl IntoIterator<Item = Certificate>) {
        self.intermediates.extend(certificates);
    }

    /// Adds a revocation list. One of the same issuer and scope takes the place of an older one.
    pub fn add_crl(&mut self, crl: Crl) {
        let same = |other: &Crl| {
            other.issuer() == crl.issuer()
                && other.scope() == crl.scope()
                && other.is_delta() == crl.is_delta()
        };
        // A list is only verified when it is used, so a forged newer one must not push a good one out.
        if self.crls.iter().filter(|other| same(other)).count() >= crate::limits::CRLS_OF_ONE_SCOPE
            && let Some(oldest) = (0..self.crls.len())
                .filter(|index| same(&self.crls[*index]))
                .min_by_key(|index| self.crls[*index].validity().0)
        {
            self.crls.remove(oldest);
        }
        self.crls.push(crl);
    }

    /// Returns the trust anchors.
    pub fn anchors(&self) -> &[Certificate] {
        &self.anchors
    }

    /// Returns the certificates that are known and not trusted.
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// Returns the revocation lists.
    pub fn crls(&self) -> &[Crl] {
        &self.crls
    }

    /// Returns the SHA-1 of every anchor's key, one after the other: the data of a CERTREQ payload.
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] if no backend has SHA-1.
    pub fn key_hashes(&self, crypto: &dyn CryptoBackend) -> Result<Vec<u8>, CryptoError> {
        let hashes: Result<Vec<_>, _> = self.anchors.iter().map(|anchor| anchor.key_hash(crypto)).collect();
        Ok(hashes?.concat())
    }
}
