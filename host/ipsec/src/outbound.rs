//! From inner packets to ESP (RFC 4303 §3.3, RFC 4301 §5.1).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use vpnhost_crypto::{CryptoError, PacketKey, PacketLayout, SecureRandom};
use vpnhost_model::{ChildSaId, ChildSpi, Instant, Mode, Path, Sequence, TrafficSelector};

use crate::batch::{Batch, Verdict};
use crate::counters::{Counters, DropCause, add};
use crate::error::CommandError;
use crate::iv::IvSource;
use crate::lifetime::SaActivity;
use crate::mtu::{PathMtus, TunnelConfig};
use crate::packet::{Header, protocol};
use crate::report::{PairMemory, RateLimit, Reports, TrafficReport};
use crate::sad::Sad;
use crate::spd::Spd;
use crate::transport::{self, Hosts};
use crate::waiting::Waiting;
use crate::{ecn, esp, fragment, icmp, limits, mss, mtu, selectors};

/// An SA that sends.
pub struct OutboundSa {
    /// This host's name of the pair.
    pub id: ChildSaId,
    /// What the peer receives on.
    pub spi: ChildSpi,
    /// Where the packets go.
    pub path: Path,
    /// Seals them.
    pub key: Box<dyn PacketKey>,
    /// Whether sequence numbers are extended.
    pub sequence: Sequence,
    /// The last sequence number that was sent under this key: zero for a new one.
    pub last_sequence: u64,
    /// What is behind this host.
    pub local: Vec<TrafficSelector>,
    /// What is behind the peer.
    pub remote: Vec<TrafficSelector>,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// What was carried.
    pub activity: Arc<SaActivity>,
}

/// What changes the outbound half.
#[derive(Debug)]
pub enum OutboundCommand {
    /// An SA may be activated from now on.
    Install(Box<OutboundSa>),
    /// An SA is used for its selectors, before every other of the same selectors.
    Activate(ChildSaId),
    /// An SA takes another path.
    Move(ChildSaId, Path),
    /// An SA is no more.
    Remove(ChildSaId),
    /// The path MTU to a peer was learned.
    PathMtu(IpAddr, u16),
    /// What a path carries was measured, where nobody tells it.
    MeasuredMtu(Path, u16),
    /// Packets to these wait for an SA where there is none yet; all others are dropped.
    Expect(Vec<TrafficSelector>),
    /// No SA comes for the packets to these that wait.
    GiveUp(Vec<TrafficSelector>),
}

/// The outbound half of the packet path; one thread owns it.
#[derive(Debug)]
pub struct Outbound {
    sas: Sad<Sa>,
    spd: Spd,
    ivs: IvSource,
    mtus: PathMtus,
    counters: Arc<Counters>,
    reports: Reports,
    acquired: PairMemory,
    waiting: Waiting,
    icmp_limit: RateLimit,
}

/// An SA with what follows from it.
struct Sa {
    sa: OutboundSa,
    layout: PacketLayout,
    mtu: u16,
    /// A larger packet, with IP's header, does not arrive whole.
    path_mtu: u16,
    /// A larger packet, with IP's header, is told of: nobody knows whether the path carries it.
    proven: u16,
    told_soft: bool,
    told_exhausted: bool,
}

impl Outbound {
    /// Makes an outbound half without SAs; `random` is for unpredictable IVs.
    pub fn new(config: TunnelConfig, random: Box<dyn SecureRandom>, counters: Arc<Counters>) -> Self {
        Self {
            sas: Sad::default(),
            spd: Spd::default(),
            ivs: IvSource::new(random),
            mtus: PathMtus::new(config),
            counters,
            reports: Reports::default(),
            acquired: PairMemory::new(limits::ACQUIRE_MEMORY, limits::ACQUIRE_INTERVAL),
            waiting: Waiting::default(),
            icmp_limit: RateLimit::new(limits::ICMP_BURST, limits::ICMP_INTERVAL),
        }
    }

    /// Changes the SAs.
    ///
    /// # Errors
    /// An SA that cannot be, or is not there; nothing has changed then.
    pub fn handle_command(&mut self, now: Instant, command: OutboundCommand) -> Result<(), CommandError> {
        match command {
            OutboundCommand::Install(sa) => self.install(*sa),
            OutboundCommand::Activate(id) => {
                let index = self.sas.index(id)?;
                let Some(Sa { sa, .. }) = self.sas.get_mut(index) else {
                    return Err(CommandError::Unknown(id));
                };
                self.spd.activate(index, &sa.local, &sa.remote);
                let Self { spd, waiting, counters, .. } = self;
                waiting.sort_out(&sa.remote, |header| spd.select(header).is_some(), counters);
                Ok(())
            }
            OutboundCommand::Move(id, path) => {
                let index = self.sas.index(id)?;
                let Some(sa) = self.sas.get_mut(index) else { return Err(CommandError::Unknown(id)) };
                let is_elsewhere = std::mem::replace(&mut sa.sa.path, path) != path;
                if is_elsewhere {
                    sa.proven = limits::PATH_MTU_PROVEN;
                    let others = self.sas.all().filter(|sa| sa.sa.id != id).map(|sa| &sa.sa.path);
                    self.mtus.come_to(&path, others);
                }
                if let Some(sa) = self.sas.get_mut(index) {
                    sa.fit(&self.mtus);
                }
                Ok(())
            }
            OutboundCommand::Remove(id) => {
                let (index, _) = self.sas.remove(id)?;
                self.spd.remove(index);
                self.reports.forget(id);
                Ok(())
            }
            OutboundCommand::PathMtu(remote, mtu) => {
                self.mtus.learn(now, remote, mtu);
                self.remeasure();
                Ok(())
            }
            OutboundCommand::MeasuredMtu(path, mtu) => {
                self.mtus.measure(now, &path, mtu);
                self.remeasure();
                Ok(())
            }
            OutboundCommand::Expect(awaited) => {
                self.waiting.expect(awaited, &self.counters);
                Ok(())
            }
            OutboundCommand::GiveUp(remote) => {
                self.waiting.give_up(&remote, &self.counters);
                Ok(())
            }
        }
    }

    /// Puts packets that waited and have their SA now into an empty batch, to be sealed as any other: as many as its
    /// slots are enough for. None are left when it stays empty.
    pub fn release(&mut self, batch: &mut Batch) {
        if self.waiting.is_empty() {
            return;
        }
        // Each may become several fragments.
        let largest = (batch.capacity() / limits::FRAGMENTS_OF_ONE).max(1);
        let Self { spd, waiting, .. } = self;
        waiting.release(
            |header| spd.select(header).is_some(),
            |octets| {
                let is_full = batch.len() >= largest;
                let Some(room) = batch.room().filter(|room| !is_full && room.len() >= octets.len()) else {
                    return false;
                };
                room[..octets.len()].copy_from_slice(octets);
                batch.push(octets.len());
                true
            },
        );
    }

    /// Drops the packets that waited too long for their SA.
    pub fn expire(&mut self, now: Instant) {
        self.waiting.expire(now, &self.counters);
    }

    /// Returns when [`Self::expire`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.deadline()
    }

    /// Makes ESP of the pending packets of a batch: each goes to a peer, back to the TUN as an ICMP error,
    /// or is dropped and counted.
    pub fn seal(&mut self, now: Instant, batch: &mut Batch) {
        let forgotten = self.mtus.expire(now);
        if forgotten.is_any() {
            self.remeasure();
        }
        // It is measured again where it is needed.
        if !forgotten.measured.is_empty() {
            let is_old = |sa: &Sa| forgotten.measured.contains(&mtu::ends(&sa.sa.path));
            self.sas.all_mut().filter(|sa| is_old(sa)).for_each(|sa| sa.proven = limits::PATH_MTU_PROVEN);
        }
        let mut position = 0;
        while let Some(slot) = batch.slot_at(position) {
            let packet = batch.packet(slot);
            // A fragment was prepared with the packet that it is of.
            if packet.verdict == Verdict::Pending && packet.inner_len == 0 {
                let verdict = self.prepare(now, batch, position).unwrap_or_else(Verdict::Dropped);
                batch.packet(slot).verdict = verdict;
            }
            position += 1;
        }
        let sas = &mut self.sas;
        let seal = |sa, packets: &mut [vpnhost_crypto::PacketMut<'_>]| match sas.get_mut(sa) {
            Some(sa) => sa.sa.key.seal(packets),
            None => packets.iter_mut().for_each(|packet| packet.outcome = Err(CryptoError::Backend)),
        };
        batch.with_keys(seal, |_| DropCause::CryptoFailed);
        for slot in 0..batch.len() {
            self.settle(now, batch, slot);
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

    /// Returns the largest inner packet of an SA.
    pub fn tunnel_mtu(&mut self, id: ChildSaId) -> Option<u16> {
        let index = self.sas.index(id).ok()?;
        self.sas.get_mut(index).map(|sa| sa.mtu)
    }

    fn install(&mut self, sa: OutboundSa) -> Result<(), CommandError> {
        let layout = sa.key.layout();
        if !selectors::are_valid(&sa.local) || !selectors::are_valid(&sa.remote) {
            return Err(CommandError::Selectors(sa.id));
        }
        if sa.mode == Mode::Transport && Hosts::of(&sa.local, &sa.remote).is_none() {
            return Err(CommandError::TransportMode(sa.id));
        }
        if !esp::fits(&layout) {
            return Err(CommandError::Layout(sa.id));
        }
        let (id, mut sa) = (sa.id, Sa::new(sa, layout));
        sa.fit(&self.mtus);
        self.sas.insert(id, sa)?;
        Ok(())
    }

    fn remeasure(&mut self) {
        self.sas.all_mut().for_each(|sa| sa.fit(&self.mtus));
    }

    /// Makes a packet, or its fragments, ready for the key.
    fn prepare(&mut self, now: Instant, batch: &mut Batch, position: usize) -> Result<Verdict, DropCause> {
        let slot = batch.slot_at(position).ok_or(DropCause::NoRoom)?;
        let (packet, octets) = batch.slot(slot);
        let octets = &mut octets[packet.start..packet.start + packet.len];
        let header = Header::of(octets).ok_or(DropCause::MalformedInner)?;
        packet.len = header.total_len;
        let Some(index) = self.spd.select(&header) else {
            self.report_missing(now, &header);
            self.waiting.hold(now, &header, &octets[..header.total_len])?;
            add(&self.counters.waited, 1);
            return Ok(Verdict::Waits);
        };
        let sa = self.sas.get_mut(index).ok_or(DropCause::NoSa)?;
        let (mtu, is_transport) = (sa.mtu, sa.sa.mode == Mode::Transport);
        // RFC 8200 §5: an IPv6 packet of 1280 octets always passes; the outer packet is fragmented (RFC 2473 §7.1).
        let largest = if header.is_v4() { mtu } else { mtu.max(limits::PATH_MTU_MIN_V6) };
        let mut count = 1;
        if header.total_len > usize::from(largest) {
            if is_transport || !header.is_v4() || fragment::is_forbidden(octets) {
                return self.answer_too_big(now, batch, slot, (&header, mtu));
            }
            count = fragment::fragment(batch, position, &header, mtu)?;
            add(&self.counters.fragmented, 1);
        } else if mss::clamp(octets, &header, mtu) {
            add(&self.counters.mss_clamped, 1);
        }
        for position in position..position + count {
            let Some(slot) = batch.slot_at(position) else { break };
            if let Err(cause) = self.enclose(batch, slot, index, &header) {
                // The first fragment's verdict is the caller's to set; it is set again to the same.
                batch.packet(slot).verdict = Verdict::Dropped(cause);
            }
        }
        Ok(batch.packet(slot).verdict)
    }

    fn report_missing(&mut self, now: Instant, header: &Header) {
        let (source, destination) = (header.source, header.destination);
        if self.acquired.is_news(source, destination, now) {
            self.reports.push(TrafficReport::Acquire { source, destination }, &self.counters);
        }
    }

    fn answer_too_big(
        &mut self,
        now: Instant,
        batch: &mut Batch,
        slot: usize,
        (header, mtu): (&Header, u16),
    ) -> Result<Verdict, DropCause> {
        let (packet, octets) = batch.slot(slot);
        if !self.icmp_limit.admits(now) || !icmp::too_big(packet, octets, header, mtu) {
            return Err(DropCause::TooBig);
        }
        add(&self.counters.icmp_errors, 1);
        self.counters.drop_for(DropCause::TooBig);
        Ok(Verdict::Reply)
    }

    /// Writes everything of ESP around an inner packet but the ICV.
    fn enclose(
        &mut self,
        batch: &mut Batch,
        slot: usize,
        index: u32,
        header: &Header,
    ) -> Result<(), DropCause> {
        let sa = self.sas.get_mut(index).ok_or(DropCause::NoSa)?;
        let Some(sequence) = sa.next_sequence() else {
            if !std::mem::replace(&mut sa.told_exhausted, true) {
                self.reports.push(TrafficReport::Exhausted(sa.sa.id), &self.counters);
            }
            return Err(DropCause::Exhausted);
        };
        let (packet, octets) = batch.slot(slot);
        packet.inner_len = packet.len;
        let next_header = match sa.sa.mode {
            Mode::Tunnel if header.is_v4() => protocol::IPV4,
            Mode::Tunnel => protocol::IPV6,
            Mode::Transport => {
                let (network, next) = transport::strip(&octets[packet.start..], header)?;
                (packet.start, packet.len) = (packet.start + network, packet.len - network);
                next
            }
        };
        let layout = &sa.layout;
        let text = esp::text_len(packet.len, layout);
        let start = packet.start - esp::front(layout);
        let len = esp::front(layout) + text + layout.icv_len;
        let esp = octets.get_mut(start..start + len).ok_or(DropCause::TooBig)?;
        esp::write_header(esp, sa.sa.spi, sequence);
        let iv = &mut esp[esp::HEADER..esp::front(layout)];
        self.ivs.write(layout.iv_kind, sequence, iv).map_err(|_| DropCause::NoRandom)?;
        esp::write_trailer(&mut esp[esp::front(layout)..][..text], packet.len, next_header);
        packet.tos = ecn::encapsulate(header.tos);
        (packet.start, packet.len) = (start, len);
        packet.sa = index;
        packet.sequence = sequence;
        packet.extended = sa.sa.sequence == Sequence::EXTENDED;
        Ok(())
    }

    /// Says where a sealed packet goes, and counts.
    fn settle(&mut self, now: Instant, batch: &mut Batch, slot: usize) {
        let packet = batch.packet(slot);
        match packet.verdict {
            Verdict::Pending => {}
            Verdict::Dropped(cause) => return self.counters.drop_for(cause),
            Verdict::Send(_) | Verdict::Deliver | Verdict::Reply | Verdict::Waits => return,
        }
        let Some(sa) = self.sas.get_mut(packet.sa) else { return };
        packet.verdict = Verdict::Send(sa.sa.path);
        let outer = mtu::headers(&sa.sa.path) + packet.len;
        packet.cut_to = (outer > usize::from(sa.path_mtu)).then_some(sa.path_mtu);
        // What is cut asks nothing of the path.
        if outer > usize::from(sa.proven) && packet.cut_to.is_none() {
            sa.proven = u16::MAX;
            // This may not be the largest that comes, and nobody asks again.
            let largest = outer.max(mtu::outer_len(sa.mtu.into(), &sa.sa.path, &sa.layout));
            let octets = u16::try_from(largest).unwrap_or(u16::MAX);
            self.reports.push(TrafficReport::Large(sa.sa.id, octets), &self.counters);
        }
        let carried = &sa.sa.activity.outbound;
        carried.carry(packet.inner_len);
        carried.touch(now);
        add(&self.counters.packets_out, 1);
        add(&self.counters.bytes_out, packet.inner_len as u64);
        if !sa.told_soft && (sa.sa.activity.is_at_limit(carried) || sa.is_nearly_exhausted()) {
            sa.told_soft = true;
            self.reports.push(TrafficReport::SoftLimit(sa.sa.id), &self.counters);
        }
    }
}

impl Sa {
    fn new(sa: OutboundSa, layout: PacketLayout) -> Self {
        let (mtu, path_mtu) = (0, u16::MAX);
        Self { sa, layout, mtu, path_mtu, proven: u16::MAX, told_soft: false, told_exhausted: false }
    }

    /// Follows what is known of its path.
    fn fit(&mut self, mtus: &PathMtus) {
        self.mtu = mtus.tunnel_mtu(&self.sa.path, &self.layout);
        self.path_mtu = mtus.path_mtu(&self.sa.path);
    }

    fn largest_sequence(&self) -> u64 {
        if self.sa.sequence == Sequence::EXTENDED { u64::MAX } else { u32::MAX.into() }
    }

    /// RFC 4303 §3.3.3: the counter must not cycle.
    fn next_sequence(&mut self) -> Option<u64> {
        if self.sa.last_sequence >= self.largest_sequence() {
            return None;
        }
        self.sa.last_sequence += 1;
        Some(self.sa.last_sequence)
    }

    fn is_nearly_exhausted(&self) -> bool {
        self.sa.last_sequence >= self.largest_sequence() / 100 * limits::SEQUENCE_SOFT_PERCENT
    }
}

impl fmt::Debug for OutboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboundSa({}, spi {}, {})", self.id, self.spi, self.path)
    }
}

impl fmt::Debug for Sa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sa.fmt(f)
    }
}
