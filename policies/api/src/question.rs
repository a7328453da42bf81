//! The questions as values: what crosses from the core to whoever decides, and back.

use std::fmt;

use vpnhost_model::Identity;

use crate::{
    AddressMenu, Advertisement, AdvertisementMenu, Assignment, Authorization, CredentialChoice,
    CredentialMenu, LifetimeMenu, Lifetimes, MaintenancePlan, Narrowing, PathMenu, PathRanking, PeerClaim,
    Policy, ProposalMenu, Ranking, SelectorMenu, Situation, advertise_addresses, assign_addresses,
    authorize_peer, choose_credential, narrow_selectors, plan_lifetimes, plan_maintenance, rank_paths,
    rank_proposals,
};

/// A question with its menu.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once and lent: no list of questions is kept")]
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
    /// Which of its addresses does this host tell the peer?
    AdvertiseAddresses(AdvertisementMenu),
    /// When is the Child SA replaced?
    PlanLifetimes(LifetimeMenu),
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
            Self::AdvertiseAddresses(_) => QuestionKind::AdvertiseAddresses,
            Self::PlanLifetimes(_) => QuestionKind::PlanLifetimes,
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
            Self::AdvertiseAddresses(menu) => &menu.connection,
            Self::PlanLifetimes(menu) => &menu.connection,
        }
    }

    /// Returns whom the question is about, where that is known: a peer that has proved who it is.
    pub fn peer(&self) -> Option<&Identity> {
        match self {
            Self::RankProposals(menu) => menu.peer_id.as_ref(),
            Self::AuthorizePeer(claim) => Some(&claim.peer_id),
            Self::NarrowSelectors(menu) => Some(&menu.peer_id),
            Self::AssignAddresses(menu) => Some(&menu.peer_id),
            Self::AdvertiseAddresses(menu) => Some(&menu.peer_id),
            Self::PlanLifetimes(menu) => Some(&menu.peer_id),
            Self::RankPaths(_) | Self::PlanMaintenance(_) | Self::ChooseCredential(_) => None,
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
            Self::AdvertiseAddresses(menu) => {
                policy.advertise_addresses(menu).map(Answer::AdvertiseAddresses)
            }
            Self::PlanLifetimes(menu) => policy.plan_lifetimes(menu).map(Answer::PlanLifetimes),
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
            (Self::AdvertiseAddresses(menu), Answer::AdvertiseAddresses(advertisement)) => {
                advertise_addresses::admits(menu, advertisement)
            }
            (Self::PlanLifetimes(menu), Answer::PlanLifetimes(lifetimes)) => {
                plan_lifetimes::admits(&menu.bounds, lifetimes)
            }
            (
                Self::RankProposals(_)
                | Self::AuthorizePeer(_)
                | Self::NarrowSelectors(_)
                | Self::RankPaths(_)
                | Self::PlanMaintenance(_)
                | Self::AssignAddresses(_)
                | Self::ChooseCredential(_)
                | Self::AdvertiseAddresses(_)
                | Self::PlanLifetimes(_),
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
    /// The addresses, and how careful the host is with the peer's.
    AdvertiseAddresses(Advertisement),
    /// Age and amount.
    PlanLifetimes(Lifetimes),
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
            Self::AdvertiseAddresses(_) => QuestionKind::AdvertiseAddresses,
            Self::PlanLifetimes(_) => QuestionKind::PlanLifetimes,
        }
    }

    /// Returns what the answer decides: its reason is words.
    pub fn without_reason(mut self) -> Self {
        match &mut self {
            Self::RankProposals(it) => it.why = None,
            Self::RankPaths(it) => it.why = None,
            Self::NarrowSelectors(it) => it.why = None,
            Self::PlanMaintenance(it) => it.why = None,
            Self::AssignAddresses(it) => it.why = None,
            Self::ChooseCredential(it) => it.why = None,
            Self::AdvertiseAddresses(it) => it.why = None,
            Self::PlanLifetimes(it) => it.why = None,
            Self::AuthorizePeer(Authorization::Refuse { reason }) => reason.clear(),
            Self::AuthorizePeer(Authorization::Allow { .. }) => {}
        }
        self
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
            Self::AdvertiseAddresses(advertisement) => advertisement.why.as_deref(),
            Self::PlanLifetimes(lifetimes) => lifetimes.why.as_deref(),
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
    /// [`Question::AdvertiseAddresses`].
    AdvertiseAddresses,
    /// [`Question::PlanLifetimes`].
    PlanLifetimes,
}

impl QuestionKind {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::RankProposals,
        Self::AuthorizePeer,
        Self::NarrowSelectors,
        Self::RankPaths,
        Self::PlanMaintenance,
        Self::AssignAddresses,
        Self::ChooseCredential,
        Self::AdvertiseAddresses,
        Self::PlanLifetimes,
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
            Self::AdvertiseAddresses => "advertise-addresses",
            Self::PlanLifetimes => "plan-lifetimes",
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
pub struct QuestionSet(u16);

impl QuestionSet {
    /// No question.
    pub const EMPTY: Self = Self(0);

    /// Every question.
    pub const ALL: Self = Self(0b1_1111_1111);

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

fn bit(kind: QuestionKind) -> u16 {
    match kind {
        QuestionKind::RankProposals => 1,
        QuestionKind::AuthorizePeer => 2,
        QuestionKind::NarrowSelectors => 4,
        QuestionKind::RankPaths => 8,
        QuestionKind::PlanMaintenance => 16,
        QuestionKind::AssignAddresses => 32,
        QuestionKind::ChooseCredential => 64,
        QuestionKind::AdvertiseAddresses => 128,
        QuestionKind::PlanLifetimes => 256,
    }
}
