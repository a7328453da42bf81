//! Collisions as message sequences with scripted nonces: every case of RFC 7296 §2.8 and §2.25, in both directions.
//! See [`crate::script`] for the words. What a script leaves on its way arrives
//! in order.

use vpnhost_ike::{CloseReason, Event};

use crate::pump::*;
use crate::script::{Duel, Order};

/// The four nonces of a simultaneous rekey with either being the lowest: of `A`'s request and `A`'s answer, of `B`'s;
/// and who began the exchange that stays. `A`'s exchange has `A`'s request's nonce and that of `B`'s answer.
const LOWEST: [([u8; 2], [u8; 2], usize); 4] = [
    ([0x00, 0xff], [0xff, 0xff], B),
    ([0xff, 0x00], [0xff, 0xff], A),
    ([0xff, 0xff], [0x00, 0xff], A),
    ([0xff, 0xff], [0xff, 0x00], B),
];

/// Every order in which the two requests and their answers can arrive, with losses and repetitions.
const ORDERS: &[&str] = &[
    "a b a b",
    "a b b a",
    "b a a b",
    "b a b a",
    // An answer is lost, and the request repeated after the other's exchange is over.
    "a b a b- t",
    "a b b a- t",
    "a b a- b- t a b",
    // A request is lost, and comes when the other side has made its own.
    "a- b a t",
    "b- a b t",
    "a- b- t a b",
    // Everything comes twice.
    "a a= b b= a a= b b=",
    // An answer overtakes the request that was sent before it.
    "a b^ a^",
    "b a^ b^",
];

fn simultaneous(order: Order, script: &str, nonces: ([u8; 2], [u8; 2])) -> Duel {
    let mut duel = Duel::new().nonces(nonces.0, nonces.1);
    duel.order(A, order).order(B, order).play(script);
    duel
}

#[test]
fn of_two_child_rekeys_the_one_with_the_lowest_nonce_goes() {
    for (a, b, stays) in LOWEST {
        let mut duel = simultaneous(Order::RekeyChild, "a b a b", (a, b));
        // Each side installs what it answered before what it asked for.
        let newest = |side: usize| *duel.pump.sides[side].installed.keys().max().unwrap();
        let (of_a, of_b) = (newest(A), newest(B));
        duel.connected(1);
        assert_eq!(duel.pump.child_sa(A) == of_a, stays == A);
        assert_eq!(duel.pump.child_sa(B) == of_b, stays == B);
    }
}

#[test]
fn simultaneous_child_rekeys_leave_one_whatever_arrives_when() {
    for script in ORDERS {
        for (a, b, _) in LOWEST {
            simultaneous(Order::RekeyChild, script, (a, b)).connected(1);
        }
    }
}

#[test]
fn simultaneous_ike_rekeys_leave_one_whatever_arrives_when() {
    for script in ORDERS {
        for (a, b, _) in LOWEST {
            simultaneous(Order::RekeyIke, script, (a, b)).connected(1);
        }
    }
}

#[test]
fn of_two_ike_rekeys_the_one_with_the_lowest_nonce_goes() {
    for (a, b, stays) in LOWEST {
        let mut duel = simultaneous(Order::RekeyIke, "a b a b", (a, b));
        duel.connected(1);
        // The initiator of the rekey is the original initiator of what it makes.
        assert_eq!(duel.pump.ike_sa(A).role.is_initiator(), stays == A);
        assert_eq!(duel.pump.ike_sa(B).role.is_initiator(), stays == B);
    }
}

#[test]
fn who_has_lost_a_child_rekey_deletes_what_it_made_and_the_winner_the_old_one() {
    let mut duel = simultaneous(Order::RekeyChild, "a b a b", ([0x00, 0xff], [0xff, 0xff]));
    // Each side has just answered, and waits for its answer's arrival; then it sends one Delete, which is answered.
    assert_eq!((duel.waiting(A), duel.waiting(B)), (0, 0));
    duel.play("t t t");
    assert_eq!((duel.waiting(A), duel.waiting(B)), (1, 1));
    duel.play("a b a b");
    assert_eq!((duel.waiting(A), duel.waiting(B)), (0, 0));
    duel.pump.assert_connected(1);
    duel.connected(1);
}

#[test]
fn a_connection_that_is_ordered_up_while_both_rekey_its_ike_sa_makes_no_child_twice() {
    // What has not inherited yet knows no Child SA, and made another. Found by seed 7695.
    for (side, script, rest) in [(A, "b", "a b a"), (B, "a", "b a b")] {
        let mut duel = Duel::new();
        duel.order(A, Order::RekeyIke).order(B, Order::RekeyIke).play(script);
        duel.order(side, Order::CreateChild).play(rest);
        duel.connected(1);
    }
}

/// One side's order meets another's; with what is left of Child SAs, or nothing at all.
fn meet(a: Order, b: Order, scripts: &[&str], left: Option<usize>) {
    for (first, second) in [(A, B), (B, A)] {
        for script in scripts {
            let mut duel = Duel::new();
            let ends = [a, b].iter().any(|order| matches!(order, Order::DeleteChild | Order::DeleteIke));
            duel = if ends { duel.ends() } else { duel };
            // Either side may be either.
            let script = if first == A { (*script).to_owned() } else { swapped(script) };
            duel.order(first, a).order(second, b).play(&script);
            match left {
                Some(children) => duel.connected(children),
                None => duel.over(),
            }
        }
    }
}

fn swapped(script: &str) -> String {
    script
        .chars()
        .map(|letter| {
            if letter == 'a' {
                'b'
            } else if letter == 'b' {
                'a'
            } else {
                letter
            }
        })
        .collect()
}

/// Orders of arrival for two requests that are each answered once.
const MEETINGS: &[&str] = &[
    "a b a b",
    "a b b a",
    "b a a b",
    "b a b a",
    "a- b a t",
    "b- a b t",
    "a b a- t",
    "a b b- t",
    "a a= b b= a b",
];

#[test]
fn a_child_delete_beats_a_child_rekey() {
    // RFC 7296, 2.25.1: the rekey is refused with TEMPORARY_FAILURE, and the Delete answered as usual.
    meet(
        Order::RekeyChild,
        Order::DeleteChild,
        &["a b a b", "a b b a", "b a a b", "b a b a", "a b b- t"],
        Some(0),
    );
}

#[test]
fn a_child_that_is_being_closed_is_not_rekeyed() {
    let mut duel = Duel::new().ends();
    duel.order(A, Order::DeleteChild).order(B, Order::RekeyChild);
    duel.play("b");
    // The answer is an error, which is shorter than a Child SA; nothing new was made.
    assert_eq!(duel.pump.sides[A].installed.len(), 1);
    duel.play("a a b");
    duel.connected(0);
}

#[test]
fn a_child_rekey_that_comes_after_the_delete_finds_no_child() {
    // RFC 7296, 2.25.1: CHILD_SA_NOT_FOUND; whoever asked has heard the Delete meanwhile, and makes nothing anew.
    for (first, second, script) in [(A, B, "b a^ a b"), (B, A, "a b^ b a")] {
        let mut duel = Duel::new().ends();
        duel.order(first, Order::RekeyChild).order(second, Order::DeleteChild).play(script);
        duel.connected(0);
    }
}

#[test]
fn a_child_rekey_meets_an_ike_rekey() {
    // RFC 7296, 2.25.2: TEMPORARY_FAILURE to whichever comes second; both are done in the end.
    meet(Order::RekeyChild, Order::RekeyIke, MEETINGS, Some(1));
}

#[test]
fn a_further_child_meets_an_ike_rekey() {
    for (first, second) in [(A, B), (B, A)] {
        for script in MEETINGS {
            let children = vec![
                child("one", "aes128gcm16-x25519", "10.1.0.0/24", "10.2.0.0/24"),
                child("two", "aes128gcm16-x25519", "10.11.0.0/24", "10.12.0.0/24"),
            ];
            let mut duel = Duel::of(children).ends();
            duel.order(first, Order::DeleteChild);
            duel.pump.run_for(std::time::Duration::from_secs(10));
            assert_eq!(duel.pump.ike_sa(first).children.len(), 1);
            let script = if first == A { (*script).to_owned() } else { swapped(script) };
            duel.order(first, Order::CreateChild).order(second, Order::RekeyIke).play(&script);
            duel.connected(2);
        }
    }
}

#[test]
fn an_ike_delete_beats_an_ike_rekey() {
    meet(Order::RekeyIke, Order::DeleteIke, &["a b a b", "a b b a", "b a a b", "b a b a", "b- a b t"], None);
}

#[test]
fn an_ike_delete_beats_what_is_done_with_a_child() {
    for order in [Order::RekeyChild, Order::DeleteChild] {
        meet(order, Order::DeleteIke, &["a b a b", "a b b a", "b a a b", "a- b a", "b- a b t"], None);
    }
}

#[test]
fn a_delete_meets_a_delete() {
    // RFC 7296, 1.4.1: who deletes the same pair leaves it out of the answer.
    meet(Order::DeleteChild, Order::DeleteChild, MEETINGS, Some(0));
    meet(Order::DeleteIke, Order::DeleteIke, &["a b a b", "b a b a", "a- b a", "b- a b"], None);
}

#[test]
fn a_child_delete_meets_an_ike_rekey() {
    // RFC 7296, 2.25.2: the Delete is answered as usual; the rekey waits until it is done.
    meet(Order::DeleteChild, Order::RekeyIke, MEETINGS, Some(0));
}

#[test]
fn a_child_that_is_half_closed_goes_with_the_repeated_delete() {
    // B has heard the Delete and closed its half; the answer is lost, and A's half stays until the repetition.
    for (first, second, script) in [(A, B, "a b- t a b"), (B, A, "b a- t b a")] {
        let mut duel = Duel::new().ends();
        duel.order(first, Order::DeleteChild);
        let half: &str = if first == A { "a" } else { "b" };
        let mut probe = Duel::new().ends();
        probe.order(first, Order::DeleteChild).play(half);
        assert_eq!(
            (probe.pump.sides[first].installed.len(), probe.pump.sides[second].installed.len()),
            (1, 0),
            "the pair is half closed"
        );
        duel.play(script);
        duel.connected(0);
    }
}

#[test]
fn an_ike_sa_that_is_half_closed_goes_with_the_repeated_delete() {
    for (first, script) in
        [(A, "a b- t a b"), (B, "b a- t b a"), (A, "a- t a b"), (B, "b a- t b a- t t b a- t t t")]
    {
        let mut duel = Duel::new().ends();
        duel.order(first, Order::DeleteIke).play(script);
        duel.over();
    }
}

#[test]
fn every_order_of_arrival_of_two_orders_ends_alike_on_both_sides() {
    let orders = [Order::RekeyChild, Order::RekeyIke, Order::DeleteChild, Order::DeleteIke];
    let mut played = 0;
    for a in orders {
        for b in orders {
            played += explore(a, b, &mut Vec::new());
        }
    }
    assert!(played > 1000, "{played}");
}

/// Plays every script of some words that the datagrams on their way allow; returns how many there were.
fn explore(a: Order, b: Order, words: &mut Vec<&'static str>) -> usize {
    let mut duel = Duel::new().nonces([0x10, 0x20], [0x30, 0x40]);
    let ends = [a, b].iter().any(|order| matches!(order, Order::DeleteChild | Order::DeleteIke));
    duel = if ends { duel.ends() } else { duel };
    duel.order(A, a).order(B, b).play(&words.join(" "));
    if words.len() < 5 {
        let mut next = Vec::new();
        for (side, oldest, newest, lost) in [(A, "a", "a^", "a-"), (B, "b", "b^", "b-")] {
            let waiting = duel.waiting(side);
            next.extend((waiting > 0).then_some(oldest));
            next.extend((waiting > 1).then_some(newest));
            next.extend((waiting > 0 && !words.contains(&lost)).then_some(lost));
        }
        let pauses = words.iter().filter(|word| **word == "T").count();
        next.extend((pauses < 1).then_some("T"));
        if !next.is_empty() {
            let mut played = 0;
            for word in next {
                words.push(word);
                played += explore(a, b, words);
                words.pop();
            }
            return played;
        }
    }
    let text = format!("{a:?} {b:?} {words:?}");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| settle(&mut duel, (a, b))));
    assert!(outcome.is_ok(), "{text}");
    1
}

/// What is left follows from who ordered what: a Delete of the IKE SA ends it, one of the Child SA leaves none.
fn settle(duel: &mut Duel, orders: (Order, Order)) {
    let ordered = |order| orders.0 == order || orders.1 == order;
    if ordered(Order::DeleteIke) {
        let deleted = |event: &Event| {
            matches!(
                event,
                Event::IkeSaClosed { reason: CloseReason::DeletedByPeer | CloseReason::Local, .. }
            )
        };
        duel.over();
        assert!(duel.pump.saw(A, deleted) && duel.pump.saw(B, deleted));
    } else if ordered(Order::DeleteChild) && !ordered(Order::RekeyChild) {
        duel.connected(0);
    } else if ordered(Order::DeleteChild) {
        // Which of the two came first decides.
        duel.agree();
    } else {
        duel.connected(1);
    }
}
