//! Packets while everything is rekeyed: on a network that loses none, none is lost.

use std::collections::BTreeMap;

use vpnhost_ike::{Command, Event};
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, endpoint, initiator, responder};
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{A, B, Delays, HostSettings, InnerPacket, Random, Simulation, Weather, seeds};

use crate::world::{children, millis, secs};

/// 200 packets a second.
const GAP: std::time::Duration = millis(5);

/// Forty seconds of them.
const PACKETS: u64 = 8000;

#[test]
fn two_hundred_packets_a_second_survive_every_rekey() {
    seeds::run(0..24, |seed| {
        stream(seed, Weather::FAIR, Delays::NONE);
    });
}

#[test]
fn they_survive_reordering_and_slow_control_too() {
    let delay = (millis(5), millis(60));
    seeds::run(100..124, |seed| {
        stream(seed, Weather { delay, ..Weather::FAIR }, Delays::BUSY);
    });
}

#[test]
fn they_survive_what_age_and_amount_rekey_by_themselves() {
    seeds::run(200..216, |seed| {
        let mut a = initiator(children());
        a.timing.rekey_ike = secs(11);
        for child in &mut a.children {
            child.lifetime.rekey_after = Some(secs(7));
            child.lifetime.rekey_packets = Some(500);
        }
        let b = responder(&a);
        let a = settings(A_ADDRESS, endpoint(a), 2 * seed);
        let b = settings(B_ADDRESS, endpoint(b), 2 * seed + 1);
        let mut simulation = Simulation::pair_of([a, b], seed);
        simulation.run_for(secs(3));
        for number in 0..PACKETS {
            for side in [A, B] {
                let packet = packet(side, number);
                assert!(simulation.send_inner(side, &packet.encode()), "packet {number} had no SA");
            }
            simulation.run_for(GAP);
        }
        let rekeyed =
            simulation.hosts[A].events.iter().filter(|event| matches!(event, Event::IkeSaRekeyed { .. }));
        assert!(rekeyed.count() >= 3, "the IKE SA grew old");
        simulation.run_for(secs(1));
        [A, B].iter().for_each(|&side| assert_all_arrived(&simulation, side));
    });
}

fn stream(seed: u64, weather: Weather, delays: Delays) {
    let a = initiator(children());
    let b = responder(&a);
    let slow = |settings| HostSettings { delays, ..settings };
    let a = slow(settings(A_ADDRESS, endpoint(a), 2 * seed));
    let b = slow(settings(B_ADDRESS, endpoint(b), 2 * seed + 1));
    let mut simulation = Simulation::pair_of([a, b], seed);
    simulation.network.weather = weather;
    simulation.run_for(secs(3));
    simulation.assert_agreed(A, B);
    let mut random = Random::new(seed);
    let mut next_rekey = [200, 300];
    for number in 0..PACKETS {
        for side in [A, B] {
            if number == next_rekey[side] {
                rekey(&mut simulation, &mut random, side);
                // Sometimes the peer does the same at once.
                next_rekey[side] += 100 + random.below(700);
                if random.percent(30) {
                    next_rekey[1 - side] = number + 1 + random.below(3);
                }
            }
            let packet = packet(side, number);
            assert!(simulation.send_inner(side, &packet.encode()), "packet {number} of {side} had no SA");
        }
        simulation.run_for(GAP);
    }
    simulation.run_for(secs(60));
    for side in [A, B] {
        assert_all_arrived(&simulation, side);
    }
    simulation.assert_agreed(A, B);
}

/// Half of them on each child.
fn packet(side: usize, number: u64) -> InnerPacket {
    let packet = match number % 2 {
        0 => InnerPacket::new("10.1.0.7", "10.2.0.9", number),
        _ => InnerPacket::new("fd01::7", "fd02::9", number),
    };
    if side == A { packet } else { packet.back() }
}

fn rekey(simulation: &mut Simulation, random: &mut Random, side: usize) {
    let sas = simulation.established(side);
    let Some(sa) = sas.first() else { return };
    let children: Vec<_> = sa.children.iter().map(|child| child.id).collect();
    let command = match random.below(3) {
        0 => Command::RekeyIkeSa(sa.id),
        _ => Command::RekeyChildSa(*random.pick(&children)),
    };
    simulation.command(side, command);
}

/// Each packet came once, whatever its order.
fn assert_all_arrived(simulation: &Simulation, side: usize) {
    let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
    for octets in &simulation.hosts[1 - side].delivered {
        *seen.entry(InnerPacket::decode(octets).unwrap().number).or_default() += 1;
    }
    let lost: Vec<u64> = (0..PACKETS).filter(|number| !seen.contains_key(number)).collect();
    assert!(lost.is_empty(), "{} of {side} were lost: {lost:?}", lost.len());
    assert!(seen.values().all(|count| *count == 1), "some came twice");
}
