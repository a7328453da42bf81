//! What becomes of a choice when the IKE SA is rekeyed, and of links that look alike.

use vpnhost_model::{AddressPair, LocalAddress};

use super::*;

#[test]
fn a_path_that_has_to_last_is_taken_though_the_ike_sa_is_rekeyed_meanwhile() {
    for side in [A, B] {
        let mut pump = settling();
        pump.command(side, Command::RekeyIkeSa(pump.ike_sa(side).id));
        pump.run_for(Duration::from_secs(20));
        assert_at(&pump, AWAY, GATEWAY);
    }
}

#[test]
fn a_question_about_the_paths_that_a_rekey_ends_is_put_again() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    pump.sides[A].endpoint.delegate([QuestionKind::RankPaths].into_iter().collect());
    // A lower interface number comes first; nobody answers.
    pump.set_addresses(A, &[HOME, AWAY, "192.0.2.21"]);
    let asked = |pump: &Pump| pump.sides[A].questions.len();
    let before = asked(&pump);
    pump.command(B, Command::RekeyIkeSa(pump.ike_sa(B).id));
    pump.run_for(Duration::from_millis(50));
    assert!(asked(&pump) > before, "the heir asks");
}

#[test]
fn two_links_with_one_address_are_told_apart_and_not_tested_for_ever() {
    let mut pump = pair_of(mobile(ReturnRoutability::Never));
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let link = |interface: u32, metered| LocalAddress {
        address: HOME.parse().unwrap(),
        interface,
        name: format!("eth{interface}"),
        kind: LinkKind::ETHERNET,
        mtu: 1500,
        metered,
    };
    let pair =
        |interface| AddressPair { local: HOME.parse().unwrap(), interface, remote: GATEWAY.parse().unwrap() };
    let now = pump.now;
    let before = pump.sides[A].sent.len();
    pump.sides[A].endpoint.handle_links(now, &[link(2, true), link(3, false)], &[pair(2), pair(3)]);
    pump.run_for(Duration::from_secs(60));
    assert_eq!(pump.ike_sa(A).path.interface, Some(3), "the one that costs nothing");
    let sent = sent_since(&pump, A, before).len();
    assert!(sent <= 6, "{sent} datagrams");
    pump.assert_connected(1);
}

/// Two addresses of a gateway: the first is told before the other, and reached from inside alone.
const INSIDE: &str = "2001:db8:99::2";
const OUTSIDE: &str = "2001:db8:1::2";
const AWAY_V6: &str = "2001:db8:2::1";

#[test]
fn of_the_addresses_that_a_peer_only_told_all_are_tried_at_once_and_what_answers_is_taken() {
    for routability in [ReturnRoutability::Never, ReturnRoutability::Before, ReturnRoutability::After] {
        let mut pump = pair_of(mobile(routability));
        pump.set_addresses(B, &[GATEWAY, INSIDE, OUTSIDE]);
        pump.set_addresses(A, &[HOME]);
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        let inside: std::net::IpAddr = INSIDE.parse().unwrap();
        pump.filter =
            Box::new(move |_, sent| sent.path.remote.ip() != inside && sent.path.local.ip() != inside);
        let before = pump.sides[A].sent.len();
        pump.set_addresses(A, &[AWAY_V6]);
        // An update, told again where it was answered, and the gateway's check.
        pump.run_for(pump.latency * 4 + Duration::from_millis(1));
        assert_at(&pump, AWAY_V6, OUTSIDE);
        pump.run_for(Duration::from_secs(30));
        assert_at(&pump, AWAY_V6, OUTSIDE);
        assert_eq!(moves(&pump, A).len(), 1, "{routability:?}");
        let sent = sent_since(&pump, A, before).len();
        assert!(sent <= 4, "{routability:?}: {sent} datagrams");
        pump.set_addresses(A, &[HOME]);
        pump.settle();
        assert_at(&pump, HOME, GATEWAY);
        // What was found to be the peer's comes before what it only told.
        let before = pump.sides[A].sent.len();
        pump.set_addresses(A, &[AWAY_V6]);
        pump.settle();
        assert_at(&pump, AWAY_V6, OUTSIDE);
        let to_inside = sent_since(&pump, A, before).iter().filter(|sent| sent.path.remote.ip() == inside);
        assert_eq!(to_inside.count(), 0);
        pump.assert_connected(1);
    }
}

#[test]
fn while_all_addresses_of_a_peer_are_silent_every_link_is_tried_as_before() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    pump.set_addresses(B, &[GATEWAY, INSIDE, OUTSIDE]);
    pump.settle();
    let [away, outside]: [std::net::IpAddr; 2] = [AWAY_V6, OUTSIDE].map(|address| address.parse().unwrap());
    pump.filter = Box::new(move |_, sent| ![sent.path.local.ip(), sent.path.remote.ip()].contains(&away));
    pump.set_addresses(A, &[AWAY_V6, "2001:db8:3::1"]);
    pump.run_for(Duration::from_secs(20));
    assert_eq!(path_of(&pump, A).local, address("2001:db8:3::1", 4500));
    assert!([INSIDE.parse().unwrap(), outside].contains(&path_of(&pump, A).remote.ip()));
    pump.assert_connected(1);
}

#[test]
fn a_better_link_that_flaps_is_left_alone_until_it_holds() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    pump.sides[A].metered = vec![HOME.parse().unwrap()];
    for _ in 0..10 {
        pump.set_addresses(A, &[HOME, AWAY]);
        pump.run_for(Duration::from_secs(8));
        pump.set_addresses(A, &[HOME]);
        pump.run_for(Duration::from_secs(1));
    }
    let moved = moves(&pump, A).len();
    assert!((2..=4).contains(&moved), "{moved} moves: there, back, and then patience");
    assert_at(&pump, HOME, GATEWAY);
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.run_for(Duration::from_secs(200));
    assert_at(&pump, HOME, GATEWAY);
    pump.run_for(Duration::from_secs(600));
    assert_at(&pump, AWAY, GATEWAY);
}

#[test]
fn policies_are_told_which_of_the_interfaces_are_in_another_operators_network() {
    let a = mobile(ReturnRoutability::Never);
    let b = config(responder(&a));
    let roaming = ["eth1", "wwan7"].map(str::to_owned).into();
    let mut pump = Pump::new(vpnhost_ike::EndpointConfig { roaming, ..config(a) }, b);
    pump.sides[A].endpoint.delegate([QuestionKind::RankPaths].into_iter().collect());
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.run_for(Duration::from_secs(60));
    let mut menus = pump.sides[A].questions.iter().filter_map(|(_, question)| match question {
        Question::RankPaths(menu) => Some(menu),
        _ => None,
    });
    let menu = menus.next_back().expect("it was asked");
    let roaming: Vec<_> = menu.paths.iter().map(|path| (path.interface.as_str(), path.roaming)).collect();
    assert_eq!(roaming, [("eth0", false), ("eth1", true)]);
}
