//! Components that take each other's place while questions are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use vpnhost_plugin_host::{
    Grant, LoadError, PluginEngine, PluginSlot, PluginSpec, PluginState, StoreKind, TrialKind, WasmPolicy,
    falls_to_canary,
};
use vpnhost_policy::{Answer, OnFailure, Policy as _, Question};

use crate::hostile::paths;
use crate::{component, engine, load, spec};

fn counter(engine: &Arc<PluginEngine>) -> Arc<PluginSlot> {
    let spec = spec("hostile", &[("behaviour", "remember")], Duration::from_secs(60));
    let spec = PluginSpec { name: Some("counter".to_owned()), ..spec };
    PluginSlot::new(WasmPolicy::load(engine, spec).unwrap())
}

fn why(plugin: &PluginSlot, connection: &str) -> String {
    plugin.consult(&paths(connection)).unwrap().unwrap().why().unwrap().to_owned()
}

fn successor(slot: &PluginSlot) -> Result<WasmPolicy, LoadError> {
    let active = slot.active();
    active.candidate(PluginSpec { path: component("successor"), ..active.spec().clone() })
}

#[test]
fn who_takes_over_has_the_name_and_what_was_stored_in_its_own_form() {
    let slot = counter(&engine());
    assert_eq!([why(&slot, "a"), why(&slot, "a")], ["call 1", "call 2"]);
    let candidate = successor(&slot).unwrap();
    let rehearsal = slot.rehearse(&candidate).unwrap();
    assert_eq!((rehearsal.asked, rehearsal.differs), (2, 2), "it ranks backwards");
    assert_eq!(why(&slot, "a"), "call 3", "a rehearsal writes nothing");
    let before = slot.active().digest();
    let takeover = slot.take_over(&candidate).unwrap();
    assert_eq!((takeover.from, takeover.to), (before, candidate.digest()));
    assert_eq!(why(&slot, "a"), "call 4 of the next");
    assert_eq!((slot.name(), slot.sha256()), ("counter", Some(candidate.digest())));
    let recorded = slot.consult_on_record(&paths("b"));
    assert_eq!(recorded.component, Some(candidate.digest()));
    let back = slot.roll_back().unwrap();
    assert!(back.to == before && back.forgot);
    assert_eq!(why(&slot, "a"), "call 4", "the store is as it was when it went");
    assert!(!slot.roll_back().unwrap().forgot);
    assert_eq!(why(&slot, "a"), "call 5 of the next", "back again it takes over anew");
    assert!(slot.roll_back().unwrap().forgot);
    assert_eq!(why(&slot, "a"), "call 5");
}

#[test]
fn who_takes_over_sees_all_that_was_stored_though_a_question_may_not_ask_so_much() {
    let slot = counter(&engine());
    let peers = vpnhost_plugin_host::limits::STORE_KEYS_LISTED + 44;
    for peer in 0..peers {
        assert_eq!(why(&slot, &format!("peer-{peer}")), "call 1");
    }
    let candidate = successor(&slot).unwrap();
    slot.take_over(&candidate).unwrap();
    for peer in 0..peers {
        assert_eq!(why(&slot, &format!("peer-{peer}")), "call 2 of the next");
    }
}

#[test]
fn who_answers_again_does_so_on_the_terms_of_today() {
    let slot = counter(&engine());
    let spec = slot.active().spec().clone();
    let other = |spec| slot.active().candidate(spec).unwrap();
    assert_eq!(slot.on_failure(), OnFailure::Deny);
    slot.take_over(&other(PluginSpec { on_failure: OnFailure::Native, ..spec.clone() })).unwrap();
    slot.take_over(&other(spec.clone())).unwrap();
    slot.roll_back().unwrap();
    assert_eq!(slot.on_failure(), OnFailure::Deny, "which the operator says now");
}

#[test]
fn the_same_component_on_other_terms_is_another() {
    let active = load("sticky", &[]).unwrap();
    let granted = PluginSpec { grants: vec![Grant::Kv], ..active.spec().clone() };
    assert!(active.candidate(active.spec().clone()).unwrap().is_same(&active));
    assert!(!active.candidate(granted).unwrap().is_same(&active));
}

#[test]
fn who_cannot_take_over_what_was_stored_leaves_the_other_and_the_store_as_they_are() {
    let slot = counter(&engine());
    assert_eq!([why(&slot, "a"), why(&slot, "cursed")], ["call 1", "call 1"]);
    let error = successor(&slot).unwrap_err();
    let told = "does not take over what its version 0.1.0 stored: what 0.1.0 kept is cursed";
    assert!(error.to_string().ends_with(told), "{error}");
    assert_eq!([why(&slot, "a"), why(&slot, "cursed")], ["call 2", "call 2"]);
}

#[test]
fn who_fails_at_a_question_that_was_asked_lately_does_not_take_over() {
    let slot = counter(&engine());
    why(&slot, "a");
    why(&slot, "feared");
    let error = slot.rehearse(&successor(&slot).unwrap()).unwrap_err();
    let told = "fails at a question that was asked lately: rank-paths: crashed: ";
    assert!(error.to_string().contains(told), "{error}");
}

#[test]
fn the_next_version_takes_over_a_store_at_a_start_too() {
    let dir = tempfile::tempdir().unwrap();
    let kept = |name: &str| {
        let engine = PluginEngine::keeping(dir.path()).unwrap();
        let mut spec = spec("hostile", &[("behaviour", "remember")], Duration::from_secs(60));
        (spec.path, spec.name, spec.store) = (component(name), Some("counter".to_owned()), StoreKind::Keep);
        WasmPolicy::load(&engine, spec).map(PluginSlot::new)
    };
    assert_eq!(why(&kept("hostile").unwrap(), "a"), "call 1");
    assert_eq!(why(&kept("successor").unwrap(), "a"), "call 2 of the next");
    assert_eq!(why(&kept("successor").unwrap(), "a"), "call 3 of the next");
    assert_eq!(why(&kept("hostile").unwrap(), "cursed"), "call 1");
    assert!(matches!(kept("successor").unwrap_err(), LoadError::Migration { .. }));
}

#[test]
fn a_shadow_is_compared_and_changes_nothing() {
    let slot = counter(&engine());
    slot.try_beside(&successor(&slot).unwrap(), TrialKind::Shadow).unwrap();
    for call in 1..=10 {
        assert_eq!(why(&slot, "a"), format!("call {call}"));
    }
    why(&slot, "feared");
    let begun = Instant::now();
    let report = loop {
        let report = slot.trial().unwrap();
        if report.asked == 11 {
            break report;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{report:?}");
        thread::yield_now();
    };
    assert_eq!((report.alike, report.differs, report.failed, report.missed), (0, 10, 1, 0));
    let last = report.last.unwrap();
    let order = |reply: &vpnhost_policy::Reply| match reply {
        Ok(Some(Answer::RankPaths(ranking))) => ranking.order.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((order(&last.active), order(&last.candidate)), (vec![0, 1], vec![1, 0]));
    let candidate = slot.candidate().unwrap();
    slot.take_over(&candidate).unwrap();
    assert!(slot.trial().is_none());
    assert_eq!(why(&slot, "a"), "call 11 of the next", "what it wrote as a shadow is gone");
}

#[test]
fn a_canary_decides_for_its_share_and_the_other_answers_where_it_fails() {
    let slot = counter(&engine());
    slot.try_beside(&successor(&slot).unwrap(), TrialKind::Canary(30)).unwrap();
    let names: Vec<String> = (0..50).map(|number| format!("peer-{number}")).collect();
    for name in &names {
        let decided_by_canary = why(&slot, name).ends_with("of the next");
        assert_eq!(decided_by_canary, falls_to_canary(name, 30), "{name}");
    }
    slot.try_beside(&successor(&slot).unwrap(), TrialKind::Canary(100)).unwrap();
    assert_eq!(why(&slot, "feared"), "call 1");
    assert_eq!(slot.trial().map(|report| (report.asked, report.failed)), Some((1, 1)));
    assert!(slot.end_trial() && !slot.end_trial());
}

#[test]
fn no_question_is_lost_while_components_take_each_others_place() {
    let slot = PluginSlot::new(load("sticky", &[]).unwrap());
    let (asked, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let question: Question = paths("corp");
            while !ends.load(Ordering::Relaxed) {
                let answer = slot.consult(&question).expect("nobody fails");
                assert!(answer.is_some_and(|answer| question.admits(&answer)));
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        for turn in 0..50 {
            let name = if turn % 2 == 0 { "lowest-rtt" } else { "sticky" };
            let active = slot.active();
            let spec = PluginSpec { path: component(name), ..active.spec().clone() };
            let candidate = active.candidate(spec).unwrap();
            slot.rehearse(&candidate).unwrap();
            slowest = slowest.max(slot.take_over(&candidate).unwrap().took);
            let until = asked.load(Ordering::Relaxed) + 20;
            while asked.load(Ordering::Relaxed) < until && !asking.is_finished() {
                thread::yield_now();
            }
        }
        ends.store(true, Ordering::Relaxed);
    });
    let count = asked.load(Ordering::Relaxed);
    println!("{count} questions during 50 swaps; the slowest took {slowest:?}");
    assert!(count >= 1000);
}

#[test]
fn who_looks_at_a_place_waits_neither_for_a_call_nor_for_who_takes_over_meanwhile() {
    let spec = spec("hostile", &[("behaviour", "loop")], Duration::from_secs(2));
    let slot = PluginSlot::new(WasmPolicy::load(&engine(), spec).unwrap());
    thread::scope(|scope| {
        let call = scope.spawn(|| slot.consult(&paths("a")));
        while slot.active().usage().calls == 0 {
            thread::yield_now();
        }
        let taking = scope.spawn(|| slot.take_over(&successor(&slot).unwrap()).unwrap());
        for _ in 0..100 {
            assert!(slot.sha256().is_some() && !slot.questions().is_empty());
            assert_eq!((slot.on_failure(), slot.active().state()), (OnFailure::Deny, PluginState::Active));
        }
        assert!(!call.is_finished(), "the call is still under way");
        assert!(call.join().unwrap().is_err());
        taking.join().unwrap();
    });
    assert_eq!(why(&slot, "a"), "call 1 of the next");
}

#[test]
fn a_question_that_the_other_does_not_answer_is_a_difference_and_a_guard_that_goes_is_told_of() {
    let hours = [("from", "00:00"), ("to", "24:00")];
    let slot = PluginSlot::new(load("office-hours", &hours).unwrap());
    let claim =
        vpnhost_plugin_lab::questions::Random::new(1).question(vpnhost_policy::QuestionKind::AuthorizePeer);
    slot.consult(&claim).unwrap();
    let spec = PluginSpec {
        path: component("sticky"),
        settings: [].into_iter().collect(),
        ..slot.active().spec().clone()
    };
    let candidate = slot.active().candidate(spec).unwrap();
    let rehearsal = slot.rehearse(&candidate).unwrap();
    assert_eq!((rehearsal.asked, rehearsal.differs), (1, 1));
    slot.try_beside(&candidate, TrialKind::Canary(100)).unwrap();
    assert!(matches!(slot.consult(&claim), Ok(Some(_))), "the guard is asked where its canary is none");
    assert!(slot.take_over(&candidate).unwrap().guards_no_more);
}

#[test]
fn a_slow_shadow_holds_nobody_up_at_its_end() {
    let slot = counter(&engine());
    let slow = spec("hostile", &[("behaviour", "loop")], Duration::from_secs(1));
    let slow = PluginSpec { name: Some("counter".to_owned()), ..slow };
    slot.try_beside(&slot.active().candidate(slow).unwrap(), TrialKind::Shadow).unwrap();
    for number in 0..50 {
        why(&slot, &format!("peer-{number}"));
    }
    let begun = Instant::now();
    assert!(slot.end_trial());
    assert!(begun.elapsed() < Duration::from_secs(20), "fifty calls of a second were waited for");
}
