//! The same policy native and in its box answers alike.

use vpnhost_plugin_lab::questions::Random;
use vpnhost_policy::{Policy, Question, QuestionKind};
use vpnhost_policy_standard::Standard;

use crate::load;

/// Of each kind; ten thousand and more in all.
const QUESTIONS: u64 = 1_200;

#[test]
fn the_standard_policy_and_its_component_answer_ten_thousand_questions_alike() {
    let boxed = load("standard", &[]).unwrap();
    for kind in QuestionKind::ALL {
        for seed in 0..QUESTIONS {
            let question = Random::new(seed).question(kind);
            let native = question.put_to(&Standard).expect("the standard policy never abstains");
            assert!(question.admits(&native), "{kind}, seed {seed}: off the menu: {native:?}");
            assert_eq!(boxed.consult(&question), Ok(Some(native)), "{kind}, seed {seed}: {question:?}");
        }
    }
    assert_eq!(boxed.usage().answers, QUESTIONS * QuestionKind::ALL.len() as u64);
    assert_eq!(boxed.usage().restarts, 0);
}

#[test]
fn random_questions_differ_and_cover_answers_that_differ() {
    let orders: std::collections::BTreeSet<_> = (0..QUESTIONS)
        .map(|seed| {
            let question = Random::new(seed).question(QuestionKind::RankPaths);
            let Question::RankPaths(menu) = question else { panic!("{question:?}") };
            Standard.rank_paths(&menu).unwrap().order
        })
        .collect();
    assert!(orders.len() > 500, "only {} orders", orders.len());
}
