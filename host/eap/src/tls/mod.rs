//! EAP-TLS (RFC 5216; with TLS 1.3, RFC 9190): both ends prove themselves by certificate, and TLS makes the key.

pub(crate) mod client;
mod fragments;
mod judge;
pub(crate) mod server;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use vpnhost_ike::Trust;
use vpnhost_model::Identity;

/// The method's name for people.
const NAME: &str = "tls";

/// Who the server may be, for a client.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsPeer {
    /// What its certificate is judged by.
    pub trust: Arc<Trust>,
    /// Whose the certificate must be; where nobody is named, the one that the gateway says to be in IKE.
    pub identity: Option<Identity>,
}
