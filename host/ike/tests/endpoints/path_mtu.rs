//! How large a packet may be after a move, where nobody on the path says so: padded liveness.

use std::time::Duration;

use vpnhost_ike::{Command, Event, PeerConfig, TrafficReport, Transmit};
use vpnhost_model::IkeSuite;

use crate::pump::{A, B, IKE, Pump, child, initiator, pair_of};

const HOME: &str = "192.0.2.1";
const AWAY: &str = "192.0.2.11";
/// The largest packet that the TUN's MTU of 1400 makes.
const LARGE: u16 = 1462;

fn config(suite: &str) -> PeerConfig {
    let child = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let ike = IkeSuite::parse_all(suite).unwrap();
    PeerConfig { mobike: true, ike, ..initiator(IKE, vec![child]) }
}

/// Two hosts of which the first has moved.
fn moved(config: PeerConfig) -> Pump {
    let mut pump = pair_of(config);
    pump.set_addresses(B, &["192.0.2.2"]);
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.set_addresses(A, &[AWAY]);
    pump.settle();
    pump.assert_connected(1);
    pump
}

/// Octets of the IP datagram that carries a message.
fn size(sent: &Transmit) -> usize {
    20 + 8 + 4 + sent.octets.len()
}

/// From now on larger datagrams do not arrive, and nobody says so.
fn narrow(pump: &mut Pump, mtu: usize) {
    pump.filter = Box::new(move |_, sent| size(sent) <= mtu);
}

/// A side's packet path sends a large packet; returns the sizes of the messages that follow, and the path MTUs.
fn send_large(pump: &mut Pump, side: usize) -> (Vec<usize>, Vec<u16>) {
    let (sent, told) = (pump.sides[side].sent.len(), pump.sides[side].path_mtus.len());
    let child = pump.child_sa(side);
    pump.traffic(side, TrafficReport::Large(child, LARGE));
    pump.run_for(Duration::from_secs(60));
    let sizes = pump.sides[side].sent[sent..].iter().map(size).collect();
    (sizes, pump.sides[side].path_mtus[told..].iter().map(|(_, octets)| *octets).collect())
}

fn told(pump: &Pump, side: usize) -> Vec<u16> {
    let octets = |event: &Event| match event {
        Event::PathMtu { octets, .. } => Some(*octets),
        _ => None,
    };
    pump.sides[side].events.iter().filter_map(octets).collect()
}

#[test]
fn a_path_that_carries_the_size_is_asked_once_with_a_datagram_of_that_size() {
    for side in [A, B] {
        let mut pump = moved(config("aes256gcm16-prfsha256-x25519"));
        let (sizes, mtus) = send_large(&mut pump, side);
        assert_eq!((sizes, mtus), (vec![usize::from(LARGE)], vec![]));
        pump.assert_connected(1);
    }
}

#[test]
fn with_whole_blocks_the_datagram_is_as_large_as_blocks_allow_and_no_larger() {
    let mut pump = moved(config("aes256-sha256-modp2048"));
    let (sizes, _) = send_large(&mut pump, A);
    assert!(
        sizes.len() == 1 && (usize::from(LARGE) - 15..=usize::from(LARGE)).contains(&sizes[0]),
        "{sizes:?}"
    );
}

#[test]
fn where_the_size_does_not_arrive_packets_are_small_at_once_and_then_as_large_as_may_be() {
    for side in [A, B] {
        let mut pump = moved(config("aes256gcm16-prfsha256-x25519"));
        narrow(&mut pump, 1350);
        let (sizes, mtus) = send_large(&mut pump, side);
        assert_eq!(mtus[0], 1280, "{mtus:?}");
        let found = *mtus.last().unwrap();
        assert!((1334..=1350).contains(&found), "{mtus:?}");
        assert_eq!(told(&pump, side), [found]);
        assert!(sizes.len() < 60, "{} datagrams", sizes.len());
        pump.assert_connected(1);
    }
}

#[test]
fn a_path_below_what_ipv6_asks_for_is_found_too() {
    let mut pump = moved(config("aes256gcm16-prfsha256-x25519"));
    narrow(&mut pump, 1000);
    let (_, mtus) = send_large(&mut pump, A);
    assert_eq!(mtus[..2], [1280, 576], "{mtus:?}");
    assert!((984..=1000).contains(mtus.last().unwrap()), "{mtus:?}");
}

#[test]
fn a_move_ends_the_search_and_what_was_found_is_of_the_old_path() {
    let mut pump = moved(config("aes256gcm16-prfsha256-x25519"));
    narrow(&mut pump, 1350);
    let child = pump.child_sa(A);
    pump.traffic(A, TrafficReport::Large(child, LARGE));
    pump.run_for(Duration::from_millis(500));
    pump.filter = Box::new(|_, _| true);
    pump.set_addresses(A, &[HOME]);
    pump.settle();
    let before = pump.sides[A].path_mtus.len();
    assert_eq!(send_large(&mut pump, A), (vec![usize::from(LARGE)], vec![]));
    assert_eq!(pump.sides[A].path_mtus.len(), before);
    assert_eq!(told(&pump, A), []);
}

#[test]
fn what_whole_blocks_took_from_a_test_is_not_taken_to_arrive() {
    for mtu in 1334..1366 {
        let mut pump = moved(config("aes256-sha256-modp2048"));
        narrow(&mut pump, mtu);
        let (_, mtus) = send_large(&mut pump, A);
        let found = usize::from(*mtus.last().unwrap());
        assert!(found <= mtu && mtu - found <= 32, "{mtu}: {mtus:?}");
    }
}

#[test]
fn a_path_that_became_slow_is_not_taken_for_a_narrow_one() {
    let mut pump = pair_of(config("aes256gcm16-prfsha256-x25519"));
    pump.set_addresses(B, &["192.0.2.2"]);
    pump.set_addresses(A, &[HOME, AWAY]);
    // Both directions: a round trip of 600 ms more on the path that comes.
    pump.slow = Some((AWAY.parse().unwrap(), Duration::from_millis(300)));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.set_addresses(A, &[AWAY]);
    pump.run_for(Duration::from_millis(10));
    let (_, mtus) = send_large(&mut pump, A);
    assert_eq!(mtus, [], "the time of the path before is not waited for");
    // It becomes slow while it is in use, and one test is lost for that.
    let mut pump = moved(config("aes256gcm16-prfsha256-x25519"));
    pump.slow = Some((AWAY.parse().unwrap(), Duration::from_millis(150)));
    let (_, mtus) = send_large(&mut pump, A);
    assert_eq!(mtus, [1280, LARGE], "the second test waits as long as any request");
}

#[test]
fn ike_cuts_its_own_messages_for_what_the_path_was_found_to_carry() {
    // A public value of 512 octets.
    let mut pump = moved(config("aes256gcm16-prfsha256-modp4096"));
    pump.filter = Box::new(|side, sent| side == B || size(sent) <= 600);
    let (_, mtus) = send_large(&mut pump, A);
    let found = usize::from(*mtus.last().unwrap());
    let before = pump.sides[A].sent.len();
    let spi = pump.ike_sa(A).spi_i;
    pump.command(A, Command::RekeyIkeSa(pump.ike_sa(A).id));
    pump.run_for(Duration::from_secs(30));
    let sizes: Vec<usize> = pump.sides[A].sent[before..].iter().map(size).collect();
    assert!(sizes.len() >= 3 && sizes.iter().all(|size| *size <= found), "{sizes:?} of {found}");
    assert_ne!(pump.ike_sa(A).spi_i, spi, "it arrived");
    pump.assert_connected(1);
}

#[test]
fn a_peer_without_mobike_is_never_asked() {
    let mut pump = pair_of(PeerConfig { mobike: false, ..config("aes256gcm16-prfsha256-x25519") });
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    assert_eq!(send_large(&mut pump, A), (vec![], vec![]));
}
