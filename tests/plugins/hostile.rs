//! Plugins that loop, hoard, trap, lie and flood: what the host makes of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::span;
use vpnhost_model::{Identity, LinkKind, Role};
use vpnhost_plugin_host::{Limits, LoadError, PluginSpec, PluginState, WasmPolicy, limits};
use vpnhost_policy::{
    Answer, Authorization, Chain, Decision, Failure, MetricValue, OnFailure, Outcome, PathCause, PathFacts,
    PathMenu, PathRanking, PathStanding, PeerClaim, Policy, Power, Question, Strength,
};
use vpnhost_policy_standard::Standard;

use crate::{engine, load, spec};

/// Longer than a machine stands still, and short enough to wait for where a loop has to come to it.
const PATIENCE: Duration = Duration::from_secs(1);

fn hostile(behaviour: &str) -> WasmPolicy {
    WasmPolicy::load(&engine(), spec("hostile", &[("behaviour", behaviour)], PATIENCE)).unwrap()
}

/// Misbehaves, and has the time for it: what ends it is its misdeed, and not the deadline.
fn unhurried(behaviour: &str) -> WasmPolicy {
    load("hostile", &[("behaviour", behaviour)]).unwrap()
}

/// Misbehaves only for the connection `bad`.
fn moody(behaviour: &str) -> WasmPolicy {
    let settings = [("behaviour", behaviour), ("connection", "bad")];
    WasmPolicy::load(&engine(), spec("hostile", &settings, PATIENCE)).unwrap()
}

pub(crate) fn paths(connection: &str) -> Question {
    let path = PathFacts {
        local: [192, 0, 2, 1].into(),
        remote: ([198, 51, 100, 1], 4500).into(),
        interface: "eth0".into(),
        kind: LinkKind::ETHERNET,
        metered: false,
        roaming: false,
        mtu: 1500,
        rtt_us: None,
        loss_permille: None,
        age_ms: Some(0),
        standing: PathStanding::WORKS,
        up_ms: 60_000,
        flaps: 0,
        outages: 0,
        outage_ms: 0,
        hints: Vec::new(),
    };
    Question::RankPaths(PathMenu {
        connection: connection.into(),
        cause: PathCause::ADDED,
        role: Role::Initiator,
        peer_id: Identity::Fqdn("moon".into()),
        labels: Vec::new(),
        unix_secs: 0,
        current: None,
        paths: vec![path.clone(), path],
        since_move_ms: None,
        moves: 0,
        power: Power::UNKNOWN,
        hints: Vec::new(),
    })
}

fn claim(connection: &str) -> Question {
    claim_of("carol", connection)
}

fn claim_of(peer: &str, connection: &str) -> Question {
    Question::AuthorizePeer(PeerClaim {
        connection: connection.into(),
        role: Role::Responder,
        local_id: Identity::Fqdn("moon".into()),
        peer_id: Identity::Fqdn(peer.into()),
        auth_method: 2,
        key: String::new(),
        certificate: None,
        eap: None,
        suite: Vec::new(),
        strength: Strength::RECOMMENDED,
        local: ([192, 0, 2, 1], 4500).into(),
        peer_behind_nat: false,
        others: Vec::new(),
        initial_contact: false,
        remote: ([198, 51, 100, 1], 4500).into(),
        unix_secs: 0,
        utc_offset_secs: 0,
        other_sas: 0,
        hints: Vec::new(),
    })
}

fn in_order() -> Answer {
    Answer::RankPaths(PathRanking::of([0, 1]))
}

/// What a chain of the plugin and the built-in policy comes to.
fn decide(plugin: &Arc<WasmPolicy>, question: &Question) -> Decision {
    Chain::new(vec![plugin.clone(), Arc::new(Standard)]).decide(question)
}

fn failed(reply: Result<Option<Answer>, Failure>) -> Failure {
    reply.expect_err("the plugin should have failed")
}

fn trap(reply: Result<Option<Answer>, Failure>) -> String {
    let failure = failed(reply);
    let Failure::Trap(how) = failure else { panic!("not a trap: {failure:?}") };
    how
}

#[test]
fn an_endless_loop_ends_near_its_deadline() {
    let limit = Limits::default().call;
    let plugin = WasmPolicy::load(&engine(), spec("hostile", &[("behaviour", "loop")], limit)).unwrap();
    let took = |_| {
        let started = Instant::now();
        assert_eq!(failed(plugin.consult(&paths("any"))), Failure::Deadline);
        started.elapsed()
    };
    let times = [(); 3].map(took);
    assert!(times.iter().all(|took| *took >= limit), "{times:?}");
    // A machine may stand still, but not three times.
    assert!(times.iter().any(|took| *took < limit + Duration::from_millis(450)), "{times:?}");
}

#[test]
fn a_hoarder_runs_out_of_its_own_memory() {
    assert_eq!(failed(unhurried("hoard").consult(&paths("any"))), Failure::Memory);
}

#[test]
fn a_panic_tells_its_message() {
    let how = trap(unhurried("trap").consult(&paths("carol")));
    assert!(how.contains("told to panic on carol"), "{how}");
}

#[test]
fn a_stack_that_overflows_is_the_guests_own() {
    // Which of the guest's two stacks ends first, the machine's or the one in its memory, is its compiler's choice.
    let how = trap(unhurried("recurse").consult(&paths("any")));
    assert!(["stack overflow", "wasm trap: out of bounds memory access"].contains(&how.as_str()), "{how}");
}

#[test]
fn a_gigantic_answer_does_not_reach_the_host() {
    let how = trap(unhurried("giant").consult(&paths("any")));
    assert!(how.contains("too much data"), "{how}");
}

#[test]
fn the_next_question_after_a_failure_finds_a_fresh_instance() {
    for behaviour in ["loop", "hoard", "trap", "recurse", "giant"] {
        let plugin = moody(behaviour);
        failed(plugin.consult(&paths("bad")));
        assert_eq!(plugin.consult(&paths("good")), Ok(Some(in_order())), "{behaviour}");
        assert_eq!(plugin.usage().restarts, 1, "{behaviour}");
    }
}

#[test]
fn an_answer_off_the_menu_is_an_abstention_that_the_trace_tells() {
    let decision = decide(&Arc::new(hostile("lie")), &paths("any"));
    assert_eq!(decision.decided_by.as_deref(), Some("standard"));
    assert_eq!(decision.trace[0].policy, "hostile");
    assert_eq!(decision.trace[0].outcome, Outcome::OffTheMenu);
}

#[test]
fn the_built_in_policy_answers_for_whoever_fails() {
    for behaviour in ["loop", "hoard", "trap", "recurse", "giant"] {
        let decision = decide(&Arc::new(hostile(behaviour)), &paths("any"));
        assert_eq!(decision.decided_by.as_deref(), Some("standard"), "{behaviour}");
        assert!(matches!(decision.trace[0].outcome, Outcome::Failed(_)), "{behaviour}");
    }
}

#[test]
fn who_fails_to_authorize_denies_unless_the_operator_says_otherwise() {
    for behaviour in ["loop", "hoard", "trap", "recurse", "giant", "lie"] {
        let spec = spec("hostile", &[("behaviour", behaviour)], PATIENCE);
        for (on_failure, refused) in [(OnFailure::Deny, true), (OnFailure::Native, false)] {
            let plugin = WasmPolicy::load(&engine(), PluginSpec { on_failure, ..spec.clone() }).unwrap();
            let decision = decide(&Arc::new(plugin), &claim("any"));
            let is_refused =
                matches!(decision.answer, Some(Answer::AuthorizePeer(Authorization::Refuse { .. })));
            assert_eq!(is_refused, refused, "{behaviour}: {decision:?}");
        }
    }
}

#[test]
fn an_explicit_none_is_an_abstention_also_for_permission() {
    let decision = decide(&Arc::new(hostile("abstain")), &claim("any"));
    assert_eq!(decision.answer, Some(Answer::AuthorizePeer(Authorization::allow())));
    assert_eq!(decision.trace[0].outcome, Outcome::Abstained);
}

#[test]
fn who_fails_too_often_is_switched_off_and_says_so() {
    let plugin = moody("trap");
    for _ in 0..limits::FAULTS {
        assert_eq!(plugin.state(), PluginState::Active);
        failed(plugin.consult(&paths("bad")));
    }
    assert_eq!(plugin.state(), PluginState::Disabled);
    assert!(matches!(plugin.consult(&paths("good")), Err(Failure::Disabled(_))));
}

#[test]
fn no_peer_can_switch_a_guard_off_but_for_itself() {
    let plugin = moody("trap");
    let allowed = |reply| matches!(reply, Ok(Some(Answer::AuthorizePeer(Authorization::Allow { .. }))));
    for _ in 0..limits::FAULTS {
        assert!(matches!(plugin.consult(&claim_of("mallory", "bad")), Err(Failure::Trap(_))));
    }
    let calls = plugin.usage().calls;
    let off = failed(plugin.consult(&claim_of("mallory", "good")));
    assert!(matches!(&off, Failure::Disabled(why) if why.contains("on this peer")), "{off:?}");
    assert_eq!(plugin.usage().calls, calls, "the guard is not asked about that peer");
    assert_eq!(plugin.state(), PluginState::Active);
    assert!(allowed(plugin.consult(&claim_of("carol", "good"))));
    for _ in 0..limits::FAULTS {
        failed(plugin.consult(&paths("bad")));
    }
    assert_eq!(plugin.state(), PluginState::Disabled);
    assert!(allowed(plugin.consult(&claim_of("carol", "good"))), "who is disabled still guards");
}

#[test]
fn a_peer_that_a_guard_keeps_failing_on_stays_out_by_default() {
    let plugin = Arc::new(moody("trap"));
    for _ in 0..limits::FAULTS + 1 {
        let decision = decide(&plugin, &claim("bad"));
        assert!(
            matches!(decision.answer, Some(Answer::AuthorizePeer(Authorization::Refuse { .. }))),
            "{decision:?}"
        );
    }
}

#[test]
fn a_plugin_that_fails_while_it_is_configured_is_not_loaded() {
    for behaviour in ["configure-trap", "configure-hoard", "configure-recurse"] {
        let error = load("hostile", &[("behaviour", behaviour)]).unwrap_err();
        assert!(matches!(error, LoadError::Start { .. }), "{behaviour}: {error}");
    }
    let started = Instant::now();
    let error = load("hostile", &[("behaviour", "configure-loop")]).unwrap_err();
    assert!(matches!(error, LoadError::Start { source: Failure::Deadline, .. }), "{error}");
    assert!(started.elapsed() < limits::START + Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn a_flood_of_lines_is_cut_and_counted() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let plugin = hostile("flood");
    let answer = tracing::subscriber::with_default(Lines(lines.clone()), || plugin.consult(&paths("any")));
    // Either it came through its hundred thousand calls in time, or its time was up.
    assert!(matches!(answer, Ok(Some(_)) | Err(Failure::Deadline)), "{answer:?}");
    let lines = lines.lock().unwrap();
    let written = lines.iter().filter(|line| line.contains("line ")).count();
    assert_eq!(written, plugin.limits().log_lines as usize);
    assert!(lines.iter().any(|line| line.contains("too many lines")), "{:?}", lines.last());
    assert!(lines.iter().all(|line| line.contains("hostile")), "{:?}", lines.first());
}

#[test]
fn a_flood_into_the_store_ends_at_its_bounds() {
    let plugin = unhurried("store-flood");
    let stored = |connection: &str| {
        let decision = plugin.consult(&paths(connection)).unwrap().unwrap();
        decision.why().unwrap().to_owned()
    };
    assert_eq!(stored("one"), "200 values");
    // What is left of a mebibyte, less the keys.
    assert_eq!(stored("two"), "55 values");
    assert_eq!(stored("three"), "0 values");
    let how = trap(unhurried("store-spree").consult(&paths("any")));
    assert!(how.contains("more of kv and data than a call may"), "{how}");
}

#[test]
fn a_flood_of_numbers_is_cut() {
    let plugin = unhurried("count");
    for _ in 0..3 {
        assert!(matches!(plugin.consult(&paths("any")), Ok(Some(_))));
    }
    let numbers = plugin.metrics();
    assert_eq!(numbers.len(), limits::METRICS);
    assert_eq!(numbers[0].name, "thing_0");
    assert_eq!(numbers[0].value, MetricValue::Counter(3), "a counter is no gauge");
}

/// Keeps events as text.
struct Lines(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        if event.metadata().target().starts_with("vpnhost_plugin_host") {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
