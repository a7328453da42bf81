//! Plugins that decide, that fail, and that are loaded while the host runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use vpnhost_driver::{DecisionLog, HostConfig};
use vpnhost_ike::input::Command;
use vpnhost_policy::{
    Authorization, Chain, Decision, Failure, OnFailure, PeerClaim, Policy, Question, QuestionKind,
    QuestionSet, Reply,
};

use crate::lab::Lab;
use crate::running::{Running, assert_carries};
use crate::settings;

/// Refuses everybody.
struct Closed;

impl Policy for Closed {
    fn name(&self) -> &str {
        "closed-today"
    }

    fn questions(&self) -> QuestionSet {
        [QuestionKind::AuthorizePeer].into_iter().collect()
    }

    fn authorize_peer(&self, _: &PeerClaim) -> Option<Authorization> {
        Some(Authorization::refuse("closed today"))
    }
}

/// Fails at everything, as a component that traps.
struct Trapping;

impl Policy for Trapping {
    fn name(&self) -> &str {
        "trapping"
    }

    fn consult(&self, _: &Question) -> Reply {
        Err(Failure::Trap("unreachable executed".to_owned()))
    }

    fn on_failure(&self) -> OnFailure {
        OnFailure::Native
    }
}

fn with(config: HostConfig, plugin: impl Policy + 'static) -> HostConfig {
    HostConfig { plugins: Some(Chain::new(vec![Arc::new(plugin)])), ..config }
}

#[test]
fn a_plugin_refuses_a_peer_and_is_named_for_it() {
    let Some(lab) = Lab::create() else { return };
    let mut initiator = Running::start(&lab, 0, settings::of(0, b"secret")).unwrap();
    let mut responder = Running::start(&lab, 1, with(settings::of(1, b"secret"), Closed)).unwrap();
    initiator.command(Command::Initiate("site".to_owned()));
    let decided = responder.wait_for_decision("authorize_peer").entry;
    assert_eq!(decided.plugin.as_deref(), Some("closed-today"));
    assert!(responder.wait_for("closed").entry.text.contains("closed today"));
    initiator.wait_for("closed");
    let snapshot = responder.snapshot();
    assert_eq!(snapshot.questions.answered, 1);
    assert_eq!(snapshot.plugins[0].counters.answered, 1);

    // Unloaded, it decides nothing any more.
    assert_eq!(responder.reload(settings::of(1, b"secret")).unwrap(), Vec::<&str>::new());
    initiator.command(Command::Initiate("site".to_owned()));
    initiator.wait_for("child_established");
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
}

#[test]
fn a_plugin_that_traps_costs_nothing_but_a_word_in_the_journal() {
    let Some(lab) = Lab::create() else { return };
    let mut initiator = Running::start(&lab, 0, with(settings::of(0, b"secret"), Trapping)).unwrap();
    let responder = Running::start(&lab, 1, with(settings::of(1, b"secret"), Trapping)).unwrap();
    initiator.command(Command::Initiate("site".to_owned()));
    let failed = initiator.wait_for("plugin_failed").entry;
    assert_eq!(failed.plugin.as_deref(), Some("trapping"));
    assert!(failed.text.contains("unreachable executed"), "{}", failed.text);
    initiator.wait_for("child_established");
    assert_carries(&lab, [&initiator, &responder]);
    assert!(responder.journal().iter().any(|entry| entry.question == Some("authorize_peer")));
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
}

/// Keeps which questions were decided, and by how many plugins.
#[derive(Default)]
struct Kept(Mutex<Vec<(QuestionKind, usize)>>);

impl DecisionLog for Kept {
    fn decided(&self, _: Duration, question: &Question, decision: &Decision) {
        self.0.lock().unwrap().push((question.kind(), decision.trace.len()));
    }
}

#[test]
fn what_no_plugin_is_asked_is_written_down_too_but_not_what_strangers_make_the_host_ask() {
    let Some(lab) = Lab::create() else { return };
    let kept = Arc::new(Kept::default());
    let written = HostConfig { decisions: Some(kept.clone()), ..settings::of(1, b"secret") };
    let mut initiator = Running::start(&lab, 0, settings::of(0, b"secret")).unwrap();
    let responder = Running::start(&lab, 1, written).unwrap();
    initiator.command(Command::Initiate("site".to_owned()));
    initiator.wait_for("child_established");
    assert_carries(&lab, [&initiator, &responder]);
    let decided = kept.0.lock().unwrap().clone();
    let is_there = |kind| decided.contains(&(kind, 0));
    assert!(is_there(QuestionKind::AuthorizePeer) && is_there(QuestionKind::NarrowSelectors), "{decided:?}");
    assert!(is_there(QuestionKind::PlanMaintenance), "{decided:?}");
    assert!(!is_there(QuestionKind::RankProposals), "{decided:?}");
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
}
