//! What the driver knows of the machine's own addresses.

use std::net::IpAddr;

/// What an interface is made of; a number where it crosses to a plugin, so that it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKind(pub u8);

impl LinkKind {
    /// Not known.
    pub const OTHER: Self = Self(0);
    /// A cable.
    pub const ETHERNET: Self = Self(1);
    /// A wireless LAN.
    pub const WIFI: Self = Self(2);
    /// A mobile network.
    pub const CELLULAR: Self = Self(3);
    /// A tunnel other than ours.
    pub const TUNNEL: Self = Self(4);
    /// The loopback.
    pub const LOOPBACK: Self = Self(5);

    /// Returns the kind's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::ETHERNET => "ethernet",
            Self::WIFI => "wifi",
            Self::CELLULAR => "cellular",
            Self::TUNNEL => "tunnel",
            Self::LOOPBACK => "loopback",
            _ => "other",
        }
    }
}

/// An address of this machine and the interface it lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// The interface's index.
    pub interface: u32,
    /// The interface's name.
    pub name: String,
    /// What it is made of.
    pub kind: LinkKind,
    /// Its MTU in octets.
    pub mtu: u32,
    /// Whether traffic on it costs money.
    pub metered: bool,
}

/// A pair of addresses that the machine can send on: the kernel has a route from `local` by `interface` to `remote`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressPair {
    /// An address of this machine.
    pub local: IpAddr,
    /// The index of the interface that it lies on.
    pub interface: u32,
    /// An address of the peer.
    pub remote: IpAddr,
}
