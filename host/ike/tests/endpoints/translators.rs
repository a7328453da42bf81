//! NAT64 and names: a peer of IPv4 is reached from a network of IPv6 alone (RFC 6052), and one whose name leads elsewhere
//! is found there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use vpnhost_ike::{Command, EncapsulationPolicy, Event, Gateway, PeerConfig};
use vpnhost_model::{Encapsulation, Pref64, Translator};

use crate::pump::{A, B, IKE, NAT64_PORTS, Pump, child, config as endpoint, initiator, responder};

const HOME: &str = "192.0.2.1";
const IPV6_ONLY: &str = "2001:db8:1::10";
const GATEWAY: &str = "192.0.2.2";
const SECOND_GATEWAY: &str = "192.0.2.12";
const SYNTHESIZED: &str = "2001:db8:64::192.0.2.2";
const OUTSIDE: &str = "198.51.100.64";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mobile() -> PeerConfig {
    let child = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    PeerConfig { mobike: true, encapsulation: EncapsulationPolicy::Auto, ..initiator(IKE, vec![child]) }
}

/// Two hosts, not connected yet; `interface` is the one of the initiator whose network has the NAT64.
fn pump(config: PeerConfig, addresses: &[&str], interface: u32) -> Pump {
    // The responder knows the initiator by its name alone: it comes from anywhere.
    let anybody = PeerConfig { gateways: Vec::new(), ..responder(&config) };
    let mut pump = Pump::new(endpoint(config), endpoint(anybody));
    let translator =
        Translator { interface, prefix: Pref64::new("2001:db8:64::".parse().unwrap(), 96).unwrap() };
    pump.nat64 = Some((translator, ip(OUTSIDE)));
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, addresses);
    pump.sides[A].endpoint.handle_translators(pump.now, &[translator]);
    pump.drain();
    pump
}

fn ends(pump: &Pump, side: usize) -> (IpAddr, SocketAddr) {
    let path = pump.ike_sa(side).path;
    assert_eq!(pump.sides[side].installed[&pump.child_sa(side)].path.remote, path.remote);
    (path.local.ip(), path.remote)
}

fn assert_behind_nat64(pump: &Pump) {
    pump.assert_connected(1);
    assert_eq!(ends(pump, A), (ip(IPV6_ONLY), SocketAddr::new(ip(SYNTHESIZED), 4500)));
    assert_eq!(ends(pump, B), (ip(GATEWAY), SocketAddr::new(ip(OUTSIDE), 4500 + NAT64_PORTS)));
    for side in [A, B] {
        let path = pump.sides[side].installed[&pump.child_sa(side)].path;
        assert_eq!(path.encapsulation, Encapsulation::Udp, "a NAT64 is a NAT");
    }
}

#[test]
fn a_network_of_ipv6_alone_is_entered_and_left_with_the_same_keys() {
    let mut pump = pump(mobile(), &[HOME, IPV6_ONLY], 3);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    assert_eq!(ends(&pump, A), (ip(HOME), SocketAddr::new(ip(GATEWAY), 4500)));
    let keys: Vec<_> = pump.sides[A].installed.keys().copied().collect();
    let before = pump.sides[A].sent.len();

    pump.set_addresses(A, &[IPV6_ONLY]);
    pump.settle();
    assert_behind_nat64(&pump);
    let sent = pump.sides[A].sent.len() - before;
    assert!(sent <= 4, "{sent} messages: what stands for a verified address needs no check of its own");

    pump.set_addresses(A, &[HOME]);
    pump.settle();
    pump.assert_connected(1);
    assert_eq!(ends(&pump, A), (ip(HOME), SocketAddr::new(ip(GATEWAY), 4500)));
    assert_eq!(pump.sides[A].installed.keys().copied().collect::<Vec<_>>(), keys);
}

#[test]
fn the_first_message_goes_through_the_nat64_where_no_other_way_leads_and_back_goes_without() {
    let mut pump = pump(mobile(), &[IPV6_ONLY], 2);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    assert_behind_nat64(&pump);
    pump.sides[A].endpoint.handle_translators(pump.now, &[]);
    pump.set_addresses(A, &[HOME]);
    pump.settle();
    pump.assert_connected(1);
    assert_eq!(ends(&pump, A), (ip(HOME), SocketAddr::new(ip(GATEWAY), 4500)));
}

#[test]
fn a_nat64_that_is_found_late_carries_the_attempt_that_is_under_way() {
    let mut pump = pump(mobile(), &[IPV6_ONLY], 2);
    pump.sides[A].endpoint.handle_translators(pump.now, &[]);
    pump.drain();
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_millis(300));
    assert!(pump.established(A).is_empty());
    pump.sides[A].endpoint.handle_translators(pump.now, &[pump.nat64.unwrap().0]);
    pump.run_for(Duration::from_millis(300));
    assert_behind_nat64(&pump);
}

#[test]
fn what_the_nat64_of_one_network_translates_is_not_looked_for_in_another() {
    let mut pump = pump(mobile(), &[HOME, IPV6_ONLY], 7);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let paths = &pump.established(A)[0].paths;
    assert!(paths.iter().all(|path| path.facts.remote.ip() == ip(GATEWAY)), "{paths:?}");
}

#[test]
fn where_nats_are_forbidden_no_nat64_is_used() {
    let config = PeerConfig { encapsulation: EncapsulationPolicy::ForbidNat, ..mobile() };
    let mut pump = pump(config, &[IPV6_ONLY], 2);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(10));
    assert!(pump.established(A).is_empty() && pump.established(B).is_empty());
    assert!(!pump.sides[A].remotes.contains(&ip(SYNTHESIZED)));
}

fn learn(pump: &mut Pump, gateways: &[&str]) {
    let gateway = |text: &&str| Gateway { address: SocketAddr::new(ip(text), 500) };
    pump.command(A, Command::LearnGateways("b".into(), gateways.iter().map(gateway).collect()));
}

#[test]
fn a_name_that_leads_elsewhere_ends_nothing_that_works() {
    let mut pump = pump(mobile(), &[HOME], 7);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let sent = pump.sides[A].sent.len();
    learn(&mut pump, &[SECOND_GATEWAY]);
    pump.run_for(Duration::from_secs(20));
    pump.assert_connected(1);
    assert_eq!(ends(&pump, A).1, SocketAddr::new(ip(GATEWAY), 4500));
    assert!(pump.sides[A].remotes.contains(&ip(SECOND_GATEWAY)), "it is a further address of the peer");
    assert!(pump.sides[A].sent.len() <= sent + 1);
}

#[test]
fn a_peer_that_is_somewhere_else_now_is_found_by_its_name() {
    let mut pump = pump(mobile(), &[HOME], 7);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.restart(B, 77);
    pump.sides[B].address = ip(SECOND_GATEWAY);
    pump.set_addresses(B, &[SECOND_GATEWAY]);
    let child = pump.child_sa(A);
    for _ in 0..60 {
        pump.run_for(Duration::from_millis(250));
        let now = pump.now.instant;
        pump.traffic(A, vpnhost_ike::TrafficReport::Outbound(child, now));
    }
    assert!(pump.established(B).is_empty());
    learn(&mut pump, &[SECOND_GATEWAY]);
    pump.settle();
    assert_eq!(
        pump.established(B).len(),
        1,
        "at once, not after the attempt with the old address is given up"
    );
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    assert_eq!(ends(&pump, A).1.ip(), ip(SECOND_GATEWAY));
}

#[test]
fn an_attempt_with_an_address_that_no_name_leads_to_any_more_is_made_anew() {
    let mut pump = pump(mobile(), &[HOME], 7);
    pump.sides[B].address = ip(SECOND_GATEWAY);
    pump.set_addresses(B, &[SECOND_GATEWAY]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    learn(&mut pump, &[SECOND_GATEWAY]);
    pump.settle();
    pump.assert_connected(1);
    let failed = |event: &&Event| matches!(event, Event::RetryScheduled { .. });
    assert_eq!(pump.sides[A].events.iter().filter(failed).count(), 0);
}
