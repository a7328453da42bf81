//! A batch of packets in one contiguous arena: what a thread reads, seals or opens, and writes at once.
//!
//! Every slot has the same stride, with head- and tailroom, so that a packet grows in place. Packets
//! are listed in the order in which they leave, which differs from the slots' only where one was
//! fragmented.

use vpnhost_crypto::{CryptoError, PacketMut};
use vpnhost_model::Path;

use crate::counters::DropCause;
use crate::limits::{HEADROOM, TAILROOM};

/// What is to become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not looked at yet.
    Pending,
    /// It is ESP and goes to the peer on this path.
    Send(Path),
    /// It is an inner packet for the TUN.
    Deliver,
    /// It is an ICMP error about an outbound packet, for the TUN.
    Reply,
    /// It waits for its SA, elsewhere; [`crate::Outbound::release`] or [`crate::Inbound::release`] brings it back.
    Waits,
    /// It was dropped and counted.
    Dropped(DropCause),
}

impl From<DropCause> for Verdict {
    fn from(cause: DropCause) -> Self {
        Self::Dropped(cause)
    }
}

/// From where an ESP packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The path: our address, the peer's, and how it travelled.
    pub path: Path,
    /// The outer header's TOS or traffic class.
    pub tos: u8,
}

/// What is known of the packet in a slot.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) tos: u8,
    pub(crate) verdict: Verdict,
    pub(crate) arrival: Option<Arrival>,
    /// Which SA: an index into its table.
    pub(crate) sa: u32,
    /// The whole sequence number.
    pub(crate) sequence: u64,
    /// Whether the high half takes part in the ICV.
    pub(crate) extended: bool,
    /// Octets of the inner packet, while it is sealed.
    pub(crate) inner_len: usize,
    /// The path MTU, where it is larger.
    pub(crate) cut_to: Option<u16>,
}

impl Packet {
    /// Returns what is to become of it.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns the TOS or traffic class that its outer header is to have.
    pub fn tos(&self) -> u8 {
        self.tos
    }

    /// Returns what the path carries, in octets with IP's header, if that is less than this packet, which is to arrive all the
    /// same: in fragments (RFC 2473 §7.1).
    pub fn cut_to(&self) -> Option<u16> {
        self.cut_to
    }
}

/// Packets in slots of one arena.
#[derive(Debug)]
pub struct Batch {
    octets: Vec<u8>,
    stride: usize,
    /// By slot.
    packets: Vec<Packet>,
    /// Slots in the order in which their packets leave.
    order: Vec<usize>,
}

impl Batch {
    /// Makes an empty batch of `slots` packets, each of up to `max_packet` octets.
    pub fn new(slots: usize, max_packet: usize) -> Self {
        // Slots begin on cache lines.
        let stride = (HEADROOM + max_packet + TAILROOM).next_multiple_of(64);
        Self {
            octets: vec![0; stride * slots],
            stride,
            packets: Vec::with_capacity(slots),
            order: Vec::with_capacity(slots),
        }
    }

    /// Forgets every packet.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.order.clear();
    }

    /// Returns how many slots are in use.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Tells whether no slot is in use.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Returns how many packets fit in all.
    pub fn capacity(&self) -> usize {
        self.octets.len() / self.stride
    }

    /// Returns the next free slot's room for a packet, head- and tailroom kept back; `None` if full.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        let (stride, used) = (self.stride, self.packets.len());
        let slot = self.octets.chunks_exact_mut(stride).nth(used)?;
        Some(&mut slot[HEADROOM..stride - TAILROOM])
    }

    /// Takes the packet of `len` octets that was written into the next [`Self::room`].
    ///
    /// # Panics
    /// If the batch is full.
    pub fn push(&mut self, len: usize) {
        self.push_packet(0, len, None);
    }

    /// Takes an ESP packet that was received into the next [`Self::room`]; `skip` octets in front of
    /// it (a raw socket's IP header) are none of it.
    ///
    /// # Panics
    /// If the batch is full.
    pub fn push_arrival(&mut self, skip: usize, len: usize, arrival: Arrival) {
        self.push_packet(skip, len, Some(arrival));
    }

    /// Returns the packets with their octets, in the order in which they leave.
    pub fn packets(&self) -> impl Iterator<Item = (&Packet, &[u8])> {
        self.order.iter().map(|slot| {
            let packet = &self.packets[*slot];
            let from = slot * self.stride + packet.start;
            (packet, &self.octets[from..from + packet.len])
        })
    }

    fn push_packet(&mut self, skip: usize, len: usize, arrival: Option<Arrival>) {
        assert!(self.packets.len() < self.capacity(), "a full batch was pushed to");
        let room = self.stride - HEADROOM - TAILROOM;
        let skip = skip.min(room);
        let len = len.min(room - skip);
        self.order.push(self.packets.len());
        self.packets.push(Packet {
            start: HEADROOM + skip,
            len,
            tos: arrival.map_or(0, |a| a.tos),
            verdict: Verdict::Pending,
            arrival,
            sa: 0,
            sequence: 0,
            extended: false,
            inner_len: 0,
            cut_to: None,
        });
    }

    pub(crate) fn slot_at(&self, position: usize) -> Option<usize> {
        self.order.get(position).copied()
    }

    pub(crate) fn packet(&mut self, slot: usize) -> &mut Packet {
        &mut self.packets[slot]
    }

    /// Returns a packet and its whole slot.
    pub(crate) fn slot(&mut self, slot: usize) -> (&mut Packet, &mut [u8]) {
        let from = slot * self.stride;
        (&mut self.packets[slot], &mut self.octets[from..from + self.stride])
    }

    /// Tells how many octets a packet may have.
    pub(crate) fn room_len(&self) -> usize {
        self.stride - HEADROOM - TAILROOM
    }

    /// Takes a free slot for a packet that leaves at `position`; returns the slot.
    pub(crate) fn insert(&mut self, position: usize, len: usize) -> Option<usize> {
        if self.packets.len() == self.capacity() || len > self.room_len() {
            return None;
        }
        let slot = self.packets.len();
        self.push_packet(0, len, None);
        self.order.pop();
        self.order.insert(position, slot);
        Some(slot)
    }

    /// Copies octets from one slot to another, by offsets within the slots.
    pub(crate) fn copy(&mut self, from: (usize, usize), to: (usize, usize), len: usize) {
        let source = from.0 * self.stride + from.1;
        self.octets.copy_within(source..source + len, to.0 * self.stride + to.1);
    }

    /// Gives the pending packets to their keys, neighbours of one SA together, and drops what failed.
    pub(crate) fn with_keys(
        &mut self,
        mut work: impl FnMut(u32, &mut [PacketMut<'_>]),
        cause: impl Fn(CryptoError) -> DropCause,
    ) {
        let Self { octets, stride, packets, .. } = self;
        let mut run: Vec<PacketMut<'_>> = Vec::with_capacity(packets.len());
        let mut first = 0;
        let mut slots = octets.chunks_exact_mut(*stride);
        for at in 0..=packets.len() {
            let joins = packets.get(at).is_some_and(|packet| {
                packet.verdict == Verdict::Pending && (run.is_empty() || packet.sa == packets[first].sa)
            });
            if !joins && !run.is_empty() {
                work(packets[first].sa, &mut run);
                for (packet, done) in packets[first..].iter_mut().zip(run.drain(..)) {
                    if let Err(error) = done.outcome {
                        packet.verdict = Verdict::Dropped(cause(error));
                    }
                }
            }
            let (Some(packet), Some(slot)) = (packets.get(at), slots.next()) else { break };
            if packet.verdict != Verdict::Pending {
                continue;
            }
            if run.is_empty() {
                first = at;
            }
            let mut octets =
                PacketMut::new(&mut slot[packet.start..packet.start + packet.len], crate::esp::HEADER);
            octets.esn_high = packet.extended.then_some((packet.sequence >> 32) as u32);
            run.push(octets);
        }
    }
}
