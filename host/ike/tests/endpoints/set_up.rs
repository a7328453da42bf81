//! IKE_SA_INIT and IKE_AUTH.

use std::sync::Arc;
use std::time::Duration;

use vpnhost_ike::{
    CloseReason, Command, Event, PeerConfig, PoolConfig, RequestAddress, SelectorConfig, Start,
};
use vpnhost_model::{Encapsulation, IkeSuite, Role};

use crate::pump::*;

#[test]
fn every_suite_connects() {
    for (ike, esp) in [
        ("aes128-sha256-modp1024", "aes128-sha256"),
        ("aes192-sha384-modp1536", "aes192-sha384"),
        ("3des-sha256-modp1024", "3des-sha256"),
        ("aes256-sha512-modp2048", "aes256-sha512"),
        ("aes256gcm16-prfsha384-x25519", "aes256gcm16"),
    ] {
        let mut pump = pair_of(initiator(ike, vec![child("net", esp, "10.1.0.0/24", "10.2.0.0/24")]));
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        pump.assert_connected(1);
        assert_eq!(pump.ike_sa(A).suite.unwrap().to_string(), ike);
        assert_eq!(pump.ike_sa(A).children[0].suite.to_string(), esp);
        assert_eq!((pump.ike_sa(A).role, pump.ike_sa(B).role), (Role::Initiator, Role::Responder));
    }
}

#[test]
fn the_set_up_takes_four_messages() {
    let pump = connected();
    assert_eq!((pump.sides[A].sent.len(), pump.sides[B].sent.len()), (2, 2));
}

#[test]
fn a_wrong_guess_of_the_group_is_corrected() {
    let a = initiator(
        "aes128-sha256-x25519-modp2048",
        vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")],
    );
    let mut b = responder(&a);
    b.ike = IkeSuite::parse_all("aes128-sha256-modp2048").unwrap();
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(A).suite.unwrap().to_string(), "aes128-sha256-modp2048");
    assert_eq!(pump.sides[A].sent.len(), 3);
}

#[test]
fn a_crowded_responder_wants_its_cookie_back() {
    let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let b = responder(&a);
    let mut b = config(b);
    b.cookie_threshold = 0;
    let mut pump = Pump::new(config(a), b);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    assert_eq!(pump.sides[A].sent.len(), 3);
}

#[test]
fn cookie_and_invalid_ke_come_in_any_order() {
    let a = initiator(
        "aes128-sha256-x25519-modp2048",
        vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")],
    );
    let mut b = responder(&a);
    b.ike = IkeSuite::parse_all("aes128-sha256-modp2048").unwrap();
    let mut b = config(b);
    b.cookie_threshold = 0;
    let mut pump = Pump::new(config(a), b);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
}

#[test]
fn a_lost_datagram_is_repeated_octet_by_octet() {
    for lost in 0..4 {
        let mut pump = pair();
        let mut count = 0;
        pump.filter = Box::new(move |_, _| {
            count += 1;
            count - 1 != lost
        });
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_secs(5));
        pump.assert_connected(1);
        let sent = &pump.sides[if lost % 2 == 0 { A } else { B }].sent;
        let first = &sent[lost / 2];
        assert_eq!(sent.iter().filter(|other| other.octets == first.octets).count(), 2, "datagram {lost}");
    }
}

#[test]
fn no_common_proposal_is_reported_as_the_cause_after_a_while() {
    let a =
        initiator("aes256-sha512-modp2048", vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let mut b = responder(&a);
    b.ike = IkeSuite::parse_all(IKE).unwrap();
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(2));
    assert!(!pump.sides[A].endpoint.is_idle(), "an unprotected error kills nothing at once");
    pump.run_for(Duration::from_secs(20));
    let refused = |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::RefusedByPeer { notify, .. }, .. } if notify == "NO_PROPOSAL_CHOSEN");
    assert!(pump.saw(A, refused), "{:?}", pump.sides[A].events);
    pump.assert_empty(A);
    pump.assert_empty(B);
}

#[test]
fn the_connection_that_an_offer_is_nearest_to_is_named_only_if_it_is_one() {
    let child = || child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let a = initiator("aes256-sha512-modp2048", vec![child()]);
    for (suites, expected) in [([IKE, "aes256-sha512-ecp256"], Some("second")), ([IKE, IKE], None)] {
        let suite = |text| IkeSuite::parse_all(text).unwrap();
        let first = PeerConfig { name: "first".into(), ike: suite(suites[0]), ..responder(&a) };
        let second = PeerConfig { name: "second".into(), ike: suite(suites[1]), ..responder(&a) };
        let mut both = config(first);
        both.connections.push(Arc::new(second));
        let mut pump = Pump::new(config(a.clone()), both);
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        let nearest = pump.sides[B].events.iter().find_map(|event| match event {
            Event::Refused { reason: CloseReason::NoProposalChosen(gap), .. } => Some(gap.nearest.as_deref()),
            _ => None,
        });
        assert_eq!(nearest, Some(expected));
    }
}

#[test]
fn a_wrong_secret_is_told_on_both_sides() {
    let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let mut b = responder(&a);
    b.secrets.default = Some(vpnhost_crypto::SecretBytes::new(b"another".to_vec()));
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let refused = |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::RefusedByPeer { notify, .. }, .. } if notify == "AUTHENTICATION_FAILED");
    assert!(pump.saw(A, refused), "{:?}", pump.sides[A].events);
    let wrong = |event: &Event| {
        matches!(event, Event::IkeSaClosed { reason: CloseReason::AuthenticationFailed(_), .. })
    };
    assert!(pump.saw(B, wrong), "{:?}", pump.sides[B].events);
    assert!(!pump.saw(B, |event| matches!(event, Event::IkeSaEstablished(_))));
    pump.assert_empty(A);
    pump.assert_empty(B);
}

#[test]
fn the_answer_is_narrowed_to_what_both_have() {
    let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/16", "0.0.0.0/0")]);
    let mut b = responder(&a);
    b.children[0].local = vec![ts("10.2.0.0/24"), ts("10.3.0.0/24")];
    b.children[0].remote = vec![ts("10.1.0.0/24")];
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    let child = &pump.ike_sa(A).children[0];
    let texts =
        |list: &[vpnhost_model::TrafficSelector]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&child.local), ["10.1.0.0/24"]);
    assert_eq!(texts(&child.remote), ["10.2.0.0/24", "10.3.0.0/24"]);
}

#[test]
fn further_children_follow_in_exchanges_of_their_own() {
    let children = vec![
        child("one", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24"),
        child("two", "aes256-sha256-modp2048", "10.11.0.0/24", "10.12.0.0/24"),
        child("three", "aes256-sha512", "10.21.0.0/24", "10.22.0.0/24"),
    ];
    let mut pump = pair_of(initiator(IKE, children));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(3);
}

fn with_pools(b: vpnhost_ike::PeerConfig) -> vpnhost_ike::EndpointConfig {
    let pool = |name: &str, base: &str, prefix_len, dns: &str| PoolConfig {
        name: name.into(),
        base: base.parse().unwrap(),
        prefix_len,
        dns: vec![dns.parse().unwrap()],
    };
    let mut config = config(b);
    config.pools = vec![pool("road4", "10.99.0.0", 24, "10.2.0.53"), pool("road6", "fd99::", 64, "fd02::53")];
    config
}

fn road_warrior() -> (vpnhost_ike::PeerConfig, vpnhost_ike::PeerConfig) {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.children[0].local = vec![SelectorConfig::Dynamic];
    a.children[0].remote = vec![ts("10.2.0.0/24"), ts("fd02::/64")];
    let b = responder(&a);
    a.request_address = RequestAddress { v4: true, v6: true };
    (a, b)
}

#[test]
fn virtual_addresses_of_both_families_are_given_and_taken_back() {
    let (a, mut b) = road_warrior();
    b.pools = vec!["road4".into(), "road6".into()];
    let mut pump = Pump::new(config(a), with_pools(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    let sa = pump.ike_sa(A);
    let addresses: Vec<String> = sa.addresses.iter().map(|(a, length)| format!("{a}/{length}")).collect();
    assert_eq!(addresses, ["10.99.0.1/24", "fd99::1/64"]);
    assert_eq!(sa.dns.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.2.0.53", "fd02::53"]);
    let local: Vec<String> = sa.children[0].local.iter().map(ToString::to_string).collect();
    assert_eq!(local, ["10.99.0.1/32", "fd99::1/128"]);
    let told = pump.sides[A].host.values().next().unwrap();
    assert_eq!(told.addresses, sa.addresses);
    assert_eq!(pump.sides[B].host.values().next().unwrap().peer_addresses.len(), 2);
    pump.command(A, Command::Terminate("b".into()));
    pump.settle();
    pump.assert_empty(A);
    pump.assert_empty(B);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    assert_eq!(pump.ike_sa(A).addresses, sa.addresses, "the same address as before");
}

#[test]
fn a_peer_that_asks_for_no_address_is_told_that_it_must() {
    let (mut a, mut b) = road_warrior();
    a.request_address = RequestAddress::default();
    b.pools = vec!["road4".into()];
    let mut pump = Pump::new(config(a), with_pools(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let failed = |event: &Event| matches!(event, Event::ChildSaFailed { reason: CloseReason::RefusedByPeer { notify, .. }, .. } if notify == "FAILED_CP_REQUIRED");
    assert!(pump.saw(A, failed), "{:?}", pump.sides[A].events);
}

#[test]
fn encapsulation_without_a_nat_floats_to_the_nat_traversal_port() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.encapsulation = vpnhost_ike::EncapsulationPolicy::Always;
    let mut pump = pair_of(a);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    for side in [A, B] {
        let sa = pump.ike_sa(side);
        assert_eq!((sa.path.local.port(), sa.path.remote.port()), (4500, 4500));
        assert_eq!(sa.path.encapsulation, Encapsulation::Udp);
        assert!(pump.sides[side].installed.values().all(|keys| keys.path == sa.path));
        assert!(!sa.local_behind_nat, "our own pretence is no NAT");
    }
    pump.run_for(Duration::from_secs(60));
    let keepalives = pump.sides[A].sent.iter().filter(|sent| sent.octets == [0xff]).count();
    assert_eq!(keepalives, 0);
}

#[test]
fn a_kernel_chosen_source_needs_the_addresses_to_show_that_there_is_no_nat() {
    let mut pump = pair();
    let link = vpnhost_model::LocalAddress {
        address: "192.0.2.1".parse().unwrap(),
        interface: 2,
        name: "eth0".into(),
        kind: vpnhost_model::LinkKind::ETHERNET,
        mtu: 1500,
        metered: false,
    };
    pump.sides[A].endpoint.handle_links(pump.now, &[link], &[]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    for side in [A, B] {
        let sa = pump.ike_sa(side);
        assert_eq!(sa.path.encapsulation, Encapsulation::Raw);
        assert_eq!((sa.path.local.port(), sa.path.remote.port()), (500, 500));
    }
}

#[test]
fn a_gateway_on_a_port_of_its_own_is_spoken_to_from_the_nat_traversal_socket() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.gateways[0].address.set_port(4500);
    let mut pump = pair_of(a);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    assert!(pump.sides[A].sent.iter().all(|sent| sent.path.local.port() == 4500));
}

#[test]
fn a_long_offer_goes_in_fragments_and_arrives() {
    let esp = "aes128-aes192-aes256-sha256-sha384-sha512-modp2048-x25519-modp1024";
    let children = vec![
        child("one", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24"),
        child("two", esp, "10.11.0.0/24", "10.12.0.0/24"),
    ];
    let mut pump = pair_of(initiator(IKE, children));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(2);
    let protected = |sent: &&vpnhost_ike::Transmit| sent.octets[18] != 34;
    let most = pump.sides[A].sent.iter().filter(protected).map(|sent| sent.octets.len()).max().unwrap();
    assert!(most <= 1280 - 32, "{most}");
    let fragments = pump.sides[A].sent.iter().filter(|sent| sent.octets[16] == 53).count();
    assert!(fragments >= 2, "{fragments}");
}

#[test]
fn a_connection_that_is_to_be_up_is_tried_for_ever() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.start = Start::Up;
    let mut pump = pair_of(a);
    pump.filter = Box::new(|_, _| false);
    pump.run_for(Duration::from_secs(3600));
    let retries =
        pump.sides[A].events.iter().filter(|event| matches!(event, Event::RetryScheduled { .. })).count();
    assert!(retries > 15, "{retries}");
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(150));
    pump.assert_connected(1);
}

#[test]
fn traffic_begins_a_connection_that_waits_for_it() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.start = Start::OnTraffic;
    let mut pump = pair_of(a);
    let acquire = |to: &str| vpnhost_ike::TrafficReport::Acquire {
        source: "10.1.0.1".parse().unwrap(),
        destination: to.parse().unwrap(),
    };
    pump.traffic(A, acquire("10.9.0.1"));
    pump.settle();
    pump.assert_empty(A);
    pump.traffic(A, acquire("10.2.0.1"));
    pump.settle();
    pump.assert_connected(1);
}

#[test]
fn the_same_seed_gives_the_same_outputs() {
    let run = || {
        let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
        let b = responder(&a);
        let mut pump = Pump::seeded(config(a), config(b), 7);
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        pump.sides.map(|side| side.sent)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_held_back_job_delays_and_breaks_nothing() {
    let mut pump = pair();
    pump.sides[B].hold_jobs = true;
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(4));
    assert!(pump.sides[B].sent.is_empty());
    assert_eq!(pump.sides[B].jobs.len(), 1, "repetitions of a request cause no second job");
    pump.sides[B].hold_jobs = false;
    pump.run_jobs(B);
    pump.settle();
    pump.assert_connected(1);
}

#[test]
fn behind_a_nat_esp_is_wrapped_the_mapping_kept_alive_and_its_loss_followed() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.timing.liveness_idle = Duration::from_secs(60);
    let mut b = responder(&a);
    b.timing.liveness_idle = Duration::ZERO;
    b.gateways.clear();
    let mut pump = Pump::new(config(a), config(b));
    pump.masquerade = Some("203.0.113.7:1024".parse().unwrap());
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    let (ours, theirs) = (pump.ike_sa(A), pump.ike_sa(B));
    assert!(ours.local_behind_nat && theirs.peer_behind_nat && !ours.peer_behind_nat);
    assert_eq!(theirs.path.remote.to_string(), "203.0.113.7:1024");
    assert_eq!(
        (ours.path.encapsulation, theirs.path.encapsulation),
        (Encapsulation::Udp, Encapsulation::Udp)
    );
    pump.run_for(Duration::from_secs(50));
    let keepalives =
        |pump: &Pump, side: usize| pump.sides[side].sent.iter().filter(|sent| sent.octets == [0xff]).count();
    assert_eq!((keepalives(&pump, A), keepalives(&pump, B)), (2, 0));
    pump.run_for(Duration::from_secs(50));
    assert_eq!(keepalives(&pump, A), 4, "after a minute of silence one of them was a question");
    // The NAT forgets and maps anew; the next authentic message shows where. At rest the questions become rarer.
    pump.masquerade = Some("203.0.113.8:2048".parse().unwrap());
    pump.run_for(Duration::from_secs(90));
    assert_eq!(pump.ike_sa(B).path.remote.to_string(), "203.0.113.8:2048");
    assert!(pump.sides[B].installed.values().all(|keys| keys.path == pump.ike_sa(B).path));
    pump.assert_connected(1);
}
