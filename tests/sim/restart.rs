//! A host that lost everything begins anew, and its peer believes it (RFC 7296 §2.4).

use vpnhost_ike::{CloseReason, Command, Event};
use vpnhost_kit::{A, B};

use crate::world::{connected, restart, secs};

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
fn a_responder_that_restarts_is_found_dead_by_liveness_and_called_again() {
    let mut simulation = connected(2);
    restart(&mut simulation, B, 78);
    // The first host's packets go nowhere; 20 seconds of silence and the retransmissions later it knows.
    simulation.run_for(secs(140));
    simulation.assert_agreed(A, B);
    simulation.assert_passes(A, B);
    let dead =
        |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::PeerDead { .. }, .. });
    assert!(simulation.saw(A, dead));
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
