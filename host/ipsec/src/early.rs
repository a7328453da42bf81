//! ESP that is faster than the answer which makes its SA: who answered may send at once (RFC 7296 §2.8), and the answer may
//! come later than the packet, or take its time to be verified. What comes on an SPI that this host has given to a peer
//! waits a moment for its SA.
//!
//! Bounded in SPIs, packets, octets and time; what waits in vain is dropped and counted as of an unknown SPI.

use std::collections::{HashSet, VecDeque};

use vpnhost_model::{ChildSpi, Instant};

use crate::batch::{Arrival, Batch};
use crate::counters::{Counters, DropCause};
use crate::limits;

/// What waits, in the order in which it came.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// SPIs that a peer was given and that have no SA yet.
    expected: HashSet<ChildSpi>,
    packets: VecDeque<Packet>,
    octets: usize,
}

#[derive(Debug)]
struct Packet {
    spi: ChildSpi,
    arrival: Arrival,
    octets: Box<[u8]>,
    since: Instant,
}

impl Early {
    /// Has packets on an SPI wait for its SA; beyond the bound they do not.
    pub(crate) fn expect(&mut self, spi: ChildSpi) {
        if self.expected.len() < limits::EXPECTED_SPIS {
            self.expected.insert(spi);
        }
    }

    /// There will be no such SA.
    pub(crate) fn forget(&mut self, spi: ChildSpi, counters: &Counters) {
        if self.expected.remove(&spi) {
            self.drop_where(counters, |packet| packet.spi == spi);
        }
    }

    /// The SA is there.
    pub(crate) fn meet(&mut self, now: Instant, spi: ChildSpi, counters: &Counters) {
        if self.expected.remove(&spi) {
            self.expire(now, counters);
        }
    }

    /// Keeps a packet if its SA is to be expected; tells whether it does.
    pub(crate) fn hold(
        &mut self,
        now: Instant,
        spi: ChildSpi,
        (arrival, octets): (Arrival, &[u8]),
        counters: &Counters,
    ) -> bool {
        if !self.expected.contains(&spi) {
            return false;
        }
        self.expire(now, counters);
        let is_full =
            self.packets.len() >= limits::EARLY || self.octets + octets.len() > limits::EARLY_OCTETS;
        if !is_full {
            self.octets += octets.len();
            self.packets.push_back(Packet { spi, arrival, octets: octets.into(), since: now });
        }
        !is_full
    }

    /// Puts packets whose SA is there into an empty batch, as many as fit.
    pub(crate) fn release(&mut self, batch: &mut Batch) {
        let Self { expected, packets, octets } = self;
        packets.retain(|packet| {
            let room = batch.room().and_then(|room| room.get_mut(..packet.octets.len()));
            let Some(room) = room.filter(|_| !expected.contains(&packet.spi)) else { return true };
            room.copy_from_slice(&packet.octets);
            batch.push_arrival(0, packet.octets.len(), packet.arrival);
            *octets -= packet.octets.len();
            false
        });
    }

    fn expire(&mut self, now: Instant, counters: &Counters) {
        self.drop_where(counters, |packet| now.saturating_since(packet.since) > limits::EARLY_TIME);
    }

    fn drop_where(&mut self, counters: &Counters, is_meant: impl Fn(&Packet) -> bool) {
        self.packets.retain(|packet| {
            let is_dropped = is_meant(packet);
            if is_dropped {
                self.octets -= packet.octets.len();
                counters.drop_for(DropCause::UnknownSpi);
            }
            !is_dropped
        });
    }
}
