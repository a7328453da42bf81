//! How two hosts reach each other.

use std::fmt;
use std::net::SocketAddr;

/// How ESP travels on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulation {
    /// In UDP, beside IKE on the NAT traversal port (RFC 3948).
    Udp,
    /// As IP protocol 50 (RFC 4303).
    Raw,
}

/// A way from here to the peer: both ends, the interface where it is known, and how ESP travels.
///
/// IKE datagrams carry no non-ESP marker here: the driver's socket for `local.port()` adds and
/// strips it (RFC 7296 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// This host's address and UDP port; the unspecified address lets the kernel choose.
    pub local: SocketAddr,
    /// The peer's address and UDP port.
    pub remote: SocketAddr,
    /// The index of the interface that the path is bound to.
    pub interface: Option<u32>,
    /// How ESP travels on it.
    pub encapsulation: Encapsulation,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.local, self.remote)
    }
}
