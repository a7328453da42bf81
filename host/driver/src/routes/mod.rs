//! Routes and policy rules of the tunnels: what they are, and who owns them.
//!
//! Everything lies in two tables that the TUN's name chooses, so that a namespace may hold several hosts, and carries a
//! routing protocol number of ours, so that exactly this is found again after a crash:
//!
//! ```text
//! 7295  of this host, UDP from the IKE ports or ESP → main          packets of the tunnel itself
//! 7296  without our mark → the table of protected prefixes
//! 7297  main without its default route                              the local network, beside a full tunnel
//! 7298  without our mark → the table of full tunnels
//! ```
//!
//! Protected prefixes come before the main table: a more specific route that a foreign network hands out must not draw
//! protected traffic away from the tunnel. In both tables a route to the TUN stands before an `unreachable` one of a
//! worse metric, which remains when the TUN vanishes with its process.

pub(crate) mod kernel;
mod lookup;
pub(crate) mod plan;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The routing protocol number of all routes and rules made here; nobody else is known to use it.
pub(crate) const PROTOCOL: u8 = 96;

/// Tables are numbered from here on, two for each TUN name.
const FIRST_TABLE: u32 = 729_600_000;
/// How many TUN names are told apart.
const SLOTS: u32 = 50_000;

/// Priorities of the rules, in the order in which they are asked.
const BYPASS_PRIORITY: u32 = 7295;
const PROTECTED_PRIORITY: u32 = 7296;
const LOCAL_PRIORITY: u32 = 7297;
const FULL_PRIORITY: u32 = 7298;

/// The metric of a route that is to be used.
const METRIC: u32 = 100;
/// The metric of a route that remains when no other is left.
const BLOCK_METRIC: u32 = 0x7fff_0000;

/// A base address and a length in bits.
pub(crate) type Prefix = (IpAddr, u8);

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Returns an address's family.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Returns the other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Returns the prefix of every address.
    pub(crate) fn everything(self) -> Prefix {
        match self {
            Self::V4 => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            Self::V6 => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        }
    }

    /// Returns the length of an address in bits.
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// Tells whether a prefix contains another one, or is the same.
pub(crate) fn contains(outer: Prefix, inner: Prefix) -> bool {
    let shared = match (outer.0, inner.0) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    outer.1 <= inner.1 && shared >= u32::from(outer.1)
}

/// The two tables of a TUN name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tables {
    /// Holds the prefixes that a tunnel protects.
    pub(crate) protected: u32,
    /// Holds the default route of a full tunnel.
    pub(crate) full: u32,
}

impl Tables {
    /// Returns the tables of a TUN name: always the same ones, also for `cleanup`, which has no configuration.
    pub(crate) fn of(tun_name: &str) -> Self {
        // FNV-1a: short, fixed for ever, and even enough for names.
        let hash = tun_name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
        Self::pair(FIRST_TABLE + 2 * (hash % SLOTS))
    }

    /// Returns the pair that a table is of, if it is one of a host like this.
    pub(crate) fn with(table: u32) -> Option<Self> {
        let ours = (FIRST_TABLE..FIRST_TABLE + 2 * SLOTS).contains(&table);
        ours.then(|| Self::pair(table & !1))
    }

    /// Returns the table that a prefix belongs into.
    pub(crate) fn table_of(self, prefix: Prefix) -> u32 {
        if prefix.1 == 0 { self.full } else { self.protected }
    }

    fn pair(first: u32) -> Self {
        Self { protected: first, full: first + 1 }
    }
}

/// Where a route stands: the kernel keeps one route for each such place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Its table.
    pub(crate) table: u32,
    /// Its destination.
    pub(crate) prefix: Prefix,
    /// The lower one is used.
    pub(crate) metric: u32,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Nowhere: whoever sends is told so.
    Unreachable,
    /// To the next rule.
    Throw,
    /// Into an interface, with a preferred source address.
    Interface {
        /// The interface's index.
        index: u32,
        /// The source address of packets that have none yet.
        source: Option<IpAddr>,
    },
}

/// A policy rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    /// Whose packets.
    pub(crate) family: Family,
    /// The lower one is asked first.
    pub(crate) priority: u32,
    /// The table to look into.
    pub(crate) table: u32,
    /// What it is for.
    pub(crate) purpose: Purpose,
}

/// Which packets a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// The tunnel's own, by protocol and source port, of this host; and replies to them, of which the reverse path
    /// filter asks with exchanged ports and, unless a sysctl says otherwise, without a mark.
    Own {
        /// The IP protocol.
        protocol: u8,
        /// The UDP port.
        port: Option<u16>,
    },
    /// Marked UDP, which is ours anyway. The kernel takes an arriving packet apart, so that the reverse path filter knows
    /// its ports, only where a rule that is not for the loopback alone asks for a protocol.
    Dissect,
    /// Those without our mark.
    Unmarked,
    /// All, but the table's default route is not taken.
    Local,
    /// Not made here as it is: from another version, to be removed.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (base, length) = text.split_once('/').unwrap();
        (base.parse().unwrap(), length.parse().unwrap())
    }

    #[test]
    fn tables_of_a_name_are_a_pair_that_is_found_from_either() {
        let tables = Tables::of("vpn0");
        assert_eq!(Tables::with(tables.protected), Some(tables));
        assert_eq!(Tables::with(tables.full), Some(tables));
        assert_ne!(tables, Tables::of("vpn1"));
        assert_eq!(Tables::with(254), None);
        assert_eq!(Tables::of("vpn0").protected % 2, 0);
    }

    #[test]
    fn a_prefix_contains_itself_and_longer_ones() {
        assert!(contains(prefix("10.0.0.0/8"), prefix("10.1.0.0/16")));
        assert!(contains(prefix("10.0.0.0/8"), prefix("10.0.0.0/8")));
        assert!(!contains(prefix("10.1.0.0/16"), prefix("10.0.0.0/8")));
        assert!(!contains(prefix("10.0.0.0/8"), prefix("11.0.0.0/16")));
        assert!(contains(prefix("::/0"), prefix("fd00::/8")));
        assert!(!contains(prefix("::/0"), prefix("10.0.0.0/8")));
    }
}
