//! How long an SA may live, and how its packets are wrapped.

use std::time::Duration;

/// When an SA is replaced. The host rekeys at the soft limits and ends the SA at the hard ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Age at which a rekey begins; `None` never.
    pub rekey_after: Option<Duration>,
    /// Octets in one direction after which a rekey begins; `None` never.
    pub rekey_bytes: Option<u64>,
    /// Packets in one direction after which a rekey begins; `None` never.
    pub rekey_packets: Option<u64>,
    /// How much earlier than `rekey_after` a rekey may begin, in percent of it, chosen at random.
    pub jitter_percent: u8,
}

/// How ESP wraps a packet (RFC 4301 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// A whole IP packet inside another.
    Tunnel,
    /// The upper-layer payload under the original IP header.
    Transport,
}
