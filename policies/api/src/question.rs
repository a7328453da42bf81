//! The questions as values: what crosses from the core to whoever decides, and back.

use std::fmt;

use crate::{
    AddressMenu, Assignment, Authorization, CredentialChoice, CredentialMenu, MaintenancePlan, Narrowing,
    PathMenu, PathRanking, PeerClaim, Policy, ProposalMenu, Ranking, SelectorMenu, Situation,
    assign_addresses, authorize_peer, choose_credential, narrow_selectors, plan_maintenance, rank_paths,
    rank_proposals,
};

/// A question with its menu.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Which suite protects the SA?
    RankProposals(ProposalMenu),
    /// May the peer come in?
    AuthorizePeer(PeerClaim),
    /// Which traffic does the Child SA carry?
    NarrowSelectors(SelectorMenu),
    /// Which way does the SA go?
    RankPaths(PathMenu),
    /// How is the SA kept alive and renewed?
    PlanMaintenance(Situation),
    /// Which addresses is the peer given?
    AssignAddresses(AddressMenu),
    /// Which certificate does this host show?
    ChooseCredential(CredentialMenu),
}

impl Question {
    /// Returns which question it is.
    pub fn kind(&self) -> QuestionKind {
        match self {
            Self::RankProposals(_) => QuestionKind::RankProposals,
            Self::AuthorizePeer(_) => QuestionKind::AuthorizePeer,
            Self::NarrowSelectors(_) => QuestionKind::NarrowSelectors,
            Self::RankPaths(_) => QuestionKind::RankPaths,
            Self::PlanMaintenance(_) => QuestionKind::PlanMaintenance,
            Self::AssignAddresses(_) => QuestionKind::AssignAddresses,
            Self::ChooseCredential(_) => QuestionKind::ChooseCredential,
        }
    }

    /// Returns the name of the connection it is about.
    pub fn connection(&self) -> &str {
        match self {
            Self::RankProposals(menu) => &menu.connection,
            Self::AuthorizePeer(claim) => &claim.connection,
            Self::NarrowSelectors(menu) => &menu.connection,
            Self::RankPaths(menu) => &menu.connection,
            Self::PlanMaintenance(situation) => &situation.connection,
            Self::AssignAddresses(menu) => &menu.connection,
            Self::ChooseCredential(menu) => &menu.connection,
        }
    }

    /// Asks a policy; `None` is an abstention. The answer is not checked: see [`Self::admits`].
    pub fn put_to<P: Policy + ?Sized>(&self, policy: &P) -> Option<Answer> {
        match self {
            Self::RankProposals(menu) => policy.rank_proposals(menu).map(Answer::RankProposals),
            Self::AuthorizePeer(claim) => policy.authorize_peer(claim).map(Answer::AuthorizePeer),
            Self::NarrowSelectors(menu) => policy.narrow_selectors(menu).map(Answer::NarrowSelectors),
            Self::RankPaths(menu) => policy.rank_paths(menu).map(Answer::RankPaths),
            Self::PlanMaintenance(situation) => {
                policy.plan_maintenance(situation).map(Answer::PlanMaintenance)
            }
            Self::AssignAddresses(menu) => policy.assign_addresses(menu).map(Answer::AssignAddresses),
            Self::ChooseCredential(menu) => policy.choose_credential(menu).map(Answer::ChooseCredential),
        }
    }

    /// Tells whether an answer is to this question and stays on its menu.
    pub fn admits(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::RankProposals(menu), Answer::RankProposals(ranking)) => {
                rank_proposals::admits(menu, ranking)
            }
            (Self::AuthorizePeer(_), Answer::AuthorizePeer(authorization)) => {
                authorize_peer::admits(authorization)
            }
            (Self::NarrowSelectors(menu), Answer::NarrowSelectors(narrowing)) => {
                narrow_selectors::admits(menu, narrowing)
            }
            (Self::RankPaths(menu), Answer::RankPaths(ranking)) => rank_paths::admits(menu, ranking),
            (Self::PlanMaintenance(situation), Answer::PlanMaintenance(plan)) => {
                plan_maintenance::admits(&situation.bounds, plan)
            }
            (Self::AssignAddresses(menu), Answer::AssignAddresses(assignment)) => {
                assign_addresses::admits(menu, assignment)
            }
            (Self::ChooseCredential(menu), Answer::ChooseCredential(choice)) => {
                choose_credential::admits(menu, choice)
            }
            (
                Self::RankProposals(_)
                | Self::AuthorizePeer(_)
                | Self::NarrowSelectors(_)
                | Self::RankPaths(_)
                | Self::PlanMaintenance(_)
                | Self::AssignAddresses(_)
                | Self::ChooseCredential(_),
                _,
            ) => false,
        }
    }
}

/// An answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The suites, best first.
    RankProposals(Ranking),
    /// In or out.
    AuthorizePeer(Authorization),
    /// The traffic that is left.
    NarrowSelectors(Narrowing),
    /// The paths, best first.
    RankPaths(PathRanking),
    /// The timers' numbers.
    PlanMaintenance(MaintenancePlan),
    /// The pools, best first, and the DNS servers.
    AssignAddresses(Assignment),
    /// The certificate.
    ChooseCredential(CredentialChoice),
}

impl Answer {
    /// Returns which question it answers.
    pub fn kind(&self) -> QuestionKind {
        match self {
            Self::RankProposals(_) => QuestionKind::RankProposals,
            Self::AuthorizePeer(_) => QuestionKind::AuthorizePeer,
            Self::NarrowSelectors(_) => QuestionKind::NarrowSelectors,
            Self::RankPaths(_) => QuestionKind::RankPaths,
            Self::PlanMaintenance(_) => QuestionKind::PlanMaintenance,
            Self::AssignAddresses(_) => QuestionKind::AssignAddresses,
            Self::ChooseCredential(_) => QuestionKind::ChooseCredential,
        }
    }

    /// Returns the reason that the answer gives.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::RankProposals(ranking) => ranking.why.as_deref(),
            Self::RankPaths(ranking) => ranking.why.as_deref(),
            Self::AuthorizePeer(Authorization::Refuse { reason }) => Some(reason),
            Self::AuthorizePeer(Authorization::Allow { .. }) => None,
            Self::NarrowSelectors(narrowing) => narrowing.why.as_deref(),
            Self::PlanMaintenance(plan) => plan.why.as_deref(),
            Self::AssignAddresses(assignment) => assignment.why.as_deref(),
            Self::ChooseCredential(choice) => choice.why.as_deref(),
        }
    }
}

/// Which question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuestionKind {
    /// [`Question::RankProposals`].
    RankProposals,
    /// [`Question::AuthorizePeer`].
    AuthorizePeer,
    /// [`Question::NarrowSelectors`].
    NarrowSelectors,
    /// [`Question::RankPaths`].
    RankPaths,
    /// [`Question::PlanMaintenance`].
    PlanMaintenance,
    /// [`Question::AssignAddresses`].
    AssignAddresses,
    /// [`Question::ChooseCredential`].
    ChooseCredential,
}

impl QuestionKind {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::RankProposals,
        Self::AuthorizePeer,
        Self::NarrowSelectors,
        Self::RankPaths,
        Self::PlanMaintenance,
        Self::AssignAddresses,
        Self::ChooseCredential,
    ];

    /// Returns the name, as WIT interfaces bear it: `rank-proposals`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RankProposals => "rank-proposals",
            Self::AuthorizePeer => "authorize-peer",
            Self::NarrowSelectors => "narrow-selectors",
            Self::RankPaths => "rank-paths",
            Self::PlanMaintenance => "plan-maintenance",
            Self::AssignAddresses => "assign-addresses",
            Self::ChooseCredential => "choose-credential",
        }
    }

    /// Returns the question of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Tells whether no answer in time is a refusal: permission is never given by silence.
    pub fn fails_closed(self) -> bool {
        self == Self::AuthorizePeer
    }
}

impl fmt::Display for QuestionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of questions: what a plugin answers, or what an endpoint delegates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QuestionSet(u8);

impl QuestionSet {
    /// No question.
    pub const EMPTY: Self = Self(0);

    /// Every question.
    pub const ALL: Self = Self(0b111_1111);

    /// Adds a question.
    pub fn insert(&mut self, kind: QuestionKind) {
        self.0 |= bit(kind);
    }

    /// Tells whether a question is in the set.
    pub fn contains(self, kind: QuestionKind) -> bool {
        self.0 & bit(kind) != 0
    }

    /// Tells whether there is none.
    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    /// Returns what is in either set.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns what is in both sets.
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Lists the questions.
    pub fn iter(self) -> impl Iterator<Item = QuestionKind> {
        QuestionKind::ALL.into_iter().filter(move |&kind| self.contains(kind))
    }
}

impl FromIterator<QuestionKind> for QuestionSet {
    fn from_iter<I: IntoIterator<Item = QuestionKind>>(kinds: I) -> Self {
        let mut set = Self::EMPTY;
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

fn bit(kind: QuestionKind) -> u8 {
    match kind {
        QuestionKind::RankProposals => 1,
        QuestionKind::AuthorizePeer => 2,
        QuestionKind::NarrowSelectors => 4,
        QuestionKind::RankPaths => 8,
        QuestionKind::PlanMaintenance => 16,
        QuestionKind::AssignAddresses => 32,
        QuestionKind::ChooseCredential => 64,
    }
}
