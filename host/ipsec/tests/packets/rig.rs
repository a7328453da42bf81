//! A sender and a receiver with the same key.

use std::sync::Arc;

use vpnhost_crypto::{CryptoError, PacketAlgorithm as _, PacketKey, PacketMut, SecureRandom};
use vpnhost_ipsec::{
    Arrival, Batch, Counters, DropCause, Inbound, InboundCommand, InboundSa, Outbound, OutboundCommand,
    OutboundSa, SaActivity, TunnelConfig, Verdict,
};
use vpnhost_model::{
    ChildSaId, ChildSpi, Encapsulation, EspSuite, Instant, Mode, Path, Sequence, TrafficSelector, Translation,
};

pub(crate) const ID: ChildSaId = ChildSaId(1);
pub(crate) const SPI: ChildSpi = ChildSpi(0xc0ff_ee01);
/// SPI and sequence number.
pub(crate) const HEADER: usize = 8;

/// Every suite that ESP may have, with and without extended sequence numbers.
pub(crate) fn suites() -> Vec<EspSuite> {
    let ciphers = "aes128-aes192-aes256-3des-sha256-sha384-sha512";
    let sequences = [Sequence::EXTENDED, Sequence::SHORT];
    let mut suites = EspSuite::parse_all(ciphers, &sequences).unwrap();
    suites.extend(EspSuite::parse_all("aes128gcm16-aes192gcm16-aes256gcm16", &sequences).unwrap());
    suites
}

pub(crate) fn suite(text: &str) -> EspSuite {
    EspSuite::parse_all(text, &[Sequence::SHORT]).unwrap()[0]
}

/// Octets that rise: what is random here need not be.
pub(crate) struct Rising(u8);

impl SecureRandom for Rising {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for octet in out {
            self.0 = self.0.wrapping_add(1);
            *octet = self.0;
        }
        Ok(())
    }
}

pub(crate) struct Rig {
    pub(crate) now: Instant,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    pub(crate) left: Arc<Counters>,
    pub(crate) arrived: Arc<Counters>,
    pub(crate) suite: EspSuite,
    batch: Batch,
}

/// What became of a packet, and its octets then.
pub(crate) type Outcome = (Verdict, Vec<u8>);

impl Rig {
    /// A tunnel from 10.1/16 and fd01::/32 to 10.2/16 and fd02::/32 with a window of 64.
    pub(crate) fn new(suite: EspSuite) -> Self {
        let mut rig = Self::without_sas(suite);
        rig.install(0);
        rig
    }

    pub(crate) fn without_sas(suite: EspSuite) -> Self {
        let (left, arrived) = (Arc::<Counters>::default(), Arc::<Counters>::default());
        let config = TunnelConfig { tun_mtu: 1500, path_mtu: 1500 };
        Self {
            now: Instant(1_000_000_000),
            outbound: Outbound::new(config, Box::new(Rising(0)), Arc::clone(&left)),
            inbound: Inbound::new(config, Arc::clone(&arrived)),
            left,
            arrived,
            suite,
            batch: Batch::new(16, 2000),
        }
    }

    /// Installs both ends as if so many packets had passed.
    pub(crate) fn install(&mut self, last_sequence: u64) {
        let inbound = InboundSa { last_sequence, ..self.inbound_sa() };
        let outbound = OutboundSa { last_sequence, ..self.outbound_sa() };
        self.inbound.handle_command(self.now, InboundCommand::Install(Box::new(inbound))).unwrap();
        self.outbound.handle_command(self.now, OutboundCommand::Install(Box::new(outbound))).unwrap();
        self.outbound.handle_command(self.now, OutboundCommand::Activate(ID)).unwrap();
    }

    /// Installs the receiver alone.
    pub(crate) fn install_inbound(&mut self) {
        let inbound = Box::new(self.inbound_sa());
        self.inbound.handle_command(self.now, InboundCommand::Install(inbound)).unwrap();
    }

    /// Opens what waited for its SA, as much as a batch takes.
    pub(crate) fn released(&mut self) -> Vec<Outcome> {
        self.batch.clear();
        self.inbound.release(&mut self.batch);
        self.inbound.open(self.now, &mut self.batch);
        self.outcomes()
    }

    pub(crate) fn inbound_sa(&self) -> InboundSa {
        InboundSa {
            id: ID,
            spi: SPI,
            path: path(),
            key: key(self.suite),
            sequence: self.suite.sequence,
            last_sequence: 0,
            replay_window: 64,
            local: there(),
            remote: here(),
            mode: Mode::Tunnel,
            translation: Translation::None,
            activity: Arc::<SaActivity>::default(),
        }
    }

    pub(crate) fn outbound_sa(&self) -> OutboundSa {
        OutboundSa {
            id: ID,
            spi: SPI,
            path: path(),
            key: key(self.suite),
            sequence: self.suite.sequence,
            last_sequence: 0,
            local: here(),
            remote: there(),
            mode: Mode::Tunnel,
            activity: Arc::<SaActivity>::default(),
        }
    }

    pub(crate) fn seal(&mut self, packets: &[Vec<u8>]) -> Vec<Outcome> {
        self.batch.clear();
        for octets in packets {
            self.batch.room().unwrap()[..octets.len()].copy_from_slice(octets);
            self.batch.push(octets.len());
        }
        self.outbound.seal(self.now, &mut self.batch);
        self.outcomes()
    }

    /// Seals one that must leave.
    pub(crate) fn sealed(&mut self, octets: Vec<u8>) -> Vec<u8> {
        let mut outcomes = self.seal(&[octets]);
        assert_eq!(outcomes[0].0, Verdict::Send(path()));
        outcomes.remove(0).1
    }

    pub(crate) fn open(&mut self, packets: &[Vec<u8>]) -> Vec<Outcome> {
        self.open_on(path(), packets)
    }

    /// Opens what came on a path.
    pub(crate) fn open_on(&mut self, path: Path, packets: &[Vec<u8>]) -> Vec<Outcome> {
        self.batch.clear();
        for octets in packets {
            self.batch.room().unwrap()[..octets.len()].copy_from_slice(octets);
            self.batch.push_arrival(0, octets.len(), Arrival { path, tos: 0 });
        }
        self.inbound.open(self.now, &mut self.batch);
        self.outcomes()
    }

    pub(crate) fn open_one(&mut self, octets: &[u8]) -> Verdict {
        self.open(&[octets.to_vec()])[0].0
    }

    /// Gives an ESP packet that it has not seen, and says why it must be dropped: counted once.
    pub(crate) fn assert_dropped(&mut self, octets: &[u8], cause: DropCause) {
        let before = self.drops();
        assert_eq!(self.open_one(octets), Verdict::Dropped(cause));
        let mut expected = before;
        expected.iter_mut().filter(|(other, _)| *other == cause).for_each(|(_, count)| *count += 1);
        assert_eq!(self.drops(), expected);
    }

    pub(crate) fn drops(&self) -> Vec<(DropCause, u64)> {
        DropCause::ALL.iter().map(|cause| (*cause, self.arrived.dropped(*cause))).collect()
    }

    /// Seals a text of the test's own under the true key.
    pub(crate) fn seal_text(&self, sequence: u32, text: &[u8]) -> Vec<u8> {
        let mut key = key(self.suite);
        let layout = key.layout();
        let mut octets = SPI.0.to_be_bytes().to_vec();
        octets.extend(sequence.to_be_bytes());
        octets.extend(vec![0x11; layout.iv_len]);
        octets.extend(text);
        octets.extend(vec![0; layout.icv_len]);
        let mut packet = [PacketMut::new(&mut octets, HEADER)];
        packet[0].esn_high = (self.suite.sequence == Sequence::EXTENDED).then_some(0);
        key.seal(&mut packet);
        assert_eq!(packet[0].outcome, Ok(()));
        octets
    }

    /// To how much each packet of the last batch is cut.
    pub(crate) fn cuts(&self) -> Vec<Option<u16>> {
        self.batch.packets().map(|(packet, _)| packet.cut_to()).collect()
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.batch.packets().map(|(packet, octets)| (packet.verdict(), octets.to_vec())).collect()
    }
}

pub(crate) fn key(suite: EspSuite) -> Box<dyn PacketKey> {
    let protection = vpnhost_rustcrypto::backend().find_packet(suite.packet).unwrap();
    let layout = protection.layout();
    protection.key(&vec![7; layout.encryption_key_len], &vec![9; layout.integrity_key_len]).unwrap()
}

pub(crate) fn path() -> Path {
    Path {
        local: ([192, 0, 2, 1], 4500).into(),
        remote: ([192, 0, 2, 2], 4500).into(),
        interface: None,
        encapsulation: Encapsulation::Udp,
    }
}

pub(crate) fn prefix(text: &str, length: u8) -> TrafficSelector {
    TrafficSelector::prefix(text.parse().unwrap(), length).unwrap()
}

fn here() -> Vec<TrafficSelector> {
    vec![prefix("10.1.0.0", 16), prefix("fd01::", 32)]
}

fn there() -> Vec<TrafficSelector> {
    vec![prefix("10.2.0.0", 16), prefix("fd02::", 32)]
}

/// An IPv4 packet of so many octets from one end to the other: UDP with the DF bit, or without.
pub(crate) fn inner_v4(len: usize, df: bool) -> Vec<u8> {
    let mut octets = vec![0x45, 0, 0, 0, 0x12, 0x34, if df { 0x40 } else { 0 }, 0, 64, 17, 0, 0];
    octets.extend([10, 1, 0, 5, 10, 2, 0, 9]);
    octets.extend((octets.len()..len).map(|at| at as u8));
    octets[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    octets
}

/// The same of IPv6.
pub(crate) fn inner_v6(len: usize) -> Vec<u8> {
    let mut octets = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
    octets.extend("fd01::5".parse::<std::net::Ipv6Addr>().unwrap().octets());
    octets.extend("fd02::9".parse::<std::net::Ipv6Addr>().unwrap().octets());
    octets.extend((octets.len()..len).map(|at| at as u8));
    octets[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
    octets
}
