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

#[test]
fn an_idle_outage_has_the_peer_asked_once_a_minute_and_at_once_when_there_is_reason() {
    let mut pump = connected(ReturnRoutability::Before, &[HOME, AWAY]);
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::CheckLiveness(pump.ike_sa(A).id));
    pump.run_for(Duration::from_secs(300));
    let before = pump.sides[A].sent.len();
    pump.run_for(Duration::from_secs(600));
    let sent = sent_since(&pump, A, before);
    let is_asked_at = |sent: &&Transmit| sent.octets[18] == 37 && sent.path.local == address(HOME, 4500);
    let asked = sent.iter().filter(is_asked_at).count();
    assert!((9..=11).contains(&asked), "{asked} requests on a path in ten minutes");
    assert!(sent.len() <= 80, "{} datagrams in ten minutes", sent.len());

    pump.run_for(Duration::from_secs(5));
    let (child, before) = (pump.child_sa(A), pump.sides[A].sent.len());
    let now = pump.now.instant;
    pump.traffic(A, TrafficReport::Outbound(child, now));
    pump.run_for(Duration::from_millis(10));
    assert!(sent_since(&pump, A, before).len() >= 2, "packets wait again");

    pump.run_for(Duration::from_secs(300));
    let before = pump.sides[A].sent.len();
    pump.set_addresses(A, &[HOME, AWAY, "192.0.2.21"]);
    pump.run_for(Duration::from_millis(10));
    assert!(sent_since(&pump, A, before).len() >= 3, "another link is there");
}
