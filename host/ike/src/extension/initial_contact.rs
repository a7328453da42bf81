//! How many IKE SAs a peer may have: INITIAL_CONTACT, which says that what was there before is gone (RFC 7296 §2.4),
//! and what the operator wants of it.

use std::net::SocketAddr;

use vpnhost_model::{Identity, IkeSaId, Instant};

use crate::config::{PeerConfig, Uniqueness};
use crate::host::{Host, Letter};
use crate::output::CloseReason;

/// Tells whether this host has no other IKE SA with a peer, and may say so.
pub(crate) fn is_first(host: &Host, peer: &Identity) -> bool {
    host.directory.of_peer(peer).next().is_none()
}

/// An IKE SA that a peer has just begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer<'a> {
    pub(crate) ike_sa: IkeSaId,
    pub(crate) peer: &'a Identity,
    pub(crate) remote: SocketAddr,
    pub(crate) begun: Instant,
    /// The peer says that it knows of no other.
    pub(crate) initial_contact: bool,
}

/// Tells whether a peer may have one more: where it has one at another address, and is to keep that, it may not.
///
/// What it has is looked at: if it is dead, the peer comes in soon.
pub(crate) fn admits(
    host: &mut Host,
    connection: &PeerConfig,
    newcomer: &Newcomer<'_>,
) -> Result<(), String> {
    if connection.unique != Uniqueness::Keep || newcomer.initial_contact {
        return Ok(());
    }
    let elsewhere: Vec<IkeSaId> = others(host, connection, newcomer)
        .into_iter()
        .filter(|&other| host.directory.remote(other) != Some(newcomer.remote))
        .collect();
    for other in &elsewhere {
        host.write_letter(*other, Letter::CheckLiveness);
    }
    if elsewhere.is_empty() {
        Ok(())
    } else {
        Err("the peer is connected already (unique = \"keep\")".into())
    }
}

/// Ends what an authenticated peer says it no longer knows, or is to have no longer.
///
/// Only IKE SAs that were there before the peer began this one are meant: two hosts that begin with
/// each other at the same time must not each end the other's. A Delete goes out, in case the peer
/// does know the old one. What it had at the same address without saying INITIAL_CONTACT is being replaced by a
/// re-authentication, and ends when the new one carries everything.
pub(crate) fn honour(host: &mut Host, connection: &PeerConfig, newcomer: &Newcomer<'_>) {
    let reason = match (connection.unique, newcomer.initial_contact) {
        // Many hosts share the identity: that one begins says nothing of the others.
        (Uniqueness::Never, _) => return,
        (Uniqueness::No | Uniqueness::Keep, false) => {
            // Who begins another may have lost the one before, and its Delete may have been lost.
            let others = others(host, connection, newcomer);
            return others.into_iter().for_each(|other| host.write_letter(other, Letter::Newcomer));
        }
        (Uniqueness::No | Uniqueness::Keep | Uniqueness::Replace, true) => CloseReason::InitialContact,
        (Uniqueness::Replace, false) => CloseReason::Replaced,
    };
    for other in others(host, connection, newcomer) {
        let same_place = host.directory.remote(other).map(|remote| remote.ip()) == Some(newcomer.remote.ip());
        if (same_place && !newcomer.initial_contact)
            || host.directory.established_since(other) >= newcomer.begun
        {
            continue;
        }
        // The newcomer is to get the address that its identity had.
        host.pools.release(other);
        host.directory.leave(other);
        host.write_letter(other, Letter::Delete(reason.clone()));
    }
}

/// Returns the peer's other IKE SAs: with INITIAL_CONTACT all, else those of the connection.
fn others(host: &Host, connection: &PeerConfig, newcomer: &Newcomer<'_>) -> Vec<IkeSaId> {
    let sas = host.directory.of_peer(newcomer.peer);
    sas.filter(|&other| other != newcomer.ike_sa)
        .filter(|&other| {
            newcomer.initial_contact || host.directory.connection(other) == Some(connection.name.as_str())
        })
        .collect()
}
