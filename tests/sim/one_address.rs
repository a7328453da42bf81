//! Two links with one address: a Wi-Fi and a modem, each behind a router that gives out the same private network.

use std::time::Duration;

use vpnhost_ike::PeerConfig;
use vpnhost_kit::agreement::between;
use vpnhost_kit::configuration::{A_ADDRESS, address, endpoint, initiator, responder};
use vpnhost_kit::host::link;
use vpnhost_kit::{A, B, Datagram, Nat, Simulation, seeds};
use vpnhost_model::LinkKind;

use crate::world::{children, millis, secs};

/// What the gateway sees of the host by the one link, and by the other.
const OUTSIDE: [&str; 2] = ["198.51.100.1", "198.51.101.1"];
/// The numbers of their interfaces.
const LINKS: [u32; 2] = [2, 3];
/// Between two packets of each side.
const GAP: Duration = millis(20);

/// Two hosts, the first with two links of one address.
fn with_twins(seed: u64) -> Simulation {
    let a = initiator(children());
    // It comes from anywhere.
    let b = PeerConfig { gateways: Vec::new(), ..responder(&a) };
    let mut simulation = Simulation::pair(endpoint(a), endpoint(b), seed);
    let own = address(A_ADDRESS);
    for (outside, interface) in OUTSIDE.iter().zip(LINKS) {
        simulation.network.nats.push(Nat::new(&[own], address(outside), secs(300)).behind(interface));
    }
    let kinds = [LinkKind::WIFI, LinkKind::CELLULAR];
    simulation
        .set_links(A, LINKS.into_iter().zip(kinds).map(|(number, kind)| link(own, number, kind)).collect());
    simulation.run_for(secs(5));
    simulation.assert_agreed(A, B);
    simulation
}

/// Lets nothing more through on one of the links, either way.
fn cut(simulation: &mut Simulation, twin: usize) {
    let (outside, interface) = (address(OUTSIDE[twin]), LINKS[twin]);
    simulation.network.filter = Some(Box::new(move |datagram: &Datagram| {
        datagram.link != Some(interface) && datagram.destination.ip() != outside
    }));
}

/// Has a packet sent each way again and again until one arrives at each end, and returns how long that took.
fn both_hear(simulation: &mut Simulation, number: &mut u64) -> Duration {
    let before = [A, B].map(|side| simulation.hosts[side].delivered.len());
    let began = simulation.now().instant;
    while [A, B].iter().any(|&side| simulation.hosts[side].delivered.len() == before[side]) {
        assert!(simulation.now().instant - began < secs(60), "nothing arrives any more");
        for side in [A, B] {
            *number += 1;
            let child = simulation.ike_sa(side).children[0].clone();
            let packet = between(&child.local[0], &child.remote[0], *number);
            simulation.send_inner(side, &packet.encode());
        }
        simulation.run_for(GAP);
    }
    simulation.now().instant - began
}

#[test]
fn the_silent_death_of_one_of_two_links_with_one_address_is_survived_on_the_other() {
    seeds::run(0..32, |seed| {
        let mut simulation = with_twins(seed);
        let spi = simulation.ike_sa(A).spi_i;
        let mut number = 0;
        // The one in use dies, then the other: each time the tunnel goes where something arrives.
        for _ in 0..4 {
            both_hear(&mut simulation, &mut number);
            let used = simulation.ike_sa(A).path.interface;
            let twin = LINKS.iter().position(|link| Some(*link) == used).expect("it is bound to one of them");
            cut(&mut simulation, twin);
            // What was on its way arrives.
            simulation.run_for(millis(100));
            let took = both_hear(&mut simulation, &mut number);
            assert!(took <= secs(3), "{took:?}");
            assert_eq!(simulation.ike_sa(A).path.interface, Some(LINKS[1 - twin]));
            assert_eq!(simulation.ike_sa(B).path.remote.ip(), address(OUTSIDE[1 - twin]));
        }
        assert_eq!(simulation.ike_sa(A).spi_i, spi, "nothing was negotiated anew");
        simulation.network.filter = None;
        simulation.run_for(secs(60));
        simulation.assert_agreed(A, B);
    });
}
