//! MOBIKE (RFC 4555): the initiator changes its address, and the tunnel goes with it.

mod advertising;
mod both_ends;
mod checks;
mod choosing;
mod introduction;
mod patience;
mod renegotiation;
mod resuming;
mod twins;

use std::net::SocketAddr;
use std::time::Duration;

use vpnhost_ike::{
    Command, EncapsulationPolicy, Event, PeerConfig, ReturnRoutability, TrafficReport, Transmit,
};
use vpnhost_model::{Encapsulation, LinkKind, Path};
use vpnhost_policy::{Question, QuestionKind, SituationCause};

use crate::pump::{A, B, IKE, Pump, child, config, initiator, pair_of, responder};

const HOME: &str = "192.0.2.1";
const AWAY: &str = "192.0.2.11";
const GATEWAY: &str = "192.0.2.2";
const SECOND_GATEWAY: &str = "192.0.2.12";

fn mobile(routability: ReturnRoutability) -> PeerConfig {
    let child = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    PeerConfig { mobike: true, return_routability: routability, ..initiator(IKE, vec![child]) }
}

/// Two hosts that are connected, the initiator with these addresses.
fn connected(routability: ReturnRoutability, addresses: &[&str]) -> Pump {
    connected_as(mobile(routability), addresses)
}

fn connected_as(config: PeerConfig, addresses: &[&str]) -> Pump {
    let mut pump = pair_of(config);
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, addresses);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    if addresses.len() > 1 {
        // Until the gateway has seen the client at each of its addresses.
        pump.run_for(Duration::from_secs(5));
    }
    pump
}

fn address(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), port)
}

/// Where both sides send the Child SA's packets.
fn path_of(pump: &Pump, side: usize) -> Path {
    let child = pump.child_sa(side);
    let path = pump.sides[side].installed[&child].path;
    assert_eq!(path.remote, pump.ike_sa(side).path.remote, "ESP goes where IKE goes");
    path
}

fn assert_at(pump: &Pump, client: &str, gateway: &str) {
    let (a, b) = (path_of(pump, A), path_of(pump, B));
    assert_eq!((a.local, a.remote), (address(client, 4500), address(gateway, 4500)), "{a:?}");
    assert_eq!((b.local, b.remote), (address(gateway, 4500), address(client, 4500)), "{b:?}");
}

fn moves(pump: &Pump, side: usize) -> Vec<(SocketAddr, SocketAddr)> {
    let ends = |event: &Event| match event {
        Event::Moved { from, path, .. } => Some((from.local, path.local)),
        _ => None,
    };
    pump.sides[side].events.iter().filter_map(ends).collect()
}

fn sent_since(pump: &Pump, side: usize, before: usize) -> &[Transmit] {
    &pump.sides[side].sent[before..]
}

#[test]
fn both_sides_float_to_the_nat_port_also_without_a_nat_and_esp_stays_raw() {
    let pump = connected(ReturnRoutability::Before, &[HOME]);
    assert_at(&pump, HOME, GATEWAY);
    assert_eq!(path_of(&pump, A).encapsulation, Encapsulation::Raw);
}

#[test]
fn a_lost_address_is_left_for_another_in_one_exchange_without_the_check() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    let before = [A, B].map(|side| pump.sides[side].sent.len());
    let keys = pump.sides[A].installed.clone();
    pump.set_addresses(A, &[AWAY]);
    pump.settle();
    assert_at(&pump, AWAY, GATEWAY);
    pump.assert_connected(1);
    assert_eq!(pump.sides[A].installed.keys().collect::<Vec<_>>(), keys.keys().collect::<Vec<_>>());
    let counts = [A, B].map(|side| sent_since(&pump, side, before[side]).len());
    assert_eq!(counts, [1, 1], "the update is the probe");
    assert_eq!(moves(&pump, A).len(), 1);
}

#[test]
fn with_the_check_the_gateway_moves_when_its_cookie_is_back() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    let before = [A, B].map(|side| pump.sides[side].sent.len());
    pump.set_addresses(A, &[AWAY]);
    pump.run_for(pump.latency + Duration::from_millis(1));
    assert_eq!(path_of(&pump, A).local.ip(), address(AWAY, 0).ip(), "the client does not wait");
    assert_eq!(path_of(&pump, B).remote, address(HOME, 4500), "the gateway does");
    pump.settle();
    assert_at(&pump, AWAY, GATEWAY);
    let counts = [A, B].map(|side| sent_since(&pump, side, before[side]).len());
    assert_eq!(counts, [2, 2]);
}

#[test]
fn a_move_costs_fewer_octets_than_promised() {
    for (routability, most) in [(ReturnRoutability::Never, 350), (ReturnRoutability::Before, 560)] {
        let config = PeerConfig {
            ike: vpnhost_model::IkeSuite::parse_all("aes256gcm16-prfsha256-x25519").unwrap(),
            ..mobile(routability)
        };
        let mut pump = connected_as(config, &[HOME, AWAY]);
        let before = [A, B].map(|side| pump.sides[side].sent.len());
        pump.set_addresses(A, &[AWAY]);
        pump.settle();
        assert_at(&pump, AWAY, GATEWAY);
        let octets = |side: usize| -> usize {
            sent_since(&pump, side, before[side]).iter().map(|sent| 20 + 8 + 4 + sent.octets.len()).sum()
        };
        let octets = octets(A) + octets(B);
        assert!(octets <= most, "{octets} of {most} octets");
    }
}

#[test]
fn the_gateway_too_tells_what_a_move_cost_until_it_followed() {
    for routability in [ReturnRoutability::Never, ReturnRoutability::Before] {
        let mut pump = connected(routability, &[HOME]);
        let before = [A, B].map(|side| pump.sides[side].sent.len());
        pump.set_addresses(A, &[AWAY]);
        pump.settle();
        let messages = [A, B].map(|side| sent_since(&pump, side, before[side]));
        // Without the check it follows before it answers.
        let counted: Vec<&Transmit> = match routability {
            ReturnRoutability::Never => messages[A].iter().collect(),
            _ => messages.into_iter().flatten().collect(),
        };
        let sum: usize = counted.iter().map(|sent| 20 + 8 + 4 + sent.octets.len()).sum();
        let told = pump.sides[B].events.iter().filter_map(|event| match event {
            Event::Moved { octets, .. } => Some(*octets as usize),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [sum]);
    }
}

#[test]
fn a_genuine_update_from_a_victims_address_gets_it_three_messages_and_no_esp() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    // The genuine one is held back, and comes from the victim.
    pump.filter = Box::new(|side, _| side == B);
    let before = [A, B].map(|side| pump.sides[side].sent.len());
    pump.set_addresses(A, &[AWAY]);
    pump.run_for(Duration::from_millis(1));
    let update = sent_since(&pump, A, before[A])[0].octets.clone();
    let victim = "203.0.113.9:4500";
    // The client is where it was, as far as the gateway can know.
    pump.set_addresses(A, &[HOME, AWAY]);
    for _ in 0..10 {
        pump.inject(B, victim, 4500, &update);
        pump.run_for(Duration::from_millis(200));
    }
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(30));
    let to_victim = |sent: &&Transmit| sent.path.remote == victim.parse().unwrap();
    let count = sent_since(&pump, B, before[B]).iter().filter(to_victim).count();
    assert!((1..=3).contains(&count), "{count} messages to the victim");
    assert!(!moves(&pump, B).iter().any(|(_, to)| *to == victim.parse().unwrap()));
    pump.assert_connected(1);
}

#[test]
fn an_address_that_comes_back_is_not_taken_for_nothing() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.set_addresses(A, &[AWAY]);
    pump.settle();
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.run_for(Duration::from_secs(60));
    assert_at(&pump, AWAY, GATEWAY);
    assert_eq!(moves(&pump, A).len(), 1);
}

#[test]
fn ten_moves_in_a_second_end_where_the_last_one_leads() {
    for routability in [ReturnRoutability::Before, ReturnRoutability::After, ReturnRoutability::Never] {
        let mut pump = connected(routability, &[HOME, AWAY]);
        for turn in 0..10 {
            pump.set_addresses(A, &[[AWAY, HOME][turn % 2]]);
            pump.run_for(Duration::from_millis(7 * turn as u64));
        }
        pump.run_for(Duration::from_secs(5));
        assert_at(&pump, HOME, GATEWAY);
        pump.assert_connected(1);
    }
}

#[test]
fn a_move_amid_a_rekey_of_either_sa_by_either_side_takes_both_along() {
    for side in [A, B] {
        for ike in [true, false] {
            for wait in 0..4 {
                let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
                let order = if ike {
                    Command::RekeyIkeSa(pump.ike_sa(side).id)
                } else {
                    Command::RekeyChildSa(pump.child_sa(side))
                };
                pump.command(side, order);
                pump.run_for(Duration::from_millis(9 * wait));
                pump.set_addresses(A, &[AWAY]);
                pump.run_for(Duration::from_secs(40));
                assert_at(&pump, AWAY, GATEWAY);
                pump.assert_connected(1);
            }
        }
    }
}

#[test]
fn without_any_address_the_tunnel_waits_and_goes_on_with_the_next() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    let spis = pump.ike_sa(A).spi_i;
    pump.set_addresses(A, &[]);
    pump.run_for(Duration::from_secs(600));
    pump.set_addresses(A, &[AWAY]);
    pump.settle();
    assert_at(&pump, AWAY, GATEWAY);
    assert_eq!(pump.ike_sa(A).spi_i, spis, "nothing was negotiated anew");
}

#[test]
fn a_silent_path_is_left_when_packets_go_out_and_none_come_in() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    let dead: SocketAddr = address(HOME, 4500);
    pump.filter = Box::new(move |_, sent| sent.path.local != dead && sent.path.remote != dead);
    let child = pump.child_sa(A);
    let died = pump.now.instant;
    while path_of(&pump, B).remote != address(AWAY, 4500) && pump.now.instant - died < Duration::from_secs(60)
    {
        pump.run_for(Duration::from_millis(250));
        let now = pump.now.instant;
        pump.traffic(A, TrafficReport::Outbound(child, now));
    }
    assert_at(&pump, AWAY, GATEWAY);
    assert!(pump.now.instant - died <= Duration::from_secs(3));
}

#[test]
fn a_last_word_that_needs_no_answer_has_only_the_path_in_use_asked() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    let (child, before) = (pump.child_sa(A), pump.sides[A].sent.len());
    pump.run_for(Duration::from_secs(1));
    let now = pump.now.instant;
    pump.traffic(A, TrafficReport::Outbound(child, now));
    pump.run_for(Duration::from_secs(5));
    let asked: Vec<SocketAddr> = sent_since(&pump, A, before).iter().map(|sent| sent.path.local).collect();
    assert_eq!(asked, [address(HOME, 4500)]);
}

#[test]
fn the_gateways_second_address_is_taken_when_the_first_dies() {
    let mut pump = pair_of(mobile(ReturnRoutability::Before));
    pump.set_addresses(B, &[GATEWAY, SECOND_GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.set_addresses(B, &[SECOND_GATEWAY]);
    pump.run_for(Duration::from_secs(10));
    assert_at(&pump, HOME, SECOND_GATEWAY);
    pump.assert_connected(1);
}

#[test]
fn a_gateway_that_is_given_another_address_tells_the_client() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    pump.set_addresses(B, &[SECOND_GATEWAY]);
    pump.run_for(Duration::from_secs(10));
    assert_at(&pump, HOME, SECOND_GATEWAY);
    pump.assert_connected(1);
}

#[test]
fn a_peer_without_mobike_never_hears_of_addresses() {
    let mut pump = {
        let mut pump = pair_of(mobile(ReturnRoutability::Before));
        let mut config = pump.configs[B].clone();
        let connection = PeerConfig { mobike: false, ..(*config.connections[0]).clone() };
        config.connections = vec![std::sync::Arc::new(connection)];
        pump.command(B, Command::Configure(Box::new(config)));
        pump
    };
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    let before = pump.sides[A].sent.len();
    pump.set_addresses(A, &[HOME, AWAY, "192.0.2.21"]);
    pump.run_for(Duration::from_secs(10));
    assert!(sent_since(&pump, A, before).is_empty());
}

#[test]
fn a_nat_where_none_is_allowed_is_told_and_refused() {
    let mut config = mobile(ReturnRoutability::Before);
    config.encapsulation = vpnhost_ike::EncapsulationPolicy::ForbidNat;
    let mut pump = pair_of(config.clone());
    pump.masquerade = Some("203.0.113.1:1234".parse().unwrap());
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(1));
    assert!(pump.established(A).is_empty() && pump.established(B).is_empty());
    let pump = connected_as(config, &[HOME]);
    assert_eq!(pump.ike_sa(A).path.remote.port(), 500);
}

/// Traffic that goes out, and is told of as the packet path tells it.
fn send_for(pump: &mut Pump, span: Duration) {
    let until = pump.now.instant + span;
    while pump.now.instant < until {
        pump.run_for(Duration::from_millis(250));
        let now = pump.now.instant;
        if let Some(child) = pump.established(A).first().and_then(|sa| sa.children.first().map(|it| it.id)) {
            pump.traffic(A, TrafficReport::Outbound(child, now));
        }
    }
}

#[test]
fn a_gateway_that_lost_everything_has_a_tunnel_again_within_two_seconds() {
    for away in [0, 1, 3, 10, 60] {
        let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
        pump.filter = Box::new(|side, _| side == A);
        pump.sides[B].addresses = Some(Vec::new());
        send_for(&mut pump, Duration::from_secs(away));
        pump.filter = Box::new(|_, _| true);
        pump.restart(B, 77);
        pump.set_addresses(B, &[GATEWAY]);
        send_for(&mut pump, Duration::from_secs(2));
        assert_eq!(pump.established(B).len(), 1, "after {away} s away");
        let (spi, new) = (pump.established(B)[0].spi_i, pump.established(A));
        assert!(new.iter().any(|sa| sa.spi_i == spi && sa.children.iter().any(|child| child.sends)));
        send_for(&mut pump, Duration::from_secs(30));
        pump.assert_connected(1);
    }
}

#[test]
fn a_minute_in_a_lift_ends_with_the_same_keys_as_soon_as_the_path_is_back() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    let spi = pump.ike_sa(A).spi_i;
    pump.filter = Box::new(|_, _| false);
    send_for(&mut pump, Duration::from_secs(60));
    pump.filter = Box::new(|_, _| true);
    send_for(&mut pump, Duration::from_secs(2));
    assert_eq!(pump.ike_sa(A).spi_i, spi);
    pump.assert_connected(1);
    pump.run_for(Duration::from_secs(60));
    assert_eq!(pump.sides[B].endpoint.holdings().half_open, 0);
    assert_eq!(pump.ike_sa(A).spi_i, spi);
}

#[test]
fn an_outage_that_lasts_longer_than_it_may_is_a_full_negotiation() {
    let mut config = mobile(ReturnRoutability::Before);
    config.timing.max_outage = Duration::from_secs(30);
    config.start = vpnhost_ike::Start::Up;
    for (seconds, anew) in [(20, false), (40, true)] {
        let mut pump = connected_as(config.clone(), &[HOME]);
        let spi = pump.ike_sa(A).spi_i;
        pump.filter = Box::new(|_, _| false);
        send_for(&mut pump, Duration::from_secs(seconds));
        pump.filter = Box::new(|_, _| true);
        send_for(&mut pump, Duration::from_secs(5));
        assert_eq!(pump.ike_sa(A).spi_i != spi, anew, "after {seconds} s");
        pump.run_for(Duration::from_secs(90));
        assert_eq!(pump.established(A).len(), 1);
    }
}

#[test]
fn whoever_says_in_clear_that_the_ike_sa_is_gone_ends_nothing() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    let spi = pump.ike_sa(A).spi_i;
    let before = pump.sides[A].sent.len();
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
    pump.run_for(Duration::from_millis(1));
    let request = sent_since(&pump, A, before)[0].octets.clone();
    // The request's header, as a response with N(INVALID_IKE_SPI) in clear.
    let mut forged = request[..28].to_vec();
    (forged[16], forged[19]) = (41, 0x20);
    forged[24..28].copy_from_slice(&36u32.to_be_bytes());
    forged.extend([0, 0, 0, 8, 0, 0, 0, 4]);
    pump.inject(A, "192.0.2.2:4500", 4500, &forged);
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(3));
    assert_eq!(pump.ike_sa(A).spi_i, spi);
    pump.assert_connected(1);
    pump.run_for(Duration::from_secs(40));
    assert_eq!(pump.established(B).len(), 1, "what was begun beside is given up");
}

#[test]
fn an_ike_sa_is_begun_over_the_path_that_works() {
    let a = mobile(ReturnRoutability::Before);
    let b = PeerConfig { gateways: Vec::new(), ..responder(&a) };
    let mut pump = Pump::new(config(a), config(b));
    let dead: SocketAddr = address(HOME, 500);
    pump.filter = Box::new(move |_, sent| {
        let unspecified = sent.path.local.ip().is_unspecified();
        !unspecified && sent.path.local != dead && sent.path.remote != dead
    });
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(3));
    assert_at(&pump, AWAY, GATEWAY);
}

/// Gives an order about the path, and returns why nothing came of it, if nothing did.
fn order(pump: &mut Pump, ends: Option<(&str, &str)>) -> Option<String> {
    let ends = ends.map(|(local, remote)| (local.parse().unwrap(), remote.parse().unwrap()));
    let (id, before) = (pump.ike_sa(A).id, pump.sides[A].events.len());
    pump.command(A, Command::Roam(id, ends));
    pump.settle();
    pump.sides[A].events[before..].iter().find_map(|event| match event {
        Event::Stays { why, .. } => Some(why.clone()),
        _ => None,
    })
}

#[test]
fn an_order_without_a_path_measures_all_and_says_why_it_stays() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    let why = order(&mut pump, None).unwrap();
    assert!(why.contains("no path is better"), "{why}");
    let paths = pump.ike_sa(A).paths;
    assert!(paths.len() == 2 && paths.iter().all(|path| path.facts.rtt_us.is_some()), "{paths:?}");
    assert_at(&pump, HOME, GATEWAY);
}

#[test]
fn an_order_takes_the_path_that_it_names_and_no_other() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    assert_eq!(order(&mut pump, Some((AWAY, GATEWAY))), None);
    assert_at(&pump, AWAY, GATEWAY);
    assert_eq!(order(&mut pump, Some((HOME, SECOND_GATEWAY))).as_deref(), Some("there is no such path"));
    assert_at(&pump, AWAY, GATEWAY);
}

#[test]
fn an_order_without_any_path_is_answered_too() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME]);
    pump.set_addresses(A, &[]);
    let (id, before) = (pump.ike_sa(A).id, pump.sides[A].events.len());
    pump.command(A, Command::Roam(id, None));
    pump.run_for(Duration::from_secs(1));
    let events = &pump.sides[A].events[before..];
    let stays = |event: &Event| matches!(event, Event::Stays { why, .. } if why.contains("no path"));
    assert!(events.iter().any(stays), "{events:?}");
}

#[test]
fn a_plan_is_made_for_the_link_that_the_path_takes() {
    let mut pump = pair_of(mobile(ReturnRoutability::Never));
    pump.sides[A].endpoint.delegate([QuestionKind::PlanMaintenance].into_iter().collect());
    pump.sides[A].metered = vec![AWAY.parse().unwrap()];
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.set_addresses(A, &[AWAY]);
    pump.settle();
    let links: Vec<(LinkKind, bool)> = pump.sides[A]
        .questions
        .iter()
        .filter_map(|(_, question)| match question {
            Question::PlanMaintenance(situation) => Some((situation.kind, situation.metered)),
            _ => None,
        })
        .collect();
    assert_eq!(links, [(LinkKind::ETHERNET, false), (LinkKind::ETHERNET, true)]);
}

#[test]
fn another_plan_is_asked_for_when_the_link_in_use_becomes_another() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.sides[A].endpoint.delegate([QuestionKind::PlanMaintenance].into_iter().collect());
    let asked = |pump: &Pump| -> Vec<bool> {
        let of_network = |question: &Question| match question {
            Question::PlanMaintenance(it) if it.cause == SituationCause::NETWORK => Some(it.metered),
            _ => None,
        };
        pump.sides[A].questions.iter().filter_map(|(_, question)| of_network(question)).collect()
    };
    pump.sides[A].metered = vec![AWAY.parse().unwrap()];
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.settle();
    assert!(asked(&pump).is_empty(), "the link in use is as it was");
    pump.sides[A].metered = vec![HOME.parse().unwrap(), AWAY.parse().unwrap()];
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.settle();
    assert_eq!(asked(&pump), [true]);
}

/// What kept a side from paths, by its code.
fn hindrances(pump: &Pump, side: usize) -> Vec<&'static str> {
    let code = |event: &Event| match event {
        Event::NotMoved { hindrance, .. } => Some(hindrance.code()),
        _ => None,
    };
    pump.sides[side].events.iter().filter_map(code).collect()
}

/// Two hosts that are connected over a path that costs money; a better one has just come, and has to last.
fn settling() -> Pump {
    let mut pump = pair_of(mobile(ReturnRoutability::Never));
    pump.sides[A].metered = vec![HOME.parse().unwrap()];
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.settle();
    assert_eq!(hindrances(&pump, A), ["path-settling"]);
    pump
}

#[test]
fn why_a_better_path_is_not_taken_yet_is_told_once() {
    let mut pump = settling();
    pump.run_for(Duration::from_secs(60));
    assert_at(&pump, AWAY, GATEWAY);
    assert_eq!(hindrances(&pump, A), ["path-settling"], "it was tested when it came");
    pump.sides[A].metered = vec![AWAY.parse().unwrap()];
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.run_for(Duration::from_secs(60));
    assert_at(&pump, HOME, GATEWAY);
    assert_eq!(hindrances(&pump, A), ["path-settling", "path-untested"]);
}

#[test]
fn without_any_path_it_is_told_each_time() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME]);
    for times in 1..3 {
        pump.set_addresses(A, &[]);
        pump.run_for(Duration::from_secs(1));
        assert_eq!(hindrances(&pump, A), vec!["no-path"; times]);
        pump.set_addresses(A, &[HOME]);
        pump.settle();
    }
}

#[test]
fn a_move_behind_a_nat_that_is_forbidden_tells_what_is_wrong() {
    let mut config = mobile(ReturnRoutability::Before);
    config.encapsulation = vpnhost_ike::EncapsulationPolicy::ForbidNat;
    let mut pump = connected_as(config, &[HOME, AWAY]);
    pump.masquerade = Some("203.0.113.1:1234".parse().unwrap());
    assert_eq!(order(&mut pump, Some((AWAY, GATEWAY))), None);
    pump.run_for(Duration::from_secs(20));
    assert_eq!(hindrances(&pump, A)[0], "path-translated");
}

#[test]
fn a_peer_that_does_not_answer_where_its_packets_come_from_is_told_of_once() {
    let a = mobile(ReturnRoutability::Before);
    let b = PeerConfig { gateways: Vec::new(), ..responder(&a) };
    let mut pump = Pump::new(config(a), config(b));
    pump.masquerade = Some("203.0.113.1:4500".parse().unwrap());
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let path = Path { remote: "203.0.113.9:4500".parse().unwrap(), ..path_of(&pump, B) };
    let child = pump.child_sa(B);
    for _ in 0..3 {
        pump.traffic(B, TrafficReport::Moved(child, path));
        pump.run_for(Duration::from_secs(60));
    }
    assert_eq!(hindrances(&pump, B), ["path-not-returned"]);
    assert_eq!(pump.ike_sa(B).path.remote, pump.masquerade.unwrap());
}

#[test]
fn a_path_that_is_tested_by_order_and_silent_is_told_of_each_time() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    pump.filter = Box::new(|_, transmit| {
        ![transmit.path.local.ip(), transmit.path.remote.ip()].contains(&AWAY.parse().unwrap())
    });
    let (id, ends) = (pump.ike_sa(A).id, (AWAY.parse().unwrap(), GATEWAY.parse().unwrap()));
    for times in 1..3 {
        pump.command(A, Command::TestPath(id, ends));
        pump.run_for(Duration::from_secs(10));
        assert_eq!(hindrances(&pump, A), vec!["path-unanswered"; times]);
    }
    assert_at(&pump, HOME, GATEWAY);
}

#[test]
fn the_gap_of_a_move_over_a_dead_path_is_the_time_without_an_answer() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    pump.filter = Box::new(|_, transmit| {
        ![transmit.path.local.ip(), transmit.path.remote.ip()].contains(&AWAY.parse().unwrap())
    });
    let id = pump.ike_sa(A).id;
    pump.command(A, Command::Roam(id, Some((AWAY.parse().unwrap(), GATEWAY.parse().unwrap()))));
    pump.run_for(Duration::from_secs(10));
    assert_at(&pump, HOME, GATEWAY);
    let gap = pump.sides[A].events.iter().find_map(|event| match event {
        Event::Moved { gap, .. } => Some(*gap),
        _ => None,
    });
    assert!(gap.unwrap() >= Duration::from_millis(500), "{gap:?}");
}

#[test]
fn esp_that_comes_before_the_update_makes_no_second_check() {
    let config =
        PeerConfig { encapsulation: EncapsulationPolicy::Always, ..mobile(ReturnRoutability::Before) };
    let mut pump = connected_as(config, &[HOME, AWAY]);
    let before = [A, B].map(|side| pump.sides[side].sent.len());
    pump.set_addresses(A, &[AWAY]);
    let (child, path) = (pump.child_sa(B), path_of(&pump, B));
    let seen = Path { remote: address(AWAY, 4500), ..path };
    pump.traffic(B, TrafficReport::Moved(child, seen));
    pump.settle();
    assert_at(&pump, AWAY, GATEWAY);
    let counts = [A, B].map(|side| sent_since(&pump, side, before[side]).len());
    assert_eq!(counts, [2, 2]);
}

#[test]
fn esp_from_where_the_peer_was_that_is_told_of_after_the_move_makes_no_check() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    let (child, old) = (pump.child_sa(B), path_of(&pump, B));
    pump.set_addresses(A, &[AWAY]);
    pump.settle();
    assert_at(&pump, AWAY, GATEWAY);
    let before = pump.sides[B].sent.len();
    pump.traffic(B, TrafficReport::Moved(child, old));
    pump.run_for(Duration::from_millis(500));
    assert_eq!(sent_since(&pump, B, before).len(), 0);
    assert_at(&pump, AWAY, GATEWAY);
}

#[test]
fn a_link_that_costs_money_from_now_on_is_left_for_one_that_does_not() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.run_for(Duration::from_secs(20));
    pump.sides[A].metered = vec![HOME.parse().unwrap()];
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.run_for(Duration::from_secs(20));
    assert_at(&pump, AWAY, GATEWAY);
}

/// The path is away for so long that nothing but rare attempts is left; the peer's packets come back first.
#[test]
fn a_request_that_was_not_answered_in_an_outage_is_repeated_when_packets_come_again() {
    for seconds in (130..200).step_by(5) {
        let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
        let (id, child) = (pump.ike_sa(A).id, pump.child_sa(A));
        pump.filter = Box::new(|_, _| false);
        pump.command(A, Command::CheckLiveness(id));
        pump.run_for(Duration::from_secs(seconds));
        pump.filter = Box::new(|_, _| true);
        let now = pump.now.instant;
        pump.traffic(A, TrafficReport::Inbound(child, now));
        let before = pump.sides[A].sent.len();
        pump.run_for(Duration::from_secs(25));
        assert!(!sent_since(&pump, A, before).is_empty(), "nothing repeats it after {seconds} s");
        pump.assert_connected(1);
    }
}

#[test]
fn an_end_by_order_amid_an_outage_comes_soon_and_begins_nothing_anew() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.filter = Box::new(|_, _| false);
    send_for(&mut pump, Duration::from_secs(20));
    pump.command(A, Command::Terminate("b".into()));
    pump.run_for(Duration::from_secs(6));
    assert_eq!(pump.established(A).len(), 0);
    let before = pump.sides[A].sent.len();
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(120));
    assert_eq!(sent_since(&pump, A, before).len(), 0);
}
