//! Policies in the order in which they are asked.
//!
//! For `rank_paths` and `plan_maintenance` the first answer counts. For `rank_proposals` and
//! `narrow_selectors` each answer is the next policy's menu. For `authorize_peer` all are asked, and
//! any refusal refuses. An answer off the menu is an abstention, as a failure is; for
//! `authorize_peer` both count by the policy's [`crate::OnFailure`].

use std::sync::Arc;
use std::time::Duration;

use crate::{
    Answer, Authorization, Decision, Deliberation, MaintenancePlan, Narrowing, PathMenu, PeerClaim, Policy,
    ProposalMenu, Question, Ranking, Reply, SelectorMenu, Situation,
};

/// A list of policies, asked one after the other in the caller's thread.
#[derive(Clone, Default)]
pub struct Chain {
    policies: Vec<Arc<dyn Policy>>,
    clock: Option<fn() -> Duration>,
}

impl Chain {
    /// Returns the chain of these policies, the first to be asked first.
    pub fn new(policies: Vec<Arc<dyn Policy>>) -> Self {
        Self { policies, clock: None }
    }

    /// Measures each policy's time with a monotonic clock of the caller's.
    pub fn with_clock(mut self, clock: fn() -> Duration) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Returns the policies in order.
    pub fn policies(&self) -> &[Arc<dyn Policy>] {
        &self.policies
    }

    /// Asks the policies until the question is decided.
    pub fn decide(&self, question: &Question) -> Decision {
        let mut deliberation = Deliberation::new(question.clone());
        for policy in &self.policies {
            let Some(question) = deliberation.question() else { break };
            let start = self.clock.map(|clock| clock());
            let reply = policy.consult(question);
            let elapsed = self.clock.zip(start).map(|(clock, start)| clock().saturating_sub(start));
            deliberation.hear(policy.name(), policy.on_failure(), reply, elapsed);
        }
        deliberation.conclude()
    }
}

/// A chain is a policy too, so that it can stand wherever one is wanted.
impl Policy for Chain {
    fn name(&self) -> &str {
        "chain"
    }

    fn consult(&self, question: &Question) -> Reply {
        Ok(self.decide(question).answer)
    }

    fn rank_proposals(&self, menu: &ProposalMenu) -> Option<Ranking> {
        match self.decide(&Question::RankProposals(menu.clone())).answer {
            Some(Answer::RankProposals(ranking)) => Some(ranking),
            _ => None,
        }
    }

    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        match self.decide(&Question::AuthorizePeer(claim.clone())).answer {
            Some(Answer::AuthorizePeer(authorization)) => Some(authorization),
            _ => None,
        }
    }

    fn narrow_selectors(&self, menu: &SelectorMenu) -> Option<Narrowing> {
        match self.decide(&Question::NarrowSelectors(menu.clone())).answer {
            Some(Answer::NarrowSelectors(narrowing)) => Some(narrowing),
            _ => None,
        }
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<Ranking> {
        match self.decide(&Question::RankPaths(menu.clone())).answer {
            Some(Answer::RankPaths(ranking)) => Some(ranking),
            _ => None,
        }
    }

    fn plan_maintenance(&self, situation: &Situation) -> Option<MaintenancePlan> {
        match self.decide(&Question::PlanMaintenance(situation.clone())).answer {
            Some(Answer::PlanMaintenance(plan)) => Some(plan),
            _ => None,
        }
    }
}
