//! ESP that finds no SA after a restart (RFC 7296 §1.5): who is told, and what who hears it does.

use std::time::Duration;

use vpnhost_crypto::SecretBytes;
use vpnhost_ike::wire::payload::{Notify, NotifyType};
use vpnhost_ike::wire::{ExchangeType, Flags, Header, Message, Payload};
use vpnhost_ike::{Command, PeerConfig, TrafficReport, Transmit, limits};
use vpnhost_model::{ChildSpi, Encapsulation, IkeSpi, Path};

use crate::pump::*;

const CLIENT: &str = "192.0.2.1";
const GATEWAY: &str = "192.0.2.2";
/// A ping through the tunnel.
const OCTETS: usize = 136;
const SPI: ChildSpi = ChildSpi(0x1234_5678);

fn connected() -> Pump {
    let child = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let mut pump = pair_of(PeerConfig { mobike: true, ..initiator(IKE, vec![child]) });
    remember(&mut pump);
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[CLIENT]);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    pump
}

fn remember(pump: &mut Pump) {
    pump.sides[B].endpoint.use_crash_secret(SecretBytes::new(vec![0xb2; 32]));
}

/// The gateway loses all but its secret.
fn restart(pump: &mut Pump) {
    pump.restart(B, 4711);
    remember(pump);
    pump.set_addresses(B, &[GATEWAY]);
}

fn path(local: &str, remote: &str, encapsulation: Encapsulation) -> Path {
    let [local, remote] = [local, remote].map(|ip| std::net::SocketAddr::new(ip.parse().unwrap(), 4500));
    Path { local, remote, interface: Some(2), encapsulation }
}

/// Has ESP come to the gateway, and returns what it says to that.
fn arrives(pump: &mut Pump, spi: ChildSpi, (path, octets): (Path, usize)) -> Vec<Transmit> {
    let before = pump.sides[B].sent.len();
    pump.traffic(B, TrafficReport::UnknownSpi { spi, path, octets });
    pump.sides[B].sent[before..].to_vec()
}

fn from_client() -> Path {
    path(GATEWAY, CLIENT, Encapsulation::Udp)
}

/// Writes what a host says that does not know an SPI.
fn word(spis: (IkeSpi, IkeSpi), spi: ChildSpi) -> Vec<u8> {
    let flags = Flags { initiator: true, version: false, response: false };
    let header = Header::new(spis, ExchangeType::INFORMATIONAL, flags, 0);
    let notify = Notify::new(NotifyType::INVALID_SPI, spi.0.to_be_bytes());
    Message { header, payloads: vec![Payload::Notify(notify)] }.encode().unwrap()
}

const ZERO: (IkeSpi, IkeSpi) = (IkeSpi([0; 8]), IkeSpi([0; 8]));

#[test]
fn a_gateway_that_lost_its_sas_says_so_to_who_sends_on_them_and_is_asked_and_called_at_once() {
    let mut pump = connected();
    let spi = pump.ike_sa(A).children[0].spi_out;
    restart(&mut pump);
    let said = arrives(&mut pump, spi, (from_client(), OCTETS));
    assert_eq!(said.iter().map(|sent| sent.octets.clone()).collect::<Vec<_>>(), [word(ZERO, spi)]);
    // Half a round trip for the word; one each for the question, IKE_SA_INIT and IKE_AUTH.
    pump.run_for(7 * pump.latency);
    pump.assert_connected(1);
    assert_ne!(pump.ike_sa(A).children[0].spi_out, spi);
}

#[test]
fn a_peer_that_never_answers_is_given_up_however_often_somebody_says_that_it_lost_an_sa() {
    let child = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let mut pump = pair_of(initiator(IKE, vec![child]));
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[CLIENT]);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(5));
    let (path, spi) = (pump.ike_sa(A).path.remote.to_string(), pump.ike_sa(A).children[0].spi_out);
    pump.filter = Box::new(|_, _| false);
    for _ in 0..600 {
        pump.inject(A, &path, pump.sides[A].sent.last().unwrap().path.local.port(), &word(ZERO, spi));
        pump.run_for(limits::LOSS_HINT_PAUSE);
    }
    assert_eq!(pump.established(A).len(), 0);
}

#[test]
fn a_doubted_peer_is_asked_for_one_hint_each_time_that_it_is_asked_anyway() {
    let sent = |hints: bool| {
        let mut pump = connected();
        let spi = pump.ike_sa(A).children[0].spi_out;
        pump.filter = Box::new(|_, _| false);
        pump.inject(A, &format!("{GATEWAY}:4500"), 4500, &word(ZERO, spi));
        // Until it is doubted and asked rarely.
        pump.run_for(Duration::from_secs(600));
        let before = pump.sides[A].sent.len();
        for _ in 0..600 {
            if hints {
                pump.inject(A, &format!("{GATEWAY}:4500"), 4500, &word(ZERO, spi));
            }
            pump.run_for(limits::LOSS_HINT_PAUSE);
        }
        pump.sides[A].sent.len() - before
    };
    let (with, without) = (sent(true), sent(false));
    // A hint has it asked as when traffic waits: with repetitions, and IKE_SA_INIT beside.
    assert!(with <= 15 * without, "{with} with hints, {without} without");
}

#[test]
fn it_says_so_never_in_more_octets_than_came() {
    let mut pump = connected();
    restart(&mut pump);
    // 40 octets, and in front of them the marker; beside raw ESP the header of UDP, too.
    for (encapsulation, least) in [(Encapsulation::Udp, 44), (Encapsulation::Raw, 52)] {
        let path = path(GATEWAY, CLIENT, encapsulation);
        assert_eq!(arrives(&mut pump, SPI, (path, least - 1)).len(), 0, "{encapsulation:?}");
        let said = arrives(&mut pump, SPI, (path, least));
        assert_eq!(said.iter().map(|sent| sent.octets.len()).collect::<Vec<_>>(), [40]);
        assert_eq!((said[0].path.local, said[0].path.remote), (path.local, path.remote));
    }
}

#[test]
fn it_says_so_only_soon_after_its_start_to_one_host_from_an_address_of_its_own_and_if_it_is_a_gateway() {
    let mut pump = connected();
    let peer = from_client();
    restart(&mut pump);
    for (local, remote) in [
        (GATEWAY, "224.0.0.1"),
        (GATEWAY, "255.255.255.255"),
        (GATEWAY, "0.0.0.0"),
        ("192.0.2.255", CLIENT),
        ("224.0.0.1", CLIENT),
    ] {
        let path = path(local, remote, Encapsulation::Udp);
        assert_eq!(arrives(&mut pump, SPI, (path, OCTETS)).len(), 0, "from {remote} to {local}");
    }
    pump.run_for(limits::LOSS_TOLD - Duration::from_millis(1));
    assert_eq!(arrives(&mut pump, SPI, (peer, OCTETS)).len(), 1);
    pump.run_for(Duration::from_millis(1));
    assert_eq!(arrives(&mut pump, SPI, (peer, OCTETS)).len(), 0, "later");
    restart(&mut pump);
    pump.command(B, Command::Shutdown);
    assert_eq!(arrives(&mut pump, SPI, (peer, OCTETS)).len(), 0, "while it ends");
    let connection = PeerConfig { respond: false, ..(*pump.configs[B].connections[0]).clone() };
    pump.configs[B].connections = vec![std::sync::Arc::new(connection)];
    restart(&mut pump);
    assert_eq!(arrives(&mut pump, SPI, (peer, OCTETS)).len(), 0, "who is no gateway");
}

#[test]
fn who_has_an_ike_sa_with_the_sender_says_nothing_in_clear() {
    let mut pump = connected();
    assert_eq!(arrives(&mut pump, SPI, (from_client(), OCTETS)).len(), 0);
}

#[test]
fn who_hears_it_asks_once_a_second_for_an_spi_that_it_sends_on_to_whoever_says_it_and_changes_nothing() {
    let mut pump = connected();
    let (old, from) = (pump.ike_sa(A), format!("{GATEWAY}:4500"));
    let (spi_in, spi_out) = (old.children[0].spi_in, old.children[0].spi_out);
    let stranger = (IkeSpi([7; 8]), IkeSpi([9; 8]));
    let hears = |pump: &mut Pump, from: &str, spis, spi| {
        let before = pump.sides[A].sent.len();
        pump.inject(A, from, 4500, &word(spis, spi));
        pump.sides[A].sent.len() - before
    };
    assert_eq!(hears(&mut pump, &from, ZERO, spi_in), 0, "it sends on another");
    assert_eq!(hears(&mut pump, "203.0.113.9:4500", ZERO, spi_out), 0, "from elsewhere");
    assert_eq!(hears(&mut pump, &from, stranger, SPI), 0, "RFC 7296, 1.5: it is never answered");
    for spis in [ZERO, stranger] {
        assert_eq!(hears(&mut pump, &from, spis, spi_out), 1);
        for _ in 0..50 {
            assert_eq!(hears(&mut pump, &from, spis, spi_out), 0);
            pump.run_for(Duration::from_millis(19));
        }
        pump.run_for(limits::LOSS_HINT_PAUSE);
    }
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(A).spi_i, old.spi_i);
}

#[test]
fn a_gateway_asks_nobody_because_of_such_a_word() {
    let mut pump = connected();
    let spi = pump.ike_sa(B).children[0].spi_out;
    let before = pump.sides[B].sent.len();
    pump.inject(B, &format!("{CLIENT}:4500"), 4500, &word(ZERO, spi));
    pump.settle();
    assert_eq!(pump.sides[B].sent.len(), before);
}
