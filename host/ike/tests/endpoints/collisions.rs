//! Both sides at once (RFC 7296 §2.8.1, §2.25), in every order of arrival and with either loser.

use std::time::Duration;

use vpnhost_ike::{Command, Event};

use crate::pump::*;

fn fresh(seed: u64) -> Pump {
    let a = initiator(IKE, vec![child("net", "aes128gcm16-x25519", "10.1.0.0/24", "10.2.0.0/24")]);
    let b = responder(&a);
    let mut pump = Pump::seeded(config(a), config(b), seed);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    pump
}

/// What a side orders.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    RekeyChild,
    RekeyIke,
    DeleteChild,
    DeleteIke,
}

fn order(pump: &mut Pump, side: usize, order: Order) {
    let (sa, child) = (pump.ike_sa(side).id, pump.child_sa(side));
    let command = match order {
        Order::RekeyChild => Command::RekeyChildSa(child),
        Order::RekeyIke => Command::RekeyIkeSa(sa),
        Order::DeleteChild => Command::TerminateChildSa(child),
        Order::DeleteIke => Command::TerminateIkeSa(sa),
    };
    pump.command(side, command);
}

/// Loses the `lost`-th datagram after the orders, so that arrivals change their order.
fn collide(seed: u64, a: Order, b: Order, lost: Option<usize>) -> Pump {
    let mut pump = fresh(seed);
    let mut count = 0;
    pump.filter = Box::new(move |_, _| {
        count += 1;
        Some(count - 1) != lost
    });
    order(&mut pump, A, a);
    order(&mut pump, B, b);
    pump.run_for(Duration::from_secs(90));
    pump
}

#[test]
fn simultaneous_child_rekeys_leave_one_child() {
    for seed in 1..9 {
        for lost in std::iter::once(None).chain((0..8).map(Some)) {
            let pump = collide(seed, Order::RekeyChild, Order::RekeyChild, lost);
            pump.assert_connected(1);
            assert_eq!(
                (pump.sides[A].installed.len(), pump.sides[B].installed.len()),
                (1, 1),
                "{seed} {lost:?}"
            );
        }
    }
}

#[test]
fn simultaneous_ike_rekeys_leave_one_ike_sa() {
    for seed in 1..9 {
        for lost in std::iter::once(None).chain((0..8).map(Some)) {
            let pump = collide(seed, Order::RekeyIke, Order::RekeyIke, lost);
            pump.assert_connected(1);
            for side in [A, B] {
                let rekeyed =
                    pump.sides[side].events.iter().filter(|e| matches!(e, Event::IkeSaRekeyed { .. }));
                assert_eq!(rekeyed.count(), 1, "seed {seed} lost {lost:?}");
                assert_eq!(pump.sides[side].host.len(), 1);
            }
        }
    }
}

#[test]
fn a_child_rekey_and_an_ike_rekey_end_with_both_done() {
    for seed in 1..5 {
        for lost in std::iter::once(None).chain((0..6).map(Some)) {
            for (a, b) in [(Order::RekeyChild, Order::RekeyIke), (Order::RekeyIke, Order::RekeyChild)] {
                let pump = collide(seed, a, b, lost);
                pump.assert_connected(1);
                assert_eq!((pump.sides[A].installed.len(), pump.sides[B].installed.len()), (1, 1));
            }
        }
    }
}

#[test]
fn a_delete_beats_a_rekey() {
    for seed in 1..5 {
        for lost in std::iter::once(None).chain((0..6).map(Some)) {
            for (a, b) in [(Order::RekeyChild, Order::DeleteChild), (Order::DeleteChild, Order::RekeyChild)] {
                let pump = collide(seed, a, b, lost);
                let (ours, theirs) = (pump.ike_sa(A), pump.ike_sa(B));
                assert_eq!(ours.children.len(), theirs.children.len(), "seed {seed} lost {lost:?}");
                assert_eq!(pump.sides[A].installed.len(), ours.children.len());
                assert_eq!(pump.sides[B].installed.len(), theirs.children.len());
            }
            for (a, b) in [
                (Order::RekeyChild, Order::DeleteIke),
                (Order::DeleteIke, Order::RekeyIke),
                (Order::RekeyIke, Order::DeleteIke),
                (Order::DeleteIke, Order::DeleteChild),
            ] {
                let pump = collide(seed, a, b, lost);
                let (ours, theirs) = (pump.established(A), pump.established(B));
                assert_eq!(
                    ours.len(),
                    theirs.len(),
                    "{a:?} {b:?} seed {seed} lost {lost:?}: {ours:#?} {theirs:#?}"
                );
                if ours.is_empty() {
                    pump.assert_empty(A);
                    pump.assert_empty(B);
                } else {
                    pump.assert_connected(1);
                }
            }
        }
    }
}

#[test]
fn an_ike_rekey_and_a_child_delete_do_not_disturb_each_other() {
    for seed in 1..5 {
        for lost in std::iter::once(None).chain((0..6).map(Some)) {
            let pump = collide(seed, Order::RekeyIke, Order::DeleteChild, lost);
            pump.assert_connected(0);
            assert!(pump.sides[A].installed.is_empty() && pump.sides[B].installed.is_empty());
        }
    }
}

#[test]
fn two_hosts_that_begin_with_each_other_at_once_stay_connected() {
    let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let b = responder(&a);
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.command(B, Command::Initiate("a".into()));
    pump.run_for(Duration::from_secs(30));
    let (ours, theirs) = (pump.established(A), pump.established(B));
    assert!(!ours.is_empty());
    let spis = |list: &[vpnhost_ike::IkeSaStatus]| {
        let mut spis: Vec<_> = list.iter().map(|sa| (sa.spi_i, sa.spi_r)).collect();
        spis.sort();
        spis
    };
    assert_eq!(spis(&ours), spis(&theirs));
}
