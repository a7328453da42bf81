//! Every bound on what the other end of a conversation can make this one hold or do.

/// Octets of an identity, a user's name or a message for people; a longer one is refused or cut.
pub const TEXT: usize = 253;

/// Octets of TLS in one EAP packet: with EAP's and IKE's own octets it fits in a datagram.
pub const TLS_FRAGMENT: usize = 1024;

/// Octets of TLS records between two turns (RFC 5216 §2.1.5 thinks of 64 kB as the most).
pub const TLS_FLIGHT: usize = 64 * 1024;

/// Requests of one conversation.
pub const REQUESTS: u32 = 256;

/// Notifications of one conversation.
pub const NOTIFICATIONS: u32 = 4;

/// Characters of a password (RFC 2759 §8.3).
pub const PASSWORD: usize = 256;

/// Methods of a Nak that are looked at.
pub const NAK_METHODS: usize = 32;
