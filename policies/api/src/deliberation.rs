//! One question on its way through a chain of policies.
//!
//! A value that is fed one reply after the other, so that a chain may run at once ([`crate::Chain`])
//! or hop from one plugin's thread to the next.

use std::net::IpAddr;
use std::time::Duration;

use crate::{
    Advertisement, Answer, Assignment, Attribute, Authorization, ImportCall, Narrowing, OnFailure, Policy,
    Question, Ranking, RecordedReply, Sha256, advertise_addresses, assign_addresses, limits,
    narrow_selectors, rank_proposals,
};

/// A question, what was said to it so far, and the menu that is left.
#[derive(Clone, Debug)]
pub struct Deliberation {
    /// What the next policy is asked.
    question: Question,
    /// For rank_proposals, assign_addresses and advertise_addresses: where each suite, pool or address that is left stood on the first menu.
    origin: Vec<u32>,
    answer: Option<Answer>,
    decided_by: Option<String>,
    trace: Vec<Step>,
    settled: bool,
}

impl Deliberation {
    /// Begins with a question and its full menu.
    pub fn new(question: Question) -> Self {
        let origin = match &question {
            Question::RankProposals(menu) => (0u32..).take(menu.suites.len()).collect(),
            Question::AssignAddresses(menu) => (0u32..).take(menu.pools.len()).collect(),
            Question::AdvertiseAddresses(menu) => (0u32..).take(menu.addresses.len()).collect(),
            Question::AuthorizePeer(_)
            | Question::NarrowSelectors(_)
            | Question::RankPaths(_)
            | Question::PlanMaintenance(_)
            | Question::ChooseCredential(_)
            | Question::PlanLifetimes(_) => Vec::new(),
        };
        Self { question, origin, answer: None, decided_by: None, trace: Vec::new(), settled: false }
    }

    /// Returns what the next policy is to be asked, or `None` once its word would change nothing.
    pub fn question(&self) -> Option<&Question> {
        (!self.settled).then_some(&self.question)
    }

    /// Takes a policy's reply to [`Self::question`].
    pub fn hear(&mut self, from: &dyn Policy, heard: impl Into<RecordedReply>, elapsed: Option<Duration>) {
        let RecordedReply { reply, imports, component } = heard.into();
        let (policy, on_failure) = (from.name(), from.on_failure());
        let asked = self.is_restricted().then(|| Box::new(self.question.clone()));
        let said = reply.as_ref().ok().and_then(Option::clone);
        let outcome = match reply {
            Ok(None) => Outcome::Abstained,
            Ok(Some(answer)) if self.question.admits(&answer) => {
                self.take(policy, answer);
                Outcome::Answered
            }
            Ok(Some(_)) => {
                self.fail(policy, on_failure, "answered off the menu");
                Outcome::OffTheMenu
            }
            Err(failure) => {
                let text = failure.to_string();
                self.fail(policy, on_failure, &text);
                Outcome::Failed(text)
            }
        };
        self.trace.push(Step {
            policy: policy.to_owned(),
            sha256: component.or_else(|| from.sha256()),
            configured: from.configured(),
            on_failure,
            asked,
            outcome,
            answer: said,
            elapsed,
            imports,
        });
    }

    /// Tells whether the menu may be another than the first: all are asked the same about permission, and other
    /// questions that are still open after an answer are those whose answers are the next one's menu.
    fn is_restricted(&self) -> bool {
        let is_answered = |step: &Step| step.outcome == Outcome::Answered;
        !self.question.kind().fails_closed() && self.trace.iter().any(is_answered)
    }

    /// Ends, whoever has been asked.
    pub fn conclude(self) -> Decision {
        Decision { answer: self.answer, decided_by: self.decided_by, trace: self.trace }
    }

    /// Permission is the exception: who fails to answer it has refused, unless told otherwise.
    fn fail(&mut self, policy: &str, on_failure: OnFailure, how: &str) {
        if self.question.kind().fails_closed() && on_failure == OnFailure::Deny {
            let refusal = Authorization::refuse(format!("{policy} {how}"));
            self.take(policy, Answer::AuthorizePeer(refusal));
        }
    }

    fn take(&mut self, policy: &str, answer: Answer) {
        match answer {
            Answer::RankProposals(ranking) => self.take_proposals(policy, ranking),
            Answer::AuthorizePeer(authorization) => self.take_authorization(policy, authorization),
            Answer::NarrowSelectors(narrowing) => self.take_narrowing(policy, narrowing),
            Answer::AssignAddresses(assignment) => self.take_assignment(policy, assignment),
            Answer::AdvertiseAddresses(advertisement) => self.take_advertisement(policy, advertisement),
            answer @ (Answer::RankPaths(_)
            | Answer::PlanMaintenance(_)
            | Answer::ChooseCredential(_)
            | Answer::PlanLifetimes(_)) => {
                self.answer = Some(answer);
                self.decided_by = Some(policy.to_owned());
                self.settled = true;
            }
        }
    }

    /// The answer becomes the next policy's menu: no policy undoes another's refusal.
    fn take_proposals(&mut self, policy: &str, ranking: Ranking) {
        let Question::RankProposals(menu) = &self.question else { return };
        let unchanged = ranking == Ranking { why: ranking.why.clone(), ..Ranking::of(0..menu.suites.len()) };
        let restricted = rank_proposals::restrict(menu, &ranking);
        self.origin = ranking.pick(&self.origin).into_iter().copied().collect();
        let why = self.credit(policy, unchanged, ranking.why);
        self.settled = self.origin.is_empty();
        self.answer = Some(Answer::RankProposals(Ranking { order: self.origin.clone(), why }));
        self.question = Question::RankProposals(restricted);
    }

    fn take_narrowing(&mut self, policy: &str, narrowing: Narrowing) {
        let Question::NarrowSelectors(menu) = &self.question else { return };
        let unchanged = narrowing.local == menu.local && narrowing.remote == menu.remote;
        let restricted = narrow_selectors::restrict(menu, &narrowing);
        self.settled = narrowing.is_unacceptable();
        let why = self.credit(policy, unchanged, narrowing.why.clone());
        self.answer = Some(Answer::NarrowSelectors(Narrowing { why, ..narrowing }));
        self.question = Question::NarrowSelectors(restricted);
    }

    fn take_assignment(&mut self, policy: &str, assignment: Assignment) {
        let Question::AssignAddresses(menu) = &self.question else { return };
        let same = Assignment { why: assignment.why.clone(), ..Assignment::of(0..menu.pools.len()) };
        let unchanged = assignment == same;
        let restricted = assign_addresses::restrict(menu, &assignment);
        self.origin = assignment.pick(&self.origin).into_iter().copied().collect();
        // Who says nothing of DNS servers leaves them to whoever did.
        let before = match &self.answer {
            Some(Answer::AssignAddresses(Assignment { dns: Some(dns), .. })) => {
                let left = |server: &&IpAddr| restricted.pools.iter().any(|pool| pool.dns.contains(server));
                Some(dns.iter().filter(left).copied().collect())
            }
            _ => None,
        };
        let dns = assignment.dns.or(before);
        let why = self.credit(policy, unchanged, assignment.why);
        self.settled = self.origin.is_empty();
        self.answer = Some(Answer::AssignAddresses(Assignment { order: self.origin.clone(), dns, why }));
        self.question = Question::AssignAddresses(restricted);
    }

    /// Who would tell the peer nothing may yet be followed by one who is more careful.
    fn take_advertisement(&mut self, policy: &str, advertisement: Advertisement) {
        let Question::AdvertiseAddresses(menu) = &self.question else { return };
        let same = Advertisement::of(0..menu.addresses.len(), menu.return_routability);
        let unchanged = advertisement == Advertisement { why: advertisement.why.clone(), ..same };
        let restricted = advertise_addresses::restrict(menu, &advertisement);
        self.origin = advertisement.pick(&self.origin).into_iter().copied().collect();
        let why = self.credit(policy, unchanged, advertisement.why.clone());
        let order = self.origin.clone();
        self.answer = Some(Answer::AdvertiseAddresses(Advertisement { order, why, ..advertisement }));
        self.question = Question::AdvertiseAddresses(restricted);
    }

    /// Every policy is asked, for the trace's sake too; the first refusal stands.
    fn take_authorization(&mut self, policy: &str, authorization: Authorization) {
        let before = match self.answer.take() {
            Some(Answer::AuthorizePeer(before)) => Some(before),
            _ => None,
        };
        let (after, decides) = match (before, authorization) {
            (Some(refusal @ Authorization::Refuse { .. }), _) => (refusal, false),
            (_, refusal @ Authorization::Refuse { .. }) => (refusal, true),
            (None, allowance @ Authorization::Allow { .. }) => (allowance, true),
            (Some(Authorization::Allow { labels: first }), Authorization::Allow { labels }) => {
                (Authorization::Allow { labels: joined(first, labels) }, false)
            }
        };
        self.answer = Some(Answer::AuthorizePeer(after));
        if decides {
            self.decided_by = Some(policy.to_owned());
        }
    }

    /// Names who decided: the last that changed something, else the first that answered. Returns
    /// the reason that stands.
    fn credit(&mut self, policy: &str, unchanged: bool, why: Option<String>) -> Option<String> {
        if unchanged && self.decided_by.is_some() {
            return self.answer.as_ref().and_then(Answer::why).map(str::to_owned);
        }
        self.decided_by = Some(policy.to_owned());
        why
    }
}

/// What a chain came to, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The answer, on the menu of the question that was asked; `None` if all abstained.
    pub answer: Option<Answer>,
    /// Whose answer it is.
    pub decided_by: Option<String>,
    /// What each policy made of the question, in order.
    pub trace: Vec<Step>,
}

/// One policy's part in a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The policy's name.
    pub policy: String,
    /// The digest of the component that it is, where it is one.
    pub sha256: Option<Sha256>,
    /// The digest of how it is configured: [`Policy::configured`].
    pub configured: Option<Sha256>,
    /// What counts where it fails to answer `authorize_peer`.
    pub on_failure: OnFailure,
    /// What it was asked, where others had restricted the menu before it.
    pub asked: Option<Box<Question>>,
    /// What it made of the question.
    pub outcome: Outcome,
    /// What it answered, on the menu or off it, in the indices of its own menu.
    pub answer: Option<Answer>,
    /// How long it took, where a clock was at hand.
    pub elapsed: Option<Duration>,
    /// What its imports told it, in order: the question and these make the call anew.
    pub imports: Vec<ImportCall>,
}

impl Step {
    /// Returns the reason that it gave.
    pub fn why(&self) -> Option<&str> {
        self.answer.as_ref().and_then(Answer::why)
    }
}

/// What a policy made of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Answered,
    /// It left the question to the others.
    Abstained,
    /// Its answer was not on the menu.
    OffTheMenu,
    /// It failed; the text says how.
    Failed(String),
}

fn joined(mut first: Vec<Attribute>, second: Vec<Attribute>) -> Vec<Attribute> {
    for label in second {
        if first.len() < limits::LABELS && !first.contains(&label) {
            first.push(label);
        }
    }
    first
}
