//! IPv4 addresses in IPv6 ones: how a host of an IPv6-only network names IPv4 hosts to its NAT64 (RFC 6052).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The prefix of a NAT64, `Pref64::/n` in RFC 6146: what follows it is an IPv4 address (RFC 6052 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pref64 {
    base: Ipv6Addr,
    length: u8,
}

impl Pref64 {
    /// The lengths that a prefix may have, in bits.
    pub const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];
    /// The one that every network may use, for global IPv4 addresses alone (RFC 6052 §2.1).
    pub const WELL_KNOWN: Self = Self { base: Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), length: 96 };

    /// Returns the prefix that an address begins with; `None` where no prefix is of that length, or where the octet that
    /// is to be zero is not (bits 64 to 71).
    pub fn new(base: Ipv6Addr, length: u8) -> Option<Self> {
        if !Self::LENGTHS.contains(&length) {
            return None;
        }
        let mask = u128::MAX << (128 - u32::from(length));
        let base = Ipv6Addr::from(u128::from(base) & mask);
        (base.octets()[RESERVED] == 0).then_some(Self { base, length })
    }

    /// Returns the IPv6 address that stands for an IPv4 address; `None` for what a NAT64 must not or cannot translate: no
    /// host's address, or with the well-known prefix one of a private network (RFC 6052 §3.1).
    pub fn synthesize(self, address: Ipv4Addr) -> Option<Ipv6Addr> {
        let is_a_hosts = !address.is_unspecified()
            && !address.is_loopback()
            && !address.is_multicast()
            && !address.is_broadcast();
        if !is_a_hosts || (self == Self::WELL_KNOWN && is_private(address)) {
            return None;
        }
        let mut octets = self.base.octets();
        for (at, octet) in self.places().zip(address.octets()) {
            octets[at] = octet;
        }
        Some(octets.into())
    }

    /// Returns the IPv4 address that an IPv6 address stands for; `None` if it does not begin with the prefix.
    pub fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let octets = address.octets();
        if Self::new(address, self.length) != Some(self) || octets[RESERVED] != 0 {
            return None;
        }
        let mut found = [0; 4];
        for (octet, at) in found.iter_mut().zip(self.places()) {
            *octet = octets[at];
        }
        Some(found.into())
    }

    /// Returns where the octets of IPv4 addresses stand: after the prefix, around the reserved octet.
    fn places(self) -> impl Iterator<Item = usize> {
        let first = usize::from(self.length / 8);
        (first..16).filter(move |at| *at != RESERVED || first > RESERVED).take(4)
    }
}

impl fmt::Display for Pref64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

/// The octet that is zero in every address (RFC 6052 §2.2).
const RESERVED: usize = 8;

/// Tells whether an address is of a private network (RFC 1918, 3927, 6598).
fn is_private(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private() || address.is_link_local() || (first == 100 && (second & 0xc0) == 64)
}

/// A NAT64 that an interface's network has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Translator {
    /// The index of the interface.
    pub interface: u32,
    /// The prefix of the addresses that it translates.
    pub prefix: Pref64,
}

impl Translator {
    /// Returns the address under which a host of an IPv4 address is reached through it.
    pub fn synthesize(self, address: IpAddr) -> Option<IpAddr> {
        let IpAddr::V4(address) = address else { return None };
        self.prefix.synthesize(address).map(IpAddr::V6)
    }

    /// Returns the IPv4 address of the host that an address leads to through it.
    pub fn extract(self, address: IpAddr) -> Option<IpAddr> {
        let IpAddr::V6(address) = address else { return None };
        self.prefix.extract(address).map(IpAddr::V4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(base: &str, length: u8) -> Pref64 {
        Pref64::new(base.parse().unwrap(), length).unwrap()
    }

    /// RFC 6052, 2.4: a network's own prefixes, and the well-known one.
    #[test]
    fn the_examples_of_the_rfc_are_written_and_read() {
        let address = Ipv4Addr::new(192, 0, 2, 33);
        for (base, length, text) in [
            ("2001:db8::", 32, "2001:db8:c000:221::"),
            ("2001:db8:100::", 40, "2001:db8:1c0:2:21::"),
            ("2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::", 96, "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::", 96, "64:ff9b::192.0.2.33"),
        ] {
            let prefix = prefix(base, length);
            let synthesized: Ipv6Addr = text.parse().unwrap();
            assert_eq!(prefix.synthesize(address), Some(synthesized), "{prefix}");
            assert_eq!(prefix.extract(synthesized), Some(address), "{prefix}");
        }
        assert_eq!(prefix("64:ff9b::", 96), Pref64::WELL_KNOWN);
    }

    #[test]
    fn every_address_comes_back_from_every_prefix_and_from_no_other() {
        let base: Ipv6Addr = "2001:db8:fedc:ba98:0:5432:1098::".parse().unwrap();
        let other: Ipv6Addr = "2001:db9::1".parse().unwrap();
        for length in Pref64::LENGTHS {
            let prefix = Pref64::new(base, length).unwrap();
            for address in [0x0102_0304_u32, 0xdfff_fffe, 0x0a00_00ff].map(Ipv4Addr::from) {
                assert_eq!(prefix.extract(prefix.synthesize(address).unwrap()), Some(address));
            }
            assert_eq!(prefix.extract(other), None);
        }
    }

    #[test]
    fn what_is_no_prefix_is_none() {
        let base: Ipv6Addr = "2001:db8::".parse().unwrap();
        assert!([0, 31, 33, 63, 95, 97, 128, 255].iter().all(|length| Pref64::new(base, *length).is_none()));
        let reserved: Ipv6Addr = "2001:db8:0:0:100::".parse().unwrap();
        assert_eq!(Pref64::new(reserved, 96), None);
        assert!(Pref64::new(reserved, 64).is_some());
        assert_eq!(prefix("2001:db8::", 64).extract(reserved), None);
    }

    #[test]
    fn what_no_translator_may_carry_has_no_address() {
        let own = prefix("2001:db8::", 96);
        assert!(own.synthesize(Ipv4Addr::new(10, 1, 2, 3)).is_some());
        for private in [[10, 1, 2, 3], [192, 168, 0, 1], [172, 16, 0, 1], [169, 254, 0, 1], [100, 64, 0, 1]] {
            assert_eq!(Pref64::WELL_KNOWN.synthesize(private.into()), None, "{private:?}");
        }
        for nobody in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
            assert_eq!(own.synthesize(nobody.into()), None, "{nobody:?}");
        }
    }
}
