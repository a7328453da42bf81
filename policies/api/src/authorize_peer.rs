//! Whether an authenticated peer may come in.

use std::net::SocketAddr;

use vpnhost_model::{Identity, Role, Transform};

use crate::{Attribute, Strength, limits};

/// What an authenticated peer claims: asked after AUTH has been verified (RFC 7296 §2.15), before
/// the SA is established. A refusal is AUTHENTICATION_FAILED to the peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerClaim {
    /// The connection's name.
    pub connection: String,
    /// This host's role in the exchange.
    pub role: Role,
    /// Who this host is to the peer.
    pub local_id: Identity,
    /// Who the peer has proved to be.
    pub peer_id: Identity,
    /// How it proved that: IANA's "IKEv2 Authentication Method" number.
    pub auth_method: u8,
    /// The public key that it proved itself by, with a certificate or known beforehand (RFC 7670): `rsa-2048`,
    /// `ecdsa-p256`, `ed25519`, `dsa-1024-160`; empty where it is another's, or none.
    pub key: String,
    /// Its certificate, if it showed one in IKE or within EAP.
    pub certificate: Option<PeerCertificate>,
    /// The EAP conversation that it proved itself by, if there was one.
    pub eap: Option<PeerEap>,
    /// The transforms that protect the IKE SA, in the order of their types.
    pub suite: Vec<Transform>,
    /// How strong the weakest of them is.
    pub strength: Strength,
    /// This host's address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// Whether the peer is behind a NAT: others may come from its address.
    pub peer_behind_nat: bool,
    /// The wall clock: seconds since 1970. Policies have no clock of their own.
    pub unix_secs: u64,
    /// The local time zone's offset from UTC in seconds, east positive.
    pub utc_offset_secs: i32,
    /// How many other IKE SAs of the same identity are up.
    pub other_sas: u32,
    /// The newest of them, at most [`limits::OTHER_SAS`].
    pub others: Vec<OtherSa>,
    /// Whether the peer says that it knows of none of them (INITIAL_CONTACT, RFC 7296 §2.4).
    pub initial_contact: bool,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// A peer's certificate; its path to a CA has been validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The trust anchor.
    pub ca: String,
    /// The subject's alternative names, each with its kind: `dns:moon.example.org`; at most [`limits::NAMES`].
    pub names: Vec<String>,
    /// The serial number in hexadecimal digits.
    pub serial: String,
    /// The SHA-256 of the certificate in hexadecimal digits; empty where no crypto backend has that hash.
    pub sha256: String,
    /// What its key is for (extended key usage), as dotted numbers; empty where it does not say.
    pub purposes: Vec<String>,
    /// When it or a CA above it expires, in seconds since 1970.
    pub expires_unix_secs: i64,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// What a peer proved by EAP (RFC 3748).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerEap {
    /// The name that the method has proved.
    pub identity: String,
    /// The method's name: `mschapv2`, `tls`.
    pub method: String,
    /// Who the peer said it is in IKE's own ID payload, which nothing proves.
    pub claimed_id: Identity,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// Another IKE SA of the same identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherSa {
    /// Its connection's name.
    pub connection: String,
    /// Where its peer is.
    pub remote: SocketAddr,
    /// How long it has been up.
    pub up_secs: u32,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// The answer: one refusal in the chain refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// The peer may come in.
    Allow {
        /// What later questions about the peer tell of it, at most [`limits::LABELS`].
        labels: Vec<Attribute>,
    },
    /// The peer stays out.
    Refuse {
        /// The reason, for this host's operator only.
        reason: String,
    },
}

impl Authorization {
    /// Returns an admission without labels.
    pub fn allow() -> Self {
        Self::Allow { labels: Vec::new() }
    }

    /// Returns a refusal.
    pub fn refuse(reason: impl Into<String>) -> Self {
        Self::Refuse { reason: reason.into() }
    }
}

/// Tells whether an answer is within its bounds.
pub(crate) fn admits(answer: &Authorization) -> bool {
    match answer {
        Authorization::Allow { labels } => labels.len() <= limits::LABELS,
        Authorization::Refuse { .. } => true,
    }
}
