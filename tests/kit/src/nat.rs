//! A NAT that forgets: mappings independent of the remote, filters that are not (RFC 4787 §4, §5).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use vpnhost_model::Instant;

use crate::network::{Carrier, Datagram};

/// A NAT between some hosts and the rest of the network.
#[derive(Clone, Debug)]
pub struct Nat {
    inside: BTreeSet<IpAddr>,
    /// The interface by which the hosts inside reach it, where another leads past it.
    link: Option<u32>,
    outside: IpAddr,
    next_port: u16,
    /// How long an unused mapping lives.
    lifetime: Duration,
    mappings: BTreeMap<SocketAddr, Mapping>,
}

#[derive(Clone, Debug)]
struct Mapping {
    port: u16,
    used: Instant,
    remotes: BTreeSet<SocketAddr>,
}

impl Nat {
    /// Makes a NAT without mappings, each of which will live unused for `lifetime`.
    pub fn new(inside: &[IpAddr], outside: IpAddr, lifetime: Duration) -> Self {
        let inside = inside.iter().copied().collect();
        Self { inside, link: None, outside, next_port: 10_000, lifetime, mappings: BTreeMap::new() }
    }

    /// Stands behind one interface of the hosts inside alone.
    #[must_use]
    pub fn behind(self, link: u32) -> Self {
        Self { link: Some(link), ..self }
    }

    /// Forgets every mapping, as a restarted one does; ports are not used again.
    pub fn rebind(&mut self) {
        self.mappings.clear();
    }

    /// Remembers for another time from now on.
    pub fn set_lifetime(&mut self, lifetime: Duration) {
        self.lifetime = lifetime;
    }

    /// Forgets every mapping and has another address from now on.
    pub fn move_to(&mut self, outside: IpAddr) {
        self.rebind();
        self.outside = outside;
    }

    /// Translates what leaves; what cannot be translated is dropped.
    pub(crate) fn translate_outbound(&mut self, now: Instant, datagram: &mut Datagram) -> bool {
        if !self.inside.contains(&datagram.source.ip()) || !self.is_on(datagram) {
            return true;
        }
        if datagram.carrier == Carrier::Esp {
            return false;
        }
        self.expire(now);
        let next_port = &mut self.next_port;
        let mapping = self.mappings.entry(datagram.source).or_insert_with(|| {
            *next_port += 1;
            Mapping { port: *next_port, used: now, remotes: BTreeSet::new() }
        });
        mapping.used = now;
        mapping.remotes.insert(datagram.destination);
        datagram.source = SocketAddr::new(self.outside, mapping.port);
        true
    }

    /// Translates what arrives; what nobody inside asked for is dropped.
    pub(crate) fn translate_inbound(&mut self, now: Instant, datagram: &mut Datagram) -> bool {
        if datagram.link.is_some() {
            // Another one let it in.
            return true;
        }
        if datagram.destination.ip() != self.outside {
            // What is inside cannot be reached by its own address.
            return !self.inside.contains(&datagram.destination.ip());
        }
        self.expire(now);
        let port = datagram.destination.port();
        let found = self.mappings.iter_mut().find(|(_, mapping)| mapping.port == port);
        match found.filter(|(_, mapping)| mapping.remotes.contains(&datagram.source)) {
            Some((inside, mapping)) => {
                mapping.used = now;
                datagram.destination = *inside;
                datagram.link = self.link;
                true
            }
            None => false,
        }
    }

    fn is_on(&self, datagram: &Datagram) -> bool {
        self.link.is_none_or(|link| datagram.link == Some(link))
    }

    fn expire(&mut self, now: Instant) {
        self.mappings.retain(|_, mapping| now.saturating_since(mapping.used) < self.lifetime);
    }
}
