//! A NAT between the hosts: found, kept open, and followed when it changes its mind (RFC 7296 §2.23).

use std::time::Duration;

use vpnhost_ike::{EncapsulationPolicy, Event};
use vpnhost_kit::agreement::between;
use vpnhost_kit::configuration::{A_ADDRESS, address, endpoint, initiator, responder};
use vpnhost_kit::{A, B, Nat, Simulation};
use vpnhost_model::Encapsulation;

use crate::world::{children, secs};

const OUTSIDE: &str = "198.51.100.7";

/// The first host is behind a NAT that forgets after `lifetime` without a packet.
fn behind_nat(lifetime: Duration) -> Simulation {
    let mut a = initiator(children());
    a.encapsulation = EncapsulationPolicy::Auto;
    let mut b = responder(&a);
    b.gateways.clear();
    b.initiate = false;
    let mut simulation = Simulation::pair(endpoint(a), endpoint(b), 1);
    simulation.network.nats.push(Nat::new(&[address(A_ADDRESS)], address(OUTSIDE), lifetime));
    simulation.run_for(secs(3));
    simulation.assert_agreed(A, B);
    simulation
}

#[test]
fn a_nat_is_found_and_esp_goes_through_it_in_udp() {
    let mut simulation = behind_nat(secs(300));
    let (a, b) = (simulation.ike_sa(A), simulation.ike_sa(B));
    assert!(a.local_behind_nat && !a.peer_behind_nat && b.peer_behind_nat && !b.local_behind_nat);
    assert_eq!(b.path.remote.ip(), address(OUTSIDE));
    assert_eq!(a.path.encapsulation, Encapsulation::Udp);
    assert_eq!(b.path.encapsulation, Encapsulation::Udp);
    simulation.assert_passes(A, B);
}

#[test]
fn keepalives_hold_the_mapping_open_for_an_hour_of_silence() {
    let mut simulation = behind_nat(secs(30));
    let port = simulation.ike_sa(B).path.remote;
    simulation.run_for(secs(3600));
    assert_eq!(simulation.ike_sa(B).path.remote, port);
    simulation.assert_passes(B, A);
}

#[test]
fn a_rebinding_nat_is_followed_with_the_first_authentic_packet() {
    let mut simulation = behind_nat(secs(300));
    let before = simulation.ike_sa(B).path.remote;
    simulation.network.nats[0].rebind();
    // A packet from inside shows the new mapping; what the gateway sends then arrives.
    let child = simulation.ike_sa(A).children[0].clone();
    simulation.send_inner(A, &between(&child.local[0], &child.remote[0], 1).encode());
    simulation.run_for(secs(1));
    let after = simulation.ike_sa(B).path.remote;
    assert_ne!(after, before);
    assert!(simulation.saw(B, |event| matches!(event, Event::Moved { path, .. } if path.remote == after)));
    simulation.assert_passes(B, A);
    simulation.assert_agreed(A, B);
}

#[test]
fn a_nat_that_rebinds_in_silence_is_followed_by_liveness_or_keepalive_alone() {
    let mut simulation = behind_nat(secs(300));
    simulation.network.nats[0].move_to(address("198.51.100.9"));
    simulation.run_for(secs(60));
    assert_eq!(simulation.ike_sa(B).path.remote.ip(), address("198.51.100.9"));
    simulation.assert_passes(B, A);
    simulation.assert_agreed(A, B);
}

#[test]
fn a_nat_that_rebinds_every_minute_costs_no_sa() {
    let mut simulation = behind_nat(secs(300));
    let sa = simulation.ike_sa(A).spi_i;
    for _ in 0..20 {
        simulation.network.nats[0].rebind();
        simulation.run_for(secs(60));
        simulation.assert_passes(A, B);
    }
    assert_eq!(simulation.ike_sa(A).spi_i, sa);
}
