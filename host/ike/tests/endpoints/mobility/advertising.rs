//! Which of its addresses a host tells its peer: a policy chooses, and nothing is told before it has.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vpnhost_ike::EndpointConfig;
use vpnhost_policy::{Advertisement, AdvertisementMenu, Answer, CheckTime};

use super::*;

/// Two hosts whose policies take their time.
fn patient(routability: ReturnRoutability) -> Pump {
    let patient = |peer| EndpointConfig { answer_deadline: Duration::from_secs(60), ..config(peer) };
    let a = mobile(routability);
    let b = responder(&a);
    Pump::new(patient(a), patient(b))
}

/// A client, and its gateway with two addresses whose policy is asked which of them the client is told.
fn asking() -> Pump {
    let mut pump = patient(ReturnRoutability::After);
    pump.set_addresses(B, &[GATEWAY, SECOND_GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.sides[B].endpoint.delegate([QuestionKind::AdvertiseAddresses].into_iter().collect());
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    pump
}

/// Where the client may go: what the gateway is configured with, and what it told.
fn known(pump: &Pump) -> BTreeSet<IpAddr> {
    pump.sides[A].remotes.clone()
}

fn answer(pump: &mut Pump, choose: impl FnOnce(&AdvertisementMenu) -> Advertisement) -> AdvertisementMenu {
    let (id, question) = pump.sides[B].questions.pop().expect("it asks");
    assert!(pump.sides[B].questions.is_empty());
    let Question::AdvertiseAddresses(menu) = question else { panic!("{question:?}") };
    let now = pump.now;
    let answer = Answer::AdvertiseAddresses(choose(&menu));
    pump.sides[B].endpoint.handle_answer(now, id, Some(answer));
    pump.settle();
    menu
}

fn second() -> IpAddr {
    SECOND_GATEWAY.parse().unwrap()
}

#[test]
fn a_peer_is_told_no_address_before_the_policy_has_chosen_and_then_what_it_chose() {
    let mut pump = asking();
    assert!(!known(&pump).contains(&second()), "{:?}", known(&pump));
    let menu = answer(&mut pump, |menu| Advertisement::of(0..menu.addresses.len(), CheckTime::AFTER));
    assert_eq!(
        menu.addresses.iter().map(|it| it.address).collect::<Vec<_>>(),
        [GATEWAY.parse().unwrap(), second()]
    );
    assert_eq!((menu.return_routability, menu.local), (CheckTime::AFTER, address(GATEWAY, 4500)));
    pump.run_for(Duration::from_secs(5));
    assert!(known(&pump).contains(&second()), "{:?}", known(&pump));
}

#[test]
fn an_address_that_the_policy_leaves_out_is_never_told_and_new_ones_are_asked_of() {
    let mut pump = asking();
    let leave_out = |menu: &AdvertisementMenu| {
        let wanted = menu.addresses.iter().enumerate().filter(|(_, it)| it.address != second());
        Advertisement::of(wanted.map(|(at, _)| at), CheckTime::BEFORE).because("inside")
    };
    answer(&mut pump, leave_out);
    pump.run_for(Duration::from_secs(30));
    assert!(!known(&pump).contains(&second()), "{:?}", known(&pump));
    let told = |event: &Event| matches!(event, Event::Decided { question: "advertise_addresses", by: "plugins", outcome, .. } if outcome == "the peer is not told 192.0.2.12; the peer's new addresses are checked before a move (inside)");
    assert!(pump.saw(B, told), "{:?}", pump.sides[B].events);
    pump.set_addresses(B, &[GATEWAY, SECOND_GATEWAY, "192.0.2.22"]);
    pump.settle();
    let menu = answer(&mut pump, leave_out);
    assert_eq!(menu.addresses.len(), 3);
    pump.run_for(Duration::from_secs(30));
    let third: IpAddr = "192.0.2.22".parse().unwrap();
    assert!(known(&pump).contains(&third) && !known(&pump).contains(&second()), "{:?}", known(&pump));
}

#[test]
fn a_policy_may_check_before_a_move_where_the_operator_would_check_after_it() {
    for (time, follows_at_once) in [(CheckTime::AFTER, true), (CheckTime::BEFORE, false)] {
        let mut pump = asking();
        answer(&mut pump, |menu| Advertisement::of(0..menu.addresses.len(), time));
        // The new address has never been seen, and the gateway's check of it is lost.
        let is_check = |from: usize, transmit: &Transmit| {
            from == B && transmit.path.remote.ip() == AWAY.parse::<IpAddr>().unwrap()
        };
        pump.filter = Box::new(move |from, transmit| !is_check(from, transmit));
        pump.set_addresses(A, &[AWAY]);
        pump.run_for(Duration::from_millis(300));
        let went = path_of_esp(&pump) == address(AWAY, 4500);
        assert_eq!(went, follows_at_once, "{time:?}");
    }
}

/// Where the gateway sends the Child SA's packets.
fn path_of_esp(pump: &Pump) -> SocketAddr {
    pump.sides[B].installed[&pump.child_sa(B)].path.remote
}

#[test]
fn a_client_does_not_come_from_an_address_that_its_policy_leaves_out_only_to_be_known_there() {
    for leaves_out in [true, false] {
        let mut pump = patient(ReturnRoutability::Never);
        pump.set_addresses(B, &[GATEWAY]);
        pump.set_addresses(A, &[HOME, AWAY]);
        pump.sides[A].endpoint.delegate([QuestionKind::AdvertiseAddresses].into_iter().collect());
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        pump.run_for(Duration::from_secs(5));
        let came_from = |pump: &Pump| {
            let away: IpAddr = AWAY.parse().unwrap();
            pump.sides[A].sent.iter().any(|transmit| transmit.path.local.ip() == away)
        };
        assert!(!came_from(&pump), "nobody has chosen yet");
        let (id, question) = pump.sides[A].questions.pop().expect("it asks");
        let Question::AdvertiseAddresses(menu) = question else { panic!("{question:?}") };
        let chosen = if leaves_out { 0..1 } else { 0..menu.addresses.len() };
        let answer = Advertisement::of(chosen, menu.return_routability);
        let now = pump.now;
        pump.sides[A].endpoint.handle_answer(now, id, Some(Answer::AdvertiseAddresses(answer)));
        pump.settle();
        pump.run_for(Duration::from_secs(20));
        assert_eq!(came_from(&pump), !leaves_out);
    }
}

#[test]
fn another_policy_is_asked_anew_and_until_then_the_last_choice_holds() {
    let mut pump = asking();
    answer(&mut pump, |_| Advertisement::of([0], CheckTime::AFTER));
    let now = pump.now;
    pump.sides[B].endpoint.review(now);
    pump.run_for(Duration::from_millis(100));
    assert!(!known(&pump).contains(&second()));
    let menu = answer(&mut pump, |menu| Advertisement::of(0..menu.addresses.len(), CheckTime::AFTER));
    assert_eq!(menu.addresses.len(), 2);
    pump.run_for(Duration::from_secs(5));
    assert!(known(&pump).contains(&second()));
}
