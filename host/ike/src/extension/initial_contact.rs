//! INITIAL_CONTACT: the only IKE SA between two identities; what was there before is gone (RFC 7296 §2.4).

use vpnhost_model::{Identity, IkeSaId, Instant};

use crate::host::{Host, Letter};
use crate::output::CloseReason;

/// Tells whether this host has no other IKE SA with a peer, and may say so.
pub(crate) fn is_first(host: &Host, peer: &Identity) -> bool {
    host.directory.peers.get(peer).is_none_or(|sas| sas.is_empty())
}

/// Ends what an authenticated peer says it no longer knows.
///
/// Only IKE SAs that were there before the peer began this one are meant: two hosts that begin with
/// each other at the same time must not each end the other's. A Delete goes out, in case the peer
/// does know the old one.
pub(crate) fn honour(host: &mut Host, peer: &Identity, newcomer: IkeSaId, begun: Instant) {
    let others: Vec<IkeSaId> = host
        .directory
        .peers
        .get(peer)
        .into_iter()
        .flatten()
        .copied()
        .filter(|&other| other != newcomer && host.directory.established_since(other) < begun)
        .collect();
    for other in others {
        // The newcomer is to get the address that its identity had.
        host.pools.release(other);
        host.directory.leave(other);
        host.write_letter(other, Letter::Delete(CloseReason::InitialContact));
    }
}
