//! What a record holds comes back out of it.

use std::sync::Arc;
use std::time::Duration;

use vpnhost_policy::{
    Answer, Attribute, Authorization, Chain, CredentialChoice, Failure, ImportCall, ImportValue, NativePart,
    PathRanking, Policy, Question, QuestionKind, RecordedReply, Sha256, settle,
};
use vpnhost_policy_standard::Standard;
use vpnhost_record::{Entry, Scribe, Verifier, answer, question, read_answer, read_question};

use crate::questions::{Random, Shape};

/// Of each kind and shape.
const SEEDS: u64 = 100;

fn all() -> impl Iterator<Item = (QuestionKind, Shape, u64)> {
    let shapes = Shape::ALL.into_iter().chain([Shape::Plain, Shape::Whole]);
    let of = |shape| {
        QuestionKind::ALL.into_iter().flat_map(move |kind| (0..SEEDS).map(move |seed| (kind, shape, seed)))
    };
    shapes.flat_map(of)
}

#[test]
fn every_question_and_every_answer_comes_back_as_it_was() {
    for (kind, shape, seed) in all() {
        let asked = Random::shaped(seed, shape).question(kind);
        let written = question(&asked).to_string();
        let read = read_question(kind, &serde_json::from_str(&written).unwrap());
        assert_eq!(read, Ok(asked.clone()), "{kind}, {}, {seed}", shape.name());
        // Empty menus of certificates are never asked about; everything else the built-in policy answers.
        if let Some(said) = asked.put_to(&Standard) {
            let written = answer(&said).to_string();
            assert_eq!(read_answer(kind, &serde_json::from_str(&written).unwrap()), Ok(said));
        }
    }
}

#[test]
fn answers_that_the_built_in_policy_never_gives_come_back_too() {
    let labels =
        vec![Attribute::new("group", "a"), Attribute::new("group", "b"), Attribute::new("group", "a")];
    for said in [
        Answer::AuthorizePeer(Authorization::Allow { labels }),
        Answer::AuthorizePeer(Authorization::refuse("at night \"ä\"\n")),
        Answer::RankPaths(PathRanking::of([7, 7]).settling(u32::MAX).because("")),
        Answer::ChooseCredential(CredentialChoice { index: u32::MAX, why: None }),
    ] {
        assert_eq!(read_answer(said.kind(), &answer(&said)), Ok(said));
    }
}

/// Says, of three things in turn, one.
struct Moody(&'static str, Option<Sha256>);

impl Policy for Moody {
    fn name(&self) -> &str {
        self.0
    }

    fn consult_on_record(&self, question: &Question) -> RecordedReply {
        let length = question.connection().len() + self.0.len();
        let reply = match length % 4 {
            0 => Err(Failure::Trap("told to".to_owned())),
            1 => Ok(None),
            // Not of this kind, mostly: off the menu.
            2 => Ok(question.put_to(&Backwards).or_else(|| question.put_to(&Standard))),
            _ => Ok(question.put_to(&Standard)),
        };
        let call = |import, argument: &str, value| ImportCall {
            import,
            arguments: vec![argument.to_owned()],
            value,
            table: self.1,
        };
        let imports = vec![
            call("kv.get", "a", ImportValue::Octets(b"text".to_vec())),
            call("kv.get", "b", ImportValue::Octets(vec![0xff, 0])),
            call("kv.get", "c", ImportValue::Nothing),
            call("kv.keys", "", ImportValue::Texts(vec!["a".to_owned(), String::new()])),
            call("kv.set", "d", ImportValue::Done),
            call("kv.set", "e", ImportValue::Refused("full".to_owned())),
            call("data.get", "f", ImportValue::Text("done".to_owned())),
        ];
        RecordedReply { reply, imports, component: None }
    }

    fn sha256(&self) -> Option<Sha256> {
        self.1
    }

    fn configured(&self) -> Option<Sha256> {
        self.1
    }
}

/// Turns what can be turned.
struct Backwards;

impl Policy for Backwards {
    fn name(&self) -> &str {
        "backwards"
    }

    fn rank_paths(&self, menu: &vpnhost_policy::PathMenu) -> Option<PathRanking> {
        Some(PathRanking::of((0..=menu.paths.len()).rev()))
    }

    fn rank_proposals(&self, menu: &vpnhost_policy::ProposalMenu) -> Option<vpnhost_policy::Ranking> {
        Some(vpnhost_policy::Ranking::of((0..menu.suites.len().div_ceil(2)).rev()).because("half"))
    }
}

fn chain() -> Chain {
    let digest = Some(Sha256([0xab; 32]));
    let names = ["one", "two!", "three"];
    Chain::new(names.map(|name| Arc::new(Moody(name, digest)) as Arc<dyn Policy>).to_vec())
        .with_clock(|| Duration::from_micros(7))
}

#[test]
fn decisions_come_back_with_every_menu_answer_and_import_and_their_lines_follow_each_other() {
    let (chain, mut scribe, mut verifier) = (chain(), Scribe::default(), Verifier::default());
    let (mut restricted, mut outcomes) = (0, std::collections::BTreeSet::new());
    for (kind, shape, seed) in all().filter(|(_, shape, _)| *shape == Shape::Usual) {
        let asked = Random::shaped(seed, shape).question(kind);
        let decision = chain.decide(&asked);
        restricted += decision.trace.iter().filter(|step| step.asked.is_some()).count();
        outcomes.extend(
            decision
                .trace
                .iter()
                .map(|step| std::mem::discriminant(&step.outcome))
                .map(|it| format!("{it:?}")),
        );
        let entry =
            Entry { lost: seed, ..Entry::new(Duration::from_millis(seed), asked, decision, &Standard) };
        let line = scribe.line(entry.write());
        let line = line.trim_end();
        verifier.take(line.as_bytes()).unwrap();
        assert_eq!(Entry::read(&serde_json::from_str(line).unwrap()), Ok(entry), "{kind}, {seed}");
    }
    assert!(restricted > 50, "{restricted} menus that others had restricted");
    assert_eq!(outcomes.len(), 4, "answers, abstentions, failures, and answers off the menu");
}

#[test]
fn who_decided_is_named_and_so_is_why_it_was_the_native_policy() {
    let silent = Chain::new(Vec::new());
    let asked = Random::new(1).question(QuestionKind::RankPaths);
    let written = Entry::new(Duration::ZERO, asked.clone(), silent.decide(&asked), &Standard).write();
    assert_eq!((&written["by"], &written["native"]), (&"native".into(), &"nobody-answered".into()));
    assert_eq!(written["answer"], answer(&asked.put_to(&Standard).unwrap()));

    struct Allows;
    impl Policy for Allows {
        fn name(&self) -> &str {
            "allows"
        }

        fn consult(&self, _: &Question) -> vpnhost_policy::Reply {
            Ok(Some(Answer::AuthorizePeer(Authorization::allow())))
        }
    }
    struct Refuses;
    impl Policy for Refuses {
        fn name(&self) -> &str {
            "refuses"
        }

        fn authorize_peer(&self, _: &vpnhost_policy::PeerClaim) -> Option<Authorization> {
            Some(Authorization::refuse("never"))
        }
    }
    let claim = Random::new(1).question(QuestionKind::AuthorizePeer);
    let decision = Chain::new(vec![Arc::new(Allows)]).decide(&claim);
    let entry = Entry::new(Duration::ZERO, claim.clone(), decision.clone(), &Refuses);
    let written = entry.write();
    assert_eq!((&written["by"], &written["native"]), (&"native".into(), &"refused".into()));
    assert_eq!(
        (&written["answer"]["refuse"], &written["plugins"]["by"]),
        (&"never".into(), &"allows".into())
    );
    assert_eq!(Entry::read(&written.into()), Ok(entry));
    let both = settle(&Standard, &claim, decision.answer);
    assert_eq!(both.native, None);
    assert_eq!(settle(&Refuses, &claim, None).native, Some(NativePart::Alone));
}

#[test]
fn what_an_earlier_host_did_not_know_is_empty_and_what_this_one_does_not_know_is_told() {
    let asked = Random::new(5).question(QuestionKind::RankPaths);
    let mut written = question(&asked);
    written.as_object_mut().unwrap().remove("hints");
    assert!(read_question(QuestionKind::RankPaths, &written).is_ok());
    written["paths"] = serde_json::json!([{}]);
    let wrong = read_question(QuestionKind::RankPaths, &written).unwrap_err().to_string();
    assert_eq!(wrong, "`paths[0]` lacks `local`");
    written["paths"] = serde_json::json!([]);
    written["colour"] = "red".into();
    let wrong = read_question(QuestionKind::RankPaths, &written).unwrap_err().to_string();
    assert!(wrong.starts_with("has `colour`, which is not known here"), "{wrong}");
    for (kind, value, told) in [
        (
            QuestionKind::RankPaths,
            serde_json::json!({ "order": [1.5] }),
            "`order[0]` must be a whole number from 0 to 4294967295, not 1.5",
        ),
        (
            QuestionKind::AuthorizePeer,
            serde_json::json!({ "allow": [["a"]] }),
            "`allow[0]` must be a pair of texts",
        ),
        (
            QuestionKind::AuthorizePeer,
            serde_json::json!({}),
            "must be an object with either `allow` or `refuse`",
        ),
        (
            QuestionKind::ChooseCredential,
            serde_json::json!({ "index": -1 }),
            "`index` must be a whole number",
        ),
    ] {
        let wrong = read_answer(kind, &value).unwrap_err().to_string();
        assert!(wrong.starts_with(told), "{wrong}");
    }
}
