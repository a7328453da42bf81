//! Many Child SAs on one IKE SA: made, renewed by both ends at once, ended; and how long is waited after
//! TEMPORARY_FAILURE (RFC 7296 §2.25).

use std::time::Duration;

use vpnhost_ike::{ChildConfig, Command, Event, PeerConfig};
use vpnhost_model::{ChildSaId, Instant};

use crate::pump::*;
use crate::script::{Duel, Order};

const MANY: usize = 50;

fn nets(count: usize) -> Vec<ChildConfig> {
    let net = |number: usize| {
        let (local, remote) = (format!("10.1.{number}.0/24"), format!("10.2.{number}.0/24"));
        child(&format!("net{number}"), "aes128gcm16-x25519", &local, &remote)
    };
    (0..count).map(net).collect()
}

fn children(pump: &Pump, side: usize) -> Vec<ChildSaId> {
    pump.ike_sa(side).children.iter().map(|child| child.id).collect()
}

fn count(pump: &Pump, side: usize, what: impl Fn(&Event) -> bool) -> usize {
    pump.sides[side].events.iter().filter(|event| what(event)).count()
}

#[test]
fn fifty_children_are_made_renewed_and_ended_on_one_ike_sa() {
    let mut pump = pair_of(initiator(IKE, nets(MANY)));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(10));
    pump.assert_connected(MANY);
    for side in [A, B] {
        let before = children(&pump, side);
        for id in &before {
            pump.command(side, Command::RekeyChildSa(*id));
        }
        pump.run_for(Duration::from_secs(30));
        pump.assert_connected(MANY);
        assert!(children(&pump, side).iter().all(|id| !before.contains(id)), "each is another");
    }
    let (ended, rest) = (MANY / 2, MANY - MANY / 2);
    for id in children(&pump, A).into_iter().take(ended) {
        pump.command(A, Command::TerminateChildSa(id));
    }
    pump.run_for(Duration::from_secs(10));
    pump.assert_connected(rest);
    // What was ended comes back when it is ordered, and what is there is not made twice.
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(10));
    pump.assert_connected(MANY);
    pump.command(B, Command::Terminate("a".into()));
    pump.run_for(Duration::from_secs(10));
    pump.assert_empty(A);
    pump.assert_empty(B);
}

#[test]
fn fifty_children_that_both_ends_renew_at_once_with_the_ike_sa_end_as_fifty() {
    for loss in [0, 20] {
        let mut duel = Duel::of(nets(MANY));
        if loss > 0 {
            let random = Seeded(7);
            let most_delay = Duration::from_millis(50);
            duel.pump.weather = Some(Weather { random, loss, duplication: 5, most_delay });
        }
        for side in [A, B] {
            for id in children(&duel.pump, side) {
                duel.pump.command(side, Command::RekeyChildSa(id));
            }
        }
        duel.order(A, Order::RekeyIke).order(B, Order::RekeyIke);
        duel.pump.run_for(Duration::from_secs(600));
        duel.pump.weather = None;
        duel.connected(MANY);
        let failed = |event: &Event| matches!(event, Event::ChildSaFailed { .. });
        assert_eq!((count(&duel.pump, A, failed), count(&duel.pump, B, failed)), (0, 0));
    }
}

#[test]
fn a_child_that_one_end_ends_while_the_other_renews_it_is_gone_and_the_others_are_renewed() {
    let mut duel = Duel::of(nets(MANY));
    let (of_a, of_b) = (children(&duel.pump, A), children(&duel.pump, B));
    for (own, its) in of_a.iter().zip(&of_b) {
        duel.pump.command(A, Command::RekeyChildSa(*own));
        if its.0 % 5 == 0 {
            duel.pump.command(B, Command::TerminateChildSa(*its));
        }
    }
    let ended = of_b.iter().filter(|id| id.0 % 5 == 0).count();
    assert!(ended > 5);
    duel = duel.ends();
    duel.pump.run_for(Duration::from_secs(60));
    let left = children(&duel.pump, A).len();
    duel.connected(left);
    // What was renewed before the Delete came is another child, which nobody ended.
    assert!((MANY - ended..=MANY).contains(&left), "{left}");
    assert!(children(&duel.pump, A).iter().all(|id| !of_a.contains(id)), "all that is left is new");
}

#[test]
fn after_temporary_failure_it_is_asked_again_after_longer_and_longer_pauses() {
    let mut duel = Duel::of(nets(1));
    // `B` rekeys the IKE SA, and its request does not arrive: until then it refuses (RFC 7296, 2.25.2).
    let of = |octets: &[u8]| octets[18] == 36 && octets[19] & 0x20 == 0;
    duel.pump.filter = Box::new(move |from, transmit| from != B || !of(&transmit.octets));
    duel.order(B, Order::RekeyIke);
    let child = duel.pump.child_sa(A);
    duel.pump.command(A, Command::RekeyChildSa(child));
    let mut asked: Vec<Instant> = Vec::new();
    let mut seen = duel.pump.sides[A].sent.len() - 1;
    for _ in 0..600 {
        let sent = &duel.pump.sides[A].sent;
        asked.extend(sent[seen..].iter().filter(|it| of(&it.octets)).map(|_| duel.pump.now.instant));
        seen = sent.len();
        duel.pump.run_for(Duration::from_millis(50));
    }
    let pauses: Vec<Duration> = asked.windows(2).map(|two| two[1] - two[0]).collect();
    assert!((3..=7).contains(&pauses.len()), "{pauses:?}");
    assert!(pauses.last() > pauses.first(), "{pauses:?}");
    assert_eq!(duel.pump.child_sa(A), child);
    duel.pump.filter = Box::new(|_, _| true);
    duel.connected(1);
    assert_ne!(duel.pump.child_sa(A), child, "it was renewed in the end");
}

#[test]
fn fifty_children_move_with_their_ike_sa_by_one_update() {
    let config = PeerConfig { mobike: true, ..initiator(IKE, nets(MANY)) };
    let mut pump = pair_of(config);
    pump.set_addresses(B, &["192.0.2.2"]);
    pump.set_addresses(A, &["192.0.2.1"]);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(10));
    pump.assert_connected(MANY);
    let before = [A, B].map(|side| children(&pump, side));
    let sent = pump.sides[A].sent.len();
    pump.set_addresses(A, &["192.0.2.11"]);
    pump.settle();
    pump.assert_connected(MANY);
    assert_eq!([A, B].map(|side| children(&pump, side)), before, "none is another");
    assert_eq!(pump.sides[A].sent.len() - sent, 2, "the update, and the answer to the check");
    let away = "192.0.2.11:4500".parse().unwrap();
    assert!(pump.sides[A].installed.values().all(|child| child.path.local == away));
    assert!(pump.sides[B].installed.values().all(|child| child.path.remote == away));
}
