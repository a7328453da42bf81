//! Bounds on what a message may hold: a peer that nobody knows yet must not buy memory or time.

/// Octets of a message, reassembled or not.
pub const MESSAGE: usize = 65_536;
/// Payloads of a message, inside and outside of the Encrypted payload each.
pub const PAYLOADS: usize = 64;
/// Proposals of a Security Association payload.
pub const PROPOSALS: usize = 64;
/// Transforms of a proposal.
pub const TRANSFORMS: usize = 128;
/// Attributes of a transform.
pub const TRANSFORM_ATTRIBUTES: usize = 8;
/// Selectors of a Traffic Selector payload.
pub const SELECTORS: usize = 128;
/// Attributes of a Configuration payload.
pub const CONFIGURATION_ATTRIBUTES: usize = 256;
/// Octets of a Notify payload's data.
pub const NOTIFY_DATA: usize = 8_192;
/// SPIs of a Delete payload.
pub const DELETE_SPIS: usize = 1_024;
/// The shortest nonce (RFC 7296 §3.9).
pub const NONCE_LEAST: usize = 16;
/// The longest nonce.
pub const NONCE_MOST: usize = 256;
/// Fragments of a message (RFC 7383): 64 KiB in datagrams of 576 octets and some to spare.
pub const FRAGMENTS: u16 = 160;
