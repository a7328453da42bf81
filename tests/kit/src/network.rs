//! A network that is a value: what is sent arrives later, out of order, twice, or never.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use vpnhost_model::Instant;

use crate::capture::{Capture, Fate};
use crate::nat::Nat;
use crate::random::Random;

/// What carries a datagram's octets over IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// UDP.
    Udp,
    /// IP protocol 50; the ports mean nothing.
    Esp,
}

/// An IP packet between two hosts, without its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// What carries it.
    pub carrier: Carrier,
    /// TOS or traffic class.
    pub tos: u8,
    /// The interface that it leaves by, or came in by, where that matters.
    pub link: Option<u32>,
    /// What is behind the UDP or IP header.
    pub octets: Vec<u8>,
}

impl Datagram {
    /// Returns what of IKE it carries: an exchange's request or answer (RFC 7296 §3.1), or a NAT keepalive.
    fn message(&self) -> Option<&'static str> {
        if self.carrier == Carrier::Udp && self.octets == [0xff] {
            return Some(KEEPALIVE);
        }
        let header = self.ike()?;
        let is_answer = header.get(19).is_some_and(|flags| flags & 0x20 != 0);
        Some(match header.get(18) {
            Some(34) if !is_answer => "IKE_SA_INIT",
            Some(35) if !is_answer => "IKE_AUTH",
            Some(36) if !is_answer => "CREATE_CHILD_SA",
            Some(37) if !is_answer => "INFORMATIONAL",
            Some(_) | None => "answers",
        })
    }
}

/// A NAT keepalive (RFC 3948 §2.3).
pub const KEEPALIVE: &str = "keepalives";

/// What was sent of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// So many.
    pub datagrams: u64,
    /// With IP and UDP headers.
    pub octets: u64,
}

/// What the network does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// How many of a hundred are lost.
    pub loss: u64,
    /// How many of a hundred that are not lost arrive twice.
    pub duplication: u64,
    /// The least and the most time on the way: what is apart less than the difference changes its order.
    pub delay: (Duration, Duration),
}

impl Weather {
    /// Everything arrives once, in order, after ten milliseconds.
    pub const FAIR: Self =
        Self { loss: 0, duplication: 0, delay: (Duration::from_millis(10), Duration::from_millis(10)) };

    /// Nothing arrives, and nobody is told.
    pub const DEAD: Self = Self { loss: 100, ..Self::FAIR };

    /// A fifth is lost, a fifth comes twice, and order is chance.
    pub const STORM: Self =
        Self { loss: 20, duplication: 20, delay: (Duration::from_millis(10), Duration::from_millis(400)) };
}

/// Decides whether a datagram is taken at all.
pub type Filter = Box<dyn FnMut(&Datagram) -> bool + Send>;

/// What is between the hosts.
pub struct Network {
    /// What it does by itself.
    pub weather: Weather,
    /// What it does instead to whatever has one of these addresses, before any NAT.
    pub roads: BTreeMap<IpAddr, Weather>,
    /// What a story lets through; everything without.
    pub filter: Option<Filter>,
    /// NATs, each in front of the hosts inside of it.
    pub nats: Vec<Nat>,
    /// What was sent.
    pub capture: Capture,
    /// What was sent of IKE, by its kind.
    pub sent_of_ike: BTreeMap<&'static str, Sent>,
    random: Random,
    in_flight: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
}

impl Network {
    /// Makes a network in fair weather.
    pub fn new(random: Random) -> Self {
        Self {
            weather: Weather::FAIR,
            roads: BTreeMap::new(),
            filter: None,
            nats: Vec::new(),
            capture: Capture::default(),
            sent_of_ike: BTreeMap::new(),
            random,
            in_flight: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Takes a datagram.
    pub fn send(&mut self, now: Instant, mut datagram: Datagram) {
        let let_through = self.filter.as_mut().is_none_or(|filter| filter(&datagram));
        let sent = datagram.clone();
        if let Some(kind) = sent.message() {
            let of_kind = self.sent_of_ike.entry(kind).or_default();
            of_kind.datagrams += 1;
            of_kind.octets += 28 + sent.octets.len() as u64;
        }
        let translated =
            let_through && self.nats.iter_mut().all(|nat| nat.translate_outbound(now, &mut datagram));
        let road = [sent.source, sent.destination].iter().find_map(|end| self.roads.get(&end.ip()));
        let weather = road.copied().unwrap_or(self.weather);
        if !translated || self.random.percent(weather.loss) {
            return self.capture.record(now, sent, Fate::Lost);
        }
        self.capture.record(now, sent, Fate::Sent);
        datagram.link = None;
        let copies = 1 + u64::from(self.random.percent(weather.duplication));
        for _ in 0..copies {
            let delay = self.random.between(weather.delay);
            self.sent += 1;
            self.in_flight.insert((now + delay, self.sent), datagram.clone());
        }
    }

    /// Returns the octets of IKE that were sent, without NAT keepalives.
    pub fn octets_of_ike(&self) -> u64 {
        let messages = self.sent_of_ike.iter().filter(|(kind, _)| **kind != KEEPALIVE);
        messages.map(|(_, sent)| sent.octets).sum()
    }

    /// Takes the first datagram on its way that somebody waits for, so that it does not arrive.
    pub fn intercept(&mut self, wanted: impl Fn(&Datagram) -> bool) -> Option<Datagram> {
        let found = self.in_flight.iter().find(|(_, datagram)| wanted(datagram)).map(|(at, _)| *at)?;
        self.in_flight.remove(&found)
    }

    /// Returns when the next datagram arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next datagram that has arrived.
    pub fn take_arrival(&mut self, now: Instant) -> Option<Datagram> {
        loop {
            let entry = self.in_flight.first_entry().filter(|entry| entry.key().0 <= now)?;
            let mut datagram = entry.remove();
            if self.nats.iter_mut().all(|nat| nat.translate_inbound(now, &mut datagram)) {
                return Some(datagram);
            }
        }
    }
}
