//! Who a peer is: the octets that are signed, how they are signed, and the proof that they were.

pub(crate) mod certificates;
pub(crate) mod eap;
pub(crate) mod failure;
pub(crate) mod judged;
pub(crate) mod octets;
mod rejudge;
pub(crate) mod shared_key;
pub(crate) mod signature;
pub(crate) mod verified;
