//! One known answer put to an algorithm, a file for each kind.

mod encryption;
mod hash;
mod integrity;
mod key_exchange;
mod packet;
mod prf;
mod signature;

use vpnhost_crypto::{CryptoError, IvKind};
use vpnhost_model::Encryption;

use crate::Fault;

pub(crate) use encryption::encryption;
pub(crate) use hash::hash;
pub(crate) use integrity::integrity;
pub(crate) use key_exchange::key_exchange;
pub(crate) use packet::packet;
pub(crate) use prf::prf;
pub(crate) use signature::signature;

/// Names what failed where it should not.
fn failed(what: &'static str) -> impl Fn(CryptoError) -> Fault {
    move |error| Fault::Failed(what, error)
}

/// Holds an output against the known one.
fn same(what: &'static str, found: &[u8], known: &[u8]) -> Result<(), Fault> {
    if found == known { Ok(()) } else { Err(Fault::Differs(what)) }
}

/// Demands that an input of another length was refused.
fn refused<T>(what: &'static str, outcome: &Result<T, CryptoError>) -> Result<(), Fault> {
    if outcome.is_err() { Ok(()) } else { Err(Fault::LengthAccepted(what)) }
}

/// Returns keys of other lengths than the right one.
fn other_lengths(key: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let others = [Vec::new(), key.get(1..).unwrap_or_default().to_vec(), [key, &[0]].concat()];
    let right = key.len();
    others.into_iter().filter(move |other| other.len() != right)
}

/// Returns what the IV of a cipher must be, whatever the backend says of it.
fn iv_kind(encryption: Encryption) -> IvKind {
    if [Encryption::AES_CBC, Encryption::TRIPLE_DES].contains(&encryption) {
        IvKind::Unpredictable
    } else {
        IvKind::Counter
    }
}

/// Splits octets at a place that is no boundary of anything.
fn in_parts(octets: &[u8]) -> [&[u8]; 3] {
    let (front, back) = octets.split_at(octets.len() / 3);
    [front, &[], back]
}
