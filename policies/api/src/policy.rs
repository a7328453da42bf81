//! Who answers: native policies, plugins inside their box, and the plugin host alike.

use std::fmt;
use std::time::Duration;

use crate::{
    AddressMenu, Advertisement, AdvertisementMenu, Answer, Assignment, Authorization, CredentialChoice,
    CredentialMenu, LifetimeMenu, Lifetimes, MaintenancePlan, Metric, Narrowing, PathMenu, PathRanking,
    PeerClaim, ProposalMenu, Question, QuestionSet, Ranking, RecordedReply, SelectorMenu, Sha256, Situation,
};

/// Answers questions; `None` abstains, and the next policy of the chain is asked.
///
/// A policy reads no clock and does no I/O: what it may know is in the menu.
pub trait Policy: Send + Sync {
    /// Returns the name that logs, `status` and `explain` show.
    fn name(&self) -> &str;

    /// Returns the questions that it may answer; the others need not be put to it.
    fn questions(&self) -> QuestionSet {
        QuestionSet::ALL
    }

    /// Ranks the suites that may protect an SA.
    fn rank_proposals(&self, menu: &ProposalMenu) -> Option<Ranking> {
        let _ = menu;
        None
    }

    /// Allows or refuses an authenticated peer.
    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        let _ = claim;
        None
    }

    /// Narrows the traffic that a Child SA carries.
    fn narrow_selectors(&self, menu: &SelectorMenu) -> Option<Narrowing> {
        let _ = menu;
        None
    }

    /// Ranks the ways to the peer.
    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        let _ = menu;
        None
    }

    /// Plans liveness checks, keepalives, retransmissions and rekeys.
    fn plan_maintenance(&self, situation: &Situation) -> Option<MaintenancePlan> {
        let _ = situation;
        None
    }

    /// Chooses the pools that a peer's virtual addresses come from, and its DNS servers.
    fn assign_addresses(&self, menu: &AddressMenu) -> Option<Assignment> {
        let _ = menu;
        None
    }

    /// Chooses the certificate that this host shows.
    fn choose_credential(&self, menu: &CredentialMenu) -> Option<CredentialChoice> {
        let _ = menu;
        None
    }

    /// Chooses which of its addresses this host tells the peer.
    fn advertise_addresses(&self, menu: &AdvertisementMenu) -> Option<Advertisement> {
        let _ = menu;
        None
    }

    /// Plans when a Child SA is replaced.
    fn plan_lifetimes(&self, menu: &LifetimeMenu) -> Option<Lifetimes> {
        let _ = menu;
        None
    }

    /// Answers any question, and tells a failure to answer from an abstention.
    ///
    /// # Errors
    /// A plugin that traps, runs out of time or memory, or is disabled. Native policies never fail,
    /// so only the plugin host has reason to implement this.
    fn consult(&self, question: &Question) -> Reply {
        Ok(question.put_to(self))
    }

    /// As [`Self::consult`], with every value that the policy's imports gave it. What has no imports has
    /// no reason to implement this.
    fn consult_on_record(&self, question: &Question) -> RecordedReply {
        self.consult(question).into()
    }

    /// As [`Self::consult_on_record`], for somebody who waits no longer than a time: what is not answered by then is
    /// not answered, and leaves nothing behind. Only what takes time has reason to implement this.
    fn consult_within(&self, question: &Question, limit: Duration) -> RecordedReply {
        let _ = limit;
        self.consult_on_record(question)
    }

    /// Returns the digest of the component that answers, where one does.
    fn sha256(&self) -> Option<Sha256> {
        None
    }

    /// Returns the digest of what the component's answers depend on beside the component, the question and what its
    /// imports tell: its settings, and the memory that it may take.
    fn configured(&self) -> Option<Sha256> {
        None
    }

    /// Returns the numbers that the policy counts and measures.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// Returns what counts when the policy fails to answer `authorize_peer`.
    fn on_failure(&self) -> OnFailure {
        OnFailure::Deny
    }
}

/// What a policy makes of a question: an answer, an abstention, or a failure.
pub type Reply = Result<Option<Answer>, Failure>;

/// What counts when a policy fails to answer `authorize_peer`; every other failure abstains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The peer is refused.
    #[default]
    Deny,
    /// The others of the chain decide.
    Native,
}

/// Why a policy that should have answered did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It ran out of time.
    Deadline,
    /// It ran out of memory.
    Memory,
    /// It crashed; the text says how.
    Trap(String),
    /// It failed too often and is switched off for now; the text says why.
    Disabled(String),
    /// It has more questions waiting than it may.
    Overloaded,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => f.write_str("ran out of time"),
            Self::Memory => f.write_str("ran out of memory"),
            Self::Trap(how) => write!(f, "crashed: {how}"),
            Self::Disabled(why) => write!(f, "is switched off: {why}"),
            Self::Overloaded => f.write_str("has too many questions waiting"),
        }
    }
}

impl std::error::Error for Failure {}
