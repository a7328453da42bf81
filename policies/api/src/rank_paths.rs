//! Which way an SA goes: the choice of addresses of MOBIKE (RFC 4555 §3.5).

use std::net::{IpAddr, SocketAddr};

use vpnhost_model::LinkKind;

use crate::{Attribute, Ranking};

/// The ways to the peer. The host takes the best that works; what the answer leaves out is not
/// used; an empty answer stays where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PathMenu {
    /// The connection's name.
    pub connection: String,
    /// Why the question is asked.
    pub cause: PathCause,
    /// The index of the path in use.
    pub current: Option<u32>,
    /// The paths that the configuration allows, at most [`crate::limits::PATHS`].
    pub paths: Vec<PathFacts>,
    /// How long ago the SA moved last, if it ever did.
    pub since_move_ms: Option<u32>,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// What made the host ask; a number where it crosses, so that it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathCause(pub u8);

impl PathCause {
    /// An operator, or a time that an earlier plan named.
    pub const REVIEW: Self = Self(0);
    /// A path appeared.
    pub const ADDED: Self = Self(1);
    /// A path went away.
    pub const REMOVED: Self = Self(2);
    /// The peer does not answer on the path in use.
    pub const SILENT: Self = Self(3);
    /// The network says that the peer cannot be reached.
    pub const UNREACHABLE: Self = Self(4);
    /// The peer's list of addresses changed.
    pub const PEER_ADDRESSES: Self = Self(5);

    /// Returns the cause's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::REVIEW => "review",
            Self::ADDED => "added",
            Self::REMOVED => "removed",
            Self::SILENT => "silent",
            Self::UNREACHABLE => "unreachable",
            Self::PEER_ADDRESSES => "peer-addresses",
            _ => "other",
        }
    }
}

/// What is known of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathFacts {
    /// This host's address.
    pub local: IpAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The interface's name.
    pub interface: String,
    /// What it is made of.
    pub kind: LinkKind,
    /// Whether traffic on it costs money.
    pub metered: bool,
    /// Its MTU in octets.
    pub mtu: u32,
    /// The round-trip time measured last.
    pub rtt_us: Option<u32>,
    /// Lost probes, in thousandths.
    pub loss_permille: Option<u16>,
    /// The age of the measurements, or of the path where there are none.
    pub age_ms: u32,
}

/// Tells whether an answer stays on the menu.
pub(crate) fn admits(menu: &PathMenu, answer: &Ranking) -> bool {
    answer.is_of(menu.paths.len())
}
