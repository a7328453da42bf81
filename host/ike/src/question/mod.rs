//! The questions that operators may take over: open ones, how the native policy answers, and one file
//! for each with its menu and what its answer means.

pub(crate) mod advertise_addresses;
pub(crate) mod assign_addresses;
pub(crate) mod authorize_peer;
pub(crate) mod choose_credential;
pub(crate) mod narrow_selectors;
pub(crate) mod plan_lifetimes;
pub(crate) mod plan_maintenance;
pub(crate) mod rank_paths;
pub(crate) mod rank_proposals;

use std::collections::BTreeMap;

use vpnhost_model::{IkeSaId, Instant};
use vpnhost_policy::{Answer, Authorization, Policy, Question};

use crate::limits;
use crate::output::QuestionId;
use crate::work::{AnsweredBy, Track};

/// What becomes of a question that is put.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The native policy answered.
    Answered(Option<Answer>),
    /// It went out; the answer comes later.
    Open(QuestionId),
}

/// The questions that went out and were not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    open: BTreeMap<QuestionId, OpenQuestion>,
    last: u64,
}

/// A question that went out.
#[derive(Debug)]
pub(crate) struct OpenQuestion {
    pub(crate) ike_sa: IkeSaId,
    pub(crate) track: Track,
    pub(crate) question: Question,
    deadline: Instant,
}

impl Questions {
    /// Returns how many questions are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Tells whether no further question goes out.
    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= limits::OPEN_QUESTIONS
    }

    /// Notes a question that goes out.
    pub(crate) fn open(
        &mut self,
        ike_sa: IkeSaId,
        track: Track,
        question: Question,
        deadline: Instant,
    ) -> QuestionId {
        self.last += 1;
        let id = QuestionId(self.last);
        self.open.insert(id, OpenQuestion { ike_sa, track, question, deadline });
        id
    }

    /// Takes a question that is answered, or whose time is over.
    pub(crate) fn close(&mut self, id: QuestionId) -> Option<OpenQuestion> {
        self.open.remove(&id)
    }

    /// Returns the next deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.open.values().map(|open| open.deadline).min()
    }

    /// Returns a question whose time is over.
    pub(crate) fn overdue(&self, now: Instant) -> Option<QuestionId> {
        self.open.iter().find(|(_, open)| open.deadline <= now).map(|(&id, _)| id)
    }

    /// Forgets the questions of an IKE SA that ended.
    pub(crate) fn forget(&mut self, ike_sa: IkeSaId) {
        self.open.retain(|_, open| open.ike_sa != ike_sa);
    }
}

/// Puts a question to the native policy; an answer off the menu is none.
pub(crate) fn answer_natively(policy: &dyn Policy, question: &Question) -> Option<Answer> {
    let answer = question.put_to(policy).filter(|answer| question.admits(answer));
    if answer.is_none() {
        tracing::warn!(question = %question.kind(), "the native policy did not answer");
    }
    answer
}

/// Decides between what came from outside and the native policy.
///
/// Off the menu counts as silence. What silence means depends: the native policy answers, except
/// for a question that fails closed, where silence until the deadline refuses. Permission needs
/// the native policy's too.
pub(crate) fn settle(
    policy: &dyn Policy,
    question: &Question,
    answer: Option<Answer>,
    overdue: bool,
) -> (Option<Answer>, AnsweredBy) {
    let answer = answer.filter(|answer| question.admits(answer));
    if answer.is_none() && overdue && question.kind().fails_closed() {
        let refusal = Authorization::refuse("no answer in time");
        return (Some(Answer::AuthorizePeer(refusal)), AnsweredBy::Native);
    }
    let settlement = vpnhost_policy::settle(policy, question, answer);
    if settlement.answer.is_none() {
        tracing::warn!(question = %question.kind(), "the native policy did not answer");
    }
    let by = if settlement.native.is_some() { AnsweredBy::Native } else { AnsweredBy::Plugins };
    (settlement.answer, by)
}
