//! The header of an inner packet, as far as selectors, MTU and MSS need it (RFC 791, RFC 8200).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::EXTENSION_HEADERS;

/// Protocol numbers that are known here.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IPV4: u8 = 4;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const DCCP: u8 = 33;
    pub(crate) const IPV6: u8 = 41;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const NONE: u8 = 59;
    pub(crate) const SCTP: u8 = 132;
    pub(crate) const MOBILITY: u8 = 135;
    pub(crate) const UDPLITE: u8 = 136;
}

/// Whether a packet is a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragment {
    Whole,
    First,
    Later,
}

/// Ports as selectors see them; ICMP's type and code stand for both (RFC 7296 §3.13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ports {
    pub(crate) source: u16,
    pub(crate) destination: u16,
}

/// What is read of an inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The upper-layer protocol, behind extension headers.
    pub(crate) protocol: u8,
    /// `None` where they cannot be seen.
    pub(crate) ports: Option<Ports>,
    pub(crate) fragment: Fragment,
    /// Where the upper-layer header begins.
    pub(crate) upper: usize,
    /// The packet's length by its own header.
    pub(crate) total_len: usize,
    /// TOS or traffic class.
    pub(crate) tos: u8,
}

impl Header {
    /// Reads a packet's header; `None` if it is broken or longer than `octets`.
    pub(crate) fn of(octets: &[u8]) -> Option<Self> {
        match octets.first()? >> 4 {
            4 => Self::of_v4(octets),
            6 => Self::of_v6(octets),
            _ => None,
        }
    }

    pub(crate) fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    fn of_v4(octets: &[u8]) -> Option<Self> {
        let header: &[u8; 20] = octets.first_chunk()?;
        let upper = usize::from(header[0] & 0xf) * 4;
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if upper < 20 || total_len < upper || total_len > octets.len() {
            return None;
        }
        let flags = u16::from_be_bytes([header[6], header[7]]);
        let fragment = match (flags & 0x1fff, flags & 0x2000 != 0) {
            (0, false) => Fragment::Whole,
            (0, true) => Fragment::First,
            _ => Fragment::Later,
        };
        let octet = |at: usize| header[at];
        let v4 = |at| IpAddr::V4(Ipv4Addr::new(octet(at), octet(at + 1), octet(at + 2), octet(at + 3)));
        let protocol = header[9];
        Some(Self {
            source: v4(12),
            destination: v4(16),
            protocol,
            ports: ports(protocol, fragment, &octets[upper..total_len]),
            fragment,
            upper,
            total_len,
            tos: header[1],
        })
    }

    fn of_v6(octets: &[u8]) -> Option<Self> {
        let header: &[u8; 40] = octets.first_chunk()?;
        let total_len = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
        let octets = octets.get(..total_len)?;
        let (protocol, upper, fragment) = walk_extensions(octets, header[6])?;
        let v6 = |from: &[u8]| <[u8; 16]>::try_from(from).ok().map(|a| IpAddr::V6(Ipv6Addr::from(a)));
        Some(Self {
            source: v6(&header[8..24])?,
            destination: v6(&header[24..40])?,
            protocol,
            ports: ports(protocol, fragment, &octets[upper..]),
            fragment,
            upper,
            total_len,
            tos: (header[0] << 4) | (header[1] >> 4),
        })
    }
}

/// Walks IPv6 extension headers to the upper-layer one.
fn walk_extensions(octets: &[u8], first: u8) -> Option<(u8, usize, Fragment)> {
    let (mut next, mut at, mut fragment) = (first, 40, Fragment::Whole);
    for _ in 0..EXTENSION_HEADERS {
        let units = match next {
            // Hop-by-hop, routing, destination options: 8-octet units, the first not counted.
            0 | 43 | 60 => (usize::from(*octets.get(at + 1)?) + 1) * 8,
            // AH: 4-octet units, minus two.
            51 => (usize::from(*octets.get(at + 1)?) + 2) * 4,
            protocol::FRAGMENT => {
                let offset = u16::from_be_bytes([*octets.get(at + 2)?, *octets.get(at + 3)?]);
                fragment = match (offset & 0xfff8, offset & 1) {
                    (0, 0) => Fragment::Whole,
                    (0, _) => Fragment::First,
                    _ => Fragment::Later,
                };
                8
            }
            _ => return Some((next, at, fragment)),
        };
        next = *octets.get(at)?;
        at += units;
        if at > octets.len() {
            return None;
        }
        if fragment == Fragment::Later {
            // What follows is not a header but the middle of the payload.
            return Some((next, at, fragment));
        }
    }
    None
}

fn ports(number: u8, fragment: Fragment, upper: &[u8]) -> Option<Ports> {
    if fragment == Fragment::Later {
        return None;
    }
    let first = u16::from_be_bytes(*upper.first_chunk()?);
    match number {
        protocol::TCP | protocol::UDP | protocol::DCCP | protocol::SCTP | protocol::UDPLITE => {
            let destination = u16::from_be_bytes([*upper.get(2)?, *upper.get(3)?]);
            Some(Ports { source: first, destination })
        }
        protocol::ICMP | protocol::ICMPV6 => Some(Ports { source: first, destination: first }),
        protocol::MOBILITY => {
            // The Mobility Header's type in the high octet (RFC 7296 §3.13.1).
            let kind = u16::from(*upper.get(2)?) << 8;
            Some(Ports { source: kind, destination: kind })
        }
        _ => None,
    }
}
