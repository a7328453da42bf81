//! Whether an authenticated peer may come in.

use std::net::SocketAddr;

use vpnhost_model::{Identity, Role};

use crate::{Attribute, limits};

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
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The wall clock: seconds since 1970. Policies have no clock of their own.
    pub unix_secs: u64,
    /// The local time zone's offset from UTC in seconds, east positive.
    pub utc_offset_secs: i32,
    /// How many other IKE SAs of the same identity are up.
    pub other_sas: u32,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// The answer: one refusal in the chain refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// The peer may come in.
    Allow {
        /// What `status` shows beside the peer, at most [`limits::LABELS`].
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
