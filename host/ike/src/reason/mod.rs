//! Why an SA ended or never came up: a stable code, a sentence, and what is said to the operator alone.
//!
//! RFC 7296 tells peers little about causes (§2.21). So each cause is put into words here, where both sides of the
//! comparison are still at hand: what was asked for, what is allowed, and how they differ. Identities and addresses are
//! apart, in [`CloseReason::detail`]; [`CloseReason::in_full`] has both.

mod foresight;
mod hindrance;
mod identities;
mod proposals;
mod refusal;
mod selectors;
mod silence;

pub use foresight::Foresight;
pub use hindrance::Hindrance;
pub use identities::{IdentityGap, Nearest};
pub use proposals::{Difference, ProposalGap};
pub use refusal::{Asked, Proof};
pub use selectors::SelectorGap;
pub use silence::Silence;

use vpnhost_model::Protocol;
use vpnhost_pki::Refusal;

use crate::output::AuthenticationFailure;
use crate::wire::payload::NotifyType;

/// Why an SA ended or never came up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The operator ended it.
    #[error("ended by the operator")]
    Local,
    /// The peer sent a Delete.
    #[error("deleted by the peer")]
    DeletedByPeer,
    /// A newer SA took its place.
    #[error("replaced by its successor")]
    Replaced,
    /// The peer said INITIAL_CONTACT: what it had before is gone (RFC 7296 §2.4).
    #[error("the peer started anew (INITIAL_CONTACT)")]
    InitialContact,
    /// The peer proved that it has lost its state (RFC 6290).
    #[error("the peer lost its state: its token proves it")]
    PeerLostState,
    /// Nothing came back, retransmissions included.
    #[error("{0}")]
    PeerDead(Box<Silence>),
    /// The peer answered with an error.
    #[error("the peer refused: {notify}{}", asked.sentence(notify))]
    RefusedByPeer {
        /// The Notify's name, such as `NO_PROPOSAL_CHOSEN`.
        notify: String,
        /// What it refused.
        asked: Asked,
    },
    /// The peer asked for what this host does not give, for no reason that has a variant of its own.
    #[error("refused here: {0}")]
    Refused(NotifyType),
    /// No suite is common to both.
    #[error("{0}")]
    NoProposalChosen(Box<ProposalGap>),
    /// None of the configured proposals can be used here.
    #[error("no configured proposal for {} can be used: no crypto backend has it, or it needs allow_legacy", proposals::name(*.0))]
    NothingToOffer(Protocol),
    /// No connection answers the peer's address.
    #[error("no connection of this host answers that address")]
    NoConnection,
    /// The selectors do not meet.
    #[error("{0}")]
    TsUnacceptable(Box<SelectorGap>),
    /// The AUTH payload is wrong, or no secret is known.
    #[error("authentication failed: {}", unnamed(.0))]
    AuthenticationFailed(AuthenticationFailure),
    /// No connection is for the peer's identity, or the one that it asks for.
    #[error("{0}")]
    UnknownIdentity(Box<IdentityGap>),
    /// The peer's certificate was good when the IKE SA came up, and is so no longer.
    #[error("the peer's certificate is no longer good")]
    CertificateEnded(Refusal),
    /// A policy refused the peer.
    #[error("refused by policy: {0}")]
    RefusedByPolicy(String),
    /// A plugin refused the peer.
    #[error("refused by a plugin: {0}")]
    RefusedByPlugin(String),
    /// No virtual address is left.
    #[error("no virtual address is free in {0}")]
    PoolExhausted(String),
    /// The peer must ask for a virtual address and did not.
    #[error("the peer asked for no virtual address, and the connection admits no other")]
    AddressRequired,
    /// The peer answers no IKE_AUTH without a Child SA (RFC 6023).
    #[error(
        "the peer sets up no IKE SA without a Child SA (RFC 6023), and the connection wants one (childless)"
    )]
    ChildlessUnsupported,
    /// The peer asked for a Child SA in IKE_AUTH, where the connection wants none.
    #[error("the connection makes no Child SA in IKE_AUTH (childless): the peer may ask for it afterwards")]
    ChildlessRequired,
    /// The peer broke the protocol.
    #[error("the peer's message is malformed: {0}")]
    Protocol(String),
    /// Something here failed.
    #[error("{0}")]
    Internal(String),
    /// It remained half open too long.
    #[error("the peer began and did not go on: no IKE_AUTH came in time; is UDP 4500 let through?")]
    HalfOpenTimeout,
    /// It reached the end of its life before it could be rekeyed.
    #[error("it could not be rekeyed in time")]
    Expired,
    /// This machine was suspended for longer than an outage may last.
    #[error("this machine slept for {} s, longer than an outage may last (max_outage)", .0.as_secs())]
    Asleep(std::time::Duration),
    /// The peer was not authenticated anew in time (RFC 4478).
    #[error("the peer was not authenticated anew in time")]
    AuthenticationExpired,
    /// Its connection left the configuration or changed.
    #[error("its configuration changed")]
    Reconfigured,
}

impl CloseReason {
    /// Returns the code, which never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Local => "ended",
            Self::DeletedByPeer => "deleted-by-peer",
            Self::Replaced => "replaced",
            Self::InitialContact => "initial-contact",
            Self::PeerLostState => "peer-lost-state",
            Self::PeerDead(silence) if silence.is_nat_traversal_blocked() => "nat-t-blocked",
            Self::PeerDead(_) => "peer-silent",
            Self::RefusedByPeer { asked, notify } => asked.code(notify),
            Self::Refused(notify) => refusal::code(&notify.to_string()),
            Self::NoProposalChosen(gap) if gap.is_pfs() => "pfs-mismatch",
            Self::NoProposalChosen(_) => "no-common-proposal",
            Self::NothingToOffer(_) => "nothing-to-offer",
            Self::NoConnection => "no-connection",
            Self::TsUnacceptable(_) => "no-common-selector",
            Self::AuthenticationFailed(failure) => failure.code(),
            Self::UnknownIdentity(_) => AuthenticationFailure::UnknownIdentity.code(),
            Self::CertificateEnded(refusal) => refusal.code(),
            Self::RefusedByPolicy(_) => "refused-by-policy",
            Self::RefusedByPlugin(_) => "plugin-refused",
            Self::PoolExhausted(_) => "pool-empty",
            Self::AddressRequired => "address-required",
            Self::ChildlessUnsupported => "childless-unsupported",
            Self::ChildlessRequired => "childless-required",
            Self::Protocol(_) => "malformed",
            Self::Internal(_) => "internal",
            Self::HalfOpenTimeout => "half-open-timeout",
            Self::Expired => "not-rekeyed-in-time",
            Self::Asleep(_) => "slept-too-long",
            Self::AuthenticationExpired => "not-authenticated-anew",
            Self::Reconfigured => "reconfigured",
        }
    }

    /// Returns the connection that comes nearest to what a peer wanted that belongs to none.
    pub fn nearest(&self) -> Option<&str> {
        if let Self::UnknownIdentity(gap) = self {
            gap.nearest.as_ref().map(|nearest| nearest.connection.as_str())
        } else if let Self::NoProposalChosen(gap) = self {
            gap.nearest.as_deref()
        } else {
            None
        }
    }

    /// Returns what the sentence leaves out: identities and addresses.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::PeerDead(silence) => Some(silence.detail()),
            Self::RefusedByPeer { asked, notify } => asked.detail(notify),
            Self::TsUnacceptable(gap) => Some(gap.detail()),
            Self::UnknownIdentity(gap) => Some(gap.detail()),
            Self::AuthenticationFailed(
                AuthenticationFailure::Certificate(refusal) | AuthenticationFailure::OwnCertificate(refusal),
            )
            | Self::CertificateEnded(refusal) => Some(refusal.to_string()),
            Self::AuthenticationFailed(AuthenticationFailure::Eap(failure)) => failure.detail(),
            Self::AuthenticationFailed(AuthenticationFailure::UnexpectedIdentity { said, expected }) => {
                Some(format!("it says it is {said}, we asked for {expected}"))
            }
            Self::Local
            | Self::DeletedByPeer
            | Self::Replaced
            | Self::InitialContact
            | Self::PeerLostState
            | Self::Refused(_)
            | Self::NoProposalChosen(_)
            | Self::NothingToOffer(_)
            | Self::NoConnection
            | Self::AuthenticationFailed(_)
            | Self::RefusedByPolicy(_)
            | Self::RefusedByPlugin(_)
            | Self::PoolExhausted(_)
            | Self::AddressRequired
            | Self::ChildlessUnsupported
            | Self::ChildlessRequired
            | Self::Protocol(_)
            | Self::Internal(_)
            | Self::HalfOpenTimeout
            | Self::Expired
            | Self::Asleep(_)
            | Self::AuthenticationExpired
            | Self::Reconfigured => None,
        }
    }

    /// Tells whether a peer failed to prove who it is, which is held against where it comes from.
    pub(crate) fn is_failed_login(&self) -> bool {
        if let Self::AuthenticationFailed(failure) = self {
            return !failure.is_our_own();
        }
        matches!(self, Self::UnknownIdentity(_))
    }

    /// Returns sentence and detail together, for the log and for those who may control the host.
    pub fn in_full(&self) -> String {
        self.detail().map_or_else(|| self.to_string(), |detail| format!("{self}: {detail}"))
    }

    /// Something that the peer refused.
    pub(crate) fn refused_by_peer(notify: NotifyType, asked: Asked) -> Self {
        Self::RefusedByPeer { notify: notify.to_string(), asked }
    }
}

/// Writes a failure; a certificate's refusal names its subject, which is for the detail.
fn unnamed(failure: &AuthenticationFailure) -> String {
    match failure {
        AuthenticationFailure::Certificate(refusal) => {
            format!("the peer's certificate is refused ({})", refusal.code())
        }
        AuthenticationFailure::WrongSecret
        | AuthenticationFailure::UnknownIdentity
        | AuthenticationFailure::UnexpectedIdentity { .. }
        | AuthenticationFailure::NoSecret
        | AuthenticationFailure::Method { .. }
        | AuthenticationFailure::WrongSignature
        | AuthenticationFailure::SignatureAlgorithm(_)
        | AuthenticationFailure::NoCommonSignature { .. }
        | AuthenticationFailure::Eap(_)
        | AuthenticationFailure::OwnKey
        | AuthenticationFailure::OwnCertificate(_) => failure.to_string(),
    }
}

/// Writes some of many, for people.
fn some_of<T: ToString>(items: &[T]) -> String {
    const SHOWN: usize = 8;
    let mut shown: Vec<String> = items.iter().take(SHOWN).map(T::to_string).collect();
    if items.len() > SHOWN {
        shown.push(format!("and {} more", items.len() - SHOWN));
    }
    shown.join(", ")
}
