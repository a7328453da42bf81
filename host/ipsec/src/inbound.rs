//! From ESP to inner packets (RFC 4303 §3.4, RFC 4301 §5.2).

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use vpnhost_crypto::{CryptoError, PacketKey, PacketLayout};
use vpnhost_model::{
    ChildSaId, ChildSpi, Encapsulation, Instant, Mode, Path, Sequence, TrafficSelector, Translation,
};

use crate::batch::{Batch, Packet, Verdict};
use crate::counters::{Counters, DropCause, add};
use crate::early::Early;
use crate::error::CommandError;
use crate::lifetime::{SaActivity, Silence};
use crate::mtu::{PathMtus, TunnelConfig};
use crate::packet::{Header, protocol};
use crate::replay::ReplayWindow;
use crate::report::{PairMemory, Reports, TrafficReport};
use crate::sad::Sad;
use crate::transport::{self, Hosts, Mending};
use crate::{ecn, esp, limits, mss, selectors};

/// An SA that receives.
pub struct InboundSa {
    /// This host's name of the pair.
    pub id: ChildSaId,
    /// What this host receives on.
    pub spi: ChildSpi,
    /// Where the peer is known to be.
    pub path: Path,
    /// Opens its packets.
    pub key: Box<dyn PacketKey>,
    /// Whether sequence numbers are extended.
    pub sequence: Sequence,
    /// The last sequence number that was received under this key: zero for a new one.
    pub last_sequence: u64,
    /// The anti-replay window in packets, held to [`limits::REPLAY_WINDOW`].
    pub replay_window: u32,
    /// What is behind this host.
    pub local: Vec<TrafficSelector>,
    /// What is behind the peer.
    pub remote: Vec<TrafficSelector>,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// What addresses the peer's checksums cover in transport mode.
    pub translation: Translation,
    /// What was carried.
    pub activity: Arc<SaActivity>,
}

/// What changes the inbound half.
#[derive(Debug)]
pub enum InboundCommand {
    /// A peer was given an SPI: what comes on it may come before its SA.
    Expect(ChildSpi),
    /// The SPI will have no SA.
    Forget(ChildSpi),
    /// An SA receives from now on.
    Install(Box<InboundSa>),
    /// An SA's peer is known to be elsewhere.
    Move(ChildSaId, Path),
    /// An SA receives no longer.
    Remove(ChildSaId),
    /// The path MTU to a peer was learned.
    PathMtu(IpAddr, u16),
    /// What a path carries was measured, where nobody tells it.
    MeasuredMtu(Path, u16),
}

/// The inbound half of the packet path; one thread owns it.
#[derive(Debug)]
pub struct Inbound {
    sas: Sad<Sa>,
    spis: HashMap<ChildSpi, u32>,
    mtus: PathMtus,
    counters: Arc<Counters>,
    reports: Reports,
    early: Early,
    unknown: PairMemory,
}

/// An SA with what follows from it.
struct Sa {
    sa: InboundSa,
    layout: PacketLayout,
    window: ReplayWindow,
    mtu: u16,
    /// Between whom, in transport mode, and what their checksums lack.
    hosts: Option<(Hosts, Mending)>,
    told_first: bool,
    told_soft: bool,
    told_moved: Option<Instant>,
}

impl Inbound {
    /// Makes an inbound half without SAs.
    pub fn new(config: TunnelConfig, counters: Arc<Counters>) -> Self {
        Self {
            sas: Sad::default(),
            spis: HashMap::new(),
            mtus: PathMtus::new(config),
            counters,
            reports: Reports::default(),
            early: Early::default(),
            unknown: PairMemory::new(limits::UNKNOWN_SPI_MEMORY, limits::UNKNOWN_SPI_INTERVAL),
        }
    }

    /// Changes the SAs.
    ///
    /// # Errors
    /// An SA that cannot be, or is not there; nothing has changed then.
    pub fn handle_command(&mut self, now: Instant, command: InboundCommand) -> Result<(), CommandError> {
        match command {
            InboundCommand::Expect(spi) => {
                self.early.expect(spi);
                Ok(())
            }
            InboundCommand::Forget(spi) => {
                self.early.forget(spi, &self.counters);
                Ok(())
            }
            InboundCommand::Install(sa) => {
                let spi = sa.spi;
                self.install(*sa)?;
                self.early.meet(now, spi, &self.counters);
                Ok(())
            }
            InboundCommand::Move(id, path) => {
                let index = self.sas.index(id)?;
                let Some(sa) = self.sas.get_mut(index) else { return Err(CommandError::Unknown(id)) };
                let is_elsewhere = std::mem::replace(&mut sa.sa.path, path) != path;
                sa.told_moved = None;
                self.reports.forget_moved(id);
                if is_elsewhere {
                    let others = self.sas.all().filter(|sa| sa.sa.id != id).map(|sa| &sa.sa.path);
                    self.mtus.come_to(&path, others);
                }
                if let Some(sa) = self.sas.get_mut(index) {
                    sa.mtu = self.mtus.tunnel_mtu(&path, &sa.layout);
                }
                Ok(())
            }
            InboundCommand::Remove(id) => {
                let (_, sa) = self.sas.remove(id)?;
                self.spis.remove(&sa.sa.spi);
                self.reports.forget(id);
                Ok(())
            }
            InboundCommand::PathMtu(remote, mtu) => {
                self.mtus.learn(now, remote, mtu);
                self.remeasure();
                Ok(())
            }
            InboundCommand::MeasuredMtu(path, mtu) => {
                self.mtus.measure(now, &path, mtu);
                self.remeasure();
                Ok(())
            }
        }
    }

    /// Tells whether any SA has that peer: of others an ICMP error need not be believed (RFC 4301 §8.2.1).
    pub fn has_peer(&self, remote: IpAddr) -> bool {
        self.sas.all().any(|sa| sa.sa.path.remote.ip() == remote)
    }

    /// Puts packets that came before their SA, which is there now, into an empty batch, to be opened as any other: as many
    /// as fit. None are left when it stays empty.
    pub fn release(&mut self, batch: &mut Batch) {
        self.early.release(batch);
    }

    /// Opens the pending packets of a batch: each is delivered, dropped and counted, or waits for an SA that is expected.
    /// Octets without a valid ICV change nothing but a counter.
    pub fn open(&mut self, now: Instant, batch: &mut Batch) {
        if self.mtus.expire(now).is_any() {
            self.remeasure();
        }
        for slot in 0..batch.len() {
            if batch.packet(slot).verdict == Verdict::Pending
                && let Err(verdict) = self.admit(now, batch, slot)
            {
                batch.packet(slot).verdict = verdict;
            }
        }
        let sas = &mut self.sas;
        let open = |sa, packets: &mut [vpnhost_crypto::PacketMut<'_>]| match sas.get_mut(sa) {
            Some(sa) => sa.sa.key.open(packets),
            None => packets.iter_mut().for_each(|packet| packet.outcome = Err(CryptoError::Backend)),
        };
        batch.with_keys(open, cause_of);
        for slot in 0..batch.len() {
            if batch.packet(slot).verdict == Verdict::Pending {
                let verdict =
                    self.deliver(now, batch, slot).map_or_else(Verdict::Dropped, |()| Verdict::Deliver);
                batch.packet(slot).verdict = verdict;
            }
            if let Verdict::Dropped(cause) = batch.packet(slot).verdict {
                self.counters.drop_for(cause);
            }
        }
    }

    /// Returns the next thing that control must know. What is told of an SA waits here until it is taken.
    pub fn poll_report(&mut self) -> Option<TrafficReport> {
        self.reports.pop()
    }

    /// Tells whether there is something that control must know.
    pub fn has_report(&self) -> bool {
        !self.reports.is_empty()
    }

    fn install(&mut self, sa: InboundSa) -> Result<(), CommandError> {
        let layout = sa.key.layout();
        self.sas.admit(sa.id)?;
        if !selectors::are_valid(&sa.local) || !selectors::are_valid(&sa.remote) {
            return Err(CommandError::Selectors(sa.id));
        }
        let hosts = match sa.mode {
            Mode::Tunnel => None,
            Mode::Transport => {
                let hosts = Hosts::of(&sa.local, &sa.remote).ok_or(CommandError::TransportMode(sa.id))?;
                Some((hosts, Mending::of(hosts, sa.translation)))
            }
        };
        if !esp::fits(&layout) {
            return Err(CommandError::Layout(sa.id));
        }
        if sa.spi.0 < 256 {
            return Err(CommandError::SpiReserved(sa.spi));
        }
        if self.spis.contains_key(&sa.spi) {
            return Err(CommandError::SpiInUse(sa.spi));
        }
        let size = sa.replay_window.clamp(*limits::REPLAY_WINDOW.start(), *limits::REPLAY_WINDOW.end());
        let window = ReplayWindow::new(size, sa.sequence == Sequence::EXTENDED, sa.last_sequence);
        let mtu = self.mtus.tunnel_mtu(&sa.path, &layout);
        let (id, spi) = (sa.id, sa.spi);
        let sa = Sa { sa, layout, window, mtu, hosts, told_first: false, told_soft: false, told_moved: None };
        self.spis.insert(spi, self.sas.insert(id, sa)?);
        Ok(())
    }

    fn remeasure(&mut self) {
        for sa in self.sas.all_mut() {
            sa.mtu = self.mtus.tunnel_mtu(&sa.sa.path, &sa.layout);
        }
    }

    /// Finds a packet's SA and sequence number; nothing is believed yet, and nothing changes.
    fn admit(&mut self, now: Instant, batch: &mut Batch, slot: usize) -> Result<(), Verdict> {
        let (packet, octets) = batch.slot(slot);
        let octets = &octets[packet.start..packet.start + packet.len];
        let (spi, low) = esp::read_header(octets).ok_or(DropCause::Truncated)?;
        let Some(&index) = self.spis.get(&spi) else {
            if let Some(arrival) = packet.arrival {
                if self.early.hold(now, spi, (arrival, octets), &self.counters) {
                    return Err(Verdict::Waits);
                }
                let path = arrival.path;
                if self.unknown.is_news(path.remote.ip(), path.local.ip(), now) {
                    let report = TrafficReport::UnknownSpi { spi, path, octets: octets.len() };
                    self.reports.push(report, &self.counters);
                }
            }
            return Err(DropCause::UnknownSpi.into());
        };
        let sa = self.sas.get_mut(index).ok_or(DropCause::UnknownSpi)?;
        let around = esp::front(&sa.layout) + sa.layout.icv_len;
        match octets.len().checked_sub(around) {
            None => return Err(DropCause::Truncated.into()),
            Some(0) => return Err(DropCause::Empty.into()),
            Some(text) if text < esp::TRAILER || text % sa.layout.block_len.max(1) != 0 => {
                return Err(DropCause::Truncated.into());
            }
            Some(_) => {}
        }
        packet.sequence = sa.window.check(low)?;
        packet.extended = sa.sa.sequence == Sequence::EXTENDED;
        packet.sa = index;
        Ok(())
    }

    /// Takes an authentic packet: replay window, liveness, and then the inner packet.
    fn deliver(&mut self, now: Instant, batch: &mut Batch, slot: usize) -> Result<(), DropCause> {
        let (packet, octets) = batch.slot(slot);
        let sa = self.sas.get_mut(packet.sa).ok_or(DropCause::UnknownSpi)?;
        let missing = packet.sequence.saturating_sub(sa.window.top().saturating_add(1));
        let newest = sa.window.commit(packet.sequence)?;
        // RFC 4555, 3.12: what comes to another address does not show that the path in use carries anything.
        if packet.arrival.is_none_or(|arrival| sa.comes_to(arrival.path)) {
            if let Some(Silence { since, spoke }) = sa.sa.activity.silence(now) {
                let id = sa.sa.id;
                let resumed = TrafficReport::Resumed { id, since, spoke, at: now, missing };
                self.reports.push(resumed, &self.counters);
            }
            sa.sa.activity.inbound.touch(now);
        }
        if !std::mem::replace(&mut sa.told_first, true) {
            self.reports.push(TrafficReport::FirstInbound(sa.sa.id), &self.counters);
        }
        if newest
            && let Some(path) = packet.arrival.and_then(|arrival| sa.moved(arrival.path))
            && sa.told_moved.is_none_or(|at| now.saturating_since(at) >= limits::MOVED_INTERVAL)
        {
            sa.told_moved = Some(now);
            self.reports.push(TrafficReport::Moved(sa.sa.id, path), &self.counters);
        }
        let text_start = packet.start + esp::front(&sa.layout);
        let text_end = packet.start + packet.len - sa.layout.icv_len;
        let (inner, next_header) = esp::read_trailer(&octets[text_start..text_end])?;
        let text = text_start..text_start + inner;
        let (inner, next_header) = sa.unwrap(octets, (text, next_header), packet)?;
        let start = inner.start;
        let len = sa.take_inner(&mut octets[inner], (next_header, packet.tos), &self.counters)?;
        (packet.start, packet.len) = (start, len);
        sa.sa.activity.inbound.carry(len);
        add(&self.counters.packets_in, 1);
        add(&self.counters.bytes_in, len as u64);
        if !sa.told_soft && sa.sa.activity.is_at_limit(&sa.sa.activity.inbound) {
            sa.told_soft = true;
            self.reports.push(TrafficReport::SoftLimit(sa.sa.id), &self.counters);
        }
        Ok(())
    }
}

impl Sa {
    /// Returns where the inner packet lies, and whose protocol number it has: in transport mode it gets its header.
    fn unwrap(
        &self,
        slot: &mut [u8],
        (text, next_header): (Range<usize>, u8),
        packet: &Packet,
    ) -> Result<(Range<usize>, u8), DropCause> {
        let Some((hosts, mending)) = self.hosts.filter(|_| next_header != protocol::NONE) else {
            return Ok((text, next_header));
        };
        let arrived = transport::Arrived { hosts, next_header, tos: packet.tos, mending };
        let inner = transport::rebuild(slot, text, &arrived)?;
        Ok((inner, if hosts.local.is_ipv4() { protocol::IPV4 } else { protocol::IPV6 }))
    }

    /// Checks an inner packet and fits it to this side; returns its length.
    fn take_inner(
        &self,
        octets: &mut [u8],
        (next_header, outer_tos): (u8, u8),
        counters: &Counters,
    ) -> Result<usize, DropCause> {
        match next_header {
            // RFC 4303 §2.6: a dummy packet is dropped without prejudice.
            protocol::NONE => return Err(DropCause::Dummy),
            protocol::IPV4 | protocol::IPV6 => {}
            _ => return Err(DropCause::BadNextHeader),
        }
        // What follows the inner packet is traffic flow confidentiality padding (RFC 4303 §2.7).
        let header = Header::of(octets).ok_or(DropCause::MalformedInner)?;
        if header.is_v4() != (next_header == protocol::IPV4) {
            return Err(DropCause::BadNextHeader);
        }
        // RFC 4301 §5.2, step 4.
        if !selectors::select_inbound(&self.sa.local, &self.sa.remote, &header) {
            return Err(DropCause::SelectorMismatch);
        }
        let tos = ecn::decapsulate(header.tos, outer_tos).ok_or(DropCause::CongestionMarked)?;
        if tos != header.tos {
            ecn::write(octets, tos);
        }
        if mss::clamp(octets, &header, self.mtu) {
            add(&counters.mss_clamped, 1);
        }
        Ok(header.total_len)
    }

    /// Tells whether a packet came to the address of this host that the SA has.
    fn comes_to(&self, from: Path) -> bool {
        let (to, known) = (from.local.ip(), self.sa.path.local.ip());
        to == known || to.is_unspecified() || known.is_unspecified()
    }

    /// Returns where the peer is, if it is not where it is known to be. Who sends to another address of this host has not
    /// heard yet which one it has, or is about to tell where it is itself.
    fn moved(&self, from: Path) -> Option<Path> {
        if !self.comes_to(from) {
            return None;
        }
        let known = self.sa.path;
        let elsewhere = from.remote.ip() != known.remote.ip();
        match (from.encapsulation, known.encapsulation) {
            (Encapsulation::Udp, Encapsulation::Udp) => {
                (elsewhere || from.remote.port() != known.remote.port()).then_some(from)
            }
            // Either form may come at any time, and raw ESP has no ports.
            (Encapsulation::Udp, Encapsulation::Raw) => elsewhere.then_some(from),
            (Encapsulation::Raw, Encapsulation::Udp | Encapsulation::Raw) => {
                let mut path = from;
                path.local.set_port(known.local.port());
                path.remote.set_port(known.remote.port());
                elsewhere.then_some(path)
            }
        }
    }
}

fn cause_of(error: CryptoError) -> DropCause {
    match error {
        CryptoError::AuthenticationFailed => DropCause::BadIcv,
        CryptoError::BadLength => DropCause::Truncated,
        CryptoError::BadPeerKey | CryptoError::BadKey | CryptoError::Unsupported | CryptoError::Backend => {
            DropCause::CryptoFailed
        }
    }
}

impl fmt::Debug for InboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InboundSa({}, spi {}, {})", self.id, self.spi, self.path)
    }
}

impl fmt::Debug for Sa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sa.fmt(f)
    }
}
