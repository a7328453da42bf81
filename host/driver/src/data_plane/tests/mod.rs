//! The packet path with real sockets, and with keys made by hand.

mod loopback;
mod namespace;
mod tunnel;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vpnhost_crypto::SecureRandom;
use vpnhost_ipsec::{InboundSa, OutboundSa, SaActivity};
use vpnhost_model::{
    ChildSaId, ChildSpi, Encryption, Integrity, Mode, PacketId, Path, Sequence, TrafficSelector, Translation,
};

use super::PathSettings;
use crate::clock::Clock;
use crate::config::{RandomSource, TunSettings};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn settings(listen: &[&str], ports: [u16; 2]) -> PathSettings {
    let random: RandomSource =
        Arc::new(|| Box::new(vpnhost_null::SeededRandom::new(7)) as Box<dyn SecureRandom>);
    PathSettings {
        listen: listen.iter().map(|ip| ip.parse().unwrap()).collect(),
        ports,
        tun: TunSettings { name: "vpn0".to_owned(), mtu: 1400 },
        mark: 0,
        random,
        clock: Clock,
    }
}

/// One end of a pair of SAs: what it receives on, and what it sends on.
#[derive(Clone, Copy)]
struct End {
    id: u64,
    spi_in: u32,
    spi_out: u32,
    path: Path,
}

impl End {
    /// Makes both SAs, for every inner address; the key of an SPI follows from it.
    fn sas(self) -> (InboundSa, OutboundSa) {
        let key = |spi: u32| {
            let id =
                PacketId { encryption: Encryption::AES_GCM_16, key_bits: 128, integrity: Integrity::NONE };
            let algorithm = vpnhost_rustcrypto::backend().find_packet(id).unwrap();
            vpnhost_crypto::PacketAlgorithm::key(&algorithm, &[spi as u8; 20], &[]).unwrap()
        };
        let all = || vec![TrafficSelector::any_v4(), TrafficSelector::any_v6()];
        let activity = Arc::<SaActivity>::default();
        let inbound = InboundSa {
            id: ChildSaId(self.id),
            spi: ChildSpi(self.spi_in),
            path: self.path,
            key: key(self.spi_in),
            sequence: Sequence::EXTENDED,
            last_sequence: 0,
            replay_window: 1024,
            local: all(),
            remote: all(),
            mode: Mode::Tunnel,
            translation: Translation::None,
            activity: Arc::clone(&activity),
        };
        let outbound = OutboundSa {
            id: ChildSaId(self.id),
            spi: ChildSpi(self.spi_out),
            path: self.path,
            key: key(self.spi_out),
            sequence: Sequence::EXTENDED,
            last_sequence: 0,
            local: all(),
            remote: all(),
            mode: Mode::Tunnel,
            activity,
        };
        (inbound, outbound)
    }
}

/// Waits until something is there.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Makes an IPv4 packet of UDP's protocol number with a number inside.
fn inner_packet(number: u32, len: usize) -> Vec<u8> {
    let mut packet = vec![0; len];
    packet[0] = 0x45;
    packet[1] = 0xb9;
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet[8..10].copy_from_slice(&[64, 17]);
    let octets = |ip: &str| match ip.parse().unwrap() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => panic!("{ip}"),
    };
    packet[12..16].copy_from_slice(&octets("10.1.0.1"));
    packet[16..20].copy_from_slice(&octets("10.2.0.1"));
    packet[20..24].copy_from_slice(&number.to_be_bytes());
    packet
}
