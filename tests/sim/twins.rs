//! Both hosts begin at once: one IKE SA stays, and no packet is lost over it.

use std::collections::BTreeSet;

use vpnhost_ike::{Command, Event, Start};
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, endpoint, initiator, responder};
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{A, B, Delays, HostSettings, InnerPacket, Simulation, Weather, seeds};

use crate::world::{children, millis, secs};

/// 200 packets a second.
const GAP: std::time::Duration = millis(5);

/// Thirty seconds of them: longer than twins stand side by side.
const PACKETS: u64 = 6000;

#[test]
fn hosts_that_begin_at_once_keep_one_ike_sa_and_lose_no_packet() {
    seeds::run(0..16, |seed| stream_while_twins_stand(seed, Weather::FAIR, Delays::NONE));
}

#[test]
fn they_lose_none_on_a_slow_network_that_changes_the_order_either() {
    let delay = (millis(5), millis(60));
    let weather = Weather { delay, ..Weather::FAIR };
    seeds::run(100..116, |seed| stream_while_twins_stand(seed, weather, Delays::BUSY));
}

#[test]
fn twins_of_which_one_is_rekeyed_are_still_told_from_each_other() {
    seeds::run(200..216, |seed| {
        let mut simulation = both_begin(seed, Weather::FAIR, Delays::NONE);
        simulation.run_for(secs(2));
        let id = simulation.established(A)[(seed % 2) as usize].id;
        simulation.command(A, Command::RekeyIkeSa(id));
        simulation.run_for(secs(30));
        simulation.assert_agreed(A, B);
        simulation.assert_passes(A, B);
    });
}

fn both_begin(seed: u64, weather: Weather, delays: Delays) -> Simulation {
    let a = initiator(children());
    let mut b = responder(&a);
    b.start = Start::Up;
    let with = |settings| HostSettings { delays, ..settings };
    let a = with(settings(A_ADDRESS, endpoint(a), 2 * seed));
    let b = with(settings(B_ADDRESS, endpoint(b), 2 * seed + 1));
    let mut simulation = Simulation::pair_of([a, b], seed);
    simulation.network.weather = weather;
    simulation
}

fn stream_while_twins_stand(seed: u64, weather: Weather, delays: Delays) {
    let mut simulation = both_begin(seed, weather, delays);
    let whole = |simulation: &Simulation, host: usize| -> BTreeSet<_> {
        let whole = simulation.established(host).into_iter().filter(|sa| sa.children.len() == 2);
        whole.map(|sa| (sa.spi_i, sa.spi_r)).collect()
    };
    let is_up =
        simulation.run_until(secs(5), |simulation| !whole(simulation, A).is_disjoint(&whole(simulation, B)));
    assert!(is_up, "one IKE SA has all its children on both sides");
    for number in 0..PACKETS {
        for side in [A, B] {
            let packet = match number % 2 {
                0 => InnerPacket::new("10.1.0.7", "10.2.0.9", number),
                _ => InnerPacket::new("fd01::7", "fd02::9", number),
            };
            let packet = if side == A { packet } else { packet.back() };
            assert!(simulation.send_inner(side, &packet.encode()), "packet {number} of {side} had no SA");
        }
        simulation.run_for(GAP);
    }
    simulation.run_for(secs(1));
    let begun = |event: &Event| matches!(event, Event::IkeSaEstablished(_));
    assert_eq!(simulation.hosts[A].events.iter().filter(|event| begun(event)).count(), 2, "there were twins");
    simulation.assert_agreed(A, B);
    for side in [A, B] {
        let delivered = simulation.hosts[1 - side].delivered.iter();
        let seen: BTreeSet<u64> =
            delivered.map(|octets| InnerPacket::decode(octets).unwrap().number).collect();
        let lost: Vec<u64> = (0..PACKETS).filter(|number| !seen.contains(number)).collect();
        assert!(lost.is_empty(), "{} of {side} were lost: {lost:?}", lost.len());
    }
}
