//! The packet path: inner packets in, ESP out, ESP in, whatever happened to it on the way. No panic; every packet
//! is counted once, by what became of it; what is delivered is what was sent, and is delivered once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use vpnhost_crypto::{PacketKey, PacketMut};
use vpnhost_ipsec::{
    Arrival, Batch, Counters, DropCause, Inbound, InboundCommand, InboundSa, Outbound, OutboundCommand,
    OutboundSa, SaActivity, SoftLimits, TunnelConfig, Verdict,
};
use vpnhost_kit::{InnerPacket, glass};
use vpnhost_model::{
    ChildSaId, ChildSpi, Encapsulation, Instant, Mode, Path, Sequence, TrafficSelector, Translation,
};

use super::script::Script;

/// Steps of one script.
const STEPS: usize = 200;
/// Packets that are remembered.
const REMEMBERED: usize = 32;
const ID: ChildSaId = ChildSaId(1);
const SPI: ChildSpi = ChildSpi(0x1000);
/// SPI, sequence number, IV.
const FRONT: usize = 16;
const ICV: usize = 16;

/// Runs a script.
pub fn esp(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(switches) = script.octet() else { return };
    let mut tunnel = Tunnel::new(switches);
    for _ in 0..STEPS {
        if tunnel.step(&mut script).is_none() {
            break;
        }
    }
}

struct Tunnel {
    now: Instant,
    sequence: Sequence,
    outbound: Outbound,
    inbound: Inbound,
    out_counters: Arc<Counters>,
    in_counters: Arc<Counters>,
    activity: Arc<SaActivity>,
    batch: Batch,
    /// Sealed packets, and the inner packets in them, where they are known.
    sealed: Vec<Vec<u8>>,
    inner: BTreeMap<Vec<u8>, Vec<u8>>,
    accepted: BTreeSet<Vec<u8>>,
}

impl Tunnel {
    fn new(switches: u8) -> Self {
        let (out_counters, in_counters) = (Arc::<Counters>::default(), Arc::<Counters>::default());
        let config = TunnelConfig { tun_mtu: 600, path_mtu: 1400 };
        let random = Box::new(vpnhost_kit::random::source(7));
        let mut tunnel = Self {
            now: Instant(1_000_000_000),
            sequence: if switches & 1 == 0 { Sequence::EXTENDED } else { Sequence::SHORT },
            outbound: Outbound::new(config, random, Arc::clone(&out_counters)),
            inbound: Inbound::new(config, Arc::clone(&in_counters)),
            out_counters,
            in_counters,
            activity: Arc::default(),
            batch: Batch::new(8, 700),
            sealed: Vec::new(),
            inner: BTreeMap::new(),
            accepted: BTreeSet::new(),
        };
        // Near the end of the numbers, near the end of a half of them, or at the start.
        let last = [0, 0xffff_fff0, 0x1_ffff_fff0, u64::from(u32::MAX) - 3][usize::from(switches >> 1 & 3)];
        let last = if tunnel.sequence == Sequence::SHORT { last & 0xffff_ffff } else { last };
        tunnel.install(last, if switches & 8 == 0 { 64 } else { 200 });
        tunnel
    }

    fn install(&mut self, last_sequence: u64, replay_window: u32) {
        let ts = |text: &str| TrafficSelector::prefix(text.parse().expect("an address"), 16);
        let local = vec![ts("10.1.0.0").expect("a prefix")];
        let remote = vec![ts("10.2.0.0").expect("a prefix")];
        let (path, sequence, mode) = (arrival(0).path, self.sequence, Mode::Tunnel);
        let activity = || {
            let activity = SaActivity::default();
            activity.limit(SoftLimits { bytes: Some(5000), packets: Some(20) });
            Arc::new(activity)
        };
        let outbound = OutboundSa {
            id: ID,
            spi: SPI,
            path,
            key: glass::key(),
            sequence,
            last_sequence,
            local: local.clone(),
            remote: remote.clone(),
            mode,
            activity: activity(),
        };
        let inbound = InboundSa {
            id: ID,
            spi: SPI,
            path,
            key: glass::key(),
            sequence,
            last_sequence,
            replay_window,
            local: remote,
            remote: local,
            mode,
            translation: Translation::None,
            activity: Arc::clone(&self.activity),
        };
        let installed = self.outbound.handle_command(self.now, OutboundCommand::Install(Box::new(outbound)));
        let activated = self.outbound.handle_command(self.now, OutboundCommand::Activate(ID));
        let received = self.inbound.handle_command(self.now, InboundCommand::Install(Box::new(inbound)));
        assert_eq!((installed, activated, received), (Ok(()), Ok(()), Ok(())));
    }

    fn step(&mut self, script: &mut Script<'_>) -> Option<()> {
        match script.octet()? % 8 {
            0 | 1 => self.send(script, true),
            2 => self.send(script, false),
            3 | 4 => self.receive(script),
            5 => self.damage(script),
            6 => self.rewrite(script),
            _ => {
                self.now += std::time::Duration::from_millis(u64::from(script.word()?));
                Some(())
            }
        }
    }

    /// Some inner packets at once: true ones, or octets of the script.
    fn send(&mut self, script: &mut Script<'_>, well_formed: bool) -> Option<()> {
        self.batch.clear();
        for _ in 0..=script.below(4)? {
            let mut octets = Vec::new();
            if well_formed {
                let (source, destination) = ([10, 1, 0, script.octet()?], [10, 2, 0, script.octet()?]);
                let (source, destination) = (source.into(), destination.into());
                octets = InnerPacket { source, destination, number: 7 }.encode();
                let more = 2 * usize::from(script.octet()?);
                octets.resize(octets.len() + more, 0x55);
                let total = u16::try_from(octets.len()).ok()?.to_be_bytes();
                octets[2..4].copy_from_slice(&total);
                octets[6] = script.octet()? & 0x40;
                script.mutate(&mut octets)?;
            }
            octets.extend(script.octets()?);
            octets.truncate(700);
            let Some(room) = self.batch.room() else { break };
            room[..octets.len()].copy_from_slice(&octets);
            self.batch.push(octets.len());
        }
        let before = counted(&self.out_counters, &self.out_counters.packets_out);
        self.outbound.seal(self.now, &mut self.batch);
        let after = counted(&self.out_counters, &self.out_counters.packets_out);
        assert_eq!(after - before, self.batch.len() as u64, "each packet is counted once");
        for (packet, octets) in self.batch.packets() {
            match packet.verdict() {
                Verdict::Send(_) => {
                    if self.sealed.len() == REMEMBERED {
                        self.sealed.remove(0);
                    }
                    self.sealed.push(octets.to_vec());
                    self.inner.insert(octets.to_vec(), opened(octets, self.sequence));
                }
                Verdict::Reply | Verdict::Dropped(_) => {}
                Verdict::Pending | Verdict::Deliver | Verdict::Waits => panic!("{packet:?}"),
            }
        }
        while self.outbound.poll_report().is_some() {}
        Some(())
    }

    /// Sealed packets as they are, in any order, again and again.
    fn receive(&mut self, script: &mut Script<'_>) -> Option<()> {
        let mut arrived = Vec::new();
        for _ in 0..=script.below(4)? {
            let which = script.octet()?;
            let Some(octets) = self.sealed.get(usize::from(which) % self.sealed.len().max(1)) else { break };
            arrived.push((octets.clone(), script.octet()?));
        }
        self.open(&arrived);
        Some(())
    }

    fn damage(&mut self, script: &mut Script<'_>) -> Option<()> {
        let which = usize::from(script.octet()?);
        let mut octets = self.sealed.get(which % self.sealed.len().max(1)).cloned().unwrap_or_default();
        script.mutate(&mut octets)?;
        octets.truncate(700);
        let tos = script.octet()?;
        let last = self.activity.inbound.last();
        let known = self.inner.contains_key(&octets);
        self.now += std::time::Duration::from_nanos(1);
        self.open(&[(octets, tos)]);
        if !known {
            assert_eq!(self.activity.inbound.last(), last, "a damaged packet passed for authentic");
        }
        Some(())
    }

    /// Another content under the true key: what the ICV does not refuse something else must.
    fn rewrite(&mut self, script: &mut Script<'_>) -> Option<()> {
        let which = usize::from(script.octet()?);
        let Some(octets) = self.sealed.get(which % self.sealed.len().max(1)).cloned() else {
            return Some(());
        };
        let mut text = opened(&octets, self.sequence);
        script.mutate(&mut text)?;
        text.truncate(600);
        let mut rewritten = octets[..FRONT].to_vec();
        // Another number than any true one, so that the model knows no true packet by it.
        rewritten[4..8]
            .copy_from_slice(&(u32::from_be_bytes(*octets[4..].first_chunk()?) ^ 0x20).to_be_bytes());
        rewritten.extend(text);
        rewritten.extend([0; ICV]);
        key_with(&mut rewritten, None, |key, packet| key.seal(packet));
        let before = counted(&self.in_counters, &self.in_counters.packets_in);
        self.open_batch(&[(rewritten, script.octet()?)]);
        assert_eq!(counted(&self.in_counters, &self.in_counters.packets_in) - before, 1);
        Some(())
    }

    fn open(&mut self, arrived: &[(Vec<u8>, u8)]) {
        let before = counted(&self.in_counters, &self.in_counters.packets_in);
        self.open_batch(arrived);
        let after = counted(&self.in_counters, &self.in_counters.packets_in);
        assert_eq!(after - before, arrived.len() as u64, "each packet is counted once");
        let results: Vec<(Verdict, Vec<u8>)> =
            self.batch.packets().map(|(packet, octets)| (packet.verdict(), octets.to_vec())).collect();
        for ((octets, _), (verdict, delivered)) in arrived.iter().zip(results) {
            match verdict {
                Verdict::Deliver => {
                    let inner = self.inner.get(octets).expect("what is delivered was sealed");
                    assert!(self.accepted.insert(octets.clone()), "it was delivered twice");
                    // ECN may be carried over, with the checksum; all else is as it was.
                    assert_eq!(delivered[12..], inner[12..delivered.len()], "it was changed");
                }
                Verdict::Dropped(_) => {}
                Verdict::Pending | Verdict::Send(_) | Verdict::Reply | Verdict::Waits => {
                    panic!("{verdict:?}")
                }
            }
        }
    }

    fn open_batch(&mut self, arrived: &[(Vec<u8>, u8)]) {
        self.batch.clear();
        for (octets, tos) in arrived {
            let room = self.batch.room().expect("four packets fit");
            room[..octets.len()].copy_from_slice(octets);
            self.batch.push_arrival(0, octets.len(), arrival(*tos));
        }
        self.inbound.open(self.now, &mut self.batch);
        while self.inbound.poll_report().is_some() {}
    }
}

/// Packets that passed, and packets that did not, whatever the cause.
fn counted(counters: &Counters, passed: &std::sync::atomic::AtomicU64) -> u64 {
    let dropped: u64 = DropCause::ALL.iter().map(|cause| counters.dropped(*cause)).sum();
    passed.load(Ordering::Relaxed) + dropped
}

/// Opens a true packet without the packet path: whatever the high half of its number is.
fn opened(octets: &[u8], sequence: Sequence) -> Vec<u8> {
    for high in 0..4 {
        let mut copy = octets.to_vec();
        let esn_high = (sequence == Sequence::EXTENDED).then_some(high);
        if key_with(&mut copy, esn_high, |key, packet| key.open(packet)) {
            return copy[FRONT..copy.len() - ICV].to_vec();
        }
    }
    panic!("a sealed packet can be opened");
}

fn key_with(
    octets: &mut [u8],
    esn_high: Option<u32>,
    work: impl FnOnce(&mut dyn PacketKey, &mut [PacketMut<'_>]),
) -> bool {
    let mut packet = [PacketMut::new(octets, 8)];
    packet[0].esn_high = esn_high;
    work(&mut *glass::key(), &mut packet);
    packet[0].outcome.is_ok()
}

fn arrival(tos: u8) -> Arrival {
    let path = Path {
        local: ([192, 0, 2, 1], 4500).into(),
        remote: ([192, 0, 2, 2], 4500).into(),
        interface: None,
        encapsulation: Encapsulation::Udp,
    };
    Arrival { path, tos }
}
