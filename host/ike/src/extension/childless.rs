//! CHILDLESS_IKEV2_SUPPORTED: an IKE SA comes up without a Child SA, which follow by CREATE_CHILD_SA or never
//! (RFC 6023). There groups are agreed on, too: what would fail at the first rekey fails at once.

use crate::config::{Childless, PeerConfig};
use crate::exchange::ike_sa_init::notify;
use crate::wire::Payload;
use crate::wire::payload::NotifyType;

/// Returns the Notify of a responder, if one of the connections that it may be about admits such IKE SAs.
pub(crate) fn supported<'a>(mut connections: impl Iterator<Item = &'a PeerConfig>) -> Option<Payload> {
    let admits = |connection: &PeerConfig| connection.childless != Childless::Never;
    connections.any(admits).then(|| notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED))
}

/// Tells whether an initiator leaves the Child SA out of IKE_AUTH; an error if it has to, and the responder does not
/// take that.
pub(crate) fn leaves_out(connection: &PeerConfig, is_supported: bool) -> Result<bool, Unsupported> {
    let must = connection.children.is_empty() || connection.childless == Childless::Force;
    match (must, is_supported) {
        (true, false) => Err(Unsupported),
        (true, true) => Ok(true),
        (false, _) => Ok(connection.childless == Childless::Prefer && is_supported),
    }
}

/// The responder says nothing of IKE SAs without a Child SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported;
