//! By which of its certificates this host proves who it is (RFC 7296 §2.15, §3.7).

use std::net::SocketAddr;

use vpnhost_model::Identity;

use crate::Attribute;

/// Several certificates could be shown to a peer: asked of the initiator, before IKE_AUTH.
#[derive(Clone, Debug, PartialEq)]
pub struct CredentialMenu {
    /// The connection's name.
    pub connection: String,
    /// Who this host is to the peer.
    pub local_id: Identity,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The wall clock: seconds since 1970.
    pub unix_secs: u64,
    /// Whether the peer named authorities in a CERTREQ payload.
    pub requested: bool,
    /// The connection's certificates in the configured order, without those out of time unless all are; at most
    /// [`crate::limits::CREDENTIALS`].
    pub credentials: Vec<CredentialFacts>,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// A certificate of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFacts {
    /// Whose it is; empty for a key without a certificate (RFC 7670).
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The serial number in hexadecimal digits.
    pub serial: String,
    /// The SHA-256 of the certificate in hexadecimal digits; empty where there is none.
    pub sha256: String,
    /// When it expires, in seconds since 1970; none without a certificate.
    pub expires_unix_secs: Option<i64>,
    /// Whether an authority that the peer asks for is above it.
    pub is_requested: bool,
    /// Its key: `rsa-2048`, `ecdsa-p256`, `ed25519`, `dsa-1024-160`.
    pub key: String,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialChoice {
    /// An index into [`CredentialMenu::credentials`].
    pub index: u32,
    /// The reason, for the operator.
    pub why: Option<String>,
}

/// Tells whether an answer stays on the menu.
pub(crate) fn admits(menu: &CredentialMenu, answer: &CredentialChoice) -> bool {
    usize::try_from(answer.index).is_ok_and(|index| index < menu.credentials.len())
}
