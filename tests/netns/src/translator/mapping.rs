//! Whose packets a NAT64's ports stand for (RFC 6146 §3.5): one port, or one identifier of an echo, for each of a client,
//! whomever it speaks to.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

/// RFC 6146, 4: UDP_DEFAULT.
const LIFETIME: Duration = Duration::from_secs(300);
/// The ports that are given away.
const PORTS: std::ops::RangeInclusive<u16> = 20_000..=29_999;

/// What has ports or identifiers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// UDP.
    Udp,
    /// Echo requests and replies.
    Echo,
}

/// A client's address and its port or identifier.
pub type Client = (Ipv6Addr, u16);

/// The ports of a NAT64, and whose they are.
#[derive(Debug, Default)]
pub struct Mappings {
    by_port: BTreeMap<(Kind, u16), (Client, Duration)>,
    by_client: BTreeMap<(Kind, Client), u16>,
}

impl Mappings {
    /// Returns the port of a client that sends, an unused one for a new client; `None` if there is none.
    pub fn outbound(&mut self, now: Duration, kind: Kind, client: Client) -> Option<u16> {
        self.expire(now);
        let known = self.by_client.get(&(kind, client)).copied();
        let port =
            known.or_else(|| PORTS.into_iter().find(|port| !self.by_port.contains_key(&(kind, *port))))?;
        self.by_port.insert((kind, port), (client, now));
        self.by_client.insert((kind, client), port);
        Some(port)
    }

    /// Returns the client of a port. What comes in does not prolong a mapping (RFC 4787 §4.3).
    pub fn inbound(&mut self, now: Duration, kind: Kind, port: u16) -> Option<Client> {
        self.expire(now);
        self.by_port.get(&(kind, port)).map(|(client, _)| *client)
    }

    fn expire(&mut self, now: Duration) {
        self.by_port.retain(|_, (_, used)| now.saturating_sub(*used) < LIFETIME);
        self.by_client.retain(|(kind, _), port| self.by_port.contains_key(&(*kind, *port)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_keeps_its_port_while_it_sends_and_nobody_shares_it() {
        let mut mappings = Mappings::default();
        let [one, other] = ["fd02::10", "fd02::11"].map(|text| (text.parse().unwrap(), 4500));
        let seconds = Duration::from_secs;
        let port = mappings.outbound(seconds(0), Kind::Udp, one).unwrap();
        assert_ne!(mappings.outbound(seconds(0), Kind::Udp, other), Some(port));
        assert_eq!(mappings.outbound(seconds(299), Kind::Udp, one), Some(port));
        assert_eq!(mappings.inbound(seconds(598), Kind::Udp, port), Some(one));
        assert_eq!(mappings.inbound(seconds(598), Kind::Echo, port), None);
        assert_eq!(mappings.inbound(seconds(599), Kind::Udp, port), None);
    }
}
