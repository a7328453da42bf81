//! A decision of the log as a sentence: what was decided, by whom, and what the others made of the question.

use vpnhost_driver::legible;
use vpnhost_policy::{Answer, Authorization, Outcome, Question, Step};
use vpnhost_record::Entry;

use crate::text::moment;

/// Returns the sentence. What peers and plugins wrote is made legible.
pub(crate) fn of(entry: &Entry) -> String {
    let Entry { question, decision, settlement, .. } = entry;
    let by = match (settlement.native, &decision.decided_by) {
        (Some(part), _) => format!("the built-in policy ({})", part.name()),
        (None, Some(name)) => {
            let step = decision.trace.iter().rev().find(|step| step.policy == *name);
            match step.and_then(|step| step.sha256) {
                Some(sha256) => format!("{name} (sha256 {})", sha256.short()),
                None => name.clone(),
            }
        }
        (None, None) => "nobody".to_owned(),
    };
    let answer = settlement.answer.as_ref();
    let decided = answer.map_or_else(|| "no answer".to_owned(), |answer| substance(question, answer));
    let why = match answer {
        // A refusal's reason is its substance.
        Some(Answer::AuthorizePeer(_)) | None => None,
        Some(answer) => answer.why(),
    };
    let why = why.map_or_else(String::new, |why| format!(", because: {why}"));
    let others: Vec<String> = decision
        .trace
        .iter()
        .filter(|step| settlement.native.is_some() || decision.decided_by.as_ref() != Some(&step.policy))
        .map(other)
        .collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    let lost = if entry.lost == 0 { String::new() } else { format!(" [{} before it are lost]", entry.lost) };
    let sentence =
        format!("{}: {}: {by} decided: {decided}{why}{others}{lost}", question.connection(), question.kind());
    format!("{}  {}", moment(entry.unix_ms), legible(&sentence))
}

fn other(step: &Step) -> String {
    let Step { policy, outcome, .. } = step;
    match outcome {
        Outcome::Answered => format!("{policy} answered"),
        Outcome::Abstained => format!("{policy} abstained"),
        Outcome::OffTheMenu => format!("{policy} answered off the menu"),
        Outcome::Failed(how) => format!("{policy} {how}"),
    }
}

/// Says what an answer comes to, in the words of its menu.
fn substance(question: &Question, answer: &Answer) -> String {
    match (question, answer) {
        (Question::RankProposals(menu), Answer::RankProposals(ranking)) => {
            let order = ranking.order.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            format!("of {} suites these, by their places on the menu: {}", menu.suites.len(), or_none(order))
        }
        (Question::AuthorizePeer(claim), Answer::AuthorizePeer(Authorization::Allow { labels })) => {
            let labels = labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let labels = if labels.is_empty() { labels } else { format!(" as {labels}") };
            format!("{} may come in{labels}", claim.peer_id)
        }
        (Question::AuthorizePeer(claim), Answer::AuthorizePeer(Authorization::Refuse { reason })) => {
            format!("{} stays out: {reason}", claim.peer_id)
        }
        (Question::NarrowSelectors(_), Answer::NarrowSelectors(narrowing)) => {
            let side = |selectors: &[vpnhost_model::TrafficSelector]| {
                or_none(selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            };
            format!("{} to {}", side(&narrowing.local), side(&narrowing.remote))
        }
        (Question::RankPaths(menu), Answer::RankPaths(ranking)) => {
            let path =
                |it: &&vpnhost_policy::PathFacts| format!("{} {}-{}", it.interface, it.local, it.remote);
            or_none(ranking.pick(&menu.paths).iter().map(path).collect::<Vec<_>>().join(", then "))
        }
        (Question::PlanMaintenance(menu), Answer::PlanMaintenance(plan)) => {
            let written = |it| vpnhost_record::answer(&Answer::PlanMaintenance(it));
            let without_reason = |it: &vpnhost_policy::MaintenancePlan| {
                written(vpnhost_policy::MaintenancePlan { why: None, ..it.clone() })
            };
            let changes =
                vpnhost_plugin_lab::difference::between(&without_reason(&menu.native), &without_reason(plan));
            if changes.is_empty() { "as configured".to_owned() } else { changes.join(", ") }
        }
        (Question::AssignAddresses(menu), Answer::AssignAddresses(assignment)) => {
            let pools = assignment.pick(&menu.pools).iter().map(|pool| pool.name.clone()).collect::<Vec<_>>();
            format!("of the pools {}", or_none(pools.join(", ")))
        }
        (Question::ChooseCredential(menu), Answer::ChooseCredential(choice)) => {
            let place = usize::try_from(choice.index).ok();
            let chosen = place.and_then(|place| menu.credentials.get(place));
            chosen.map_or_else(|| "none".to_owned(), |it| format!("{} of {}", it.subject, it.issuer))
        }
        (Question::AdvertiseAddresses(menu), Answer::AdvertiseAddresses(advertisement)) => {
            let told = advertisement.pick(&menu.addresses).into_iter().map(|it| it.address.to_string());
            format!("the peer is told {}", or_none(told.collect::<Vec<_>>().join(", ")))
        }
        (Question::PlanLifetimes(menu), Answer::PlanLifetimes(planned)) => {
            let never = |number: u32, unit: &str| match number {
                0 => "never".to_owned(),
                number => format!("after {number} {unit}"),
            };
            let (age, amount) = (never(planned.rekey_secs, "s"), never(planned.rekey_mib, "MiB"));
            format!("{} is rekeyed {age}, by amount {amount}", menu.child)
        }
        // An answer to another question is never recorded.
        (question, _) => format!("an answer to another question than {}", question.kind()),
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use vpnhost_plugin_lab::questions::Random;
    use vpnhost_policy::{Chain, Policy, QuestionKind};
    use vpnhost_policy_standard::Standard;

    use super::*;

    struct Silent;

    impl Policy for Silent {
        fn name(&self) -> &str {
            "silent"
        }
    }

    #[test]
    fn every_kind_of_decision_is_a_sentence_that_moves_no_cursor() {
        let chain = Chain::new(vec![Arc::new(Silent)]);
        for kind in QuestionKind::ALL {
            for seed in 0..50 {
                let question = Random::new(seed).question(kind);
                let decision = chain.decide(&question);
                let sentence = of(&Entry::new(Duration::from_secs(1), question, decision, &Standard));
                let told = format!("{kind}: the built-in policy (nobody-answered) decided: ");
                assert!(sentence.contains(&told), "{sentence}");
                // Beyond a length a line is cut.
                assert!(sentence.contains("; silent abstained") || sentence.ends_with('…'), "{sentence}");
                assert!(
                    !sentence.contains("another question") && !sentence.contains(char::is_control),
                    "{sentence}"
                );
            }
        }
    }
}
