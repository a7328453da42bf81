//! Who a peer is: the octets that are signed, how they are signed, and the proof that they were.

pub(crate) mod eap;
pub(crate) mod octets;
pub(crate) mod shared_key;
pub(crate) mod verified;
