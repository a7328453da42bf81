//! A certificate of a peer that was judged good (RFC 5280 §6, RFC 4945 §3.1), with all that it takes to judge it again:
//! shown in IKE, or within EAP-TLS.

use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{CryptoBackend, PublicKey};
use vpnhost_model::Identity;
use vpnhost_pki::{Certificate, Crl, Refusal, Verified, verify, verify_for};
use vpnhost_policy::limits::NAMES;

use crate::config::Trust;

/// By what certificates are judged, and when.
pub struct Court {
    /// What signatures are verified with.
    pub crypto: &'static dyn CryptoBackend,
    /// Whom this host trusts, and what it demands.
    pub trust: Arc<Trust>,
    /// The revocation lists that are known.
    pub crls: Arc<[Crl]>,
    /// The wall clock: the time since 1970.
    pub now: Duration,
}

/// A certificate that was judged good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedCertificate {
    facts: CertificateFacts,
    key: PublicKey,
    /// What the peer showed: its own certificate, and others that help.
    sent: Vec<Certificate>,
    /// Whose it is to be, where that was asked.
    identity: Option<Identity>,
    trust: Arc<Trust>,
}

/// What people want to know of a peer's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The trust anchor.
    pub ca: String,
    /// The serial number in hexadecimal digits.
    pub serial: String,
    /// The subject's alternative names, each with its kind.
    pub names: Vec<String>,
    /// The SHA-256 of the certificate in hexadecimal digits; empty where no backend has that hash.
    pub sha256: String,
    /// What its key is for (extended key usage), as dotted numbers.
    pub purposes: Vec<String>,
    /// When it or a CA above it expires, in seconds since 1970.
    pub not_after: i64,
}

impl Court {
    /// Judges what a peer showed, its own certificate first; `identity` is whose that must be, where it matters.
    ///
    /// # Errors
    /// [`Refusal`] says what is wrong with it.
    pub fn judge(
        self,
        sent: Vec<Certificate>,
        identity: Option<Identity>,
    ) -> Result<JudgedCertificate, Refusal> {
        let store = self.trust.store(&self.crls);
        let rules = &self.trust.rules;
        let verified = match &identity {
            Some(identity) => verify_for(self.crypto, &store, (&sent, identity), self.now, rules),
            None => verify(self.crypto, &store, &sent, self.now, rules),
        }?;
        let (facts, key) = (CertificateFacts::of(self.crypto, &verified), verified.key);
        Ok(JudgedCertificate { facts, key, sent, identity, trust: self.trust })
    }
}

impl JudgedCertificate {
    /// Returns what people want to know of it.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// Returns the certificate itself.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.sent.first()
    }

    /// Returns its key.
    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Judges it again: time has passed, or there are newer revocation lists.
    pub(crate) fn again(
        &self,
        crypto: &'static dyn CryptoBackend,
        crls: Arc<[Crl]>,
        now: Duration,
    ) -> Result<Self, Refusal> {
        let court = Court { crypto, trust: Arc::clone(&self.trust), crls, now };
        court.judge(self.sent.clone(), self.identity.clone())
    }
}

impl CertificateFacts {
    fn of(crypto: &dyn CryptoBackend, verified: &Verified) -> Self {
        let name = |certificate: Option<&Certificate>| {
            certificate.map_or_else(String::new, |certificate| certificate.subject().to_string())
        };
        let own = verified.path.last();
        Self {
            subject: name(own),
            issuer: own.map_or_else(String::new, |own| own.issuer().to_string()),
            ca: name(verified.path.first()),
            serial: own.map_or_else(String::new, |own| hexadecimal(own.serial())),
            names: own.map_or_else(Vec::new, |own| {
                own.names().iter().take(NAMES).map(ToString::to_string).collect()
            }),
            sha256: own.map_or_else(String::new, |own| fingerprint(crypto, own)),
            purposes: own.map_or_else(Vec::new, |own| own.purposes().take(NAMES).collect()),
            not_after: verified.not_after,
        }
    }
}

/// Returns the SHA-256 of a certificate in hexadecimal digits; empty where no backend has that hash.
pub(crate) fn fingerprint(crypto: &dyn CryptoBackend, certificate: &Certificate) -> String {
    certificate.fingerprint(crypto).map_or_else(|_| String::new(), |digest| hexadecimal(&digest))
}

pub(crate) fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
