//! Traffic selectors (RFC 7296 §3.13, RFC 4301 §4.4.1.1).

use std::fmt;
use std::net::IpAddr;

/// A range of addresses of one family and a range of ports, for one IP protocol or for all.
///
/// For ICMP the ports are type and code (RFC 7296 §3.13.1). `start_port > end_port` with the values
/// 65535 and 0 is OPAQUE (RFC 4301 §4.4.1.1): it matches only packets whose ports cannot be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrafficSelector {
    /// IP protocol number; zero is any.
    pub protocol: u8,
    /// The lowest port.
    pub start_port: u16,
    /// The highest port.
    pub end_port: u16,
    /// The lowest address.
    pub start: IpAddr,
    /// The highest address, of the same family.
    pub end: IpAddr,
}

impl TrafficSelector {
    /// Returns the selector of one address, with every protocol and port.
    pub fn host(address: IpAddr) -> Self {
        Self { protocol: 0, start_port: 0, end_port: u16::MAX, start: address, end: address }
    }

    /// Returns the selector of a prefix, or `None` if it is longer than the family's addresses.
    pub fn prefix(address: IpAddr, length: u8) -> Option<Self> {
        let (start, end) = match address {
            IpAddr::V4(a) if length <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                let base = u32::from(a) & mask;
                (IpAddr::V4(base.into()), IpAddr::V4((base | !mask).into()))
            }
            IpAddr::V6(a) if length <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                let base = u128::from(a) & mask;
                (IpAddr::V6(base.into()), IpAddr::V6((base | !mask).into()))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(Self { start, end, ..Self::host(start) })
    }

    /// Returns every address of IPv4.
    pub fn any_v4() -> Self {
        Self { end: IpAddr::V4([255; 4].into()), ..Self::host(IpAddr::V4([0; 4].into())) }
    }

    /// Returns every address of IPv6.
    pub fn any_v6() -> Self {
        Self { end: IpAddr::V6([255; 16].into()), ..Self::host(IpAddr::V6([0; 16].into())) }
    }

    /// Tells whether both ends are of one family and in order.
    pub fn is_valid(&self) -> bool {
        self.start.is_ipv4() == self.end.is_ipv4() && self.start <= self.end
    }

    /// Tells whether an address lies within.
    pub fn contains_address(&self, address: IpAddr) -> bool {
        self.start.is_ipv4() == address.is_ipv4() && self.start <= address && address <= self.end
    }

    /// Tells whether every packet that `other` selects is selected by `self` too.
    pub fn contains(&self, other: &Self) -> bool {
        self.intersection(other) == Some(*other)
    }

    /// Returns what both select, the narrower protocol and ports, or `None` if nothing.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.start.is_ipv4() != other.start.is_ipv4() {
            return None;
        }
        let protocol = match (self.protocol, other.protocol) {
            (a, b) if a == b => a,
            (0, b) => b,
            (a, 0) => a,
            _ => return None,
        };
        let (start_port, end_port) = self.intersect_ports(other)?;
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start <= end).then_some(Self { protocol, start_port, end_port, start, end })
    }

    /// Returns the prefixes that together cover exactly the address range, largest first in order
    /// of address: what a routing table can hold.
    pub fn prefixes(&self) -> Vec<(IpAddr, u8)> {
        match (self.start, self.end) {
            (IpAddr::V4(start), IpAddr::V4(end)) => cover(u32::from(start).into(), u32::from(end).into(), 32)
                .into_iter()
                .map(|(base, length)| (IpAddr::V4((base as u32).into()), length))
                .collect(),
            (IpAddr::V6(start), IpAddr::V6(end)) => cover(start.into(), end.into(), 128)
                .into_iter()
                .map(|(base, length)| (IpAddr::V6(base.into()), length))
                .collect(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Vec::new(),
        }
    }

    fn has_opaque_ports(&self) -> bool {
        self.start_port > self.end_port
    }

    fn intersect_ports(&self, other: &Self) -> Option<(u16, u16)> {
        let any = |ts: &Self| ts.start_port == 0 && ts.end_port == u16::MAX;
        match (self.has_opaque_ports(), other.has_opaque_ports()) {
            (true, true) => return Some((u16::MAX, 0)),
            (true, false) => return any(other).then_some((u16::MAX, 0)),
            (false, true) => return any(self).then_some((u16::MAX, 0)),
            (false, false) => {}
        }
        let ports = (self.start_port.max(other.start_port), self.end_port.min(other.end_port));
        (ports.0 <= ports.1).then_some(ports)
    }
}

/// The fewest aligned blocks from `start` to `end`, both included, of addresses `bits` wide.
fn cover(start: u128, end: u128, bits: u8) -> Vec<(u128, u8)> {
    let mut blocks = Vec::new();
    let mut at = start;
    loop {
        let mut free = if at == 0 { u32::from(bits) } else { at.trailing_zeros().min(u32::from(bits)) };
        while free > 0 && last_of_block(at, free) > end {
            free -= 1;
        }
        blocks.push((at, bits - free as u8));
        let last = last_of_block(at, free);
        if last >= end {
            return blocks;
        }
        at = last + 1;
    }
}

fn last_of_block(base: u128, free: u32) -> u128 {
    base | 1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1)
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefixes().as_slice() {
            [(base, length)] => write!(f, "{base}/{length}")?,
            _ => write!(f, "{}-{}", self.start, self.end)?,
        }
        let any_port = self.start_port == 0 && self.end_port == u16::MAX;
        match (self.protocol, any_port) {
            (0, true) => Ok(()),
            (protocol, true) => write!(f, "[{protocol}]"),
            (protocol, false) if self.start_port == self.end_port => {
                write!(f, "[{protocol}/{}]", self.start_port)
            }
            (protocol, false) => write!(f, "[{protocol}/{}-{}]", self.start_port, self.end_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(text: &str) -> TrafficSelector {
        let (base, length) = text.split_once('/').unwrap();
        TrafficSelector::prefix(base.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_prefix_comes_back_as_itself() {
        for text in ["10.20.0.0/24", "0.0.0.0/0", "::/0", "fd20::/64", "10.0.0.1/32"] {
            assert_eq!(ts(text).to_string(), text);
        }
    }

    #[test]
    fn a_range_is_covered_by_prefixes() {
        let range = TrafficSelector {
            end: "10.0.0.6".parse().unwrap(),
            ..TrafficSelector::host("10.0.0.1".parse().unwrap())
        };
        let lengths: Vec<u8> = range.prefixes().into_iter().map(|(_, length)| length).collect();
        assert_eq!(lengths, [32, 31, 31, 32]);
    }

    #[test]
    fn intersection_takes_the_narrower_of_each() {
        let tcp = TrafficSelector { protocol: 6, start_port: 80, end_port: 90, ..ts("10.0.0.0/8") };
        let net = ts("10.1.0.0/16");
        let both = tcp.intersection(&net).unwrap();
        assert_eq!(both, TrafficSelector { protocol: 6, start_port: 80, end_port: 90, ..net });
        assert!(tcp.contains(&both) && net.contains(&both) && !both.contains(&net));
        assert_eq!(tcp.intersection(&ts("11.0.0.0/8")), None);
        assert_eq!(tcp.intersection(&ts("::/0")), None);
    }

    #[test]
    fn opaque_ports_meet_only_any_or_opaque() {
        let opaque = TrafficSelector { start_port: u16::MAX, end_port: 0, ..ts("10.0.0.0/8") };
        let any = ts("10.0.0.0/8");
        let web = TrafficSelector { start_port: 80, end_port: 80, ..any };
        assert_eq!(opaque.intersection(&any), Some(opaque));
        assert_eq!(opaque.intersection(&opaque), Some(opaque));
        assert_eq!(opaque.intersection(&web), None);
    }
}
