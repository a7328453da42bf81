//! Questions: answered in time, late, off the menu, not at all.

use std::time::Duration;

use vpnhost_ike::{CloseReason, Command, EndpointConfig, Event, TrafficReport};
use vpnhost_policy::{Answer, Authorization, Question, QuestionKind, QuestionSet, Ranking};

use crate::pump::*;

fn delegated(kinds: &[QuestionKind]) -> Pump {
    let a = initiator(
        "aes128-aes256-sha256-x25519",
        vec![child("net", "aes128gcm16-aes256gcm16", "10.1.0.0/24", "10.2.0.0/24")],
    );
    let mut pump = pair_of(a);
    pump.sides[B].endpoint.delegate(kinds.iter().copied().collect::<QuestionSet>());
    pump.command(A, Command::Initiate("b".into()));
    pump
}

/// Answers every question of `B` that comes up until nothing more does.
fn answer_all(pump: &mut Pump, answer: impl Fn(&Question) -> Option<Answer>) {
    for _ in 0..400 {
        pump.run_for(Duration::from_millis(50));
        while let Some((id, question)) = pump.sides[B].questions.pop() {
            let answer = answer(&question);
            pump.sides[B].endpoint.handle_answer(pump.now, id, answer);
            pump.drain();
        }
    }
}

fn decided_by(pump: &Pump, question: &str) -> Vec<&'static str> {
    let by = |event: &Event| match event {
        Event::Decided { question: q, by, .. } if *q == question => Some(*by),
        _ => None,
    };
    pump.sides[B].events.iter().filter_map(by).collect()
}

#[test]
fn an_answer_in_time_decides() {
    let mut pump = delegated(&[QuestionKind::RankProposals]);
    answer_all(&mut pump, |question| match question {
        Question::RankProposals(menu) => {
            Some(Answer::RankProposals(Ranking::of((0..menu.suites.len()).rev())))
        }
        _ => None,
    });
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(A).suite.unwrap().to_string(), "aes256-sha256-x25519");
    assert_eq!(pump.ike_sa(A).children[0].suite.to_string(), "aes256gcm16");
    assert_eq!(decided_by(&pump, "rank_proposals"), ["plugins", "plugins"]);
}

#[test]
fn an_answer_off_the_menu_is_none() {
    let mut pump = delegated(&[QuestionKind::RankProposals]);
    answer_all(&mut pump, |_| Some(Answer::RankProposals(Ranking::of([99]))));
    pump.assert_connected(1);
    assert_eq!(decided_by(&pump, "rank_proposals"), ["native", "native"]);
}

#[test]
fn a_late_answer_finds_the_built_in_policy_has_answered() {
    let mut pump = delegated(&[QuestionKind::RankProposals, QuestionKind::NarrowSelectors]);
    pump.run_for(Duration::from_secs(3));
    pump.assert_connected(1);
    let late = std::mem::take(&mut pump.sides[B].questions);
    assert!(late.len() >= 3);
    for (id, _) in late {
        pump.sides[B].endpoint.handle_answer(pump.now, id, Some(Answer::RankProposals(Ranking::of([]))));
    }
    pump.settle();
    pump.assert_connected(1);
}

#[test]
fn a_repeated_request_asks_nothing_again() {
    let mut pump = pair();
    pump.sides[B].endpoint.delegate([QuestionKind::RankProposals].into_iter().collect());
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_millis(15));
    let first = pump.sides[A].sent[0].octets.clone();
    for _ in 0..5 {
        pump.inject(B, "192.0.2.1:500", 500, &first);
    }
    assert_eq!(pump.sides[B].questions.len(), 1);
}

#[test]
fn an_empty_ranking_refuses() {
    let mut pump = delegated(&[QuestionKind::RankProposals]);
    answer_all(&mut pump, |_| Some(Answer::RankProposals(Ranking::of([]))));
    pump.run_for(Duration::from_secs(20));
    pump.assert_empty(A);
}

#[test]
fn a_refused_peer_gets_authentication_failed_and_the_reason_stays_here() {
    let mut pump = delegated(&[QuestionKind::AuthorizePeer]);
    answer_all(&mut pump, |_| Some(Answer::AuthorizePeer(Authorization::refuse("office hours are over"))));
    let refused = |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::RefusedByPeer { notify, .. }, .. } if notify == "AUTHENTICATION_FAILED");
    assert!(pump.saw(A, refused), "{:?}", pump.sides[A].events);
    let reason = CloseReason::RefusedByPlugin("office hours are over".into());
    assert!(pump.saw(B, |event| matches!(event, Event::IkeSaClosed { reason: why, .. } if *why == reason)));
    assert!(!pump.saw(B, |event| matches!(event, Event::IkeSaEstablished(_))));
}

#[test]
fn permission_is_never_given_by_silence() {
    let mut pump = delegated(&[QuestionKind::AuthorizePeer]);
    pump.run_for(Duration::from_secs(3));
    pump.assert_empty(B);
    assert!(!pump.saw(B, |event| matches!(event, Event::IkeSaEstablished(_))));
}

#[test]
fn an_abstention_leaves_permission_to_the_built_in_policy() {
    let mut pump = delegated(&[QuestionKind::AuthorizePeer]);
    answer_all(&mut pump, |_| None);
    pump.assert_connected(1);
}

#[test]
fn narrowed_selectors_are_what_both_sides_have() {
    let mut pump = delegated(&[QuestionKind::NarrowSelectors]);
    answer_all(&mut pump, |question| match question {
        Question::NarrowSelectors(menu) => {
            let one = vpnhost_model::TrafficSelector::host("10.2.0.7".parse().unwrap());
            Some(Answer::NarrowSelectors(vpnhost_policy::Narrowing {
                local: vec![one],
                remote: menu.remote.clone(),
                why: None,
            }))
        }
        _ => None,
    });
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(A).children[0].remote[0].to_string(), "10.2.0.7/32");
}

#[test]
fn a_plan_takes_effect() {
    let mut pump = delegated(&[QuestionKind::PlanMaintenance]);
    answer_all(&mut pump, |question| match question {
        Question::PlanMaintenance(situation) => {
            let mut plan = situation.native.clone();
            plan.liveness_idle_ms = 5_000;
            plan.rekey_ike_secs = 300;
            Some(Answer::PlanMaintenance(plan))
        }
        _ => None,
    });
    pump.assert_connected(1);
    assert!(pump.ike_sa(B).rekey_in.unwrap() <= Duration::from_secs(300));
    let (before, child) = (pump.sides[B].sent.len(), pump.child_sa(B));
    pump.run_for(Duration::from_secs(1));
    pump.traffic(B, TrafficReport::Outbound(child, pump.now.instant));
    pump.run_for(Duration::from_secs(6));
    assert!(pump.sides[B].sent.len() > before, "liveness was checked");
    assert_eq!(decided_by(&pump, "plan_maintenance"), ["plugins"]);
}

#[test]
fn however_a_peer_writes_its_name_policies_see_one_and_the_same() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let b = responder(&a);
    a.local_id = id("A.Lab");
    let mut pump = Pump::new(config(a), config(b));
    let kinds = [QuestionKind::AuthorizePeer, QuestionKind::NarrowSelectors];
    pump.sides[B].endpoint.delegate(kinds.into_iter().collect());
    pump.command(A, Command::Initiate("b".into()));
    let asked = std::cell::RefCell::new(Vec::new());
    answer_all(&mut pump, |question| {
        asked.borrow_mut().extend(match question {
            Question::AuthorizePeer(claim) => Some(claim.peer_id.clone()),
            Question::NarrowSelectors(menu) => Some(menu.peer_id.clone()),
            _ => None,
        });
        None
    });
    assert_eq!(asked.into_inner(), [id("a.lab"), id("a.lab")]);
}

#[test]
fn a_child_sa_lives_as_long_as_a_policy_plans_and_its_rekey_is_planned_anew() {
    let mut pump = delegated(&[QuestionKind::PlanLifetimes]);
    let menus = std::cell::RefCell::new(Vec::new());
    let short = |question: &Question| {
        let Question::PlanLifetimes(menu) = question else { return None };
        menus.borrow_mut().push((menu.child.clone(), menu.rekeys, menu.native.clone()));
        let planned = vpnhost_policy::Lifetimes {
            rekey_secs: 120,
            rekey_mib: 5,
            rekey_packets: 0,
            why: Some("short".into()),
        };
        Some(Answer::PlanLifetimes(planned))
    };
    answer_all(&mut pump, short);
    pump.assert_connected(1);
    let child = pump.child_sa(B);
    assert!(pump.ike_sa(B).children[0].rekey_in.unwrap() <= Duration::from_secs(120));
    let limited = |pump: &Pump| -> Vec<_> {
        pump.sides[B].limited.iter().map(|(id, lifetime)| (*id, lifetime.rekey_bytes)).collect()
    };
    assert_eq!(limited(&pump), [(child, Some(5 << 20))]);
    let told = |event: &Event| matches!(event, Event::Decided { question: "plan_lifetimes", by: "plugins", outcome, .. } if outcome.ends_with("rekey_bytes never → 5 MiB (short)"));
    assert!(pump.saw(B, told), "{:?}", pump.sides[B].events);
    pump.command(B, Command::RekeyChildSa(child));
    answer_all(&mut pump, short);
    let heir = pump.child_sa(B);
    assert_eq!(limited(&pump), [(child, Some(5 << 20)), (heir, Some(5 << 20))]);
    let (name, rekeys, native) = menus.borrow()[1].clone();
    assert_eq!((name.as_str(), rekeys, native.rekey_mib), ("net", true, 0));
}

#[test]
fn no_policy_lets_a_cipher_of_short_blocks_carry_more_than_it_can() {
    let mut a = initiator(IKE, vec![child("net", "3des-sha1", "10.1.0.0/24", "10.2.0.0/24")]);
    a.children[0].lifetime.rekey_bytes = None;
    let b = responder(&a);
    let legacy = |connection| EndpointConfig { allow_legacy: true, ..config(connection) };
    let mut pump = Pump::new(legacy(a), legacy(b));
    pump.sides[B].endpoint.delegate([QuestionKind::PlanLifetimes].into_iter().collect());
    pump.command(A, Command::Initiate("b".into()));
    answer_all(&mut pump, |question| {
        let Question::PlanLifetimes(menu) = question else { return None };
        assert_eq!((menu.native.rekey_mib, menu.bounds.rekey_mib.max), (256, 256));
        let endless = vpnhost_policy::Lifetimes { rekey_mib: 0, ..menu.native.clone() };
        Some(Answer::PlanLifetimes(endless))
    });
    pump.assert_connected(1);
    assert_eq!(pump.sides[B].limited, []);
}
