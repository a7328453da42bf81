//! SIGNATURE_HASH_ALGORITHMS: which hashes a side verifies RFC 7427 signatures over (RFC 7427 §4, RFC 8420 §2).

use vpnhost_crypto::Hash;

use crate::config::{LocalAuth, PeerAuth, PeerConfig};
use crate::host::Host;
use crate::wire::payload::{Notify, NotifyType};
use crate::wire::{Message, Payload};

/// The hashes in the order in which they are told.
const HASHES: [Hash; 5] = [Hash::SHA2_256, Hash::SHA2_384, Hash::SHA2_512, Hash::IDENTITY, Hash::SHA1];

/// Hashes of a peer that are looked at; IANA has seven.
const MOST: usize = 32;

/// Returns the Notify with what this host verifies, if a side of one of the connections signs.
pub(crate) fn notify<'a>(host: &Host, connections: impl Iterator<Item = &'a PeerConfig>) -> Option<Payload> {
    let signing: Vec<&PeerConfig> = connections.filter(|connection| matters(connection)).collect();
    if !host.config.signature_hashes || signing.is_empty() {
        return None;
    }
    let sha1 = host.config.allow_legacy && signing.iter().any(|connection| connection.sha1_auth);
    let known = |hash: &Hash| host.crypto.signature().iter().any(|algorithm| algorithm.id().hash == *hash);
    let allowed = |hash: &Hash| sha1 || *hash != Hash::SHA1;
    let hashes = HASHES.into_iter().filter(|hash| known(hash) && allowed(hash));
    let data: Vec<u8> = hashes.flat_map(|hash| hash.0.to_be_bytes()).collect();
    Some(Payload::Notify(Notify::new(NotifyType::SIGNATURE_HASH_ALGORITHMS, data)))
}

/// Tells whether a side of a connection signs.
fn matters(connection: &PeerConfig) -> bool {
    let (local, peer) = (&connection.local_auth, &connection.peer_auth);
    matches!(local, LocalAuth::Certificate(_)) || matches!(peer, PeerAuth::Certificate(_))
}

/// Returns what a peer says that it verifies; nothing if it does not know RFC 7427, or this host is not to.
pub(crate) fn read(host: &Host, message: &Message) -> Vec<Hash> {
    let notify = message.notify(NotifyType::SIGNATURE_HASH_ALGORITHMS);
    let Some(notify) = notify.filter(|_| host.config.signature_hashes) else { return Vec::new() };
    let (numbers, _) = notify.data.as_chunks::<2>();
    numbers.iter().take(MOST).map(|number| Hash(u16::from_be_bytes(*number))).collect()
}
