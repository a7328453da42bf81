use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc as std_mpsc;

use vpnhost_model::{Identity, Role};
use vpnhost_policy::{
    Answer, Authorization, OnFailure, PathCause, PathMenu, PathRanking, PeerClaim, PeerHint, Policy, Power,
    ProposalMenu, Strength,
};

use super::*;
use crate::clock::Clock;

const LONG: Duration = Duration::from_secs(3600);

/// Says what a function says, as soon as it is let go, and tells that it was asked.
struct Plugin {
    name: &'static str,
    on_failure: OnFailure,
    says: fn(&Question) -> Reply,
    asked: std_mpsc::Sender<QuestionKind>,
    may_go: Mutex<std_mpsc::Receiver<()>>,
}

/// The test's end of a plugin.
struct Strings {
    asked: std_mpsc::Receiver<QuestionKind>,
    go: std_mpsc::Sender<()>,
}

impl Policy for Plugin {
    fn name(&self) -> &str {
        self.name
    }

    fn consult(&self, question: &Question) -> Reply {
        let _ = self.asked.send(question.kind());
        let _ = self.may_go.lock().unwrap().recv();
        (self.says)(question)
    }

    fn on_failure(&self) -> OnFailure {
        self.on_failure
    }
}

fn plugin(
    name: &'static str,
    on_failure: OnFailure,
    says: fn(&Question) -> Reply,
) -> (Arc<dyn Policy>, Strings) {
    let ((asked, was_asked), (go, may_go)) = (std_mpsc::channel(), std_mpsc::channel());
    let plugin = Plugin { name, on_failure, says, asked, may_go: Mutex::new(may_go) };
    (Arc::new(plugin), Strings { asked: was_asked, go })
}

fn allows(_: &Question) -> Reply {
    Ok(Some(Answer::AuthorizePeer(Authorization::Allow { labels: Vec::new() })))
}

fn first_path(_: &Question) -> Reply {
    Ok(Some(Answer::RankPaths(PathRanking::of([]))))
}

fn abstains(_: &Question) -> Reply {
    Ok(None)
}

fn crashes(_: &Question) -> Reply {
    panic!("on purpose")
}

struct Scene {
    resolver: Resolver,
    replies: mpsc::Receiver<PluginReply>,
    now: Instant,
}

fn scene(policies: Vec<Arc<dyn Policy>>) -> Scene {
    let (sender, replies) = mpsc::channel(limits::RESULTS);
    let resolver = Resolver::start(Some(&Chain::new(policies)), sender).unwrap();
    Scene { resolver, replies, now: Clock.instant() }
}

impl Scene {
    fn ask(&mut self, id: u64, question: Question) {
        let now = self.now;
        self.resolver.ask(now, QuestionId(id), question, now + LONG);
    }

    fn hear(&mut self) {
        let heard = self.replies.blocking_recv().unwrap();
        self.resolver.hear(self.now, heard);
    }

    fn verdict(&mut self) -> Verdict {
        self.resolver.poll_verdict().expect("a verdict")
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 500))
}

fn claim() -> Question {
    Question::AuthorizePeer(PeerClaim {
        connection: "corp".into(),
        role: Role::Responder,
        local_id: Identity::Fqdn("moon".into()),
        peer_id: Identity::Fqdn("carol".into()),
        auth_method: 2,
        key: String::new(),
        certificate: None,
        eap: None,
        suite: Vec::new(),
        strength: Strength::RECOMMENDED,
        local: address(),
        peer_behind_nat: false,
        others: Vec::new(),
        initial_contact: false,
        remote: address(),
        unix_secs: 0,
        utc_offset_secs: 0,
        other_sas: 0,
        hints: Vec::new(),
    })
}

fn paths() -> Question {
    Question::RankPaths(PathMenu {
        connection: "corp".into(),
        cause: PathCause::REVIEW,
        role: Role::Initiator,
        peer_id: Identity::Fqdn("moon".into()),
        labels: Vec::new(),
        unix_secs: 0,
        current: None,
        paths: Vec::new(),
        since_move_ms: None,
        moves: 0,
        power: Power::UNKNOWN,
        hints: Vec::new(),
    })
}

/// What a stranger makes the host ask.
fn proposals() -> Question {
    let peer = PeerHint {
        remote: address(),
        local: address(),
        behind_nat: None,
        peer_behind_nat: None,
        hints: Vec::new(),
    };
    Question::RankProposals(ProposalMenu {
        connection: "corp".into(),
        role: Role::Responder,
        protocol: Protocol::IKE,
        peer,
        peer_id: None,
        labels: Vec::new(),
        suites: Vec::new(),
        not_offered: Vec::new(),
        hints: Vec::new(),
    })
}

fn is_refused(verdict: &Verdict) -> bool {
    matches!(verdict.decision.answer, Some(Answer::AuthorizePeer(Authorization::Refuse { .. })))
}

#[test]
fn a_question_goes_from_one_plugin_to_the_next_and_the_verdict_names_who_decided() {
    let (first, first_strings) = plugin("first", OnFailure::Deny, abstains);
    let (second, second_strings) = plugin("second", OnFailure::Deny, first_path);
    let mut scene = scene(vec![first, second]);
    scene.ask(1, paths());
    first_strings.go.send(()).unwrap();
    scene.hear();
    assert!(scene.resolver.poll_verdict().is_none());
    second_strings.go.send(()).unwrap();
    scene.hear();
    let verdict = scene.verdict();
    assert_eq!(verdict.id, QuestionId(1));
    assert_eq!(verdict.decision.decided_by.as_deref(), Some("second"));
    assert!(verdict.decision.trace.iter().all(|step| step.elapsed.is_some()));
    let counters = scene.resolver.counters();
    assert_eq!((counters.asked, counters.answered, counters.abstained), (1, 1, 0));
    assert_eq!(scene.resolver.plugins()[0].counters.abstained, 1);
}

#[test]
fn a_guard_that_does_not_answer_in_time_has_refused_unless_the_operator_said_otherwise() {
    for (on_failure, refused) in [(OnFailure::Deny, true), (OnFailure::Native, false)] {
        let (guard, strings) = plugin("guard", on_failure, allows);
        let mut scene = scene(vec![guard]);
        scene.ask(1, claim());
        strings.asked.recv().unwrap();
        scene.resolver.handle_timeout(scene.now + LONG);
        let verdict = scene.verdict();
        assert_eq!(is_refused(&verdict), refused);
        assert_eq!(verdict.decision.answer.is_some(), refused);
        assert_eq!(scene.resolver.counters().failed, 1);
        // The answer that comes after all finds nothing open.
        strings.go.send(()).unwrap();
        scene.hear();
        assert!(scene.resolver.poll_verdict().is_none());
    }
}

#[test]
fn a_guard_that_was_not_reached_before_the_deadline_has_refused_too() {
    let (slow, strings) = plugin("slow", OnFailure::Native, allows);
    let (guard, _never_asked) = plugin("guard", OnFailure::Deny, allows);
    let mut scene = scene(vec![slow, guard]);
    scene.ask(1, claim());
    strings.asked.recv().unwrap();
    scene.resolver.handle_timeout(scene.now + LONG);
    let verdict = scene.verdict();
    assert!(is_refused(&verdict));
    assert_eq!(verdict.decision.decided_by.as_deref(), Some("guard"));
}

#[test]
fn a_slow_plugin_abstains_where_no_permission_is_asked() {
    let (slow, strings) = plugin("slow", OnFailure::Deny, first_path);
    let (other, _never_asked) = plugin("other", OnFailure::Deny, first_path);
    let mut scene = scene(vec![slow, other]);
    scene.ask(1, paths());
    strings.asked.recv().unwrap();
    assert_eq!(scene.resolver.next_deadline(), Some(scene.now + LONG));
    scene.resolver.handle_timeout(scene.now + LONG);
    let verdict = scene.verdict();
    assert_eq!(verdict.decision.answer, None);
    assert_eq!(verdict.decision.trace.len(), 1);
    assert_eq!(scene.resolver.counters().abstained, 1);
}

#[test]
fn strangers_fill_their_own_queue_only_and_known_peers_come_first() {
    let (busy, strings) = plugin("busy", OnFailure::Deny, abstains);
    let mut scene = scene(vec![busy]);
    scene.ask(0, paths());
    assert_eq!(strings.asked.recv().unwrap(), QuestionKind::RankPaths);
    for id in 0..limits::QUESTIONS_UNAUTHENTICATED as u64 {
        scene.ask(1 + id, proposals());
    }
    scene.ask(100, proposals());
    let refused = scene.verdict();
    assert_eq!(refused.id, QuestionId(100));
    assert_eq!(refused.decision.trace[0].outcome, Outcome::Failed(Failure::Overloaded.to_string()));
    assert_eq!(scene.resolver.counters().refused, 1);
    scene.ask(200, claim());
    assert!(scene.resolver.poll_verdict().is_none());
    strings.go.send(()).unwrap();
    assert_eq!(strings.asked.recv().unwrap(), QuestionKind::AuthorizePeer);
}

#[test]
fn a_panic_is_a_failure_and_the_thread_lives_on() {
    let (broken, strings) = plugin("broken", OnFailure::Deny, crashes);
    let mut scene = scene(vec![broken]);
    for id in [1, 2] {
        scene.ask(id, paths());
        // A poisoned lock is the test's own affair: the second call fails on it.
        let _ = strings.go.send(());
        scene.hear();
        assert_eq!(scene.verdict().decision.answer, None);
    }
    assert_eq!(scene.resolver.plugins()[0].counters.failed, 2);
}

#[test]
fn questions_under_way_are_finished_by_the_plugins_they_were_begun_with() {
    let (old, strings) = plugin("old", OnFailure::Deny, first_path);
    let mut scene = scene(vec![old]);
    scene.ask(1, paths());
    strings.asked.recv().unwrap();
    let none = scene.resolver.prepare(None).unwrap();
    scene.resolver.take(none);
    assert!(scene.resolver.questions().is_empty());
    strings.go.send(()).unwrap();
    scene.hear();
    assert_eq!(scene.verdict().decision.decided_by.as_deref(), Some("old"));
    scene.ask(2, paths());
    assert_eq!(scene.verdict().decision.answer, None);
}

#[test]
fn the_chain_is_to_be_done_a_little_before_the_core_stops_waiting() {
    let at = |ms: u64| Instant(ms * 1_000_000);
    assert_eq!(deadline(at(0), Duration::from_millis(200)), at(180));
    assert_eq!(deadline(at(0), Duration::from_millis(40)), at(30));
}
