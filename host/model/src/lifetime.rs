//! How long an SA may live, and how its packets are wrapped.

use std::net::IpAddr;
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

/// What addresses the peer's checksums cover in transport mode, where a header is not carried (RFC 3948 §3.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Translation {
    /// Those of the selectors: no NAT is between the hosts.
    #[default]
    None,
    /// Those that the two hosts have on the peer's side of a NAT.
    From {
        /// This host's.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
    },
    /// Others, which the peer did not tell.
    Unknown,
}
