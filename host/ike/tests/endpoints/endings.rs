//! Delete, liveness, initial contact, reconfiguration, shutdown.

use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::CryptoError;
use vpnhost_ike::{CloseReason, Command, Event, JobResult, OutputFailure, Start, TrafficReport};

use crate::pump::*;
use crate::script::{Duel, Order};

fn closed(reason: CloseReason) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::IkeSaClosed { reason: why, .. } if *why == reason)
}

#[test]
fn a_delete_from_either_side_leaves_nothing_on_either() {
    for (side, name) in [(A, "b"), (B, "a")] {
        let mut pump = connected();
        pump.command(side, Command::Terminate(name.into()));
        pump.settle();
        pump.assert_empty(A);
        pump.assert_empty(B);
        assert!(pump.saw(side, closed(CloseReason::Local)));
        assert!(pump.saw(1 - side, closed(CloseReason::DeletedByPeer)));
    }
}

#[test]
fn a_lost_answer_to_delete_is_repeated() {
    let mut pump = connected();
    let mut lost = false;
    pump.filter = Box::new(move |side, _| side == A || std::mem::replace(&mut lost, true));
    pump.command(A, Command::Terminate("b".into()));
    pump.run_for(Duration::from_secs(5));
    pump.assert_empty(A);
    pump.assert_empty(B);
    let deletes = pump.sides[A].sent.iter().rev().take(2).map(|sent| &sent.octets).collect::<Vec<_>>();
    assert_eq!(deletes[0], deletes[1]);
}

#[test]
fn both_delete_at_once() {
    let mut pump = connected();
    pump.command(A, Command::Terminate("b".into()));
    pump.command(B, Command::Terminate("a".into()));
    pump.settle();
    pump.assert_empty(A);
    pump.assert_empty(B);
}

#[test]
fn a_key_exchange_that_fails_during_a_rekey_leaves_no_spi_behind() {
    for order in [Order::RekeyIke, Order::RekeyChild] {
        for completed in [false, true] {
            let mut duel = Duel::new().ends();
            duel.pump.sides[A].hold_jobs = true;
            duel.order(A, order);
            if completed {
                let (id, job) = duel.pump.sides[A].jobs.pop_front().expect("the key exchange begins");
                duel.pump.work(A, id, job.run());
                duel.pump.settle();
            }
            let (id, _) = duel.pump.sides[A].jobs.pop_front().expect("the key exchange goes on");
            let failed = match completed {
                false => JobResult::Started(Err(CryptoError::Backend)),
                true => JobResult::Completed(Err(CryptoError::BadPeerKey)),
            };
            duel.pump.sides[A].hold_jobs = false;
            duel.pump.work(A, id, failed);
            duel.pump.run_for(Duration::from_secs(90));
            for side in &duel.pump.sides {
                let holds = side.endpoint.holdings();
                assert_eq!((holds.ike_spis, holds.child_spis), (holds.ike_sas, holds.child_sas));
            }
        }
    }
}

#[test]
fn one_child_ends_and_the_ike_sa_stays() {
    for side in [A, B] {
        let mut pump = connected();
        let child = pump.child_sa(side);
        pump.command(side, Command::TerminateChildSa(child));
        pump.settle();
        pump.assert_connected(0);
        assert!(pump.sides[A].installed.is_empty() && pump.sides[B].installed.is_empty());
    }
}

#[test]
fn a_child_that_was_ended_comes_back_when_its_connection_is_ordered_up() {
    for side in [A, B] {
        let mut pump = connected();
        let child = pump.child_sa(side);
        pump.command(side, Command::TerminateChildSa(child));
        pump.settle();
        pump.assert_connected(0);
        for _ in 0..2 {
            pump.command(A, Command::Initiate("b".into()));
            pump.settle();
            pump.assert_connected(1);
        }
    }
}

#[test]
fn both_delete_the_same_child_at_once() {
    let mut pump = connected();
    for side in [A, B] {
        let child = pump.child_sa(side);
        pump.command(side, Command::TerminateChildSa(child));
    }
    pump.settle();
    pump.assert_connected(0);
}

#[test]
fn a_silent_peer_is_found_dead_and_a_living_one_is_not() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.timing.liveness_idle = Duration::from_secs(10);
    let mut pump = pair_of(a);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(120));
    pump.assert_connected(1);
    pump.filter = Box::new(|_, _| false);
    for side in [A, B] {
        let child = pump.child_sa(side);
        pump.traffic(side, TrafficReport::Outbound(child, pump.now.instant));
    }
    pump.run_for(Duration::from_secs(150));
    for side in [A, B] {
        assert!(pump.saw(side, |event| {
            matches!(event, Event::IkeSaClosed { reason: CloseReason::PeerDead { .. }, .. })
        }));
    }
    pump.assert_empty(B);
    assert!(pump.saw(A, |event| matches!(event, Event::RetryScheduled { .. })), "it was ordered to be up");
    pump.command(A, Command::Terminate("b".into()));
    pump.assert_empty(A);
}

#[test]
fn inbound_traffic_is_proof_of_life() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.timing.liveness_idle = Duration::from_secs(10);
    a.timing.suspect = Duration::ZERO;
    let mut b = responder(&a);
    b.timing.liveness_idle = Duration::ZERO;
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let child = pump.child_sa(A);
    let before = pump.sides[A].sent.len();
    for _ in 0..20 {
        pump.run_for(Duration::from_secs(5));
        pump.traffic(A, TrafficReport::Inbound(child, pump.now.instant));
    }
    assert_eq!(pump.sides[A].sent.len(), before);
    pump.run_for(Duration::from_secs(1));
    pump.traffic(A, TrafficReport::Outbound(child, pump.now.instant));
    pump.run_for(Duration::from_secs(5));
    assert_eq!(pump.sides[A].sent.len(), before, "the peer has time to answer");
    pump.run_for(Duration::from_secs(10));
    assert_eq!(pump.sides[A].sent.len(), before + 1);
}

#[test]
fn nobody_is_asked_at_rest_but_who_vanished_is_forgotten_in_the_end() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.timing.liveness_idle = Duration::from_secs(10);
    let mut pump = pair_of(a);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.run_for(Duration::from_secs(60));
    assert_eq!(pump.sides[B].sent.len(), 3, "a responder sees whether its last answer arrived");
    let before = [A, B].map(|side| pump.sides[side].sent.len());
    pump.run_for(Duration::from_secs(14 * 60));
    assert_eq!([A, B].map(|side| pump.sides[side].sent.len()), before, "there is no reason to ask");
    pump.run_for(Duration::from_secs(4 * 60));
    pump.assert_connected(1);
    let said: usize = [A, B].iter().map(|&side| pump.sides[side].sent.len() - before[side]).sum();
    assert_eq!(said, 2, "one end asked, which told both that the other is there");
    pump.filter = Box::new(|_, _| false);
    pump.run_for(Duration::from_secs(25 * 60));
    for side in [A, B] {
        let is_dead =
            |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::PeerDead { .. }, .. });
        assert!(pump.saw(side, is_dead));
    }
}

#[test]
fn an_answer_to_the_peers_question_asks_for_no_question_of_our_own() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.timing.liveness_idle = Duration::from_secs(10);
    let mut pump = pair_of(a);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let id = pump.ike_sa(A).id;
    pump.command(A, Command::CheckLiveness(id));
    pump.settle();
    let before = [A, B].map(|side| pump.sides[side].sent.len());
    pump.run_for(Duration::from_secs(300));
    assert_eq!([A, B].map(|side| pump.sides[side].sent.len()), before);
}

#[test]
fn a_check_of_liveness_is_answered_with_its_round_trip() {
    let mut pump = connected();
    let id = pump.ike_sa(A).id;
    pump.command(A, Command::CheckLiveness(id));
    pump.settle();
    let answered = |event: &Event| matches!(event, Event::Alive { round_trip: Some(time), .. } if *time == Duration::from_millis(20));
    assert!(pump.saw(A, answered), "{:?}", pump.sides[A].events);
}

#[test]
fn a_dead_peer_of_a_connection_that_is_kept_up_is_tried_again() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.start = Start::Up;
    a.timing.liveness_idle = Duration::from_secs(10);
    let mut pump = pair_of(a);
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    pump.filter = Box::new(|_, _| false);
    let child = pump.child_sa(A);
    pump.traffic(A, TrafficReport::Outbound(child, pump.now.instant));
    pump.run_for(Duration::from_secs(300));
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(150));
    pump.assert_connected(1);
    assert!(pump.saw(A, |event| matches!(event, Event::RetryScheduled { .. })));
}

#[test]
fn initial_contact_ends_what_the_peer_no_longer_knows() {
    let mut pump = connected();
    pump.run_for(Duration::from_secs(10));
    let old = pump.ike_sa(B).id;
    // A crashes and comes back.
    let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let fresh = Pump::seeded(config(a.clone()), config(responder(&a)), 99);
    let [side, _] = fresh.sides;
    pump.sides[A] = side;
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(20));
    pump.assert_connected(1);
    assert!(pump.saw(B, |event| {
        matches!(event, Event::IkeSaClosed { ike_sa, reason: CloseReason::InitialContact, .. } if *ike_sa == old)
    }));
}

#[test]
fn a_new_configuration_leaves_what_did_not_change() {
    let connection = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let mut pump = connected();
    let spi = pump.ike_sa(A).spi_i;
    pump.command(A, Command::Configure(Box::new(config(connection.clone()))));
    pump.settle();
    assert_eq!(pump.ike_sa(A).spi_i, spi);
    let mut changed = connection;
    changed.timing.rekey_ike = Duration::from_secs(7200);
    let mut new = config(changed);
    Arc::make_mut(&mut new.connections[0]).start = Start::Up;
    pump.command(A, Command::Configure(Box::new(new)));
    pump.run_for(Duration::from_secs(5));
    assert!(pump.saw(A, closed(CloseReason::Reconfigured)));
    pump.assert_connected(1);
    assert_ne!(pump.ike_sa(A).spi_i, spi);
}

#[test]
fn shutdown_says_goodbye_and_begins_nothing_more() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.start = Start::Up;
    let mut pump = pair_of(a);
    pump.run_for(Duration::from_secs(2));
    pump.assert_connected(1);
    pump.command(A, Command::Shutdown);
    pump.run_for(Duration::from_secs(100));
    pump.assert_empty(A);
    pump.assert_empty(B);
}

#[test]
fn what_the_driver_cannot_carry_out_is_undone() {
    let mut pump = connected();
    let child = pump.child_sa(A);
    pump.sides[A].endpoint.handle_failure(pump.now, OutputFailure::ChildSa(child, "no memory".into()));
    pump.settle();
    pump.assert_connected(0);
    let id = pump.ike_sa(A).id;
    pump.sides[A].endpoint.handle_failure(pump.now, OutputFailure::Host(id, "no route".into()));
    pump.settle();
    pump.assert_empty(A);
    pump.assert_empty(B);
    assert!(pump.saw(A, closed(CloseReason::Internal("no route".into()))));
}

#[test]
fn a_child_that_the_peer_deleted_is_made_anew_where_it_is_to_be_up() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.start = Start::Up;
    let mut pump = pair_of(a);
    pump.settle();
    let old = pump.child_sa(B);
    pump.command(B, Command::TerminateChildSa(old));
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    assert_ne!(pump.child_sa(B), old);
}

#[test]
fn a_peer_that_starts_anew_gets_the_address_that_it_had() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.children[0].local = vec![vpnhost_ike::SelectorConfig::Dynamic];
    let b = responder(&a);
    a.request_address = vpnhost_ike::RequestAddress { v4: true, v6: false };
    let with_pool = || {
        let mut b = config(b.clone());
        b.pools = vec![vpnhost_ike::PoolConfig {
            name: "road".into(),
            base: "10.99.0.0".parse().unwrap(),
            prefix_len: 24,
            dns: vec![],
        }];
        b
    };
    let mut pump = Pump::new(config(a.clone()), with_pool());
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(10));
    let before = pump.ike_sa(A).addresses;
    let [side, _] = Pump::seeded(config(a), with_pool(), 99).sides;
    pump.sides[A] = side;
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(20));
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(A).addresses, before);
}
