//! How the two ends of a connection prove who they are (RFC 7296 §2.15): not necessarily both in the same way.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vpnhost_crypto::{CryptoError, PublicKey, Signature, SignatureAlgorithm, SigningKey};
use vpnhost_pki::{Certificate, Credential, Crl, Refusal, Rules, Store};

use crate::auth::eap::EapConfig;

/// How this host proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalAuth {
    /// With the secret that both know, out of the connection's secrets.
    SharedKey,
    /// With a certificate and its private key, or with the key alone; of several the one that the peer's CERTREQ asks for.
    Certificate(Vec<Arc<OwnCertificate>>),
    /// As the client of an EAP conversation, which an initiator is.
    Eap(EapConfig),
    /// By what the peer's EAP conversation proves of this end too, without a certificate (RFC 5998); as responder.
    EapAlone,
}

/// How the peer has to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAuth {
    /// With the secret that both know, out of the connection's secrets.
    SharedKey,
    /// With a certificate that leads to a trust anchor, or a key that is known.
    Certificate(Arc<Trust>),
    /// As the client of an EAP conversation that this host leads.
    Eap(EapConfig),
    /// By what this host's EAP conversation proves of the server, without a certificate (RFC 5998).
    EapAlone,
}

impl PeerAuth {
    /// Returns what it is called in sentences.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SharedKey => "a pre-shared key",
            Self::Certificate(_) => "a certificate",
            Self::Eap(_) => "EAP",
            Self::EapAlone => "EAP alone",
        }
    }
}

/// What a peer's certificates are judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// CAs, and peers' own certificates that are trusted as they are.
    pub anchors: Vec<Certificate>,
    /// Certificates that peers need not send: intermediate CAs, and peers' own.
    pub known: Vec<Certificate>,
    /// Raw public keys, any of which is the peer's (RFC 7670); the connection is for one identity then.
    pub keys: Vec<PublicKey>,
    /// What is demanded of certificates.
    pub rules: Rules,
}

impl Trust {
    /// Makes the store that a judgement is based on.
    pub fn store(&self, crls: &[Crl]) -> Store {
        let mut store = Store::new(self.anchors.clone());
        store.add_intermediates(self.known.iter().cloned());
        crls.iter().for_each(|crl| store.add_crl(crl.clone()));
        store
    }
}

/// A certificate of this host with its key, which is made ready to sign once for each algorithm.
pub struct OwnCertificate {
    credential: Credential,
    ready: Mutex<Vec<(Signature, Arc<dyn SigningKey>)>>,
}

impl OwnCertificate {
    /// Takes a certificate and its key.
    pub fn new(credential: Credential) -> Self {
        Self { credential, ready: Mutex::default() }
    }

    /// Returns the certificates and the key.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Demands that the certificate is within its validity, where it is a certificate: a peer that refused it would not say
    /// why.
    ///
    /// # Errors
    /// [`Refusal::Expired`] or [`Refusal::NotYetValid`].
    pub fn check_validity(&self, unix: Duration) -> Result<(), Refusal> {
        let seconds = i64::try_from(unix.as_secs()).unwrap_or(i64::MAX);
        self.credential.certificates().first().map_or(Ok(()), |own| own.check_validity(seconds))
    }

    /// Returns the key, ready to sign with an algorithm.
    pub(crate) fn signing_key(
        &self,
        algorithm: &dyn SignatureAlgorithm,
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        let ready = || self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = ready().iter().find(|(id, _)| *id == algorithm.id()) {
            return Ok(Arc::clone(key));
        }
        // Two threads may do so at once: whoever is first is remembered twice, and no harm is done.
        let key: Arc<dyn SigningKey> = algorithm.load(self.credential.key())?.into();
        ready().push((algorithm.id(), Arc::clone(&key)));
        Ok(key)
    }

    /// Forgets what an algorithm made ready, since another is used from now on.
    pub(crate) fn forget_ready(&self) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl PartialEq for OwnCertificate {
    /// One private key belongs to the public key.
    fn eq(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.credential.public().clone(), it.credential.certificates().to_vec());
        parts(self) == parts(other)
    }
}

impl Eq for OwnCertificate {}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnCertificate({:?})", self.credential.certificates())
    }
}
