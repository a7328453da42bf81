//! What stands in the end: a chain's answer, or the native policy's.

use crate::{Answer, Authorization, Policy, Question};

/// What stands in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The answer; none where the native policy, too, has none.
    pub answer: Option<Answer>,
    /// Why it is the native policy's; none where it is the chain's.
    pub native: Option<NativePart>,
}

/// Why the native policy's answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativePart {
    /// Nobody of the chain answered.
    Alone,
    /// The chain gave permission, which needs the native policy's too, and that refused.
    Refused,
}

impl NativePart {
    /// Returns the reason as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alone => "nobody-answered",
            Self::Refused => "refused",
        }
    }

    /// Returns the reason of a word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Alone, Self::Refused].into_iter().find(|part| part.name() == name)
    }
}

/// Decides between a chain and the native policy. An answer off the menu counts as none; permission needs both.
pub fn settle(native: &dyn Policy, question: &Question, answer: Option<Answer>) -> Settlement {
    let natively = || question.put_to(native).filter(|answer| question.admits(answer));
    let allows =
        |answer: &Option<Answer>| matches!(answer, Some(Answer::AuthorizePeer(Authorization::Allow { .. })));
    let answer = answer.filter(|answer| question.admits(answer));
    if answer.is_none() {
        return Settlement { answer: natively(), native: Some(NativePart::Alone) };
    }
    if allows(&answer) {
        let own = natively();
        if !allows(&own) {
            return Settlement { answer: own, native: Some(NativePart::Refused) };
        }
    }
    Settlement { answer, native: None }
}
