//! Addresses at which a peer was proven to be, or at which it has heard of this host. That lasts for a while: networks give
//! an address to somebody else, and many networks have the same ones.

use std::net::IpAddr;

use vpnhost_model::Instant;

use crate::limits;

/// Addresses, the oldest first, and since when each is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownAddresses(Vec<Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    address: IpAddr,
    /// None: somebody configured it.
    since: Option<Instant>,
}

impl KnownAddresses {
    /// Makes those that are known without a proof.
    pub(crate) fn configured(addresses: impl Iterator<Item = IpAddr>) -> Self {
        Self(addresses.map(|address| Known { address, since: None }).collect())
    }

    /// Tells whether an address is known.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|known| known.address == address)
    }

    /// Notes that it is known from now on; among many the one that was noted first makes room.
    pub(crate) fn note(&mut self, now: Instant, address: IpAddr) {
        if self.0.iter().any(|known| known.address == address && known.since.is_none()) {
            return;
        }
        self.forget(address);
        let mut noted = (0..self.0.len()).filter(|at| self.0[*at].since.is_some());
        if let Some(first) = noted.next()
            && 1 + noted.count() >= limits::PATHS
        {
            self.0.remove(first);
        }
        self.0.push(Known { address, since: Some(now) });
    }

    /// Forgets one.
    pub(crate) fn forget(&mut self, address: IpAddr) {
        self.0.retain(|known| known.address != address);
    }

    /// Forgets those that are known for too long; the one in use is known from now on, if it was.
    pub(crate) fn expire(&mut self, now: Instant, in_use: IpAddr) {
        if self.contains(in_use) {
            self.note(now, in_use);
        }
        let lasts = |since: Instant| now.saturating_since(since) < limits::ADDRESS_KNOWN;
        self.0.retain(|known| known.since.is_none_or(lasts));
    }
}
