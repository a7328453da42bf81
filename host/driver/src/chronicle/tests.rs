use std::net::SocketAddr;

use vpnhost_crypto::SecretBytes;
use vpnhost_ike::PeerIdentity;
use vpnhost_ike::output::{AuthenticationFailure, Hindrance, IkeSaFacts, QuestionId};
use vpnhost_ike::reason::{IdentityGap, Nearest};
use vpnhost_model::{Encapsulation, Identity, IkeSpi, IkeSuite, Path, Role};
use vpnhost_policy::{Failure, PathCause, PathMenu, Power, Step};

use super::*;

const ONE: IkeSaId = IkeSaId(1);
const TWO: IkeSaId = IkeSaId(2);

fn chronicle() -> (Chronicle, broadcast::Receiver<HostEvent>) {
    let (readers, reader) = broadcast::channel(64);
    (Chronicle::new(readers), reader)
}

fn path() -> Path {
    let address = |last| SocketAddr::from(([192, 0, 2, last], 4500));
    Path { local: address(1), remote: address(2), interface: None, encapsulation: Encapsulation::Udp }
}

fn facts(id: IkeSaId) -> Box<IkeSaFacts> {
    Box::new(IkeSaFacts {
        id,
        connection: "corp".to_owned(),
        role: Role::Initiator,
        spi_i: IkeSpi([1; 8]),
        spi_r: IkeSpi([2; 8]),
        suite: IkeSuite::parse_all("aes128gcm16-prfsha256-x25519").unwrap()[0],
        path: path(),
        local_id: Identity::Fqdn("carol".into()),
        peer_id: Identity::Fqdn("moon".into()),
        certificate: None,
        eap: None,
        local_behind_nat: false,
        peer_behind_nat: true,
        keys: std::array::from_fn(|_| SecretBytes::default()),
    })
}

fn decided(by: &'static str) -> Event {
    Event::Decided {
        ike_sa: ONE,
        connection: "corp".to_owned(),
        question: "authorize_peer",
        by,
        outcome: "allowed".to_owned(),
    }
}

fn closed(reason: CloseReason) -> Event {
    Event::IkeSaClosed { ike_sa: ONE, connection: Some("corp".to_owned()), reason }
}

fn unexpected(said: String) -> CloseReason {
    let expected = Identity::Fqdn("moon".into()).to_string();
    CloseReason::AuthenticationFailed(AuthenticationFailure::UnexpectedIdentity { said, expected })
}

#[test]
fn an_event_is_a_sentence_for_journal_and_readers_alike() {
    let (mut chronicle, mut reader) = chronicle();
    chronicle.tell(Now::default(), Event::IkeSaEstablished(facts(ONE)), None);
    let read = reader.try_recv().unwrap();
    assert_eq!(chronicle.entries(Some("corp")), [(*read.entry).clone()]);
    assert_eq!(read.entry.kind, "established");
    assert!(matches!(read.event, Some(Event::IkeSaEstablished(_))));
    let expected = "ike-1 is up as initiator, aes128gcm16-prfsha256-x25519: carol to moon, \
                    192.0.2.1:4500 - 192.0.2.2:4500, the peer behind a NAT, or asking for UDP";
    assert_eq!(read.entry.text, expected);
}

#[test]
fn a_decision_names_the_plugin_whose_answer_stands_and_no_other() {
    let (mut chronicle, mut reader) = chronicle();
    chronicle.tell(Now::default(), decided("plugins"), Some("office-hours".to_owned()));
    let entry = reader.try_recv().unwrap().entry;
    assert_eq!(entry.text, "authorize_peer: plugin office-hours decided: allowed");
    assert_eq!(entry.plugin.as_deref(), Some("office-hours"));
    assert_eq!(chronicle.of(ONE).unwrap().decisions[0].plugin.as_deref(), Some("office-hours"));
    chronicle.tell(Now::default(), decided("native"), Some("office-hours".to_owned()));
    let entry = reader.try_recv().unwrap().entry;
    assert_eq!(entry.text, "authorize_peer: the native policy decided: allowed");
    assert_eq!((entry.plugin.as_deref(), entry.by), (None, Some("native")));
    let [decision] = &chronicle.of(ONE).unwrap().decisions[..] else { panic!("one for each question") };
    assert_eq!(decision.by, "native");
}

#[test]
fn what_is_remembered_of_an_ike_sa_goes_to_its_successor_and_ends_with_it() {
    let (mut chronicle, _reader) = chronicle();
    chronicle.tell(Now::default(), decided("native"), None);
    chronicle.served_by(ONE, "first");
    chronicle.served_by(ONE, "second");
    assert_eq!(chronicle.of(ONE).unwrap().backend.as_deref(), Some("first"));
    let round_trip = Some(Duration::from_millis(7));
    chronicle.tell(Now::default(), Event::Alive { ike_sa: ONE, round_trip }, None);
    chronicle.tell(Now::default(), Event::IkeSaRekeyed { old: ONE, new: facts(TWO) }, None);
    assert!(chronicle.of(ONE).is_none());
    let heir = chronicle.of(TWO).unwrap();
    assert_eq!((heir.rekeyed, heir.round_trip, heir.decisions.len()), (1, round_trip, 1));
    assert_eq!(heir.backend, None);
    let reason = CloseReason::DeletedByPeer;
    let end = Event::IkeSaClosed { ike_sa: TWO, connection: Some("corp".to_owned()), reason };
    chronicle.tell(Now::default(), end, None);
    assert!(chronicle.of(TWO).is_none());
}

#[test]
fn strangers_whose_ike_sas_never_begin_are_forgotten_and_the_others_are_not() {
    let (mut chronicle, _reader) = chronicle();
    let decided = |id| Event::Decided {
        ike_sa: IkeSaId(id),
        connection: String::new(),
        question: "rank_proposals",
        by: "native",
        outcome: "aes128gcm16".to_owned(),
    };
    let started = Event::IkeSaStarted { ike_sa: ONE, connection: None, role: Role::Responder, path: path() };
    chronicle.tell(Now::default(), decided(ONE.0), None);
    chronicle.tell(Now::default(), started, None);
    let last = 2 * limits::EARLY_IKE_SAS as u64;
    for id in 2..=last {
        chronicle.tell(Now::default(), decided(id), None);
    }
    assert!(chronicle.of(ONE).is_some() && chronicle.of(IkeSaId(last)).is_some());
    assert!(chronicle.of(TWO).is_none());
    assert_eq!(chronicle.ike_sas.len(), 1 + limits::EARLY_IKE_SAS);
}

#[test]
fn the_last_failure_is_told_until_the_connection_is_up_or_taken_down() {
    let (mut chronicle, _reader) = chronicle();
    chronicle.tell(Now::default(), closed(CloseReason::PoolExhausted("pool road".to_owned())), None);
    let failure = chronicle.last_failure("corp").unwrap();
    assert_eq!((failure.reason, &*failure.text), ("pool-empty", "no virtual address is free in pool road"));
    chronicle.tell(Now::default(), Event::IkeSaEstablished(facts(ONE)), None);
    assert_eq!(chronicle.last_failure("corp"), None);
    chronicle.tell(Now::default(), closed(CloseReason::HalfOpenTimeout), None);
    assert!(chronicle.last_failure("corp").is_some());
    chronicle.tell(Now::default(), closed(CloseReason::Local), None);
    assert_eq!(chronicle.last_failure("corp"), None);
}

#[test]
fn a_refusal_names_the_plugin_whose_answer_it_was() {
    let (mut chronicle, mut reader) = chronicle();
    chronicle.tell(Now::default(), decided("plugins"), Some("office-hours".to_owned()));
    let refused = closed(CloseReason::RefusedByPlugin("office hours are over".to_owned()));
    chronicle.tell(Now::default(), refused, None);
    let _decision = reader.try_recv().unwrap();
    let entry = reader.try_recv().unwrap().entry;
    assert_eq!(entry.reason, Some("plugin-refused"));
    assert_eq!(entry.text, "ike-1 ended: refused by a plugin: office hours are over (plugin office-hours)");
    assert_eq!(chronicle.last_failure("corp").unwrap().reason, "plugin-refused");
}

#[test]
fn a_plugin_that_failed_is_named_with_what_its_failure_counts_for() {
    let (mut chronicle, mut reader) = chronicle();
    let menu = PathMenu {
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
    };
    let step = |policy: &str, outcome| Step {
        policy: policy.to_owned(),
        sha256: None,
        outcome,
        configured: None,
        on_failure: OnFailure::Deny,
        asked: None,
        answer: None,
        elapsed: None,
        imports: Vec::new(),
    };
    let trace = vec![
        step("fine", Outcome::Abstained),
        step("slow", Outcome::Failed(Failure::Deadline.to_string())),
        step("odd", Outcome::OffTheMenu),
    ];
    let decision = vpnhost_policy::Decision { answer: None, decided_by: None, trace };
    let verdict = Verdict { id: QuestionId(1), question: Question::RankPaths(menu), decision };
    chronicle.tell_faults(Now::default(), &verdict, &|_| OnFailure::Deny);
    let first = reader.try_recv().unwrap().entry;
    assert_eq!(first.text, "rank_paths: plugin slow ran out of time; the others decide");
    assert_eq!((first.kind, first.plugin.as_deref()), ("plugin_failed", Some("slow")));
    assert_eq!(reader.try_recv().unwrap().entry.plugin.as_deref(), Some("odd"));
    assert!(reader.try_recv().is_err());
}

#[test]
fn a_stranger_is_told_of_at_the_connection_that_comes_nearest() {
    let (mut chronicle, _reader) = chronicle();
    let gap = IdentityGap {
        peer: Identity::Fqdn("dave".into()),
        wanted: None,
        nearest: Some(Nearest {
            connection: "corp".to_owned(),
            peer: PeerIdentity::Is(Identity::Fqdn("carol".into())),
            local: Identity::Fqdn("moon".into()),
            admits_peer: false,
            is_wanted: true,
            has_suite: true,
        }),
    };
    let reason = CloseReason::UnknownIdentity(Box::new(gap));
    chronicle.tell(Now::default(), Event::IkeSaClosed { ike_sa: ONE, connection: None, reason }, None);
    let [entry] = &chronicle.entries(Some("corp"))[..] else { panic!("one entry") };
    assert_eq!((entry.connection.as_deref(), entry.nearest.as_deref()), (None, Some("corp")));
    assert!(entry.text.ends_with(
        "expects another peer: they say they are dave; connection corp is between moon and carol"
    ));
    assert_eq!(chronicle.last_refusal("corp"), Some(entry));
    assert!(chronicle.entries(Some("home")).is_empty());
    assert_eq!(chronicle.entries(Some(STRANGERS)).len(), 1);
}

#[test]
fn a_flood_of_refusals_leaves_most_of_its_lines_to_a_count() {
    let (mut chronicle, _reader) = chronicle();
    let reason = CloseReason::NoConnection;
    for _ in 0..1000 {
        let refused = Event::Refused { path: path(), reason: reason.clone() };
        chronicle.tell(Now::default(), refused, None);
    }
    assert_eq!(chronicle.unlogged(), 1000 - u64::from(limits::LOG_REFUSALS));
    assert_eq!(chronicle.entries(Some(STRANGERS)).len(), limits::JOURNAL_FORGEABLE);
    let wrong = CloseReason::AuthenticationFailed(AuthenticationFailure::WrongSecret);
    chronicle.tell(Now::default(), begun_by_a_peer(), None);
    chronicle.tell(Now::default(), closed(wrong), None);
    assert_eq!(chronicle.unlogged(), 1000 - u64::from(limits::LOG_REFUSALS), "it has a quota of its own");
}

#[test]
fn what_a_peer_says_it_is_reaches_nobody_as_it_stands() {
    let (mut chronicle, mut reader) = chronicle();
    let said = format!("su\nn\u{202e}{}", "x".repeat(1 << 16));
    chronicle.tell(Now::default(), closed(unexpected(said)), None);
    let entry = reader.try_recv().unwrap().entry;
    let failure = chronicle.last_failure("corp").unwrap();
    for text in [&entry.text, &chronicle.entries(None)[0].text, &failure.text] {
        assert!(text.contains(r"it says it is su\nn\u{202e}xx"), "{text}");
        assert!(text.ends_with("x…"), "{text}");
        assert_eq!(text.chars().count(), limits::JOURNAL_TEXT);
    }
}

fn begun_by_a_peer() -> Event {
    Event::IkeSaStarted { ike_sa: ONE, connection: None, role: Role::Responder, path: path() }
}

#[test]
fn a_flood_of_wrong_secrets_in_the_name_of_a_connection_is_strangers_and_not_the_connections() {
    let (mut chronicle, _reader) = chronicle();
    let established = Event::IkeSaEstablished(facts(TWO));
    chronicle.tell(Now::default(), established, None);
    let gone = Event::IkeSaClosed {
        ike_sa: TWO,
        connection: Some("corp".to_owned()),
        reason: CloseReason::DeletedByPeer,
    };
    chronicle.tell(Now::default(), gone, None);
    for _ in 0..1000 {
        chronicle.tell(Now::default(), begun_by_a_peer(), None);
        let wrong = CloseReason::AuthenticationFailed(AuthenticationFailure::WrongSecret);
        chronicle.tell(Now::default(), closed(wrong), None);
    }
    assert_eq!(chronicle.unlogged(), 1000 - u64::from(limits::LOG_REFUSALS));
    let entries = chronicle.entries(Some("corp"));
    assert_eq!(entries.len(), 2 + limits::JOURNAL_REFUSALS);
    assert_eq!((entries[0].kind, entries[1].reason), ("established", Some("deleted-by-peer")));
    assert_eq!(chronicle.last_failure("corp").unwrap().reason, "deleted-by-peer");
    let refusal = chronicle.last_refusal("corp").unwrap();
    assert_eq!((refusal.reason, refusal.is_of_stranger), (Some("wrong-psk"), true));
    assert!(refusal.text.ends_with("does not match: from 192.0.2.2:4500"), "{}", refusal.text);
    assert!(chronicle.entries(Some(STRANGERS)).contains(refusal));
}

#[test]
fn where_a_stranger_was_is_told_before_what_it_says_of_itself() {
    let (mut chronicle, _reader) = chronicle();
    chronicle.tell(Now::default(), begun_by_a_peer(), None);
    chronicle.tell(Now::default(), closed(unexpected("x".repeat(1 << 16))), None);
    let text = &chronicle.last_refusal("corp").unwrap().text;
    assert!(text.contains(": from 192.0.2.2:4500, it says it is xxx"), "{text}");
}

#[test]
fn who_has_proved_who_he_is_is_no_stranger_even_if_he_is_not_let_in() {
    let (mut chronicle, _reader) = chronicle();
    chronicle.tell(Now::default(), begun_by_a_peer(), None);
    chronicle.tell(Now::default(), decided("native"), None);
    chronicle.tell(Now::default(), closed(CloseReason::RefusedByPolicy("not today".to_owned())), None);
    assert_eq!(chronicle.last_failure("corp").unwrap().reason, "refused-by-policy");
    assert_eq!(chronicle.last_refusal("corp"), None);
    let entries = chronicle.entries(Some("corp"));
    assert!(entries.len() == 2 && entries.iter().all(|entry| !entry.is_of_stranger));
}

#[test]
fn a_move_is_a_sentence_and_numbers_and_so_is_what_keeps_from_one() {
    let (mut chronicle, _reader) = chronicle();
    chronicle.tell(Now::default(), Event::IkeSaEstablished(facts(ONE)), None);
    let (from, to) = (path(), Path { local: SocketAddr::from(([192, 0, 2, 9], 4500)), ..path() });
    let why = "the path in use went away; wwan0, since eth0 failed".to_owned();
    let gap = Duration::from_micros(34_200);
    let moved = Event::Moved { ike_sa: ONE, from, path: to, why: why.clone(), gap, octets: 312 };
    chronicle.tell(Now::default(), moved, None);
    let hindrance = Hindrance::Settling(Duration::from_millis(2400));
    let why_not = "eth0 instead of wwan0, which costs money".to_owned();
    chronicle.tell(
        Now::default(),
        Event::NotMoved { ike_sa: ONE, path: from, hindrance, why: why_not },
        None,
    );
    let entries = chronicle.entries(Some("corp"));
    let [_, moved, not] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(
        moved.text,
        "ike-1 moved from 192.0.2.1:4500 - 192.0.2.2:4500 to 192.0.2.9:4500 - 192.0.2.2:4500 after 34 ms of silence, \
         312 octets of IKE: the path in use went away; wwan0, since eth0 failed"
    );
    assert_eq!(moved.moved, Some(Move { from, to, why, gap, octets: 312 }));
    assert_eq!(
        not.text,
        "ike-1 stays on its path: a better path has to last 2.4 s more before it is taken: 192.0.2.1:4500 - \
         192.0.2.2:4500 (eth0 instead of wwan0, which costs money)"
    );
    assert_eq!((not.kind, not.reason), ("not_moved", Some("path-settling")));
}
