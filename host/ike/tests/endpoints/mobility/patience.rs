//! How long is waited, how often asked, and what a late answer is worth (RFC 4555 §3.10, §3.11).

use vpnhost_ike::CloseReason;

use super::*;

fn is_closed_as_dead(pump: &Pump, side: usize) -> bool {
    pump.saw(side, |event| matches!(event, Event::IkeSaClosed { reason: CloseReason::PeerDead(_), .. }))
}

#[test]
fn a_gateway_waits_five_minutes_for_a_client_that_does_not_answer() {
    for seconds in [100, 200, 260] {
        let mut pump = connected(ReturnRoutability::Before, &[HOME]);
        let (id, spi) = (pump.ike_sa(B).id, pump.ike_sa(A).spi_i);
        pump.filter = Box::new(|_, _| false);
        pump.command(B, Command::CheckLiveness(id));
        pump.run_for(Duration::from_secs(seconds));
        pump.filter = Box::new(|_, _| true);
        pump.run_for(Duration::from_secs(40));
        assert_eq!(pump.ike_sa(B).spi_i, spi, "away for {seconds} s");
        assert!(pump.saw(B, |event| matches!(event, Event::Alive { .. })));
        pump.assert_connected(1);
    }
}

#[test]
fn a_client_that_is_gone_is_given_up_after_five_minutes_and_was_asked_a_bounded_number_of_times() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME]);
    let (id, before) = (pump.ike_sa(B).id, pump.sides[B].sent.len());
    pump.run_for(Duration::from_secs(1000));
    pump.filter = Box::new(|_, _| false);
    pump.command(B, Command::CheckLiveness(id));
    pump.run_for(Duration::from_secs(299));
    assert!(!is_closed_as_dead(&pump, B), "however long it said nothing before");
    pump.run_for(Duration::from_secs(35));
    assert!(is_closed_as_dead(&pump, B));
    assert!(pump.established(B).is_empty());
    let asked = sent_since(&pump, B, before).len();
    assert!((10..=20).contains(&asked), "{asked}");
}

#[test]
fn a_peer_without_mobike_is_given_up_as_configured() {
    let mut pump = connected_as(PeerConfig { mobike: false, ..mobile(ReturnRoutability::Never) }, &[HOME]);
    pump.filter = Box::new(|_, _| false);
    pump.command(B, Command::CheckLiveness(pump.ike_sa(B).id));
    pump.run_for(Duration::from_secs(90));
    assert!(is_closed_as_dead(&pump, B));
}

#[test]
fn a_round_trip_longer_than_the_first_repetition_ends_a_move_with_few_updates() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    pump.run_for(Duration::from_secs(20));
    pump.latency = Duration::from_millis(750);
    let before = pump.sides[A].sent.len();
    pump.command(
        A,
        Command::Roam(pump.ike_sa(A).id, Some((AWAY.parse().unwrap(), GATEWAY.parse().unwrap()))),
    );
    pump.run_for(Duration::from_secs(60));
    assert_at(&pump, AWAY, GATEWAY);
    assert_eq!(moves(&pump, A).len(), 1, "the move is told of: it is over");
    let updates = sent_since(&pump, A, before).len();
    assert!(updates <= 8, "{updates} datagrams");
}

/// Says that all datagrams on a path take longer.
fn slow(pump: &mut Pump, address: &'static str, delay: Duration) {
    pump.slow = Some((address.parse().unwrap(), delay));
}

fn failed_paths(pump: &Pump) -> Vec<std::net::IpAddr> {
    let paths = pump.ike_sa(A).paths;
    let failed = paths.iter().filter(|path| path.facts.standing == vpnhost_policy::PathStanding::FAILED);
    failed.map(|path| path.facts.local).collect()
}

#[test]
fn a_path_that_is_known_to_be_slow_is_given_its_time() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    slow(&mut pump, HOME, Duration::from_millis(150));
    pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
    pump.settle();
    assert_eq!(order(&mut pump, None).map(|why| why.contains("no path is better")), Some(true));
    assert_eq!(failed_paths(&pump), [] as [std::net::IpAddr; 0]);
    assert_at(&pump, HOME, GATEWAY);
}

#[test]
fn a_dead_path_is_waited_for_no_longer_than_its_answer_takes() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    pump.latency = Duration::from_millis(150);
    // Both paths are measured, until the short round trips from before are forgotten.
    for _ in 0..40 {
        order(&mut pump, None);
    }
    let dead: SocketAddr = address(HOME, 4500);
    pump.filter = Box::new(move |_, sent| sent.path.local != dead && sent.path.remote != dead);
    let (child, died) = (pump.child_sa(A), pump.now.instant);
    while path_of(&pump, A).local != address(AWAY, 4500) && pump.now.instant - died < Duration::from_secs(9) {
        let now = pump.now.instant;
        pump.traffic(A, TrafficReport::Outbound(child, now));
        pump.run_for(Duration::from_millis(5));
    }
    let left = (pump.now.instant - died).as_millis();
    // A second of suspicion, a round trip, and what a slower path is given.
    assert!((1_400..=1_420).contains(&left), "left after {left} ms");
}

/// Why plans were asked for, and for which round-trip times in milliseconds.
fn planned(pump: &Pump) -> Vec<(SituationCause, Option<u32>)> {
    let plan = |question: &Question| match question {
        Question::PlanMaintenance(it) => Some((it.cause, it.rtt_us.map(|rtt| rtt / 1000))),
        _ => None,
    };
    pump.sides[A].questions.iter().filter_map(|(_, question)| plan(question)).collect()
}

#[test]
fn a_path_that_became_slower_than_the_first_repetition_is_measured_all_the_same() {
    let mut config = mobile(ReturnRoutability::Never);
    config.timing.retransmit_first = Duration::from_millis(250);
    let mut pump = connected_as(config, &[HOME]);
    pump.sides[A].endpoint.delegate([QuestionKind::PlanMaintenance].into_iter().collect());
    pump.latency = Duration::from_millis(200);
    let before = pump.sides[A].sent.len();
    for _ in 0..10 {
        pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
        pump.run_for(Duration::from_secs(2));
    }
    assert!(planned(&pump).iter().any(|(_, rtt)| *rtt > Some(100)), "{:?}", planned(&pump));
    let sent = sent_since(&pump, A, before).len();
    assert!(sent <= 16, "{sent} datagrams for ten questions");
}

#[test]
fn the_plan_is_made_for_the_round_trip_and_anew_once_that_is_another() {
    let mut pump = pair_of(mobile(ReturnRoutability::Never));
    pump.sides[A].endpoint.delegate([QuestionKind::PlanMaintenance].into_iter().collect());
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(10));
    let here = u32::try_from(2 * pump.latency.as_millis()).unwrap();
    assert_eq!(planned(&pump), [(SituationCause::ESTABLISHED, Some(here))], "IKE_AUTH showed it");
    let mut ask_after = |factor| {
        pump.latency *= factor;
        for _ in 0..30 {
            pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
            pump.run_for(Duration::from_secs(1));
        }
        planned(&pump)
    };
    let (established, measured) = (SituationCause::ESTABLISHED, SituationCause::MEASURED);
    let causes =
        |plans: &[(SituationCause, Option<u32>)]| plans.iter().map(|plan| plan.0).collect::<Vec<_>>();
    let plans = ask_after(6);
    assert_eq!(causes(&plans), [established, measured], "{plans:?}");
    assert_eq!(plans[1].1, Some(6 * here), "what IKE_AUTH showed, with the peer's thinking, counts no more");
    let plans = ask_after(3);
    assert_eq!(causes(&plans), [established, measured, measured], "{plans:?}");
    assert!(plans[2].1 > Some(2 * 6 * here), "once it had doubled: {plans:?}");
}

#[test]
fn an_answer_that_comes_too_late_takes_back_that_the_path_failed() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    slow(&mut pump, AWAY, Duration::from_millis(300));
    order(&mut pump, None);
    assert_eq!(failed_paths(&pump), [] as [std::net::IpAddr; 0]);
    let loss: Vec<_> = pump.ike_sa(A).paths.iter().map(|path| path.facts.loss_permille).collect();
    assert_eq!(loss, [Some(0), Some(0)]);
}

#[test]
fn a_stream_that_is_answered_seldom_has_the_peer_asked_ever_more_seldom() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    let (child, mut asked) = (pump.child_sa(A), Vec::new());
    for _ in 0..3 {
        let before = pump.sides[A].sent.len();
        for turn in 0..240 {
            pump.run_for(Duration::from_millis(250));
            let now = pump.now.instant;
            pump.traffic(A, TrafficReport::Outbound(child, now));
            if turn % 20 == 19 {
                pump.run_for(Duration::from_millis(1));
                let now = pump.now.instant;
                pump.traffic(A, TrafficReport::Inbound(child, now));
            }
        }
        asked.push(sent_since(&pump, A, before).len());
    }
    assert!(asked[0] <= 16 && asked[2] <= 4, "{asked:?}");
}

#[test]
fn the_patience_is_as_short_as_before_once_packets_come_promptly_again() {
    let mut pump = connected(ReturnRoutability::Never, &[HOME, AWAY]);
    send_for(&mut pump, Duration::from_secs(30));
    let child = pump.child_sa(A);
    for _ in 0..30 {
        pump.run_for(Duration::from_millis(500));
        let now = pump.now.instant;
        pump.traffic(A, TrafficReport::Outbound(child, now));
        pump.run_for(Duration::from_millis(20));
        let now = pump.now.instant;
        pump.traffic(A, TrafficReport::Inbound(child, now));
    }
    let dead: SocketAddr = address(HOME, 4500);
    pump.filter = Box::new(move |_, sent| sent.path.local != dead && sent.path.remote != dead);
    send_for(&mut pump, Duration::from_secs(3));
    assert_at(&pump, AWAY, GATEWAY);
}

/// How often a side asked on a path, by requests of established IKE SAs and by IKE_SA_INIT.
fn asked_at(sent: &[Transmit], local: &str) -> usize {
    let local = address(local, 4500);
    sent.iter().filter(|sent| sent.octets[18] == 37 && sent.path.local == local).count()
}

#[test]
fn a_peer_that_is_silent_at_rest_is_looked_for_at_most_15_times_an_hour() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
    pump.run_for(Duration::from_secs(600));
    let before = pump.sides[A].sent.len();
    pump.run_for(Duration::from_secs(3600));
    let sent = sent_since(&pump, A, before);
    for local in [HOME, AWAY] {
        let asked = asked_at(sent, local);
        assert!((13..=15).contains(&asked), "{asked} requests from {local} in an hour");
    }
    let inits: Vec<&Transmit> = sent.iter().filter(|sent| sent.octets[18] == 34).collect();
    assert!((13..=15).contains(&inits.len()), "{} IKE_SA_INIT in an hour", inits.len());
    let from =
        |local: &str| inits.iter().filter(|sent| sent.path.local.ip() == address(local, 0).ip()).count();
    assert!(from(HOME) >= 6 && from(AWAY) >= 6, "each path in turn");
    let octets: usize = sent.iter().map(|sent| 20 + 8 + sent.octets.len()).sum();
    assert!(octets <= 12_000, "{octets} octets in an hour");
}

/// A client in an outage at rest for so long that it asks seldom.
fn resting() -> Pump {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
    pump.run_for(Duration::from_secs(900));
    let before = pump.sides[A].sent.len();
    pump.run_for(Duration::from_secs(20));
    assert_eq!(sent_since(&pump, A, before).len(), 0, "it rests");
    pump
}

#[test]
fn traffic_that_waits_hurries_the_search() {
    let mut pump = resting();
    let (child, before) = (pump.child_sa(A), pump.sides[A].sent.len());
    let now = pump.now.instant;
    pump.traffic(A, TrafficReport::Outbound(child, now));
    pump.run_for(Duration::from_millis(10));
    let sent = sent_since(&pump, A, before);
    assert_eq!((asked_at(sent, HOME), asked_at(sent, AWAY)), (1, 1));
    assert!(sent.iter().any(|sent| sent.octets[18] == 34), "an IKE SA is begun beside");
    pump.filter = Box::new(|_, _| true);
    send_for(&mut pump, Duration::from_secs(2));
    pump.assert_connected(1);
    assert!(pump.sides[A].endpoint.is_idle() || pump.ike_sa(A).children.len() == 1);
}

#[test]
fn traffic_hurries_also_a_negotiation_that_rest_has_begun() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.restart(B, 77);
    pump.set_addresses(B, &[GATEWAY]);
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
    let before = pump.sides[A].sent.len();
    let is_begun = |pump: &Pump| sent_since(pump, A, before).iter().any(|sent| sent.octets[18] == 34);
    while !is_begun(&pump) {
        pump.run_for(Duration::from_millis(100));
    }
    // Its IKE_SA_INIT was lost, and another would be sent in seconds.
    pump.filter = Box::new(|_, _| true);
    let spi = pump.ike_sa(A).spi_i;
    send_for(&mut pump, Duration::from_secs(2));
    assert_eq!(pump.established(B).len(), 1);
    assert_ne!(pump.established(B)[0].spi_i, spi);
}

#[test]
fn another_link_and_the_end_of_sleep_have_the_peer_asked_at_once_and_soon_again() {
    for is_link in [true, false] {
        let mut pump = resting();
        let before = pump.sides[A].sent.len();
        if is_link {
            pump.set_addresses(A, &[HOME, AWAY, "192.0.2.21"]);
        } else {
            pump.sleep(A, Duration::from_secs(30));
        }
        pump.run_for(Duration::from_millis(10));
        let at_once = asked_at(sent_since(&pump, A, before), HOME);
        pump.run_for(Duration::from_secs(20));
        let soon = asked_at(sent_since(&pump, A, before), HOME);
        assert!(at_once >= 1 && soon >= 4, "{at_once} at once, {soon} within 20 s");
    }
}

#[test]
fn who_says_in_clear_that_the_peer_lost_the_ike_sa_has_another_begun_with_haste_once() {
    let a = mobile(ReturnRoutability::Before);
    // It may come from anywhere.
    let b = PeerConfig { gateways: Vec::new(), ..responder(&a) };
    let mut pump = Pump::new(config(a), config(b));
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME, AWAY]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let old = pump.ike_sa(A).spi_i;
    pump.restart(B, 77);
    pump.set_addresses(B, &[GATEWAY]);
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
    pump.run_for(Duration::from_secs(900));
    // Only one of the paths works again, and IKE_SA_INIT is unlucky on it at first.
    let (mut unlucky, dead) = (3, address(HOME, 0).ip());
    pump.filter = Box::new(move |_, sent| {
        let is_init = sent.octets[18] == 34 && sent.octets[19] & 0x20 == 0;
        unlucky -= i32::from(is_init);
        let is_dead = [sent.path.local.ip(), sent.path.remote.ip()].contains(&dead);
        let is_lost = is_dead || (is_init && unlucky >= 0);
        !is_lost
    });
    pump.sides[A].address = address(AWAY, 0).ip();
    pump.run_for(vpnhost_ike::limits::ASKED_AT_REST + Duration::from_secs(10));
    pump.assert_connected(1);
    assert_ne!(pump.ike_sa(A).spi_i, old);
}

#[test]
fn who_orders_the_best_path_while_none_is_answered_is_told_so_and_orders_nothing_of_what_comes_later() {
    for is_doubted in [false, true] {
        let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
        let id = pump.ike_sa(A).id;
        pump.filter = Box::new(|_, _| false);
        if is_doubted {
            pump.command(A, Command::CheckLiveness(id));
            pump.run_for(Duration::from_secs(600));
        }
        let stays = |pump: &Pump| {
            let why = |event: &Event| match event {
                Event::Stays { why, .. } => Some(why.clone()),
                _ => None,
            };
            pump.sides[A].events.iter().filter_map(why).collect::<Vec<_>>()
        };
        pump.command(A, Command::Roam(id, None));
        pump.run_for(Duration::from_secs(5));
        assert_eq!(stays(&pump), ["the peer answers on no path"]);
        pump.filter = Box::new(|_, _| true);
        send_for(&mut pump, Duration::from_secs(10));
        assert_eq!(stays(&pump).len(), 1, "nobody waits for the ranking that follows");
        pump.assert_connected(1);
    }
}
