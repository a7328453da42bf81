//! Everything that can happen, at random, over a bad network; then the weather clears, and both sides must hold
//! the same. A seed that fails becomes a test by name.

use std::time::Duration;

use vpnhost_ike::{Command, Start, TrafficReport};
use vpnhost_model::{ChildSaId, IkeSaId};
use vpnhost_policy::QuestionKind;

use crate::pump::*;

fn begin(seed: u64) -> Pump {
    let children = vec![
        child("one", "aes128gcm16-x25519", "10.1.0.0/24", "10.2.0.0/24"),
        child("two", "aes256-sha256", "10.11.0.0/24", "10.12.0.0/24"),
    ];
    let mut a = initiator(IKE, children);
    a.start = Start::Up;
    a.timing.liveness_idle = Duration::from_secs(20);
    let b = responder(&a);
    let mut pump = Pump::seeded(config(a), config(b), seed);
    pump.weather = Some(Weather {
        random: Seeded(seed ^ 0xabcd),
        loss: 20,
        duplication: 20,
        most_delay: Duration::from_millis(400),
    });
    pump
}

/// One step of one side.
fn step(pump: &mut Pump, random: &mut Seeded) {
    let side = random.below(2) as usize;
    let sas: Vec<IkeSaId> = pump.established(side).iter().map(|sa| sa.id).collect();
    let children: Vec<ChildSaId> = pump.sides[side].installed.keys().copied().collect();
    let sa = sas.get(random.below(sas.len().max(1) as u64) as usize).copied();
    let child = children.get(random.below(children.len().max(1) as u64) as usize).copied();
    match (random.below(14), sa, child) {
        (0 | 1, Some(sa), _) => pump.command(side, Command::RekeyIkeSa(sa)),
        (2..=4, _, Some(child)) => pump.command(side, Command::RekeyChildSa(child)),
        (5, _, Some(child)) => pump.command(side, Command::TerminateChildSa(child)),
        (6, Some(sa), _) if random.below(4) == 0 => pump.command(side, Command::TerminateIkeSa(sa)),
        (7, Some(sa), _) => pump.command(side, Command::CheckLiveness(sa)),
        (8..=10, _, Some(child)) => pump.traffic(side, TrafficReport::FirstInbound(child)),
        (11, _, Some(child)) => pump.traffic(side, TrafficReport::SoftLimit(child)),
        (12, _, _) => pump.command(A, Command::Initiate("b".into())),
        _ => answer(pump, random),
    }
}

/// Answers a question of `B`, sometimes late, sometimes off the menu.
fn answer(pump: &mut Pump, random: &mut Seeded) {
    if let Some((id, question)) = pump.sides[B].questions.pop() {
        let answer = question.put_to(&vpnhost_policy_standard::Standard).filter(|_| random.below(3) > 0);
        pump.sides[B].endpoint.handle_answer(pump.now, id, answer);
        pump.drain();
    }
}

fn check(pump: &Pump, seed: u64) {
    let (a, b) = (pump.established(A), pump.established(B));
    let spis = |sas: &[vpnhost_ike::IkeSaStatus]| {
        let mut spis: Vec<_> = sas.iter().map(|sa| (sa.spi_i, sa.spi_r)).collect();
        spis.sort();
        spis
    };
    assert_eq!(spis(&a), spis(&b), "seed {seed}: {a:#?} {b:#?}");
    assert_eq!(a.len(), 1, "seed {seed}: {a:#?}");
    pump.assert_connected(a[0].children.len());
    for (side, sa) in [(A, &a[0]), (B, &b[0])] {
        let installed: Vec<ChildSaId> = pump.sides[side].installed.keys().copied().collect();
        let known: Vec<ChildSaId> = sa.children.iter().map(|child| child.id).collect();
        assert_eq!(installed, known, "seed {seed} side {side}");
        let mut names: Vec<&str> = sa.children.iter().map(|child| child.child.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), sa.children.len(), "seed {seed}: one Child SA a policy: {sa:#?}");
        assert_eq!(pump.sides[side].host.keys().copied().collect::<Vec<_>>(), [sa.id], "seed {seed}");
    }
}

fn run(seed: u64) -> Pump {
    let mut pump = begin(seed);
    let mut random = Seeded(seed.wrapping_mul(77));
    if random.below(2) == 0 {
        let kinds =
            [QuestionKind::RankProposals, QuestionKind::NarrowSelectors, QuestionKind::PlanMaintenance];
        pump.sides[B].endpoint.delegate(kinds.into_iter().collect());
    }
    for _ in 0..40 {
        pump.run_for(Duration::from_millis(random.below(4000)));
        step(&mut pump, &mut random);
    }
    pump.weather = None;
    pump.run_for(Duration::from_secs(400));
    pump
}

#[test]
fn both_sides_hold_the_same_once_the_weather_clears() {
    let seeds = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let failed: Vec<u64> =
        (1..=seeds).filter(|&seed| std::panic::catch_unwind(|| check(&run(seed), seed)).is_err()).collect();
    assert!(failed.is_empty(), "seeds {failed:?}");
}

#[test]
fn everything_is_gone_after_shutdown() {
    for seed in 1000..1040 {
        let mut pump = run(seed);
        pump.command(A, Command::Shutdown);
        pump.command(B, Command::Shutdown);
        pump.run_for(Duration::from_secs(200));
        pump.assert_empty(A);
        pump.assert_empty(B);
    }
}
