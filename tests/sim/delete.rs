//! Ends: announced, lost on the way, and of one child only.

use vpnhost_ike::Command;
use vpnhost_kit::agreement::between;
use vpnhost_kit::{A, B, Datagram};

use crate::world::{connected, secs};

/// Loses the next IKE messages of a host, so many.
fn losing(host: usize, count: usize) -> vpnhost_kit::network::Filter {
    let lost = std::cell::Cell::new(0);
    let address = [vpnhost_kit::configuration::A_ADDRESS, vpnhost_kit::configuration::B_ADDRESS][host];
    Box::new(move |datagram: &Datagram| {
        if datagram.source.ip().to_string() != address || datagram.ike().is_none() || lost.get() >= count {
            return true;
        }
        lost.set(lost.get() + 1);
        false
    })
}

#[test]
fn a_lost_delete_is_repeated_until_nothing_is_left_on_either_side() {
    for (side, lost_of) in [(A, A), (A, B), (B, A), (B, B)] {
        let mut simulation = connected(1);
        simulation.network.filter = Some(losing(lost_of, 1));
        let id = simulation.ike_sa(side).id;
        simulation.command(side, Command::TerminateIkeSa(id));
        simulation.run_for(secs(1));
        // The first host keeps its connection up: what is gone comes again unless it is taken down.
        simulation.command(A, Command::Terminate("b".into()));
        simulation.run_for(secs(30));
        simulation.assert_empty(A);
        simulation.assert_empty(B);
    }
}

#[test]
fn a_delete_that_never_arrives_leaves_the_peer_to_its_liveness_check() {
    let mut simulation = connected(2);
    simulation.network.filter = Some(losing(A, usize::MAX));
    simulation.command(A, Command::Shutdown);
    simulation.run_for(secs(30));
    simulation.assert_empty(A);
    assert_eq!(simulation.established(B).len(), 1, "nobody told it yet");
    let child = simulation.ike_sa(B).children[0].clone();
    simulation.send_inner(B, &between(&child.local[0], &child.remote[0], 1).encode());
    // RFC 4555, 3.11: whoever moves may be away for minutes.
    simulation.run_for(secs(120));
    assert_eq!(simulation.established(B).len(), 1, "it may come back");
    simulation.run_for(secs(300));
    simulation.assert_empty(B);
}

#[test]
fn a_lost_delete_of_a_child_is_repeated_and_the_rest_stays() {
    for (side, lost_of) in [(A, A), (A, B), (B, A), (B, B)] {
        let mut simulation = connected(3);
        let child = simulation.ike_sa(side).children[0].id;
        simulation.network.filter = Some(losing(lost_of, 2));
        simulation.command(side, Command::TerminateChildSa(child));
        simulation.run_for(secs(30));
        simulation.assert_agreed(A, B);
        // The first host keeps the connection up: what its peer deletes it makes anew.
        assert_eq!(simulation.ike_sa(A).children.len(), if side == A { 1 } else { 2 });
        assert!(simulation.ike_sa(side).children.iter().all(|other| other.id != child));
        simulation.assert_passes(A, B);
    }
}

#[test]
fn the_delete_of_a_rekeyed_child_is_lost_and_only_the_new_one_remains() {
    for lost in 0..4 {
        for lost_of in [A, B] {
            let mut simulation = connected(4);
            let child = simulation.ike_sa(A).children[0].id;
            let mut filter = losing(lost_of, 1);
            let mut before = lost;
            simulation.network.filter = Some(Box::new(move |datagram: &Datagram| {
                let spared = before > 0 && datagram.ike().is_some();
                before -= usize::from(spared);
                spared || filter(datagram)
            }));
            simulation.command(A, Command::RekeyChildSa(child));
            simulation.run_for(secs(60));
            simulation.assert_agreed(A, B);
            assert_eq!(simulation.ike_sa(A).children.len(), 2);
            simulation.assert_passes(A, B);
        }
    }
}
