//! One of the two hosts is suspended, and goes on where time has gone to.

use vpnhost_ike::{Resumption, Start};
use vpnhost_model::Lifetime;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A client that is to be up, and whose keys last.
fn kept_up() -> PeerConfig {
    PeerConfig { start: Start::Up, ..mobile(ReturnRoutability::Before) }
}

/// The same, with keys that never get too old.
fn ageless() -> PeerConfig {
    let mut config = kept_up();
    config.timing.rekey_ike = Duration::ZERO;
    config.children[0].lifetime = Lifetime { rekey_after: None, ..config.children[0].lifetime };
    config
}

fn closed(pump: &Pump, side: usize) -> Vec<&'static str> {
    let code = |event: &Event| match event {
        Event::IkeSaClosed { reason, .. } => Some(reason.code()),
        _ => None,
    };
    pump.sides[side].events.iter().filter_map(code).collect()
}

/// Checks that one IKE SA with one Child SA is up, and nothing of another left.
fn assert_agreed(pump: &Pump) {
    pump.assert_connected(1);
    for side in &pump.sides {
        assert_eq!((side.installed.len(), side.host.len()), (1, 1));
        assert_eq!((side.reserved.len(), side.endpoint.holdings().half_open), (1, 0));
    }
}

#[test]
fn ten_minutes_of_sleep_end_with_the_same_keys_and_one_request() {
    let mut pump = connected_as(ageless(), &[HOME]);
    let (spi, before) = (pump.ike_sa(A).spi_i, pump.sides[A].sent.len());
    pump.sleep(A, 10 * MINUTE);
    assert_eq!(sent_since(&pump, A, before).len(), 1, "the peer is asked at once");
    pump.run_for(Duration::from_secs(20));
    assert_eq!((pump.ike_sa(A).spi_i, sent_since(&pump, A, before).len()), (spi, 1));
    assert_agreed(&pump);
}

#[test]
fn a_client_that_wakes_up_behind_another_mapping_of_its_nat_is_followed_at_once() {
    let mut anywhere = responder(&ageless());
    anywhere.gateways.clear();
    let mut pump = Pump::new(config(ageless()), config(anywhere));
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.masquerade = Some(address("198.51.100.7", 30_000));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let (spi, asleep_since) = (pump.ike_sa(A).spi_i, pump.now.instant);
    let other = address("198.51.100.7", 41_000);
    pump.asleep = Some(A);
    pump.run_for(4 * MINUTE);
    pump.masquerade = Some(other);
    pump.wake(A, 4 * MINUTE);
    pump.settle();
    assert_eq!((path_of(&pump, B).remote, pump.ike_sa(B).spi_i), (other, spi));
    // What came to a machine that slept is missing, whatever the NAT remembered.
    let (child, at) = (pump.child_sa(A), pump.now.instant);
    let missed = Resumption { since: asleep_since, spoke: Some(at), at, missing: 7 };
    for _ in 0..3 {
        pump.traffic(A, TrafficReport::Resumed(child, missed));
    }
    let failed = |side: &crate::pump::Side| side.endpoint.networks().filter_map(|(_, it)| it.failed).count();
    assert_eq!(failed(&pump.sides[A]), 0);
    assert_agreed(&pump);
}

#[test]
fn a_client_that_wakes_up_in_another_network_takes_its_tunnel_along() {
    let mut pump = connected_as(ageless(), &[HOME]);
    let spi = pump.ike_sa(A).spi_i;
    pump.asleep = Some(A);
    pump.run_for(4 * MINUTE);
    pump.sides[A].addresses = Some(vec![AWAY.parse().unwrap()]);
    pump.wake(A, 4 * MINUTE);
    pump.run_for(Duration::from_millis(300));
    pump.set_addresses(A, &[AWAY]);
    pump.settle();
    assert_at(&pump, AWAY, GATEWAY);
    assert_eq!(pump.ike_sa(A).spi_i, spi);
    assert_agreed(&pump);
}

#[test]
fn a_client_that_the_gateway_gave_up_meanwhile_has_a_tunnel_again_within_seconds() {
    let mut config = ageless();
    config.timing.liveness_idle = Duration::from_secs(30);
    let mut pump = connected_as(config, &[HOME]);
    let spi = pump.ike_sa(A).spi_i;
    pump.sleep(A, 20 * MINUTE);
    assert_eq!(pump.established(B).len(), 0, "the gateway has given it up");
    pump.run_for(Duration::from_secs(5));
    assert_ne!(pump.ike_sa(A).spi_i, spi);
    pump.run_for(2 * MINUTE);
    assert_agreed(&pump);
}

#[test]
fn keys_that_got_too_old_asleep_are_replaced_by_a_full_negotiation() {
    let mut pump = connected_as(kept_up(), &[HOME]);
    let spi = pump.ike_sa(A).spi_i;
    pump.sleep(A, 5 * HOUR);
    pump.run_for(Duration::from_secs(5));
    assert_ne!(pump.ike_sa(A).spi_i, spi);
    pump.run_for(5 * MINUTE);
    assert_agreed(&pump);
}

#[test]
fn a_child_sa_that_got_too_old_asleep_is_made_anew_once() {
    for minutes in [62, 70, 120] {
        let mut mine = kept_up();
        mine.timing.rekey_ike = Duration::ZERO;
        let mut pump = Pump::new(config(mine), config(responder(&ageless())));
        pump.set_addresses(B, &[GATEWAY]);
        pump.set_addresses(A, &[HOME]);
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        let (spi, child) = (pump.ike_sa(A).spi_i, pump.child_sa(A));
        pump.sleep(A, minutes * MINUTE);
        pump.run_for(5 * MINUTE);
        assert_eq!(pump.ike_sa(A).spi_i, spi);
        assert_ne!(pump.child_sa(A), child, "after {minutes} minutes");
        assert_agreed(&pump);
    }
}

#[test]
fn a_sleep_longer_than_an_outage_may_last_is_a_full_negotiation() {
    for (hours, anew) in [(7, false), (9, true)] {
        let mut pump = connected_as(ageless(), &[HOME]);
        let spi = pump.ike_sa(A).spi_i;
        pump.sleep(A, hours * HOUR);
        pump.run_for(Duration::from_secs(5));
        assert_eq!(pump.ike_sa(A).spi_i != spi, anew, "after {hours} h");
        assert_eq!(closed(&pump, A), if anew { vec!["slept-too-long"] } else { vec![] });
        pump.run_for(5 * MINUTE);
        assert_agreed(&pump);
    }
}

#[test]
fn time_asleep_counts_as_no_try_of_a_request_that_is_on_its_way() {
    let mut config = ageless();
    config.mobike = false;
    let mut pump = connected_as(config, &[HOME]);
    let old = pump.ike_sa(A);
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::RekeyIkeSa(old.id));
    // Its last repetition has gone out, and it would be given up next.
    pump.run_for(MINUTE);
    assert_eq!(pump.established(A).len(), 1);
    pump.sleep(A, 10 * MINUTE);
    assert!(closed(&pump, A).is_empty());
    pump.run_for(Duration::from_secs(20));
    assert!(closed(&pump, A).is_empty(), "it is asked as often as ever");
    pump.filter = Box::new(|_, _| true);
    pump.run_for(MINUTE);
    assert_ne!(pump.ike_sa(A).spi_i, old.spi_i);
    assert_agreed(&pump);
}

#[test]
fn a_negotiation_amid_which_the_machine_slept_goes_on() {
    let mut pump = pair_of(ageless());
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(MINUTE);
    pump.sleep(A, 10 * MINUTE);
    assert!(closed(&pump, A).is_empty());
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(5));
    assert_agreed(&pump);
}

#[test]
fn a_gateway_that_slept_gives_its_clients_time_to_be_heard_of() {
    let mut pump = connected_as(ageless(), &[HOME]);
    let spi = pump.ike_sa(A).spi_i;
    pump.filter = Box::new(|_, _| false);
    pump.command(B, Command::CheckLiveness(pump.ike_sa(B).id));
    pump.run_for(4 * MINUTE);
    pump.sleep(B, 20 * MINUTE);
    pump.run_for(4 * MINUTE);
    assert!(closed(&pump, B).is_empty(), "nobody could be heard while it slept");
    pump.filter = Box::new(|_, _| true);
    pump.run_for(MINUTE);
    assert_eq!(pump.ike_sa(B).spi_i, spi);
    assert_agreed(&pump);
}

#[test]
fn a_gateway_that_slept_asks_its_clients_later_and_not_all_at_once() {
    let mut asks = responder(&ageless());
    asks.timing.liveness_idle = MINUTE;
    let mut pump = Pump::new(config(ageless()), config(asks));
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let before = pump.sides[B].sent.len();
    pump.sleep(B, 10 * MINUTE);
    pump.run_for(Duration::from_secs(4));
    assert_eq!(sent_since(&pump, B, before).len(), 0);
    pump.run_for(Duration::from_secs(12));
    assert_eq!(sent_since(&pump, B, before).len(), 1);
    assert_agreed(&pump);
}
