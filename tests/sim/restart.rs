//! A host that lost everything begins anew, and its peer believes it (RFC 7296 §2.4).

use vpnhost_crypto::SecretBytes;
use vpnhost_ike::{CloseReason, Command, Event};
use vpnhost_kit::agreement::between;
use vpnhost_kit::configuration::initiator;
use vpnhost_kit::network::Weather;
use vpnhost_kit::{A, B, Simulation};

use crate::world::{children, connected, millis, pair, restart, secs};

/// Gives a host the secret that it finds again after a restart (RFC 6290 §5.1).
fn remember(simulation: &mut Simulation, host: usize) {
    let secret = SecretBytes::new(vec![[0xa1, 0xb2][host]; 32]);
    simulation.hosts[host].endpoint.use_crash_secret(secret);
}

fn proved_lost(simulation: &Simulation, host: usize) -> bool {
    simulation
        .saw(host, |event| matches!(event, Event::IkeSaClosed { reason: CloseReason::PeerLostState, .. }))
}

#[test]
fn an_initiator_that_restarts_replaces_what_the_responder_still_has() {
    let mut simulation = connected(1);
    let old = simulation.ike_sa(B).id;
    restart(&mut simulation, A, 77);
    simulation.run_for(secs(3));
    simulation.assert_agreed(A, B);
    // The Delete of what is gone finds nobody, and is given up soon.
    simulation.run_for(secs(10));
    assert_ne!(simulation.ike_sa(B).id, old);
    let replaced = |event: &Event| matches!(event, Event::IkeSaClosed { ike_sa, reason: CloseReason::InitialContact, .. } if *ike_sa == old);
    assert!(simulation.saw(B, replaced), "{:?}", simulation.hosts[B].events);
    simulation.assert_passes(A, B);
}

#[test]
fn a_responder_that_restarts_is_found_out_by_liveness_and_called_again() {
    let mut simulation = connected(2);
    restart(&mut simulation, B, 78);
    // The first host's packets go nowhere; it asks, and is told that nobody knows it.
    let child = simulation.ike_sa(A).children[0].clone();
    simulation.send_inner(A, &between(&child.local[0], &child.remote[0], 1).encode());
    simulation.run_for(secs(40));
    simulation.assert_agreed(A, B);
    simulation.assert_passes(A, B);
    let replaced = |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::Replaced, .. });
    assert!(simulation.saw(A, replaced));
}

#[test]
fn a_responder_that_restarts_and_begins_by_itself_replaces_what_the_initiator_has() {
    let mut simulation = connected(3);
    restart(&mut simulation, B, 79);
    simulation.command(B, Command::Initiate("a".into()));
    simulation.run_for(secs(200));
    simulation.assert_agreed(A, B);
    simulation.assert_passes(A, B);
}

#[test]
fn both_restart_at_once_and_find_each_other() {
    let mut simulation = connected(4);
    restart(&mut simulation, A, 80);
    restart(&mut simulation, B, 81);
    simulation.run_for(secs(5));
    simulation.assert_agreed(A, B);
    simulation.assert_passes(A, B);
}

#[test]
fn a_responder_that_restarts_with_its_secret_proves_its_loss_and_is_called_again_at_once() {
    let mut simulation = pair(initiator(children()), 5);
    [A, B].into_iter().for_each(|host| remember(&mut simulation, host));
    simulation.run_for(secs(2));
    simulation.assert_agreed(A, B);
    let old = simulation.ike_sa(A).id;
    restart(&mut simulation, B, 82);
    remember(&mut simulation, B);
    simulation.command(A, Command::CheckLiveness(old));
    // A datagram takes 10 ms: one round trip for the question, and two for IKE_SA_INIT and IKE_AUTH. Until then what the
    // host has of the old one stays.
    let is_up = |simulation: &Simulation| {
        assert!(!simulation.hosts[A].installed.is_empty());
        proved_lost(simulation, A) && simulation.established(A).len() == 1
    };
    assert!(simulation.run_until(millis(60), is_up));
    simulation.run_for(secs(2));
    simulation.assert_agreed(A, B);
    simulation.assert_passes(A, B);
}

#[test]
fn a_loss_that_is_proved_while_nothing_else_arrives_is_made_good_once_the_network_is_back() {
    let mut simulation = pair(initiator(children()), 6);
    [A, B].into_iter().for_each(|host| remember(&mut simulation, host));
    simulation.run_for(secs(2));
    restart(&mut simulation, B, 83);
    remember(&mut simulation, B);
    let old = simulation.ike_sa(A).id;
    simulation.command(A, Command::CheckLiveness(old));
    simulation.run_for(millis(20));
    // What was begun then is lost, again and again.
    simulation.network.weather = Weather::DEAD;
    simulation.run_for(secs(300));
    simulation.network.weather = Weather::FAIR;
    simulation.run_for(vpnhost_ike::limits::ASKED_AT_REST + secs(5));
    assert_ne!(simulation.ike_sa(A).id, old);
    simulation.assert_agreed(A, B);
    simulation.assert_passes(A, B);
}

#[test]
fn a_gateway_that_is_up_again_after_a_crash_hears_of_its_clients_traffic_within_five_round_trips() {
    let round_trip = millis(300);
    for away in (0..40).map(|step| millis(500 + 97 * step)) {
        let mut pair = pair(initiator(children()), 7);
        [A, B].into_iter().for_each(|host| remember(&mut pair, host));
        pair.network.weather.delay = (round_trip / 2, round_trip / 2);
        pair.run_for(secs(10));
        pair.assert_agreed(A, B);
        pair.network.weather.loss = 100;
        send_for(&mut pair, away);
        restart(&mut pair, B, 84);
        remember(&mut pair, B);
        pair.network.weather.loss = 0;
        let up = pair.now().instant;
        while pair.hosts[B].delivered.is_empty() {
            send_for(&mut pair, GAP);
        }
        let took = pair.now().instant - up;
        // A packet that nobody knows, the word of that, the question, and its answer; IKE_SA_INIT, IKE_AUTH, a packet.
        assert!(took <= round_trip * 9 / 2 + GAP, "{took:?} after {away:?} away");
    }
}

/// Between two packets.
const GAP: std::time::Duration = millis(5);

/// The first host sends packets for a while.
fn send_for(simulation: &mut Simulation, span: std::time::Duration) {
    let until = simulation.now().instant + span;
    while simulation.now().instant < until {
        let child =
            simulation.established(A).into_iter().flat_map(|sa| sa.children).find(|child| child.sends);
        if let Some(child) = child {
            simulation.send_inner(A, &between(&child.local[0], &child.remote[0], 1).encode());
        }
        simulation.run_for(GAP);
    }
}
