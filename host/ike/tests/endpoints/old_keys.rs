//! Whose IKE SA is gone has no keys of it any more: closing it is what forward secrecy waits for (RFC 7296 §2.12). What a
//! dropped key leaves in memory is the affair of the backends' tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vpnhost_crypto::{
    CryptoBackend, CryptoError, Layered, PacketAlgorithm, PacketKey, PacketLayout, PacketMut, PrfAlgorithm,
    PrfKey, SecretBytes,
};
use vpnhost_ike::{Command, IkeEndpoint, PeerConfig, TrafficReport};
use vpnhost_model::{PacketId, Prf};
use vpnhost_policy_standard::Standard;

use crate::pump::*;

/// How many there are.
type Alive = Arc<AtomicUsize>;

/// What is counted while it lives.
struct Counted<T>(T, Alive);

impl<T> Counted<T> {
    fn new(inner: T, alive: &Alive) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self(inner, Arc::clone(alive))
    }
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An algorithm whose keys are counted.
struct Counting<T>(T, Alive);

impl PacketAlgorithm for Counting<&'static dyn PacketAlgorithm> {
    fn id(&self) -> PacketId {
        self.0.id()
    }

    fn layout(&self) -> PacketLayout {
        self.0.layout()
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        Ok(Box::new(Counted::new(self.0.key(encryption, integrity)?, &self.1)))
    }
}

impl PacketKey for Counted<Box<dyn PacketKey>> {
    fn layout(&self) -> PacketLayout {
        self.0.layout()
    }

    fn seal(&mut self, packets: &mut [PacketMut<'_>]) {
        self.0.seal(packets);
    }

    fn open(&mut self, packets: &mut [PacketMut<'_>]) {
        self.0.open(packets);
    }
}

impl PrfAlgorithm for Counting<&'static dyn PrfAlgorithm> {
    fn id(&self) -> Prf {
        self.0.id()
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn key(&self, key: &[u8]) -> Result<Box<dyn PrfKey>, CryptoError> {
        Ok(Box::new(Counted::new(self.0.key(key)?, &self.1)))
    }
}

impl PrfKey for Counted<Box<dyn PrfKey>> {
    fn compute(&self, parts: &[&[u8]]) -> Result<SecretBytes, CryptoError> {
        self.0.compute(parts)
    }
}

/// The algorithms of a real backend whose keys are counted; the others it serves itself.
struct Top {
    packet: &'static [&'static dyn PacketAlgorithm],
    prf: &'static [&'static dyn PrfAlgorithm],
}

impl CryptoBackend for Top {
    fn name(&self) -> &str {
        "counting"
    }

    fn version(&self) -> &str {
        "0"
    }

    fn packet(&self) -> &'static [&'static dyn PacketAlgorithm] {
        self.packet
    }

    fn prf(&self) -> &'static [&'static dyn PrfAlgorithm] {
        self.prf
    }
}

fn counting(alive: &Alive) -> &'static dyn CryptoBackend {
    let real = vpnhost_rustcrypto::backend();
    let packet = real.packet().iter().map(|&inner| -> &'static dyn PacketAlgorithm {
        Box::leak(Box::new(Counting(inner, Arc::clone(alive))))
    });
    let prf = real.prf().iter().map(|&inner| -> &'static dyn PrfAlgorithm {
        Box::leak(Box::new(Counting(inner, Arc::clone(alive))))
    });
    let top: &'static Top = Box::leak(Box::new(Top {
        packet: packet.collect::<Vec<_>>().leak(),
        prf: prf.collect::<Vec<_>>().leak(),
    }));
    Box::leak(Box::new(Layered::new(&[top, real])))
}

/// Keys of an IKE SA: one for each direction.
const OF_AN_IKE_SA: usize = 2;

/// Two connected endpoints whose keys are counted.
fn connected() -> (Pump, [Alive; 2]) {
    let child = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let mut a = PeerConfig { mobike: true, ..initiator("aes128gcm16-prfsha256-x25519", vec![child]) };
    a.timing.max_outage = Duration::from_secs(600);
    a.timing.liveness_idle = Duration::from_secs(20);
    let mut pump = pair_of(a);
    let alive = [Alive::default(), Alive::default()];
    for side in [A, B] {
        let (config, random) = (pump.configs[side].clone(), Box::new(Seeded(side as u64)));
        let crypto = counting(&alive[side]);
        pump.sides[side].endpoint = IkeEndpoint::new(config, crypto, random, Arc::new(Standard), pump.now);
    }
    pump.set_addresses(B, &["192.0.2.2"]);
    pump.set_addresses(A, &["192.0.2.1"]);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    assert_eq!(count(&alive), [OF_AN_IKE_SA; 2]);
    (pump, alive)
}

fn count(alive: &[Alive; 2]) -> [usize; 2] {
    [0, 1].map(|side| alive[side].load(Ordering::Relaxed))
}

#[test]
fn no_key_of_an_ike_sa_outlives_the_full_negotiation_that_takes_its_place() {
    let (mut pump, alive) = connected();
    let (old, keys) = (pump.ike_sa(A).spi_i, pump.sides[A].installed.clone());
    // Nothing of the old one comes through any more.
    let spi = pump.sides[A].sent.last().unwrap().octets[..8].to_vec();
    pump.filter = Box::new(move |_, sent| sent.octets[..8] != spi);
    for _ in 0..60 {
        pump.run_for(Duration::from_millis(250));
        let now = pump.now.instant;
        for child in pump.established(A).into_iter().flat_map(|sa| sa.children) {
            pump.traffic(A, TrafficReport::Outbound(child.id, now));
        }
    }
    pump.filter = Box::new(|_, _| true);
    // The Delete of the old one was lost: its responder finds out by itself (RFC 4555, 3.11).
    pump.run_for(Duration::from_secs(400));
    pump.assert_connected(1);
    assert_ne!(pump.ike_sa(A).spi_i, old);
    assert_eq!(count(&alive), [OF_AN_IKE_SA; 2], "of the new one alone");
    assert!(pump.sides[A].installed.keys().all(|id| !keys.contains_key(id)), "nor of a Child SA");
}

#[test]
fn no_key_of_an_ike_sa_outlives_the_longest_outage_at_either_end() {
    let (mut pump, alive) = connected();
    pump.filter = Box::new(|_, _| false);
    for side in [A, B] {
        let id = pump.ike_sa(side).id;
        pump.command(side, Command::CheckLiveness(id));
    }
    pump.run_for(Duration::from_secs(200));
    assert_eq!(count(&alive), [OF_AN_IKE_SA; 2], "the peer may come back");
    pump.run_for(Duration::from_secs(800));
    assert_eq!(count(&alive), [0, 0]);
    assert!(pump.sides.iter().all(|side| side.installed.is_empty()));
}

#[test]
fn no_key_of_an_ike_sa_outlives_its_rekey() {
    let (mut pump, alive) = connected();
    pump.command(A, Command::RekeyIkeSa(pump.ike_sa(A).id));
    pump.run_for(Duration::from_secs(60));
    pump.assert_connected(1);
    assert_eq!(count(&alive), [OF_AN_IKE_SA; 2]);
}
