//! The shipped tests of plugins find nothing wrong with the shipped plugins, and what is wrong with others.

use std::fs;

use vpnhost_plugin_host::{PluginSpec, SettingValue};
use vpnhost_plugin_lab::conformance::{self, Check};
use vpnhost_plugin_lab::scenario::{Scenario, setting};
use vpnhost_plugin_lab::{Subject, bench};
use vpnhost_policy::QuestionKind;

use crate::component;

fn subject(name: &str, settings: &[(&str, &str)]) -> Subject {
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), SettingValue::Text((*value).to_owned()));
    let mut spec = conformance::everything(PluginSpec::new(component(name)));
    spec.settings = settings.iter().map(text).collect();
    // Where permission is asked it does more harm than it is told to.
    let ranks = [QuestionKind::RankProposals, QuestionKind::RankPaths].into_iter().collect();
    spec.questions = (name == "hostile").then_some(ranks);
    spec.limits.call = std::time::Duration::from_secs(60);
    Subject::new(spec).unwrap()
}

fn checks(subject: &Subject) -> Vec<Check> {
    let mut checks = Vec::new();
    conformance::run(subject, |check| checks.push(check)).unwrap();
    checks
}

fn failed(checks: &[Check]) -> Vec<&Check> {
    checks.iter().filter(|check| !check.passed()).collect()
}

#[test]
fn every_shipped_plugin_stands_all_that_a_host_may_ask_and_a_hostile_host() {
    for (name, settings) in [
        ("template", &[][..]),
        ("standard", &[]),
        ("strongest-first", &[]),
        ("office-hours", &[("from", "08:00"), ("to", "18:00")]),
        ("prefer-wired", &[]),
        ("lowest-rtt", &[]),
        ("cheapest", &[]),
        ("sticky", &[]),
        ("keen", &[]),
        ("learned-keepalive", &[]),
        ("strict-modern", &[]),
        ("legacy-mobile", &[]),
        ("one-device-per-user", &[]),
    ] {
        let checks = checks(&subject(name, settings));
        assert!(failed(&checks).is_empty(), "{name}: {:#?}", failed(&checks));
        assert!(checks.iter().map(|check| check.tries).sum::<u64>() >= 260, "{name}: {checks:?}");
    }
}

#[test]
fn what_is_off_the_menu_fails_or_depends_on_earlier_calls_is_found_and_told() {
    for (behaviour, told) in [
        ("lie", "the answer is not on the menu"),
        ("trap", "it crashed: "),
        ("drift", "an instance that answered before says another thing than a fresh one"),
        ("store-spree", "more of kv and data than a call may"),
    ] {
        let checks = checks(&subject("hostile", &[("behaviour", behaviour)]));
        let usual = checks.iter().find(|check| check.name == "rank-paths: usual menus").unwrap();
        let fault = usual.faults.first().unwrap_or_else(|| panic!("{behaviour} was not found"));
        assert!(fault.contains(told), "{behaviour}: {fault}");
    }
    let checks = checks(&subject("hostile", &[("behaviour", "drift")]));
    let diff = failed(&checks)[0].faults[0].lines().last().unwrap().trim().to_owned();
    assert!(diff.starts_with("why: \"call ") && diff.ends_with("→ \"call 1\""), "{diff}");
}

#[test]
fn a_store_that_is_full_or_holds_nonsense_is_tried() {
    let checks = checks(&subject("hostile", &[("behaviour", "remember")]));
    assert!(failed(&checks).is_empty(), "{:#?}", failed(&checks));
    let poor: Vec<&str> =
        checks.iter().map(|check| check.name.as_str()).filter(|name| name.starts_with("imports: ")).collect();
    assert_eq!(poor.len(), 2);
}

fn scenario(subject: &Subject, files: &[(&str, &str)]) -> Vec<Check> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let mut checks = Vec::new();
    let scenario = Scenario::read(&dir.path().join(files[0].0)).unwrap();
    scenario.run(subject, |check| checks.push(check)).unwrap();
    checks
}

#[test]
fn a_scenario_has_settings_of_its_own_and_tells_what_came_of_each_step() {
    let text = r#"
        settings = { from = "08:00", to = "18:00" }

        [[step]]
        name     = "nobody comes in at night"
        question = "authorize-peer"
        asked    = { peer_id = "carol@example.org", unix_secs = 1795572000 }
        expect   = { answer = { refuse = "outside office hours" }, why = "02:00" }

        [[step]]
        name     = "everybody does at noon"
        question = "authorize-peer"
        asked    = { peer_id = "carol@example.org", unix_secs = 1795608000 }
        expect   = { answer = { refuse = "lunch" } }
    "#;
    let checks = scenario(&subject("office-hours", &[]), &[("hours.toml", text)]);
    assert_eq!(checks[0].name, "hours: nobody comes in at night");
    assert!(checks[0].passed(), "{:?}", checks[0]);
    let fault = &checks[1].faults[0];
    assert!(fault.starts_with("the answer is another than expected"), "{fault}");
    assert!(fault.contains("\n  refuse: \"lunch\" → nothing"), "{fault}");
}

#[test]
fn a_scenario_lays_in_a_store_and_tables_and_steps_follow_each_other() {
    let text = r#"{
        "settings": { "behaviour": "remember" },
        "kv": { "corp": "6" },
        "step": [
            { "question": "rank-paths", "asked": { "connection": "corp", "paths": [{}, { "rtt_us": 5 }] },
              "expect": { "answer": { "order": [0, 1], "why": "call 7" }, "kv": { "corp": "7" } } },
            { "question": "rank-paths", "asked": { "connection": "corp", "paths": [{}] },
              "expect": { "why": "call 8", "leaves_out": [0], "at_most": { "settle_ms": 0 } } }
        ]
    }"#;
    let checks = scenario(&subject("hostile", &[]), &[("counting.json", text)]);
    assert!(checks[0].passed(), "{:?}", checks[0]);
    assert_eq!(
        checks[1].faults,
        ["the answer is another than expected (expected → found)\n  order: without 0 → [0]"]
    );
    let text = r#"
        settings = { behaviour = "look-up" }
        data     = { users = "users.csv" }
        [[step]]
        question = "rank-paths"
        asked    = { connection = "carol" }
        expect   = { why = "sales" }
    "#;
    let checks = scenario(&subject("hostile", &[]), &[("users.toml", text), ("users.csv", "carol,sales\n")]);
    assert!(checks[0].passed(), "{:?}", checks[0]);
}

#[test]
fn settings_are_taken_as_they_are_written() {
    let value = |text: &str| setting(&serde_json::from_str(text).unwrap());
    assert_eq!(value("3"), Ok(SettingValue::Integer(3)));
    assert_eq!(value("[\"a\"]"), Ok(SettingValue::Texts(vec!["a".to_owned()])));
    assert!(value("null").is_err() && value("[1]").is_err());
}

/// Printed, not judged: how busy the machine is would decide.
#[test]
fn a_component_is_measured_beside_the_built_in_policy() {
    let report = bench::run(&subject("standard", &[]), |_| ()).unwrap();
    assert_eq!(report.questions.len(), QuestionKind::ALL.len());
    for it in &report.questions {
        assert!(it.failure.is_none() && it.calls > 0 && it.abstained == 0, "{it:?}");
        assert!(
            it.times[0] <= it.times[1] && it.times[1] <= it.times[2] && it.native < it.times[0],
            "{it:?}"
        );
        println!("{}: {:?}, native {:?}, {} calls/s", it.kind, it.times, it.native, it.per_second);
    }
    assert!(report.memory >= 64 << 10 && report.memory <= 16 << 20, "{}", report.memory);
    println!(
        "start {:?}, from the cache {:?}, instance {:?}",
        report.compiled_start, report.cached_start, report.instance_start
    );
}
