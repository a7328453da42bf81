//! Recorded decisions put to the same component, and to others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vpnhost_plugin_host::{PluginSpec, WasmPolicy};
use vpnhost_plugin_lab::questions::Random;
use vpnhost_plugin_lab::replay::{Cast, Difference, Effect, Finding, Part, Replay, Tally};
use vpnhost_policy::{Answer, Chain, Failure, Outcome, Policy, QuestionKind};
use vpnhost_policy_standard::Standard;
use vpnhost_record::{Entry, Scribe, Verifier};

use crate::hostile::paths;
use crate::{engine, load, spec};

/// Of each kind; ten thousand and more in all.
const QUESTIONS: u64 = 1_500;

/// The hostile component is asked only where it does no worse than it is told.
fn named(name: &str, file: &str, settings: &[(&str, &str)]) -> WasmPolicy {
    let ranks = [QuestionKind::RankProposals, QuestionKind::RankPaths].into_iter().collect();
    let spec = PluginSpec {
        name: Some(name.to_owned()),
        questions: (file == "hostile").then_some(ranks),
        ..spec(file, settings, Duration::from_secs(60))
    };
    WasmPolicy::load(&engine(), spec).unwrap()
}

/// A plugin with a store, one that restricts, and one that answers everything, in this order.
fn chain() -> Chain {
    let counter = named("counter", "hostile", &[("behaviour", "remember")]);
    let plugins = [counter, named("strongest", "strongest-first", &[]), named("last", "standard", &[])];
    Chain::new(plugins.map(|it| Arc::new(it) as Arc<dyn Policy>).to_vec())
}

/// Has questions of some kinds decided, and writes the log of it.
fn log(chain: &Chain, kinds: &[QuestionKind], seeds: u64) -> String {
    let (mut scribe, mut log) = (Scribe::default(), String::new());
    for seed in 0..seeds {
        for &kind in kinds {
            let question = Random::new(seed).question(kind);
            let decision = chain.decide(&question);
            let entry = Entry::new(Duration::from_secs(seed), question, decision, &Standard);
            log.push_str(&scribe.line(entry.write()));
        }
    }
    log
}

fn read(log: &str) -> Vec<Entry> {
    let mut verifier = Verifier::default();
    let entry = |line: &str| {
        verifier.take(line.as_bytes()).unwrap();
        Entry::read(&serde_json::from_str(line).unwrap()).unwrap()
    };
    log.lines().map(entry).collect()
}

fn replay(entries: &[Entry], plugin: &WasmPolicy, part: &str) -> (Tally, Vec<Finding>) {
    let mut replay = Replay::new(plugin, Part::Named(part.to_owned()));
    let findings = entries.iter().flat_map(|entry| replay.take(entry)).collect();
    (replay.tally(), findings)
}

#[test]
fn ten_thousand_recorded_decisions_are_the_same_bit_for_bit_with_the_same_components() {
    let entries = read(&log(&chain(), &QuestionKind::ALL, QUESTIONS));
    assert!(entries.len() >= 10_000);
    let started = Instant::now();
    let mut asked = 0;
    for (name, file, settings) in [
        ("counter", "hostile", &[("behaviour", "remember")][..]),
        ("strongest", "strongest-first", &[]),
        ("last", "standard", &[]),
    ] {
        // Another instance of another load, with an empty store: only the record tells it what was there.
        let (tally, findings) = replay(&entries, &named("anew", file, settings), name);
        assert_eq!(findings, [], "{name}");
        assert!(tally.is_same() && tally.told_otherwise == 0, "{name}: {tally:?}");
        assert_eq!((tally.same, tally.skipped), (tally.asked, 0), "{name}");
        asked += tally.asked;
    }
    assert!(asked >= 10_000, "{asked}");
    println!("{asked} replies of {} decisions replayed in {:?}", entries.len(), started.elapsed());
}

#[test]
fn another_component_is_told_where_it_would_flip_and_what_that_changes() {
    let entries = read(&log(&chain(), &[QuestionKind::RankProposals], 300));
    let (tally, findings) = replay(&entries, &load("standard", &[]).unwrap(), "strongest");
    assert!(tally.flips > 100 && tally.same + tally.reasons + tally.flips == tally.asked, "{tally:?}");
    assert_eq!(u64::try_from(findings.len()).unwrap(), tally.reasons + tally.flips);
    // Whoever comes behind it keeps the order that it is given; what it saw then nobody knows for another order.
    for finding in findings.iter().filter(|it| it.difference == Difference::Answer) {
        assert_eq!(finding.effect, Effect::Unknown("last".to_owned()));
    }
    let (tally, findings) = replay(&entries, &load("strongest-first", &[]).unwrap(), "last");
    assert!(tally.flips + tally.reasons > 100, "{tally:?}");
    let changes = |finding: &Finding| matches!(finding.effect, Effect::Changed { others: false, .. });
    assert_eq!(u64::try_from(findings.iter().filter(|it| changes(it)).count()).unwrap(), tally.outcomes);
}

#[test]
fn who_would_not_answer_at_all_leaves_the_decision_to_the_built_in_policy() {
    let chain = Chain::new(vec![Arc::new(named("quick", "lowest-rtt", &[]))]);
    let entries = read(&log(&chain, &[QuestionKind::RankPaths], 200));
    let (tally, findings) = replay(&entries, &load("keen", &[]).unwrap(), "quick");
    assert_eq!((tally.flips, tally.not_answered), (tally.asked, tally.asked));
    let found = findings.iter().find_map(|finding| match &finding.effect {
        Effect::Changed { from, to, others } => Some((from.clone(), to.clone(), *others)),
        Effect::Same | Effect::Unknown(_) => None,
    });
    let Some((Some(from), Some(to), others)) = found else { panic!("nothing changes: {tally:?}") };
    assert!(from != to && others, "a plugin that was not asked then might have been");
}

#[test]
fn a_newcomer_is_asked_as_if_it_had_been_the_first() {
    let entries =
        read(&log(&Chain::default(), &[QuestionKind::RankPaths, QuestionKind::ChooseCredential], 200));
    assert!(entries.iter().all(|entry| entry.decision.trace.is_empty() && entry.settlement.native.is_some()));
    let first = |name: &str| {
        let plugin = load(name, &[]).unwrap();
        let mut replay = Replay::new(&plugin, Part::First);
        let findings: Vec<Finding> = entries.iter().flat_map(|entry| replay.take(entry)).collect();
        (replay.tally(), findings)
    };
    let (tally, findings) = first("standard");
    assert!(tally.is_same() && findings.is_empty() && tally.asked == 400, "{tally:?}");
    let (tally, findings) = first("lowest-rtt");
    assert!(tally.asked == 200 && tally.outcomes > 20, "{tally:?}");
    let same = |finding: &&Finding| finding.effect == Effect::Same;
    assert_eq!(findings.iter().filter(same).count(), 0, "what changes nothing is not told");
    assert_eq!(tally.same + tally.flips, tally.asked);
}

#[test]
fn what_a_record_does_not_hold_is_told_and_not_guessed() {
    let counter = named("counter", "hostile", &[("behaviour", "remember")]);
    let entries = read(&log(&Chain::new(vec![Arc::new(counter)]), &[QuestionKind::RankPaths], 20));
    let (tally, findings) =
        replay(&entries, &load("hostile", &[("behaviour", "look-up")]).unwrap(), "counter");
    assert_eq!((tally.strayed, tally.asked), (20, 20));
    let Difference::Strayed(asked) = &findings[0].difference else { panic!("{:?}", findings[0]) };
    assert!(asked.starts_with("data.get(users, "), "{asked}");
}

#[test]
fn a_failure_is_replayed_and_what_depended_on_time_is_not() {
    let trapping = named("guard", "hostile", &[("behaviour", "trap")]);
    let entries = read(&log(&Chain::new(vec![Arc::new(trapping)]), &[QuestionKind::RankPaths], 9));
    let failed = |entry: &&Entry| matches!(&entry.decision.trace[0].outcome, Outcome::Failed(how) if how.contains("panic"));
    assert_eq!(entries.iter().filter(failed).count(), vpnhost_plugin_host::limits::FAULTS);
    let (tally, findings) = replay(&entries, &load("hostile", &[("behaviour", "trap")]).unwrap(), "guard");
    assert_eq!((tally.same, tally.skipped), (5, 4), "it was switched off for the rest: {findings:?}");
    let (tally, findings) = replay(&entries, &load("template", &[]).unwrap(), "guard");
    assert_eq!(tally.asked, 9);
    assert!(matches!(&findings[0].difference, Difference::FailedThen(how) if how.contains("told to panic")));
    assert!(matches!(&findings[0].new, Some(Answer::RankPaths(_))));
}

#[test]
fn whose_decisions_are_put_is_found_by_the_component_or_else_by_the_name() {
    let entries = read(&log(&chain(), &[QuestionKind::RankProposals], 3));
    let mut cast = Cast::default();
    entries.iter().for_each(|entry| cast.note(entry));
    assert_eq!(cast.names(), ["counter", "last", "strongest"]);
    let strongest = load("strongest-first", &[]).unwrap();
    let part = cast.part_of(strongest.sha256(), "whatever").unwrap();
    assert_eq!(part, Part::Component(strongest.sha256().unwrap()));
    // Where the first leaves nothing to choose, it is not asked.
    let asked = |entry: &&Entry| entry.decision.trace.iter().any(|step| step.policy == "strongest");
    let asked = entries.iter().filter(asked).count();
    assert!(asked > 0);
    assert_eq!(cast.tally(&part, strongest.configured()), (u64::try_from(asked).unwrap(), 0));
    let counter = load("hostile", &[("behaviour", "lie")]).unwrap();
    let part = cast.part_of(counter.sha256(), "hostile").unwrap();
    assert_eq!(cast.tally(&part, counter.configured()), (3, 3), "its settings were others");
    assert_eq!(
        cast.part_of(load("keen", &[]).unwrap().sha256(), "last"),
        Some(Part::Named("last".to_owned()))
    );
    assert_eq!(cast.part_of(None, "keen"), None);
}

#[test]
fn who_waits_no_longer_ends_the_call_and_that_counts_as_nobodys_fault() {
    let plugin = load("hostile", &[("behaviour", "loop")]).unwrap();
    for _ in 0..vpnhost_plugin_host::limits::FAULTS + 1 {
        let started = Instant::now();
        let heard = plugin.consult_within(&paths("any"), Duration::from_millis(5));
        assert_eq!(heard.reply, Err(Failure::Deadline));
        assert!(started.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(plugin.state(), vpnhost_plugin_host::PluginState::Active);
}
