//! The NAT64s of the networks that this machine is in: found by what their DNS servers say of a name that has IPv4
//! addresses alone (RFC 7050). Each network is asked for itself, and only where it has no way by IPv4.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::task::JoinSet;
use tokio::time::Instant;
use vpnhost_model::{LinkKind, LocalAddress, Pref64, Translator};

use crate::limits;
use crate::names::{self, Found};

/// The name, and the two addresses that it has (RFC 7050 §2.2, §8).
const NAME: &str = "ipv4only.arpa";
const WELL_KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// Returns the prefixes that a network's answer shows, in its order: where a well-known address stands in an IPv6 address
/// tells how long the prefix is. Where two lengths fit, the one counts that the other address stands behind too
/// (RFC 7050 §3).
fn prefixes(answer: &[IpAddr]) -> Vec<Pref64> {
    let addresses = answer.iter().filter_map(|address| match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    });
    let addresses: Vec<Ipv6Addr> = addresses.collect();
    let mut found = Vec::new();
    for address in &addresses {
        let fitting: Vec<Pref64> =
            Pref64::LENGTHS.iter().filter_map(|length| fitting(*address, *length)).collect();
        let has_both = |prefix: &Pref64| {
            WELL_KNOWN.iter().all(|known| addresses.iter().any(|it| prefix.extract(*it) == Some(*known)))
        };
        let prefix = match fitting[..] {
            [only] => Some(only),
            _ => fitting.into_iter().find(has_both),
        };
        if let Some(prefix) = prefix.filter(|prefix| !found.contains(prefix)) {
            found.push(prefix);
        }
    }
    found.truncate(limits::NAT64_PREFIXES);
    found
}

/// Returns the prefix of a length, if a well-known address follows it.
fn fitting(address: Ipv6Addr, length: u8) -> Option<Pref64> {
    let prefix = Pref64::new(address, length)?;
    WELL_KNOWN.contains(&prefix.extract(address)?).then_some(prefix)
}

/// The search for NAT64s.
#[derive(Default)]
pub(crate) struct Search {
    networks: Networks,
    asked: JoinSet<(u32, Option<Found>)>,
}

impl Search {
    /// Looks after what is known: who needs a NAT64 and has none known is asked. `lacking` are the interfaces without a way
    /// by IPv4; `anew` asks those too that did not answer, whose turn has not come.
    pub(crate) fn look(&mut self, addresses: &[LocalAddress], lacking: &BTreeSet<u32>, anew: bool) {
        self.networks.keep(addresses);
        for index in self.networks.due(Instant::now(), lacking, anew) {
            let Some(link) = addresses.iter().find(|link| link.interface == index) else { continue };
            let interface = link.name.clone();
            self.asked.spawn(async move { (index, names::ask_link((&interface, index), NAME).await) });
        }
    }

    /// Returns the NAT64s that are known.
    pub(crate) fn translators(&self) -> Vec<Translator> {
        self.networks.translators()
    }

    /// Waits until a network has answered, or there is somebody to ask again. Nothing is lost with a waiter who goes.
    pub(crate) async fn news(&mut self) {
        let due = self.networks.next();
        let due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(answered) = self.asked.join_next() => {
                // What ended without an answer was ended with the host.
                if let Ok((index, found)) = answered {
                    self.networks.hear(Instant::now(), index, found);
                }
            }
            () = due => {}
        }
    }
}

/// Returns the interfaces whose network has IPv6, but no way by IPv4 to a peer.
pub(crate) fn lacking(
    addresses: &[LocalAddress],
    pairs: &[vpnhost_model::AddressPair],
    remotes: &BTreeSet<IpAddr>,
) -> BTreeSet<u32> {
    let is_outside = |link: &&LocalAddress| link.kind != LinkKind::LOOPBACK && link.kind != LinkKind::TUNNEL;
    let of = |wanted: fn(&IpAddr) -> bool| {
        let links = addresses.iter().filter(is_outside).filter(move |link| wanted(&link.address));
        links.map(|link| link.interface)
    };
    let reaching: BTreeSet<u32> = if remotes.iter().any(IpAddr::is_ipv4) {
        pairs.iter().filter(|pair| pair.remote.is_ipv4()).map(|pair| pair.interface).collect()
    } else {
        // A peer of which such a network told an IPv6 address may have an IPv4 one.
        of(IpAddr::is_ipv4).collect()
    };
    of(IpAddr::is_ipv6).filter(|index| !remotes.is_empty() && !reaching.contains(index)).collect()
}

/// What is known of each interface's network.
#[derive(Debug, Default)]
struct Networks(BTreeMap<u32, Network>);

/// What is known of one.
#[derive(Debug)]
struct Network {
    /// The addresses that this machine has there: with them the network changes.
    own: BTreeSet<IpAddr>,
    prefixes: Vec<Pref64>,
    is_asked: bool,
    /// When it may be asked again.
    again: Instant,
    /// How often it did not answer, in a row.
    failures: u32,
    /// Whether it was wanted at the last look: nobody is woken for one that is not.
    is_lacking: bool,
}

impl Networks {
    /// Forgets the networks that this machine has left.
    fn keep(&mut self, addresses: &[LocalAddress]) {
        self.0.retain(|index, network| {
            let own = own_addresses(addresses, *index);
            let stays = own.iter().any(|address| network.own.contains(address));
            network.own = own;
            stays
        });
        for link in addresses {
            if self.0.len() < limits::NAT64_NETWORKS {
                self.0.entry(link.interface).or_insert_with(|| Network {
                    own: own_addresses(addresses, link.interface),
                    prefixes: Vec::new(),
                    is_asked: false,
                    again: Instant::now(),
                    failures: 0,
                    is_lacking: false,
                });
            }
        }
    }

    /// Returns who is to be asked now.
    fn due(&mut self, now: Instant, lacking: &BTreeSet<u32>, anew: bool) -> Vec<u32> {
        let mut due = Vec::new();
        for (index, network) in &mut self.0 {
            network.is_lacking = lacking.contains(index);
            if !network.is_lacking {
                if network.again <= now {
                    network.prefixes.clear();
                }
                continue;
            }
            if !network.is_asked && (network.again <= now || (anew && network.failures > 0)) {
                network.is_asked = true;
                due.push(*index);
            }
        }
        due
    }

    fn hear(&mut self, now: Instant, index: u32, found: Option<Found>) {
        // The question may be older than the network.
        let Some(network) = self.0.get_mut(&index).filter(|network| network.is_asked) else { return };
        network.is_asked = false;
        let Some(Found { addresses, lifetime }) = found else {
            // A way that may work is not given up because nobody answers.
            let pause = limits::NAT64_PAUSE.saturating_mul(1 << network.failures.min(16));
            network.again = now + pause.min(limits::NAT64_LONG_PAUSE);
            network.failures = network.failures.saturating_add(1);
            return;
        };
        network.failures = 0;
        network.prefixes = prefixes(&addresses);
        let pause = if network.prefixes.is_empty() { limits::NAT64_LONG_PAUSE } else { lifetime };
        network.again = now + pause;
        tracing::debug!(interface = index, prefixes = ?network.prefixes, "the network's NAT64");
    }

    fn translators(&self) -> Vec<Translator> {
        let of = |(&interface, network): (&u32, &Network)| {
            let prefixes = network.prefixes.clone().into_iter();
            prefixes.map(move |prefix| Translator { interface, prefix })
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Returns when somebody is to be asked next, or something to be forgotten.
    fn next(&self) -> Option<Instant> {
        let waits =
            |network: &&Network| !network.is_asked && (network.is_lacking || !network.prefixes.is_empty());
        self.0.values().filter(waits).map(|network| network.again).min()
    }
}

fn own_addresses(addresses: &[LocalAddress], index: u32) -> BTreeSet<IpAddr> {
    let of = |link: &&LocalAddress| link.interface == index && link.address.is_ipv6();
    addresses.iter().filter(of).map(|link| link.address).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vpnhost_model::AddressPair;

    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn found(texts: &[&str]) -> Option<Found> {
        Some(Found { addresses: ips(texts), lifetime: Duration::from_secs(300) })
    }

    fn shown(texts: &[&str]) -> Vec<String> {
        prefixes(&ips(texts)).iter().map(ToString::to_string).collect()
    }

    fn link(interface: u32, address: &str) -> LocalAddress {
        LocalAddress {
            address: address.parse().unwrap(),
            interface,
            name: format!("eth{interface}"),
            kind: LinkKind::ETHERNET,
            mtu: 1500,
            metered: false,
        }
    }

    const ANSWER: [&str; 2] = ["2001:db8::c000:aa", "2001:db8::c000:ab"];

    #[test]
    fn the_prefix_stands_before_the_well_known_address_whatever_its_length() {
        for (length, base) in [
            (32, "2001:db8::"),
            (40, "2001:db8:1200::"),
            (48, "2001:db8:1234::"),
            (56, "2001:db8:1234:5600::"),
            (64, "2001:db8:1234:5678::"),
            (96, "2001:db8:1234:5678:0:9abc:def0::"),
        ] {
            let prefix = Pref64::new(base.parse().unwrap(), length).unwrap();
            let answer = WELL_KNOWN.map(|known| IpAddr::V6(prefix.synthesize(known).unwrap()));
            assert_eq!(prefixes(&answer), [prefix]);
            assert_eq!(prefixes(&answer[1..]), [prefix], "one address is enough where one length fits");
        }
        assert_eq!(shown(&["64:ff9b::192.0.0.170", "64:ff9b::192.0.0.171"]), ["64:ff9b::/96"]);
    }

    #[test]
    fn an_answer_without_a_well_known_address_shows_none() {
        assert!(shown(&[]).is_empty());
        assert!(shown(&["2001:db8::1", "192.0.0.170", "::ffff:192.0.2.1"]).is_empty());
    }

    #[test]
    fn of_two_lengths_the_one_counts_that_both_addresses_show() {
        // A prefix of 96 bits that has a well-known address in itself, where one of 40 bits would have it.
        let base = "2001:db8:c0:0:aa:0:";
        let one = format!("{base}192.0.0.170");
        let both = [one.clone(), format!("{base}192.0.0.171")];
        assert!(fitting(one.parse().unwrap(), 96).is_some());
        let twice: Vec<u8> =
            Pref64::LENGTHS.into_iter().filter(|it| fitting(one.parse().unwrap(), *it).is_some()).collect();
        assert_eq!(twice, [40, 96], "{base}");
        assert!(shown(&[&one]).is_empty(), "which of the two it is cannot be told");
        assert_eq!(shown(&both.each_ref().map(String::as_str)), ["2001:db8:c0:0:aa::/96"]);
    }

    #[test]
    fn a_network_is_asked_once_then_when_its_answer_is_over_and_only_while_it_matters() {
        let (mut networks, now, lacking) = (Networks::default(), Instant::now(), BTreeSet::from([2]));
        let addresses = [link(2, "fd02::10"), link(3, "fd03::10")];
        networks.keep(&addresses);
        let now = now + Duration::from_secs(1);
        assert_eq!(networks.due(now, &lacking, false), [2]);
        assert!(networks.due(now, &lacking, true).is_empty(), "it is being asked");
        networks.hear(now, 2, found(&ANSWER));
        assert_eq!(networks.translators().len(), 1);
        assert!(networks.due(now + Duration::from_secs(299), &lacking, true).is_empty());
        assert_eq!(networks.due(now + Duration::from_secs(300), &lacking, false), [2]);
        // Nobody answers: it is not given up, and asked again with longer and longer pauses.
        let mut at = now + Duration::from_secs(300);
        for pause in [1, 2, 4] {
            networks.hear(at, 2, None);
            assert_eq!(networks.next(), Some(at + Duration::from_secs(pause)));
            at += Duration::from_secs(pause);
            assert_eq!(networks.due(at, &lacking, false), [2]);
        }
        assert_eq!(networks.translators().len(), 1);
        networks.hear(at, 2, found(&ANSWER));
        // Once there is a way by IPv4 it is forgotten when it is over, and nobody is woken any more.
        assert!(networks.due(at, &BTreeSet::new(), false).is_empty());
        assert_eq!((networks.translators().len(), networks.next()), (1, Some(at + Duration::from_secs(300))));
        networks.due(at + Duration::from_secs(300), &BTreeSet::new(), false);
        assert_eq!((networks.translators(), networks.next()), (Vec::new(), None));
    }

    #[test]
    fn a_network_that_did_not_answer_is_asked_when_something_changes_and_another_one_at_once() {
        let (mut networks, lacking) = (Networks::default(), BTreeSet::from([2]));
        networks.keep(&[link(2, "fd02::10")]);
        let now = Instant::now() + Duration::from_secs(1);
        networks.due(now, &lacking, false);
        networks.hear(now, 2, None);
        assert!(networks.due(now, &lacking, false).is_empty());
        assert_eq!(networks.due(now, &lacking, true), [2]);
        networks.hear(now, 2, found(&ANSWER));
        networks.keep(&[link(2, "fd02::10"), link(2, "fd02::11")]);
        assert_eq!(networks.translators().len(), 1, "a further address is of the same network");
        networks.keep(&[link(2, "fd09::10")]);
        assert!(networks.translators().is_empty());
        assert_eq!(networks.due(now, &lacking, false), [2]);
    }

    #[test]
    fn only_a_network_without_a_way_by_ipv4_lacks_one() {
        let addresses = [link(1, "10.1.0.10"), link(1, "fd01::10"), link(2, "fd02::10"), link(3, "10.3.0.1")];
        let remote: IpAddr = "192.0.2.1".parse().unwrap();
        let pair = |interface| AddressPair { local: addresses[0].address, interface, remote };
        let remotes = BTreeSet::from([remote]);
        assert_eq!(lacking(&addresses, &[pair(1)], &remotes), BTreeSet::from([2]));
        assert_eq!(lacking(&addresses, &[], &remotes), BTreeSet::from([1, 2]));
        assert_eq!(lacking(&addresses, &[], &BTreeSet::new()), BTreeSet::new());
        let remotes = BTreeSet::from(["2001:db8::1".parse().unwrap()]);
        assert_eq!(lacking(&addresses, &[], &remotes), BTreeSet::from([2]));
    }
}
