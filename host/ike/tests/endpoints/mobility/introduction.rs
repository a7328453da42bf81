//! The gateway knows the client's addresses before the client moves there (RFC 4555 §3.7: the check may be done at any
//! time).

use super::*;

/// Addresses that a side sent to, since.
fn remotes(pump: &Pump, side: usize, before: usize) -> Vec<SocketAddr> {
    sent_since(pump, side, before).iter().map(|sent| sent.path.remote).collect()
}

#[test]
fn where_the_client_was_proven_to_be_it_is_followed_at_once_and_checked_after() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    for away in [AWAY, HOME, AWAY] {
        let before = [A, B].map(|side| pump.sides[side].sent.len());
        pump.set_addresses(A, &[away]);
        pump.run_for(pump.latency + Duration::from_millis(1));
        assert_at(&pump, away, GATEWAY);
        pump.settle();
        let counts = [A, B].map(|side| sent_since(&pump, side, before[side]).len());
        assert_eq!(counts, [2, 2], "the update and the check");
        pump.set_addresses(A, &[HOME, AWAY]);
        pump.run_for(Duration::from_secs(5));
    }
}

#[test]
fn an_address_is_introduced_once_and_then_the_path_is_left_alone() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    let to_away = |sent: &&Transmit| [sent.path.local, sent.path.remote].contains(&address(AWAY, 4500));
    let count = |pump: &Pump| [A, B].map(|side| pump.sides[side].sent.iter().filter(to_away).count());
    assert_eq!(count(&pump), [2, 2], "a question of each side, and its answer");
    pump.set_addresses(A, &[HOME]);
    pump.run_for(Duration::from_secs(5));
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.run_for(Duration::from_secs(900));
    assert_eq!(count(&pump), [2, 2]);
}

#[test]
fn a_path_that_carries_nothing_is_introduced_in_vain_and_delays_nothing() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    pump.filter =
        Box::new(|_, sent| ![sent.path.local.ip(), sent.path.remote.ip()].contains(&AWAY.parse().unwrap()));
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.run_for(Duration::from_millis(1_500));
    let before = pump.sides[A].sent.len();
    pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
    // The first repetition of the introduction, after a second, goes over the path in use.
    pump.run_for(Duration::from_secs(1));
    assert!(sent_since(&pump, A, before).iter().all(|sent| sent.path.local == address(HOME, 4500)));
    assert_eq!(sent_since(&pump, A, before).len(), 2);
    pump.run_for(Duration::from_secs(30));
    assert_at(&pump, HOME, GATEWAY);
    pump.assert_connected(1);
    assert!(moves(&pump, A).is_empty() && moves(&pump, B).is_empty());
}

#[test]
fn where_the_client_was_and_is_no_more_the_gateway_goes_back_after_two_questions() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    // The client's messages are held back; what it sends next comes from where it is no more.
    pump.filter = Box::new(|side, _| side == B);
    let before = pump.sides[A].sent.len();
    let id = pump.ike_sa(A).id;
    pump.command(A, Command::Roam(id, Some((AWAY.parse().unwrap(), GATEWAY.parse().unwrap()))));
    pump.run_for(Duration::from_millis(1));
    let update = sent_since(&pump, A, before)[0].octets.clone();
    let asked = pump.sides[B].sent.len();
    pump.inject(B, &format!("{AWAY}:4500"), 4500, &update);
    pump.run_for(Duration::from_secs(8));
    assert_eq!(path_of(&pump, B).remote, address(HOME, 4500), "it goes back");
    let to_away = remotes(&pump, B, asked).into_iter().filter(|to| *to == address(AWAY, 4500)).count();
    assert!((1..=3).contains(&to_away), "{to_away} messages");
}

#[test]
fn whoever_asks_from_a_victims_address_gets_it_an_answer_and_one_question() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    let before = [A, B].map(|side| pump.sides[side].sent.len());
    pump.filter = Box::new(|side, _| side == B);
    pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
    pump.run_for(Duration::from_millis(1));
    let request = sent_since(&pump, A, before[A])[0].octets.clone();
    pump.inject(B, "203.0.113.9:4500", 4500, &request);
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(60));
    let victim: SocketAddr = "203.0.113.9:4500".parse().unwrap();
    let count = remotes(&pump, B, before[B]).into_iter().filter(|to| *to == victim).count();
    assert_eq!(count, 2);
    assert_at(&pump, HOME, GATEWAY);
    pump.assert_connected(1);
}

#[test]
fn a_gateway_that_follows_at_once_or_checks_after_asks_nothing_early() {
    for routability in [ReturnRoutability::After, ReturnRoutability::Never] {
        let pump = connected(routability, &[HOME, AWAY]);
        let asked = pump.sides[B].sent.iter().filter(|sent| sent.octets[19] & 0x20 == 0).count();
        assert_eq!(asked, 0);
    }
}

#[test]
fn an_update_that_follows_a_question_from_the_same_address_is_proven_by_its_check() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    let id = pump.ike_sa(A).id;
    pump.set_addresses(A, &[HOME, AWAY]);
    let before = [A, B].map(|side| pump.sides[side].sent.len());
    let ends = (AWAY.parse().unwrap(), GATEWAY.parse().unwrap());
    pump.command(A, Command::TestPath(id, ends));
    // The answer to the gateway's own question is slow.
    pump.filter = Box::new(|side, sent| side == B || sent.octets[19] & 0x20 == 0);
    pump.run_for(2 * pump.latency + Duration::from_millis(1));
    pump.set_addresses(A, &[AWAY]);
    pump.run_for(2 * pump.latency + Duration::from_millis(1));
    let counts = [A, B].map(|side| sent_since(&pump, side, before[side]).len());
    assert_eq!(counts, [3, 3], "the gateway waits for the answer that is on its way");
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(3));
    assert_at(&pump, AWAY, GATEWAY);
}

#[test]
fn where_the_client_was_once_and_did_not_answer_it_is_not_followed_again_before_it_does() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.filter = Box::new(|side, _| side == B);
    let id = pump.ike_sa(A).id;
    let roam = |pump: &mut Pump, to: &str| {
        let before = pump.sides[A].sent.len();
        pump.command(A, Command::Roam(id, Some((to.parse().unwrap(), GATEWAY.parse().unwrap()))));
        pump.run_for(Duration::from_millis(1));
        sent_since(pump, A, before)[0].octets.clone()
    };
    let update = roam(&mut pump, AWAY);
    pump.inject(B, &format!("{AWAY}:4500"), 4500, &update);
    pump.run_for(Duration::from_secs(8));
    assert_eq!(path_of(&pump, B).remote, address(HOME, 4500), "nobody answered there");
    let update = roam(&mut pump, HOME);
    pump.inject(B, &format!("{HOME}:4500"), 4500, &update);
    pump.run_for(Duration::from_secs(8));
    let at = moves(&pump, B).len();
    let update = roam(&mut pump, AWAY);
    pump.inject(B, &format!("{AWAY}:4500"), 4500, &update);
    pump.run_for(Duration::from_secs(8));
    assert_eq!(moves(&pump, B).len(), at, "somebody else may have the address now");
    assert_eq!(path_of(&pump, B).remote, address(HOME, 4500));
}

#[test]
fn where_the_client_was_long_ago_it_is_followed_when_it_has_answered_and_where_it_was_just_now_at_once() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.run_for(vpnhost_ike::limits::ADDRESS_KNOWN);
    pump.set_addresses(A, &[AWAY]);
    pump.run_for(pump.latency + Duration::from_millis(1));
    assert_eq!(path_of(&pump, B).remote, address(HOME, 4500), "somebody else may be there by now");
    pump.settle();
    assert_at(&pump, AWAY, GATEWAY);
    // In the address that it had until then it was minutes ago.
    pump.run_for(Duration::from_secs(300));
    pump.set_addresses(A, &[HOME]);
    pump.run_for(pump.latency + Duration::from_millis(1));
    assert_at(&pump, HOME, GATEWAY);
}

#[test]
fn an_address_that_comes_again_after_long_is_introduced_again_for_the_network_may_be_another() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.set_addresses(A, &[HOME]);
    let asked = |pump: &Pump| {
        let is_question = |sent: &&Transmit| sent.octets[19] & 0x20 == 0;
        let from_away = |sent: &&Transmit| sent.path.local == address(AWAY, 4500);
        pump.sides[A].sent.iter().filter(is_question).filter(from_away).count()
    };
    let before = asked(&pump);
    for (away, more) in [(Duration::from_secs(600), 0), (vpnhost_ike::limits::ADDRESS_KNOWN, 1)] {
        pump.run_for(away);
        pump.set_addresses(A, &[HOME, AWAY]);
        pump.run_for(Duration::from_secs(5));
        assert_eq!(asked(&pump), before + more, "after {away:?}");
        pump.set_addresses(A, &[HOME]);
    }
}

#[test]
fn what_was_introduced_in_vain_takes_no_tries_from_an_address_that_comes_later() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    let dead: std::net::IpAddr = AWAY.parse().unwrap();
    pump.filter = Box::new(move |_, sent| ![sent.path.local.ip(), sent.path.remote.ip()].contains(&dead));
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.run_for(vpnhost_ike::limits::PATH_FAILED * (u32::from(vpnhost_ike::limits::INTRODUCTIONS) + 2));
    // Of the next address the first question is lost.
    let next = address("192.0.2.21", 4500);
    let mut unlucky = true;
    pump.filter = Box::new(move |_, sent| sent.path.local != next || !std::mem::take(&mut unlucky));
    pump.set_addresses(A, &[HOME, "192.0.2.21"]);
    pump.run_for(vpnhost_ike::limits::PATH_FAILED * 2);
    let answers = pump.sides[B].sent.iter().filter(|sent| sent.path.remote == next);
    assert!(answers.count() > 0, "it is asked from there again");
}

#[test]
fn a_nat_that_maps_anew_while_an_address_is_introduced_is_followed() {
    let a = mobile(ReturnRoutability::Before);
    let b = PeerConfig { gateways: Vec::new(), ..responder(&a) };
    for wait in [990, 1_000, 1_005, 1_010, 1_020, 1_030] {
        let mut pump = Pump::new(config(a.clone()), config(b.clone()));
        pump.masquerade = Some("203.0.113.1:1024".parse().unwrap());
        pump.set_addresses(B, &[GATEWAY]);
        pump.set_addresses(A, &[HOME]);
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        let before = pump.sides[A].sent.len();
        pump.set_addresses(A, &[HOME, AWAY]);
        pump.run_for(Duration::from_millis(wait));
        let mapped = "203.0.113.1:2048".parse().unwrap();
        pump.masquerade = Some(mapped);
        send_for(&mut pump, Duration::from_secs(8));
        let introduced =
            sent_since(&pump, A, before).iter().any(|sent| sent.path.local == address(AWAY, 4500));
        assert!(introduced, "the address is introduced meanwhile");
        assert_eq!(path_of(&pump, B).remote, mapped, "mapped anew after {wait} ms");
        pump.assert_connected(1);
    }
}
