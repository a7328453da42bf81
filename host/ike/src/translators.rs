//! NAT64s of the networks that this host is in: under which addresses a peer of IPv4 is reached from one of IPv6 alone
//! (RFC 6052). How they are found (RFC 7050) is the driver's affair.

use std::net::IpAddr;

use vpnhost_model::{AddressPair, Pref64, Translator};

use crate::limits;

/// The NAT64s of this host's networks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Translators {
    present: Vec<Translator>,
    /// Prefixes that were there, the latest last: an IKE SA that began in such a network knows its peer by such an address.
    known: Vec<Pref64>,
}

impl Translators {
    /// Takes those that there are now.
    ///
    /// Tells whether they are others than before.
    pub(crate) fn learn(&mut self, present: &[Translator]) -> bool {
        let present = &present[..present.len().min(limits::TRANSLATORS)];
        if self.present == present {
            return false;
        }
        self.present = present.to_vec();
        for translator in present {
            self.known.retain(|prefix| *prefix != translator.prefix);
            self.known.push(translator.prefix);
        }
        let surplus = self.known.len().saturating_sub(limits::TRANSLATORS);
        self.known.drain(..surplus);
        true
    }

    /// Returns the addresses that lead to the host that an address leads to: itself, then those of the other family.
    pub(crate) fn names_of(&self, address: IpAddr) -> Vec<IpAddr> {
        let mut names = vec![address];
        let original = self.original(address);
        let synthesized = self.present.iter().filter_map(|translator| translator.synthesize(original));
        for name in std::iter::once(original).chain(synthesized) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Returns the IPv4 address that an address stands for; another stands for itself.
    pub(crate) fn original(&self, address: IpAddr) -> IpAddr {
        let IpAddr::V6(synthesized) = address else { return address };
        let found = self.known.iter().rev().find_map(|prefix| prefix.extract(synthesized));
        found.map_or(address, IpAddr::V4)
    }

    /// Tells whether two addresses lead to the same host.
    pub(crate) fn is_same_host(&self, one: IpAddr, other: IpAddr) -> bool {
        self.original(one) == self.original(other)
    }

    /// Tells whether a pair's way leads through a NAT64.
    pub(crate) fn translate(&self, pair: &AddressPair) -> bool {
        self.original(pair.remote) != pair.remote
    }

    /// Tells whether a pair leads anywhere: what is synthesized only from the network whose NAT64 translates it.
    pub(crate) fn lead(&self, pair: &AddressPair) -> bool {
        let of = |translator: &&Translator| translator.extract(pair.remote).is_some();
        let mut fitting = self.present.iter().filter(of).peekable();
        fitting.peek().is_none() || fitting.any(|translator| translator.interface == pair.interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn translator(interface: u32, base: &str) -> Translator {
        Translator { interface, prefix: Pref64::new(base.parse().unwrap(), 96).unwrap() }
    }

    #[test]
    fn a_peer_has_an_address_for_each_network_and_is_still_one() {
        let mut translators = Translators::default();
        assert_eq!(translators.names_of(ip("192.0.2.1")), [ip("192.0.2.1")]);
        assert!(translators.learn(&[translator(2, "2001:db8::"), translator(3, "2001:db9::")]));
        assert!(!translators.learn(&[translator(2, "2001:db8::"), translator(3, "2001:db9::")]));
        let (first, second) = (ip("2001:db8::192.0.2.1"), ip("2001:db9::192.0.2.1"));
        assert_eq!(translators.names_of(ip("192.0.2.1")), [ip("192.0.2.1"), first, second]);
        assert_eq!(translators.names_of(first), [first, ip("192.0.2.1"), second]);
        assert!(translators.is_same_host(first, second) && !translators.is_same_host(first, ip("192.0.2.2")));
        assert_eq!(translators.names_of(ip("fd10::1")), [ip("fd10::1")]);
    }

    #[test]
    fn a_synthesized_address_leads_somewhere_only_in_its_network() {
        let mut translators = Translators::default();
        translators.learn(&[translator(2, "2001:db8::")]);
        let pair = |interface, remote| AddressPair { local: ip("fd01::10"), interface, remote: ip(remote) };
        assert!(translators.lead(&pair(2, "2001:db8::192.0.2.1")));
        assert!(!translators.lead(&pair(3, "2001:db8::192.0.2.1")));
        assert!(translators.lead(&pair(3, "fd10::1")));
    }

    #[test]
    fn the_original_is_known_after_the_network_was_left_but_not_for_ever() {
        let mut translators = Translators::default();
        translators.learn(&[translator(2, "2001:db8::")]);
        translators.learn(&[]);
        assert_eq!(translators.names_of(ip("2001:db8::192.0.2.1")).last(), Some(&ip("192.0.2.1")));
        for number in 0..limits::TRANSLATORS {
            translators.learn(&[translator(2, &format!("2001:{number:x}::"))]);
        }
        assert_eq!(translators.original(ip("2001:db8::192.0.2.1")), ip("2001:db8::192.0.2.1"));
    }
}
