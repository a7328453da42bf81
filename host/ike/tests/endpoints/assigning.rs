//! Which pools a peer's virtual addresses come from: a policy chooses among those that have one for it.

use std::net::IpAddr;
use std::time::Duration;

use vpnhost_ike::{CloseReason, Command, Event, PeerConfig, PoolConfig, RequestAddress, SelectorConfig};
use vpnhost_policy::{AddressMenu, Answer, Assignment, Question, QuestionKind};

use crate::pump::*;

/// A road warrior that asks for an IPv4 address, and a gateway with these pools of a /30 each.
fn road(pools: &[&str]) -> Pump {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.children[0].local = vec![SelectorConfig::Dynamic];
    let b = PeerConfig { pools: pools.iter().map(|&name| name.to_owned()).collect(), ..responder(&a) };
    a.request_address = RequestAddress { v4: true, v6: false };
    let pool = |(third, &name): (u8, &&str)| PoolConfig {
        name: name.to_owned(),
        base: [10, 99, third, 0].into(),
        prefix_len: 30,
        dns: vec![dns(third)],
    };
    let mut gateway = config(b);
    gateway.pools = (1..).zip(pools).map(pool).collect();
    let mut pump = Pump::new(config(a), gateway);
    pump.sides[B].endpoint.delegate([QuestionKind::AssignAddresses].into_iter().collect());
    pump
}

fn dns(third: u8) -> IpAddr {
    [10, 99, third, 53].into()
}

/// Sets up; the question that comes up is answered so after a while.
fn set_up(pump: &mut Pump, answer: Option<Assignment>) -> AddressMenu {
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_millis(100));
    let (id, question) = pump.sides[B].questions.pop().expect("B asks for an assignment");
    assert!(pump.sides[B].questions.is_empty());
    let now = pump.now;
    pump.sides[B].endpoint.handle_answer(now, id, answer.map(Answer::AssignAddresses));
    pump.settle();
    match question {
        Question::AssignAddresses(menu) => menu,
        other => panic!("{other:?}"),
    }
}

fn given(pump: &Pump) -> (Vec<String>, Vec<IpAddr>) {
    let sa = pump.ike_sa(A);
    (sa.addresses.iter().map(|(address, _)| address.to_string()).collect(), sa.dns)
}

#[test]
fn the_pool_that_is_chosen_gives_the_address_and_its_dns_server() {
    let mut pump = road(&["guests", "staff"]);
    let menu = set_up(&mut pump, Some(Assignment::of([1, 0]).because("staff")));
    pump.assert_connected(1);
    assert_eq!(given(&pump), (vec!["10.99.2.1".to_owned()], vec![dns(2)]));
    let pools: Vec<_> = menu.pools.iter().map(|pool| (pool.name.as_str(), pool.free, pool.leased)).collect();
    assert_eq!(pools, [("guests", 2, 0), ("staff", 2, 0)]);
    assert_eq!((menu.wants_ipv4, menu.wants_ipv6, menu.preferred.len()), (true, false, 0));
    assert_eq!((menu.connection.as_str(), menu.peer_id), ("a", pump.ike_sa(B).peer_id.unwrap()));
    let told = |event: &Event| matches!(event, Event::Decided { question: "assign_addresses", outcome, by: "plugins", .. } if outcome == "staff, guests (staff)");
    assert!(pump.saw(B, told), "{:?}", pump.sides[B].events);
}

#[test]
fn dns_servers_may_be_chosen_too() {
    let mut pump = road(&["guests", "staff"]);
    set_up(&mut pump, Some(Assignment::of([0, 1]).with_dns(vec![dns(2)])));
    assert_eq!(given(&pump), (vec!["10.99.1.1".to_owned()], vec![dns(2)]));
    let mut pump = road(&["guests"]);
    set_up(&mut pump, Some(Assignment::of([0]).with_dns(Vec::new())));
    assert_eq!(given(&pump), (vec!["10.99.1.1".to_owned()], Vec::new()));
}

#[test]
fn without_an_answer_on_the_menu_the_operators_order_stands() {
    for answer in [None, Some(Assignment::of([2])), Some(Assignment::of([0]).with_dns(vec![dns(2)]))] {
        let mut pump = road(&["guests", "staff"]);
        set_up(&mut pump, answer);
        assert_eq!(given(&pump), (vec!["10.99.1.1".to_owned()], vec![dns(1)]));
    }
    let mut late = road(&["guests", "staff"]);
    late.command(A, Command::Initiate("b".into()));
    late.settle();
    late.assert_connected(1);
    assert_eq!(given(&late).0, ["10.99.1.1"]);
}

#[test]
fn who_is_left_no_pool_gets_no_address_and_the_operator_reads_why() {
    let mut pump = road(&["guests", "staff"]);
    set_up(&mut pump, Some(Assignment::of([]).because("contractors stay out")));
    let failed = |event: &Event| matches!(event, Event::ChildSaFailed { reason: CloseReason::RefusedByPeer { notify, .. }, .. } if notify == "INTERNAL_ADDRESS_FAILURE");
    assert!(pump.saw(A, failed), "{:?}", pump.sides[A].events);
    let reason = CloseReason::PoolExhausted("pool that a policy allows: contractors stay out".into());
    let told = |event: &Event| matches!(event, Event::ChildSaFailed { reason: why, .. } if *why == reason);
    assert!(pump.saw(B, told), "{:?}", pump.sides[B].events);
}

#[test]
fn a_pool_that_is_exhausted_is_not_on_the_menu_and_a_peer_that_comes_back_is_remembered() {
    let mut pump = road(&["guests", "staff"]);
    set_up(&mut pump, Some(Assignment::of([1])));
    pump.command(A, Command::Terminate("b".into()));
    pump.settle();
    let menu = set_up(&mut pump, None);
    let pools: Vec<_> = menu.pools.iter().map(|pool| (pool.name.as_str(), pool.remembers)).collect();
    assert_eq!(pools, [("guests", false), ("staff", true)]);
}
