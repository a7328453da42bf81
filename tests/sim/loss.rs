//! A fifth of the datagrams is lost, a fifth comes twice, order is chance, and both sides rekey at the same
//! time. Once the weather clears and liveness has run, both hold the same.

use vpnhost_ike::{Command, Start};
use vpnhost_kit::agreement::between;
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, endpoint, initiator, responder};
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{A, B, Delays, HostSettings, Random, Simulation, Weather, seeds};
use vpnhost_model::ChildSaId;
use vpnhost_policy::QuestionKind;

use crate::world::{children, millis, secs};

/// Runs of the whole.
const RUNS: u64 = 1000;

#[test]
fn a_thousand_pairs_connect_in_the_storm_and_agree_after_it() {
    let mut runs = seeds::run(0..RUNS, |seed| run(seed, |settings| settings));
    let all = runs.len();
    runs.retain(|(_, established)| !established);
    let failed: Vec<String> = runs.iter().map(|(seed, _)| format!("SEED={seed}")).collect();
    assert!(failed.len() * 1000 <= all, "{} of {all} did not connect: {}", failed.len(), failed.join(" "));
}

#[test]
fn real_algorithms_do_no_worse() {
    let real = |settings| HostSettings { crypto: vpnhost_rustcrypto::backend(), ..settings };
    let runs = seeds::run(10_000..10_050, |seed| run(seed, real));
    assert!(runs.iter().all(|(_, established)| *established), "{runs:?}");
}

#[test]
fn slow_jobs_and_slow_plugins_do_no_worse() {
    let kinds = [
        QuestionKind::RankProposals,
        QuestionKind::NarrowSelectors,
        QuestionKind::RankPaths,
        QuestionKind::PlanMaintenance,
    ];
    let busy =
        |settings| HostSettings { delays: Delays::BUSY, delegated: kinds.into_iter().collect(), ..settings };
    let runs = seeds::run(20_000..20_200, |seed| run(seed, busy));
    assert!(runs.iter().all(|(_, established)| *established), "{runs:?}");
}

#[test]
fn hosts_that_both_begin_and_both_restart_end_with_the_same() {
    seeds::run(30_000..30_100, |seed| {
        let mut a = initiator(children());
        a.start = Start::Up;
        let mut b = responder(&a);
        b.start = Start::Up;
        let at_a = settings(A_ADDRESS, endpoint(a), 2 * seed);
        let at_b = settings(B_ADDRESS, endpoint(b), 2 * seed + 1);
        let mut simulation = Simulation::pair_of([at_a.clone(), at_b.clone()], seed);
        simulation.network.weather = Weather::STORM;
        let mut random = Random::new(seed);
        simulation.run_for(millis(random.below(60_000)));
        disturb(&mut simulation, &mut random);
        let (host, again) = if random.below(2) == 0 { (A, at_a) } else { (B, at_b) };
        simulation.restart(host, HostSettings { seed: again.seed + 500_000, ..again });
        simulation.run_for(millis(random.below(60_000)));
        simulation.network.weather = Weather::FAIR;
        simulation.run_for(secs(300));
        simulation.assert_agreed(A, B);
        simulation.assert_passes(A, B);
    });
}

/// Tells whether two hosts came to be connected within two minutes of storm.
fn run(seed: u64, change: impl Fn(HostSettings) -> HostSettings) -> bool {
    let a = initiator(children());
    let b = responder(&a);
    let a = change(settings(A_ADDRESS, endpoint(a), 2 * seed));
    let b = change(settings(B_ADDRESS, endpoint(b), 2 * seed + 1));
    let mut simulation = Simulation::pair_of([a, b], seed);
    simulation.network.weather = Weather::STORM;
    let connected = simulation.run_until(secs(120), |simulation| {
        [A, B].iter().all(|&host| simulation.hosts[host].installed.len() >= 2)
    });
    let mut random = Random::new(seed);
    disturb(&mut simulation, &mut random);
    simulation.network.weather = Weather::FAIR;
    // A request of the storm is repeated for 75 seconds at most, a connection is tried again after a minute.
    simulation.run_for(secs(240));
    simulation.assert_agreed(A, B);
    assert_eq!(simulation.ike_sa(A).children.len(), 2);
    simulation.assert_passes(A, B);
    connected
}

/// Both sides rekey at the same time, again and again.
fn disturb(simulation: &mut Simulation, random: &mut Random) {
    // Each kind of collision at least once, in an order of chance.
    let first = random.below(2);
    for round in 0..8 {
        let choice = if round < 2 { (first + round) % 2 } else { random.below(5) };
        match choice {
            0 => both(simulation, random, rekey_child),
            1 => both(simulation, random, rekey_ike),
            2 => {
                rekey_child(simulation, random, A);
                rekey_ike(simulation, random, B);
            }
            3 => {
                rekey_ike(simulation, random, A);
                rekey_child(simulation, random, B);
            }
            _ => {
                let side = random.below(2) as usize;
                rekey_child(simulation, random, side);
            }
        }
        for _ in 0..random.below(20) {
            chatter(simulation, random);
            simulation.run_for(millis(random.below(500)));
        }
        simulation.run_for(millis(random.below(8000)));
    }
}

/// One order or packet of one side.
pub(crate) fn order(simulation: &mut Simulation, random: &mut Random, side: usize) {
    match random.below(5) {
        0 => rekey_ike(simulation, random, side),
        1 => rekey_child(simulation, random, side),
        _ => chatter(simulation, random),
    }
}

fn both(simulation: &mut Simulation, random: &mut Random, order: fn(&mut Simulation, &mut Random, usize)) {
    let first = random.below(2) as usize;
    order(simulation, random, first);
    simulation.run_for(millis(random.below(3) * random.below(200)));
    order(simulation, random, 1 - first);
}

fn rekey_child(simulation: &mut Simulation, random: &mut Random, side: usize) {
    let ids: Vec<ChildSaId> = simulation.hosts[side].installed.keys().copied().collect();
    if !ids.is_empty() {
        let id = *random.pick(&ids);
        simulation.command(side, Command::RekeyChildSa(id));
    }
}

fn rekey_ike(simulation: &mut Simulation, random: &mut Random, side: usize) {
    let sas = simulation.established(side);
    if !sas.is_empty() {
        let id = random.pick(&sas).id;
        simulation.command(side, Command::RekeyIkeSa(id));
    }
}

/// An inner packet of one side.
fn chatter(simulation: &mut Simulation, random: &mut Random) {
    let side = random.below(2) as usize;
    let children: Vec<_> = simulation.established(side).into_iter().flat_map(|sa| sa.children).collect();
    if !children.is_empty() {
        let child = random.pick(&children);
        let packet = between(&child.local[0], &child.remote[0], random.below(1 << 40));
        simulation.send_inner(side, &packet.encode());
    }
}
