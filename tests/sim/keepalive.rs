//! NAT keepalives that follow what the NAT was seen to remember, between our own ends.

use std::time::Duration;

use vpnhost_ike::{EncapsulationPolicy, EndpointConfig, Event, Timing};
use vpnhost_kit::agreement::between;
use vpnhost_kit::configuration::{A_ADDRESS, address, endpoint, initiator, responder};
use vpnhost_kit::host::IDLE_PORT;
use vpnhost_kit::{A, B, Datagram, Nat, Simulation};
use vpnhost_policy::PathStanding;

use crate::world::{children, secs};

const OUTSIDE: &str = "198.51.100.7";
const HOUR: Duration = secs(3600);

/// The first host is behind a NAT that forgets after `lifetime`. No SA is rekeyed; all else is as it is by default.
fn behind_nat(lifetime: Duration, loss: u64, idle_port: Option<u16>) -> Simulation {
    let mut a = initiator(children());
    a.encapsulation = EncapsulationPolicy::Auto;
    a.timing = Timing { rekey_ike: Duration::ZERO, ..Timing::default() };
    a.children.iter_mut().for_each(|child| child.lifetime.rekey_after = None);
    let mut b = responder(&a);
    b.gateways.clear();
    b.initiate = false;
    let a = EndpointConfig { idle_port, ..endpoint(a) };
    let mut simulation = Simulation::pair(a, endpoint(b), 1);
    simulation.network.nats.push(Nat::new(&[address(A_ADDRESS)], address(OUTSIDE), lifetime));
    simulation.run_for(secs(3));
    simulation.assert_agreed(A, B);
    simulation.network.weather.loss = loss;
    simulation.network.capture.keep_all();
    simulation
}

/// Counts what the first host sends in a span: on the port of the tunnel, and on the one that silences are tried on.
fn sent_within(simulation: &mut Simulation, span: Duration) -> (usize, usize) {
    let since = simulation.now().instant;
    simulation.run_for(span);
    let sent = simulation.network.capture.records().filter(|it| it.at > since);
    let of_a = sent.filter(|it| it.datagram.source.ip() == address(A_ADDRESS));
    let (probes, live): (Vec<_>, Vec<_>) = of_a.partition(|it| it.datagram.source.port() == IDLE_PORT);
    (live.len(), probes.len())
}

/// Sends a packet from the gateway's side, and tells whether it arrived.
fn is_reached(simulation: &mut Simulation) -> bool {
    let child = simulation.ike_sa(B).children[0].clone();
    let before = simulation.hosts[A].delivered.len();
    simulation.send_inner(B, &between(&child.local[0], &child.remote[0], 1).encode());
    simulation.run_for(secs(1));
    simulation.hosts[A].delivered.len() > before
}

fn learned(simulation: &Simulation) -> bool {
    simulation.saw(A, |event| matches!(event, Event::KeepaliveLearned { .. }))
}

#[test]
fn keepalives_become_rare_behind_nats_that_remember_and_the_gateway_still_reaches_the_client() {
    println!("NAT        loss  learned after  keepalives and probes an hour  reached");
    for (lifetime, most) in [(15, 360), (30, 180), (120, 45), (900, 6), (3600, 6)] {
        for loss in [0, 2] {
            let mut simulation = behind_nat(secs(lifetime), loss, Some(IDLE_PORT));
            let begun = simulation.now().instant;
            assert!(simulation.run_until(12 * HOUR, learned), "NAT of {lifetime} s, {loss} % loss");
            let after = simulation.now().instant.saturating_since(begun);
            // Lost packets are nobody's fault: what the NAT lets through is looked at.
            for hour in 0..4 {
                simulation.network.weather.loss = loss;
                let (live, probes) = sent_within(&mut simulation, HOUR);
                simulation.network.weather.loss = 0;
                let reached = is_reached(&mut simulation);
                println!(
                    "{lifetime:>6} s  {loss:>3} %  {:>9} s  {live:>4} + {probes:<4}  {reached}",
                    after.as_secs()
                );
                assert!(live + probes <= most, "NAT of {lifetime} s: {live} and {probes} in hour {hour}");
                if loss == 0 {
                    assert!(reached, "NAT of {lifetime} s in hour {hour}");
                }
            }
        }
    }
}

#[test]
fn without_the_port_to_try_silences_on_the_keepalive_stays_as_configured() {
    let mut simulation = behind_nat(secs(900), 0, None);
    simulation.run_for(6 * HOUR);
    assert!(!learned(&simulation));
    let (live, probes) = sent_within(&mut simulation, HOUR);
    assert!((170..=181).contains(&live) && probes == 0, "{live} {probes}");
}

#[test]
fn a_nat_that_forgets_sooner_than_the_configured_keepalive_is_kept_open_all_the_same() {
    let mut simulation = behind_nat(secs(15), 0, Some(IDLE_PORT));
    assert!(simulation.run_until(HOUR, learned));
    for _ in 0..40 {
        simulation.run_for(secs(97));
        assert!(is_reached(&mut simulation), "the configured 20 s were too long");
    }
}

#[test]
fn a_nat_that_changes_its_mind_is_found_out_within_two_days() {
    let mut simulation = behind_nat(secs(900), 0, Some(IDLE_PORT));
    assert!(simulation.run_until(12 * HOUR, learned));
    simulation.network.nats[0].set_lifetime(secs(60));
    simulation.run_for(26 * HOUR);
    for _ in 0..20 {
        simulation.run_for(secs(1000));
        assert!(is_reached(&mut simulation));
    }
}

#[test]
fn the_mapping_that_the_tunnel_uses_is_kept_open_while_silences_are_tried() {
    let mut simulation = behind_nat(secs(22), 0, Some(IDLE_PORT));
    let port = simulation.ike_sa(B).path.remote;
    for _ in 0..60 {
        simulation.run_for(secs(23));
        assert!(is_reached(&mut simulation));
    }
    assert_eq!(simulation.ike_sa(B).path.remote, port, "no probe moves the tunnel");
    assert!(learned(&simulation));
}

#[test]
fn with_a_peer_that_cannot_help_missing_packets_show_a_nat_that_forgets_sooner_than_the_keepalive() {
    let mut simulation = behind_nat(secs(12), 0, None);
    let mut lost = 0;
    // The gateway's side speaks now and then; a packet within a second of the client's keepalive or answer arrives.
    for number in 0..40 {
        simulation.run_for(secs(13 + number % 9));
        lost += usize::from(!is_reached(&mut simulation));
    }
    assert!(lost > 0, "the configured keepalive is too long");
    for number in 0..40 {
        simulation.run_for(secs(13 + number % 9));
        assert!(is_reached(&mut simulation), "after {lost} lost ones the keepalive is short enough");
    }
}

#[test]
fn a_port_of_trials_that_is_closed_on_the_way_is_tried_ever_more_seldom_and_says_nothing_of_the_path() {
    let mut simulation = behind_nat(secs(900), 0, Some(IDLE_PORT));
    let is_open = |datagram: &Datagram| {
        ![datagram.source, datagram.destination].iter().any(|it| it.port() == IDLE_PORT)
    };
    simulation.network.filter = Some(Box::new(is_open));
    let (live, probes) = sent_within(&mut simulation, 12 * HOUR);
    assert!((1..=40).contains(&probes), "{probes}");
    assert!(live <= 12 * 181 + 40, "{live}");
    let paths = simulation.ike_sa(A).paths;
    assert!(paths.iter().all(|path| path.facts.standing != PathStanding::FAILED), "{paths:?}");
    assert!(!learned(&simulation) && is_reached(&mut simulation));
}
