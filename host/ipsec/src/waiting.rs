//! Packets that wait for their SA (RFC 4301 §5.1): what wakes a connection that begins on traffic is not lost.
//!
//! Bounded in packets, octets and time; what does not fit, waits too long or waits in vain is dropped and counted by
//! its cause. A packet that waits is nowhere but here, so nothing of it leaks.

use std::collections::VecDeque;

use vpnhost_model::{Instant, TrafficSelector};

use crate::counters::{Counters, DropCause};
use crate::packet::Header;
use crate::{limits, selectors};

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// For whom packets wait: what is behind the peers that are woken by traffic.
    awaited: Vec<TrafficSelector>,
    packets: VecDeque<Packet>,
    octets: usize,
}

#[derive(Debug)]
struct Packet {
    header: Header,
    octets: Box<[u8]>,
    since: Instant,
}

impl Packet {
    fn is_for(&self, remote: &[TrafficSelector]) -> bool {
        is_for(&self.header, remote)
    }
}

impl Waiting {
    /// Has packets for these peers wait from now on, and for no others.
    pub(crate) fn expect(&mut self, awaited: Vec<TrafficSelector>, counters: &Counters) {
        self.drop_where(DropCause::SetUpFailed, counters, |packet| !packet.is_for(&awaited));
        self.awaited = awaited;
    }

    /// Keeps a packet that has no SA yet, if one is to be expected.
    pub(crate) fn hold(&mut self, now: Instant, header: &Header, octets: &[u8]) -> Result<(), DropCause> {
        if !is_for(header, &self.awaited) {
            return Err(DropCause::NoSa);
        }
        let alike = |packet: &&Packet| packet.header.destination == header.destination;
        let is_full = self.packets.len() >= limits::WAITING
            || self.octets + octets.len() > limits::WAITING_OCTETS
            || self.packets.iter().filter(alike).count() >= limits::WAITING_FOR_ONE;
        if is_full {
            return Err(DropCause::WaitingFull);
        }
        self.octets += octets.len();
        self.packets.push_back(Packet { header: *header, octets: octets.into(), since: now });
        Ok(())
    }

    /// Gives the packets that are chosen to `take`, in order, until it takes no more.
    pub(crate) fn release(
        &mut self,
        mut is_chosen: impl FnMut(&Header) -> bool,
        mut take: impl FnMut(&[u8]) -> bool,
    ) {
        let mut is_full = false;
        self.packets.retain(|packet| {
            if is_full || !is_chosen(&packet.header) {
                return true;
            }
            is_full = !take(&packet.octets);
            if !is_full {
                self.octets -= packet.octets.len();
            }
            is_full
        });
    }

    /// Drops what waited for a peer that does not come.
    pub(crate) fn give_up(&mut self, remote: &[TrafficSelector], counters: &Counters) {
        self.drop_where(DropCause::SetUpFailed, counters, |packet| packet.is_for(remote));
    }

    /// Drops what an SA to its peer does not carry, now that there is one.
    pub(crate) fn sort_out(
        &mut self,
        remote: &[TrafficSelector],
        mut is_carried: impl FnMut(&Header) -> bool,
        counters: &Counters,
    ) {
        let is_stray = |packet: &Packet| packet.is_for(remote) && !is_carried(&packet.header);
        self.drop_where(DropCause::NoSa, counters, is_stray);
    }

    /// Drops what waits too long.
    pub(crate) fn expire(&mut self, now: Instant, counters: &Counters) {
        let is_late = |packet: &Packet| now.saturating_since(packet.since) >= limits::WAITING_TIME;
        if self.packets.front().is_some_and(is_late) {
            self.drop_where(DropCause::WaitedTooLong, counters, is_late);
        }
    }

    /// Returns when the first has waited too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.packets.front().map(|packet| packet.since + limits::WAITING_TIME)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    fn drop_where(
        &mut self,
        cause: DropCause,
        counters: &Counters,
        mut is_dropped: impl FnMut(&Packet) -> bool,
    ) {
        self.packets.retain(|packet| {
            let dropped = is_dropped(packet);
            if dropped {
                self.octets -= packet.octets.len();
                counters.drop_for(cause);
            }
            !dropped
        });
    }
}

fn is_for(header: &Header, remote: &[TrafficSelector]) -> bool {
    let port = header.ports.map(|ports| ports.destination);
    remote.iter().any(|selector| selectors::admits(selector, header.destination, header.protocol, port))
}
