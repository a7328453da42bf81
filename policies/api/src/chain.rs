//! Policies in the order in which they are asked.
//!
//! For `rank_paths`, `plan_maintenance`, `plan_lifetimes` and `choose_credential` the first answer counts. For
//! `rank_proposals`, `narrow_selectors`, `assign_addresses` and `advertise_addresses` each answer is the next policy's menu.
//! For `authorize_peer` all are asked, and any refusal refuses. An answer off the menu is an abstention, as a failure is; for
//! `authorize_peer` both count by the policy's [`crate::OnFailure`].

use std::sync::Arc;
use std::time::Duration;

use crate::{
    AddressMenu, Advertisement, AdvertisementMenu, Answer, Assignment, Authorization, CredentialChoice,
    CredentialMenu, Decision, Deliberation, LifetimeMenu, Lifetimes, MaintenancePlan, Narrowing, PathMenu,
    PathRanking, PeerClaim, Policy, ProposalMenu, Question, QuestionSet, Ranking, Reply, SelectorMenu,
    Situation,
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
            let heard = policy.consult_on_record(question);
            let elapsed = self.clock.zip(start).map(|(clock, start)| clock().saturating_sub(start));
            deliberation.hear(&**policy, heard, elapsed);
        }
        deliberation.conclude()
    }
}

/// A chain is a policy too, so that it can stand wherever one is wanted.
impl Policy for Chain {
    fn name(&self) -> &str {
        "chain"
    }

    fn questions(&self) -> QuestionSet {
        self.policies.iter().fold(QuestionSet::EMPTY, |all, policy| all.union(policy.questions()))
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

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
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

    fn assign_addresses(&self, menu: &AddressMenu) -> Option<Assignment> {
        match self.decide(&Question::AssignAddresses(menu.clone())).answer {
            Some(Answer::AssignAddresses(assignment)) => Some(assignment),
            _ => None,
        }
    }

    fn choose_credential(&self, menu: &CredentialMenu) -> Option<CredentialChoice> {
        match self.decide(&Question::ChooseCredential(menu.clone())).answer {
            Some(Answer::ChooseCredential(choice)) => Some(choice),
            _ => None,
        }
    }

    fn advertise_addresses(&self, menu: &AdvertisementMenu) -> Option<Advertisement> {
        match self.decide(&Question::AdvertiseAddresses(menu.clone())).answer {
            Some(Answer::AdvertiseAddresses(advertisement)) => Some(advertisement),
            _ => None,
        }
    }

    fn plan_lifetimes(&self, menu: &LifetimeMenu) -> Option<Lifetimes> {
        match self.decide(&Question::PlanLifetimes(menu.clone())).answer {
            Some(Answer::PlanLifetimes(lifetimes)) => Some(lifetimes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use vpnhost_model::{Identity, Protocol, Role};

    use super::*;
    use crate::{
        Attribute, Failure, OfferedSuite, OnFailure, Outcome, PathCause, PeerHint, QuestionKind, Strength,
    };

    /// Replies to everything with one prepared reply.
    struct Says(&'static str, Reply, OnFailure);

    impl Policy for Says {
        fn name(&self) -> &str {
            self.0
        }

        fn consult(&self, _: &Question) -> Reply {
            self.1.clone()
        }

        fn on_failure(&self) -> OnFailure {
            self.2
        }
    }

    fn says(name: &'static str, answer: Answer) -> Arc<dyn Policy> {
        Arc::new(Says(name, Ok(Some(answer)), OnFailure::Deny))
    }

    fn fails(name: &'static str, on_failure: OnFailure) -> Arc<dyn Policy> {
        Arc::new(Says(name, Err(Failure::Deadline), on_failure))
    }

    fn ranks(name: &'static str, order: &[usize]) -> Arc<dyn Policy> {
        says(name, Answer::RankProposals(Ranking::of(order.iter().copied()).because(name)))
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn proposals() -> Question {
        let suite = |backend: &str| OfferedSuite {
            transforms: Vec::new(),
            strength: Strength::ACCEPTABLE,
            backend: backend.into(),
            overhead_octets: None,
            packet_ns: None,
            key_share_present: false,
            hints: Vec::new(),
        };
        Question::RankProposals(ProposalMenu {
            connection: "corp".into(),
            role: Role::Responder,
            protocol: Protocol::IKE,
            peer: PeerHint {
                remote: address(500),
                local: address(500),
                behind_nat: None,
                peer_behind_nat: None,
                hints: Vec::new(),
            },
            peer_id: None,
            labels: Vec::new(),
            suites: ["a", "b", "c"].map(suite).to_vec(),
            not_offered: Vec::new(),
            hints: Vec::new(),
        })
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
            local: address(4500),
            remote: address(4500),
            peer_behind_nat: false,
            unix_secs: 0,
            utc_offset_secs: 0,
            other_sas: 0,
            others: Vec::new(),
            initial_contact: false,
            hints: Vec::new(),
        })
    }

    fn order(decision: &Decision) -> Vec<u32> {
        match &decision.answer {
            Some(Answer::RankProposals(ranking)) => ranking.order.clone(),
            other => panic!("no ranking: {other:?}"),
        }
    }

    fn is_refused(decision: &Decision) -> bool {
        matches!(decision.answer, Some(Answer::AuthorizePeer(Authorization::Refuse { .. })))
    }

    fn allows(name: &'static str, label: &str) -> Arc<dyn Policy> {
        let labels = vec![Attribute::new("group", label)];
        says(name, Answer::AuthorizePeer(Authorization::Allow { labels }))
    }

    #[test]
    fn a_ranking_is_the_next_policys_menu_and_comes_back_in_the_first_menus_indices() {
        let chain = Chain::new(vec![ranks("drops-a", &[2, 1]), ranks("swaps", &[1, 0])]);
        let decision = chain.decide(&proposals());
        assert_eq!(order(&decision), [1, 2]);
        assert_eq!(decision.decided_by.as_deref(), Some("swaps"));
        assert!(proposals().admits(decision.answer.as_ref().unwrap()));
    }

    #[test]
    fn no_policy_brings_back_what_another_refused() {
        let chain = Chain::new(vec![ranks("drops-a", &[1, 2]), ranks("wants-all", &[0, 1, 2])]);
        let decision = chain.decide(&proposals());
        assert_eq!(order(&decision), [1, 2]);
        assert_eq!(decision.trace[1].outcome, Outcome::OffTheMenu);
    }

    #[test]
    fn a_pool_and_a_dns_server_that_one_policy_left_out_no_other_gives() {
        let pool = |last: u8| crate::PoolFacts {
            name: format!("pool-{last}"),
            base: [10, 99, last, 0].into(),
            prefix_len: 24,
            free: 254,
            leased: 0,
            remembers: false,
            dns: vec![[10, 99, last, 1].into(), [10, 99, last, 2].into()],
            hints: Vec::new(),
        };
        let question = Question::AssignAddresses(AddressMenu {
            connection: "corp".into(),
            peer_id: Identity::Fqdn("carol".into()),
            labels: Vec::new(),
            remote: address(4500),
            unix_secs: 0,
            wants_ipv4: true,
            wants_ipv6: false,
            preferred: Vec::new(),
            pools: [0, 1, 2].map(pool).to_vec(),
            hints: Vec::new(),
        });
        let assigns = |name, assignment| says(name, Answer::AssignAddresses(assignment));
        let dns = vec![[10, 99, 2, 1].into(), [10, 99, 1, 2].into()];
        let first = assigns("first", Assignment::of([2, 1]).with_dns(dns));
        let wants_all = assigns("wants-all", Assignment::of([1]).with_dns(vec![[10, 99, 1, 1].into()]));
        let swaps = assigns("swaps", Assignment::of([1]));
        let decision = Chain::new(vec![first, wants_all, swaps]).decide(&question);
        let left = Assignment::of([1]).with_dns(vec![[10, 99, 1, 2].into()]);
        assert_eq!(decision.answer, Some(Answer::AssignAddresses(left)));
        assert_eq!(decision.trace[1].outcome, Outcome::OffTheMenu);
        assert!(question.admits(decision.answer.as_ref().unwrap()));
    }

    #[test]
    fn who_changes_nothing_is_not_named_as_the_one_who_decided() {
        let chain = Chain::new(vec![ranks("turns", &[2, 1, 0]), ranks("keeps", &[0, 1, 2])]);
        let decision = chain.decide(&proposals());
        assert_eq!(decision.decided_by.as_deref(), Some("turns"));
        assert_eq!(decision.answer.as_ref().unwrap().why(), Some("turns"));
    }

    #[test]
    fn nothing_left_to_rank_ends_the_questions() {
        let chain = Chain::new(vec![ranks("refuses", &[]), ranks("late", &[0])]);
        let decision = chain.decide(&proposals());
        assert!(order(&decision).is_empty());
        assert_eq!(decision.trace.len(), 1);
    }

    #[test]
    fn one_refusal_refuses_wherever_it_stands() {
        let refuses = says("guard", Answer::AuthorizePeer(Authorization::refuse("at night")));
        for chain in [
            Chain::new(vec![refuses.clone(), allows("standard", "a")]),
            Chain::new(vec![allows("standard", "a"), refuses]),
        ] {
            let decision = chain.decide(&claim());
            assert!(is_refused(&decision));
            assert_eq!(decision.decided_by.as_deref(), Some("guard"));
            assert_eq!(decision.trace.len(), 2);
        }
    }

    #[test]
    fn who_fails_to_authorize_has_refused_unless_told_otherwise() {
        let deny = Chain::new(vec![fails("guard", OnFailure::Deny), allows("standard", "a")]);
        let decision = deny.decide(&claim());
        assert!(is_refused(&decision));
        assert_eq!(decision.answer.unwrap().why(), Some("guard ran out of time"));
        let native = Chain::new(vec![fails("guard", OnFailure::Native), allows("standard", "a")]);
        assert!(!is_refused(&native.decide(&claim())));
    }

    #[test]
    fn too_many_labels_refuse_like_a_failure() {
        let labels = vec![Attribute::new("k", "v"); crate::limits::LABELS + 1];
        let chatty = says("chatty", Answer::AuthorizePeer(Authorization::Allow { labels }));
        assert!(is_refused(&Chain::new(vec![chatty, allows("standard", "a")]).decide(&claim())));
    }

    #[test]
    fn labels_of_all_who_allow_are_joined() {
        let chain = Chain::new(vec![allows("one", "a"), allows("two", "b"), allows("three", "a")]);
        let labels = vec![Attribute::new("group", "a"), Attribute::new("group", "b")];
        let decision = chain.decide(&claim());
        assert_eq!(decision.answer, Some(Answer::AuthorizePeer(Authorization::Allow { labels })));
    }

    #[test]
    fn a_failure_elsewhere_is_an_abstention_that_the_trace_tells() {
        let question = Question::RankPaths(PathMenu {
            connection: "corp".into(),
            cause: PathCause::ADDED,
            role: Role::Initiator,
            peer_id: Identity::Fqdn("moon".into()),
            labels: Vec::new(),
            unix_secs: 0,
            current: None,
            paths: Vec::new(),
            since_move_ms: None,
            moves: 0,
            power: crate::Power::UNKNOWN,
            hints: Vec::new(),
        });
        let answer = Answer::RankPaths(PathRanking::of([]));
        let wrong = says("wrong-kind", Answer::RankProposals(Ranking::of([])));
        let chain = Chain::new(vec![fails("slow", OnFailure::Deny), wrong, says("native", answer.clone())]);
        let decision = chain.decide(&question);
        assert_eq!(decision.answer, Some(answer));
        let outcomes: Vec<_> = decision.trace.into_iter().map(|step| step.outcome).collect();
        let failed = Outcome::Failed("ran out of time".into());
        assert_eq!(outcomes, [failed, Outcome::OffTheMenu, Outcome::Answered]);
    }

    #[test]
    fn a_chain_answers_what_any_of_its_policies_may_answer() {
        struct Only(QuestionKind);
        impl Policy for Only {
            fn name(&self) -> &str {
                "only"
            }

            fn questions(&self) -> QuestionSet {
                [self.0].into_iter().collect()
            }
        }
        let chain = Chain::new(vec![
            Arc::new(Only(QuestionKind::RankPaths)),
            Arc::new(Only(QuestionKind::AuthorizePeer)),
        ]);
        let expected = [QuestionKind::AuthorizePeer, QuestionKind::RankPaths];
        assert_eq!(chain.questions().iter().collect::<Vec<_>>(), expected);
        assert!(QuestionKind::ALL.into_iter().all(|kind| QuestionSet::ALL.contains(kind)));
    }

    #[test]
    fn all_abstaining_is_no_answer() {
        let silent: Arc<dyn Policy> = Arc::new(Says("silent", Ok(None), OnFailure::Deny));
        let decision = Chain::new(vec![silent]).decide(&claim());
        assert_eq!(decision.answer, None);
        assert_eq!(decision.decided_by, None);
    }
}
