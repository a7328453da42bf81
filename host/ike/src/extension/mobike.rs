//! What MOBIKE says in Notify payloads (RFC 4555 §4): support, further addresses, COOKIE2, and that no NAT is allowed.
//!
//! Knows neither when it is said nor what follows from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vpnhost_crypto::{CryptoError, SecretBytes, SecureRandom};
use vpnhost_model::Path;

use crate::extension::nat_detection::address_octets;
use crate::limits;
use crate::wire::payload::{Notify, NotifyType};
use crate::wire::{Message, Payload};

/// Tells whether a peer can do MOBIKE.
pub(crate) fn is_supported(message: &Message) -> bool {
    message.notify(NotifyType::MOBIKE_SUPPORTED).is_some()
}

/// Says that this host can.
pub(crate) fn supported() -> Payload {
    notify(NotifyType::MOBIKE_SUPPORTED, Vec::new())
}

/// Says which addresses this host has beside the one that the message comes from: always all of them (RFC 4555 §3.6).
pub(crate) fn announce(addresses: &[IpAddr]) -> Vec<Payload> {
    if addresses.is_empty() {
        return vec![notify(NotifyType::NO_ADDITIONAL_ADDRESSES, Vec::new())];
    }
    let one = |address: &IpAddr| match address {
        IpAddr::V4(address) => notify(NotifyType::ADDITIONAL_IP4_ADDRESS, address.octets().to_vec()),
        IpAddr::V6(address) => notify(NotifyType::ADDITIONAL_IP6_ADDRESS, address.octets().to_vec()),
    };
    addresses.iter().take(limits::PEER_ADDRESSES).map(one).collect()
}

/// Reads a peer's further addresses, each once; `None` if the message does not speak of them.
///
/// What no host can have is left out, and what goes beyond the bound.
pub(crate) fn addresses(message: &Message) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    let mut are_told = false;
    for notify in message.notifies() {
        let octets = notify.data.as_slice();
        let address: Option<IpAddr> = match notify.kind {
            NotifyType::ADDITIONAL_IP4_ADDRESS => {
                <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).into())
            }
            NotifyType::ADDITIONAL_IP6_ADDRESS => {
                <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into())
            }
            NotifyType::NO_ADDITIONAL_ADDRESSES => None,
            _ => continue,
        };
        are_told = true;
        let fits = |address: &IpAddr| is_unicast(*address) && !addresses.contains(address);
        if let Some(address) = address.filter(fits)
            && addresses.len() < limits::PEER_ADDRESSES
        {
            addresses.push(address);
        }
    }
    are_told.then_some(addresses)
}

/// Tells whether an address can be a host's on a network.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    let reserved = match address {
        IpAddr::V4(address) => address.is_broadcast() || address.octets()[0] == 0,
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
    };
    !reserved && !address.is_unspecified() && !address.is_multicast()
}

/// Says where a message comes from and goes to, so that who changes it on the way is found out (RFC 4555 §4.2.6).
pub(crate) fn no_nats_allowed(path: Path) -> Payload {
    notify(NotifyType::NO_NATS_ALLOWED, ends(path.local, path.remote))
}

/// Tells whether a message says where it comes from.
pub(crate) fn says_where_from(message: &Message) -> bool {
    message.notify(NotifyType::NO_NATS_ALLOWED).is_some()
}

/// Tells whether a message came as its sender says, if he says so. The path is the receiver's.
pub(crate) fn came_unchanged(message: &Message, path: Path) -> bool {
    let said = message.notify(NotifyType::NO_NATS_ALLOWED);
    said.is_none_or(|notify| notify.data == ends(path.remote, path.local))
}

fn ends(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut octets = address_octets(source.ip());
    octets.extend(address_octets(destination.ip()));
    octets.extend(source.port().to_be_bytes());
    octets.extend(destination.port().to_be_bytes());
    octets
}

/// Draws a COOKIE2: who returns it has read the request (RFC 4555 §3.7).
pub(crate) fn draw_cookie(random: &mut dyn SecureRandom) -> Result<SecretBytes, CryptoError> {
    let mut octets = vec![0; limits::COOKIE2];
    random.fill(&mut octets)?;
    Ok(SecretBytes::new(octets))
}

/// Writes a COOKIE2.
pub(crate) fn cookie(octets: &SecretBytes) -> Payload {
    notify(NotifyType::COOKIE2, octets.expose().to_vec())
}

/// Returns what a request says as COOKIE2, which its answer repeats; one of an odd length is no COOKIE2 (RFC 4555 §4.2.5).
pub(crate) fn returned_cookie(message: &Message) -> Option<Payload> {
    let fits = |notify: &&Notify| (8..=64).contains(&notify.data.len());
    message.notify(NotifyType::COOKIE2).filter(fits).map(|notify| Payload::Notify(notify.clone()))
}

/// Tells whether an answer repeats a COOKIE2, in constant time.
pub(crate) fn returns(message: &Message, sent: &SecretBytes) -> bool {
    let said = message.notify(NotifyType::COOKIE2);
    said.is_some_and(|notify| SecretBytes::copy_of(&notify.data) == *sent)
}

fn notify(kind: NotifyType, data: Vec<u8>) -> Payload {
    Payload::Notify(Notify::new(kind, data))
}

#[cfg(test)]
mod tests {
    use vpnhost_model::{Encapsulation, IkeSpi};

    use super::*;
    use crate::wire::{ExchangeType, Flags, Header};

    fn message(payloads: Vec<Payload>) -> Message {
        let flags = Flags { initiator: true, version: false, response: false };
        let spis = (IkeSpi([1; 8]), IkeSpi([2; 8]));
        Message { header: Header::new(spis, ExchangeType::INFORMATIONAL, flags, 2), payloads }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_list_of_addresses_is_always_whole() {
        let told = [ip("192.0.2.7"), ip("2001:db8::7")];
        assert_eq!(addresses(&message(announce(&told))), Some(told.to_vec()));
        assert_eq!(addresses(&message(announce(&[]))), Some(Vec::new()));
        assert_eq!(addresses(&message(vec![supported()])), None);
    }

    #[test]
    fn what_no_host_can_have_is_left_out_and_so_is_what_goes_beyond_the_bound() {
        let odd = [ip("0.0.0.0"), ip("224.0.0.1"), ip("255.255.255.255"), ip("::"), ip("ff02::1")];
        let mut payloads = announce(&odd);
        payloads.push(notify(NotifyType::ADDITIONAL_IP4_ADDRESS, vec![1, 2, 3]));
        assert_eq!(addresses(&message(payloads.clone())), Some(Vec::new()));
        let many = (0..=255).map(|last| notify(NotifyType::ADDITIONAL_IP4_ADDRESS, vec![192, 0, 2, last]));
        payloads.extend(many);
        assert_eq!(addresses(&message(payloads)).unwrap().len(), limits::PEER_ADDRESSES);
    }

    #[test]
    fn a_message_that_was_changed_on_the_way_is_found_out() {
        let (here, there) = ("192.0.2.1:500".parse().unwrap(), "198.51.100.1:500".parse().unwrap());
        let path = |local, remote| Path { local, remote, interface: None, encapsulation: Encapsulation::Raw };
        let sent = message(vec![no_nats_allowed(path(here, there))]);
        assert!(came_unchanged(&sent, path(there, here)));
        let outside = "203.0.113.1:500".parse().unwrap();
        assert!(!came_unchanged(&sent, path(there, outside)));
        assert!(!came_unchanged(&sent, path(outside, here)));
        assert!(came_unchanged(&message(Vec::new()), path(there, outside)));
    }

    #[test]
    fn a_cookie_is_returned_as_it_came() {
        let sent = SecretBytes::new(vec![7; 8]);
        let request = message(vec![cookie(&sent)]);
        let answer = message(returned_cookie(&request).into_iter().collect());
        assert!(returns(&answer, &sent));
        assert!(!returns(&answer, &SecretBytes::new(vec![8; 8])));
        assert!(!returns(&message(Vec::new()), &sent));
        let short = message(vec![cookie(&SecretBytes::new(vec![7; 7]))]);
        assert!(returned_cookie(&short).is_none());
    }
}
