//! A full negotiation in the place of an IKE SA that the peer does not have any more, or may not have.

use std::collections::BTreeSet;

use vpnhost_crypto::SecretBytes;
use vpnhost_ike::{CloseReason, EndpointConfig, Gateway, PoolConfig, RequestAddress, SelectorConfig};

use super::*;
use crate::eap;

/// A road warrior with a virtual address, and its gateway.
fn road_warrior(mobike: bool) -> (PeerConfig, EndpointConfig) {
    let mut a = PeerConfig { mobike, ..mobile(ReturnRoutability::Before) };
    a.children[0].local = vec![SelectorConfig::Dynamic];
    let mut b = config(responder(&a));
    a.request_address = RequestAddress { v4: true, v6: false };
    b.pools = vec![PoolConfig {
        name: "road".into(),
        base: "10.1.0.0".parse().unwrap(),
        prefix_len: 24,
        dns: vec![],
    }];
    (a, b)
}

/// The gateway makes tokens, and makes the same ones after a restart.
fn remember(pump: &mut Pump) {
    pump.sides[B].endpoint.use_crash_secret(SecretBytes::new(vec![0xb2; 32]));
}

fn begun((a, b): (PeerConfig, EndpointConfig)) -> Pump {
    let mut pump = Pump::new(config(a), b);
    remember(&mut pump);
    pump.set_addresses(B, &[GATEWAY, SECOND_GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    pump
}

/// The gateway loses all but its secret, and the client asks it.
fn lose(pump: &mut Pump, seed: u64) {
    pump.restart(B, seed);
    remember(pump);
    pump.set_addresses(B, &[GATEWAY, SECOND_GATEWAY]);
    let id = pump.ike_sa(A).id;
    pump.command(A, Command::CheckLiveness(id));
}

/// The IKE_SA_INIT requests that the client began: to where, and with which SPI.
fn inits(sent: &[Transmit]) -> Vec<(SocketAddr, [u8; 8])> {
    let is_init = |sent: &&Transmit| sent.octets.len() > 28 && sent.octets[18] == 34;
    sent.iter().filter(is_init).map(|sent| (sent.path.remote, sent.octets[..8].try_into().unwrap())).collect()
}

fn close_reasons(pump: &Pump, side: usize) -> Vec<CloseReason> {
    let reason = |event: &Event| match event {
        Event::IkeSaClosed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    pump.sides[side].events.iter().filter_map(reason).collect()
}

#[test]
fn what_a_peer_proves_to_have_lost_keeps_its_address_until_another_ike_sa_has_it() {
    for mobike in [true, false] {
        let mut pump = begun(road_warrior(mobike));
        let (old, addresses) = (pump.ike_sa(A).id, pump.ike_sa(A).addresses);
        assert_eq!(addresses.len(), 1);
        lose(&mut pump, 77);
        for _ in 0..40 {
            pump.run_for(pump.latency / 2);
            assert!(!pump.sides[A].host.is_empty(), "the machine has its address all the time");
        }
        assert_eq!(close_reasons(&pump, A), [CloseReason::PeerLostState]);
        pump.assert_connected(1);
        let new = pump.ike_sa(A);
        assert_ne!(new.id, old);
        assert_eq!(new.addresses, addresses);
        // Nothing is left of the old one.
        assert_eq!(pump.sides[A].host.keys().collect::<Vec<_>>(), [&new.id]);
        assert!(pump.sides[A].installed.values().all(|keys| keys.ike_sa == new.id));
    }
}

#[test]
fn where_nothing_takes_the_place_of_what_was_lost_it_ends_and_the_connection_is_tried_with_pauses() {
    let (a, b) = road_warrior(true);
    let a = PeerConfig { start: vpnhost_ike::Start::Up, ..a };
    let mut pump = begun((a, b));
    let mut stranger = pump.configs[B].clone();
    let connection = std::sync::Arc::make_mut(&mut stranger.connections[0]);
    connection.secrets.default = Some(SecretBytes::new(b"another".to_vec()));
    pump.configs[B] = stranger;
    lose(&mut pump, 77);
    let before = pump.sides[A].sent.len();
    pump.run_for(Duration::from_secs(60));
    assert_eq!(close_reasons(&pump, A)[0..2].len(), 2);
    assert!(close_reasons(&pump, A).contains(&CloseReason::PeerLostState));
    assert!(pump.sides[A].host.is_empty() && pump.established(A).is_empty());
    let begun: BTreeSet<[u8; 8]> =
        inits(sent_since(&pump, A, before)).into_iter().map(|(_, spi)| spi).collect();
    assert!((2..=12).contains(&begun.len()), "{} attempts in a minute", begun.len());
}

#[test]
fn a_negotiation_beside_begins_with_the_gateway_in_use_every_time() {
    let (mut a, b) = road_warrior(true);
    a.gateways = [GATEWAY, SECOND_GATEWAY].map(|ip| Gateway { address: address(ip, 500) }).to_vec();
    let mut pump = begun((a, b));
    for seed in [77, 78, 79] {
        let before = pump.sides[A].sent.len();
        lose(&mut pump, seed);
        pump.run_for(Duration::from_secs(10));
        assert_eq!(inits(sent_since(&pump, A, before))[0].0.ip(), address(GATEWAY, 0).ip());
        pump.assert_connected(1);
    }
}

#[test]
fn beside_a_silent_peer_one_is_begun_each_second_while_traffic_waits_and_seldom_while_none_does() {
    let begun = |pump: &Pump, before: usize| -> usize {
        let spis = inits(sent_since(pump, A, before)).into_iter().map(|(_, spi)| spi);
        spis.collect::<BTreeSet<_>>().len()
    };
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    pump.filter = Box::new(|_, _| false);
    send_for(&mut pump, Duration::from_secs(30));
    let before = pump.sides[A].sent.len();
    send_for(&mut pump, Duration::from_secs(30));
    let datagrams = inits(sent_since(&pump, A, before)).len();
    assert!((24..=40).contains(&datagrams), "{datagrams} IKE_SA_INIT in 30 s of traffic");
    // Nobody waits any more.
    pump.run_for(Duration::from_secs(600));
    let before = pump.sides[A].sent.len();
    pump.run_for(Duration::from_secs(3600));
    let (attempts, datagrams) = (begun(&pump, before), inits(sent_since(&pump, A, before)).len());
    assert!(
        (13..=15).contains(&attempts) && datagrams == attempts,
        "{attempts} attempts, {datagrams} datagrams"
    );
    assert_eq!(pump.established(A).len(), 1, "the old one stays");
}

#[test]
fn a_password_that_was_given_once_is_enough_for_a_negotiation_beside() {
    let (a, b) = eap::ends(eap::password("carol", "lab password"), eap::leading(vec![eap::users()]));
    let mut pump = begun((PeerConfig { mobike: true, ..a }, config(PeerConfig { mobike: true, ..b })));
    let old = pump.ike_sa(A).id;
    let questions = pump.sides[A].questions.len();
    lose(&mut pump, 77);
    pump.run_for(Duration::from_secs(10));
    pump.assert_connected(1);
    assert_ne!(pump.ike_sa(A).id, old);
    assert_eq!(pump.sides[A].questions.len(), questions, "nobody is asked");
    // Silence as well, without a token.
    let old = pump.ike_sa(A).id;
    pump.restart(B, 78);
    pump.set_addresses(B, &[GATEWAY]);
    send_for(&mut pump, Duration::from_secs(10));
    pump.run_for(Duration::from_secs(30));
    pump.assert_connected(1);
    assert_ne!(pump.ike_sa(A).id, old);
    assert_eq!(pump.sides[A].endpoint.holdings().ike_sas, 1, "the keys of the old one are gone");
}

#[test]
fn what_a_gateway_forgot_half_way_is_begun_anew_as_soon_as_a_path_is_back() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    let old = pump.ike_sa(A).spi_i;
    pump.restart(B, 4711);
    pump.set_addresses(B, &[GATEWAY]);
    // Nothing but IKE_SA_INIT comes through, for longer than a half-open IKE SA is kept.
    pump.filter = Box::new(|_, sent| sent.octets[18] == 34);
    send_for(&mut pump, Duration::from_secs(45));
    pump.filter = Box::new(|_, _| true);
    send_for(&mut pump, Duration::from_secs(3));
    pump.assert_connected(1);
    assert_ne!(pump.ike_sa(A).spi_i, old);
}
