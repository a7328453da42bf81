//! EAP-TLS (RFC 5216; with TLS 1.3, RFC 9190): both ends prove themselves by certificate, and TLS makes the key.

pub(crate) mod client;
mod fragments;
mod judge;
pub(crate) mod server;
mod session;

use std::fmt;
use std::sync::Arc;

use vpnhost_crypto::CryptoBackend;
use vpnhost_model::Identity;
use vpnhost_pki::{Credential, Rules, Store};

/// The method's name for people.
const NAME: &str = "tls";

/// An end's own certificates and key.
#[derive(Clone, Debug)]
pub struct TlsCredential(pub Arc<Credential>);

impl PartialEq for TlsCredential {
    fn eq(&self, other: &Self) -> bool {
        self.0.certificates() == other.0.certificates() && self.0.public() == other.0.public()
    }
}

/// Who the other end may be.
#[derive(Clone)]
pub struct TlsPeer {
    /// What certificates are verified with.
    pub crypto: &'static dyn CryptoBackend,
    /// Trust anchors, and what helps to find a path to them.
    pub store: Arc<Store>,
    /// What is demanded of certificates.
    pub rules: Rules,
    /// Whose the certificate must be. A server asks that the certificate is that of EAP's identity instead.
    pub identity: Option<Identity>,
}

impl PartialEq for TlsPeer {
    fn eq(&self, other: &Self) -> bool {
        self.store.anchors() == other.store.anchors()
            && self.store.intermediates() == other.store.intermediates()
            && (self.rules, &self.identity) == (other.rules, &other.identity)
    }
}

impl fmt::Debug for TlsPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPeer").field("identity", &self.identity).field("rules", &self.rules).finish()
    }
}
