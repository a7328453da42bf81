//! What must happen, in the order in which it must happen.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use vpnhost_crypto::{ActiveKeyExchange, DrawnRandom, KeyExchangeAlgorithm, SecretBytes};
use vpnhost_model::{
    ChildSaId, ChildSpi, EspSuite, Identity, IkeSaId, IkeSpi, IkeSuite, Lifetime, Mode, Path, Role,
    TrafficSelector, Translation,
};
use vpnhost_pki::Refusal;
use vpnhost_pki::identity::text_of;
use vpnhost_policy::Question;

use crate::auth::eap::{EapFacts, EapFailure, EapMethod};
use crate::auth::judged::CertificateFacts;
use crate::auth::signature::SignJob;
use crate::auth::verified::{RejudgeJob, VerifyJob};
use crate::input::JobResult;
pub use crate::reason::{CloseReason, Foresight, Hindrance};
use crate::sa::mapping::{Memory, Network};
use crate::wire::payload::Eap;

/// One thing that must happen. Outputs are carried out in order.
#[derive(Debug)]
pub enum Output {
    /// The peer is given an SPI to send ESP on: it may do so before its answer is here (RFC 7296 §2.8).
    ReserveSpi(ChildSpi),
    /// An SPI is nobody's any more.
    FreeSpi(ChildSpi),
    /// A pair of ESP SAs may receive from now on, and send once activated.
    InstallChildSa(Box<ChildSaKeys>),
    /// A Child SA is the one to send on for its selectors; the last activated is used.
    ActivateOutbound(ChildSaId),
    /// Every Child SA of an IKE SA takes another path.
    MoveChildSas(IkeSaId, Path),
    /// Packets to a path's peer are at most so many octets long, IP's header included: nobody on the path said so, it was
    /// measured.
    PathMtu(Path, u16),
    /// A Child SA is no more.
    RemoveChildSa(ChildSaId),
    /// The host gets addresses, routes and DNS for an IKE SA. Sent again when they change (an IKE SA
    /// that was rekeyed keeps the configuration under its new id: see `RenameIkeSa`).
    ConfigureHost(Box<HostConfiguration>),
    /// What was configured for an IKE SA goes.
    ReleaseHost(IkeSaId),
    /// An IKE SA was replaced: what is kept under the old id is the new one's from now on.
    RenameIkeSa {
        /// The IKE SA that was replaced.
        old: IkeSaId,
        /// The one that took its place.
        new: IkeSaId,
    },
    /// A datagram goes out.
    Transmit(Transmit),
    /// A delegated question; its answer comes back by `handle_answer`.
    Ask(QuestionId, Box<Question>),
    /// A job; its result comes back by `handle_work`.
    Work(JobId, Job),
    /// The machine is to tell, by `handle_links`, which pairs of its addresses with these it has a route for: now, and
    /// whenever that changes.
    FindPairs(BTreeSet<IpAddr>),
    /// Something that people and logs want to know.
    Event(Event),
}

/// The name of an open question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(pub u64);

/// The name of a job under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// A datagram to send. IKE messages are without the non-ESP marker: the socket's owner adds it where
/// `path.local.port()` is the NAT traversal port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The IKE SA that it is of; `None` before there is one.
    pub ike_sa: Option<IkeSaId>,
    /// From where, to where.
    pub path: Path,
    /// The octets; a keepalive is the one octet 0xFF, sent without a marker.
    pub octets: Vec<u8>,
    /// What it is.
    pub kind: TransmitKind,
}

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransmitKind {
    /// An IKE message or a fragment of one.
    Ike,
    /// A NAT keepalive (RFC 3948 §2.3).
    Keepalive,
}

/// A pair of ESP SAs with everything that the packet path needs. The driver makes the packet keys.
#[derive(Clone, Debug)]
pub struct ChildSaKeys {
    /// This host's name of it.
    pub id: ChildSaId,
    /// The IKE SA that made it.
    pub ike_sa: IkeSaId,
    /// The connection's name.
    pub connection: String,
    /// The child's name.
    pub child: String,
    /// The SPI that this host receives on.
    pub spi_in: ChildSpi,
    /// The SPI that this host sends on.
    pub spi_out: ChildSpi,
    /// What protects it.
    pub suite: EspSuite,
    /// Inbound key material: encryption with salt, then integrity.
    pub inbound: DirectionKeys,
    /// Outbound key material.
    pub outbound: DirectionKeys,
    /// The path that it takes.
    pub path: Path,
    /// What is behind this host.
    pub local: Vec<TrafficSelector>,
    /// What is behind the peer.
    pub remote: Vec<TrafficSelector>,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// What addresses the peer's checksums cover in transport mode.
    pub translation: Translation,
    /// The anti-replay window in packets.
    pub replay_window: u32,
    /// Soft limits of bytes and packets; its time is the core's affair.
    pub lifetime: Lifetime,
    /// The Child SA that it replaces.
    pub replaces: Option<ChildSaId>,
}

/// Key material of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectionKeys {
    /// For encryption, with salt.
    pub encryption: SecretBytes,
    /// For integrity; empty beside an AEAD.
    pub integrity: SecretBytes,
}

/// Addresses, routes and DNS for one IKE SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfiguration {
    /// The IKE SA.
    pub ike_sa: IkeSaId,
    /// The connection's name.
    pub connection: String,
    /// This host's role in the IKE SA.
    pub role: Role,
    /// Virtual addresses that this host was given, with prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// DNS servers that this host was given.
    pub dns: Vec<IpAddr>,
    /// Virtual addresses that this host gave to the peer.
    pub peer_addresses: Vec<IpAddr>,
    /// What is reached through the tunnel.
    pub remote: Vec<TrafficSelector>,
    /// What this host protects.
    pub local: Vec<TrafficSelector>,
}

/// Slow work, done elsewhere; it is a function of what it carries.
pub enum Job {
    /// Begins a key exchange.
    StartKeyExchange(&'static dyn KeyExchangeAlgorithm, DrawnRandom),
    /// Answers one.
    RespondKeyExchange(&'static dyn KeyExchangeAlgorithm, Vec<u8>, DrawnRandom),
    /// Completes one.
    CompleteKeyExchange(Box<dyn ActiveKeyExchange>, Vec<u8>),
    /// Signs this host's AUTH payload.
    Sign(Box<SignJob>),
    /// Verifies a peer's certificates and AUTH payload.
    VerifyPeer(Box<VerifyJob>),
    /// Takes a step of an EAP conversation: with the peer's packet, or as the server who begins.
    Eap(Box<dyn EapMethod>, Option<Eap>),
    /// Judges the certificates of an authenticated peer again.
    RejudgePeer(Box<RejudgeJob>),
}

impl Job {
    /// Does the work: called on whatever thread the driver chooses.
    pub fn run(self) -> JobResult {
        match self {
            Self::StartKeyExchange(algorithm, mut random) => JobResult::Started(algorithm.start(&mut random)),
            Self::RespondKeyExchange(algorithm, peer, mut random) => {
                JobResult::Responded(algorithm.respond(&peer, &mut random))
            }
            Self::CompleteKeyExchange(active, peer) => JobResult::Completed(active.complete(&peer)),
            Self::Sign(job) => JobResult::Signed(job.run()),
            Self::VerifyPeer(job) => JobResult::PeerVerified(job.run()),
            Self::Eap(mut method, packet) => {
                let step = method.step(packet.as_ref());
                JobResult::Eap(method, step)
            }
            Self::RejudgePeer(job) => JobResult::PeerVerified(job.run()),
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::StartKeyExchange(..) => "StartKeyExchange",
            Self::RespondKeyExchange(..) => "RespondKeyExchange",
            Self::CompleteKeyExchange(..) => "CompleteKeyExchange",
            Self::Sign(_) => "Sign",
            Self::VerifyPeer(_) => "VerifyPeer",
            Self::Eap(..) => "Eap",
            Self::RejudgePeer(_) => "RejudgePeer",
        })
    }
}

/// What people, logs, `up` and `explain` want to know.
#[derive(Clone, Debug)]
pub enum Event {
    /// An IKE SA was begun, by either side.
    IkeSaStarted {
        /// Its name.
        ike_sa: IkeSaId,
        /// The connection, once known.
        connection: Option<String>,
        /// This host's role.
        role: Role,
        /// Where.
        path: Path,
    },
    /// An IKE SA is up.
    IkeSaEstablished(Box<IkeSaFacts>),
    /// A Child SA is up.
    ChildSaEstablished {
        /// Its name.
        child_sa: ChildSaId,
        /// Its IKE SA.
        ike_sa: IkeSaId,
        /// The connection.
        connection: String,
        /// The child's name.
        child: String,
        /// The one it replaces.
        replaces: Option<ChildSaId>,
    },
    /// An IKE SA was replaced by a rekey.
    IkeSaRekeyed {
        /// The old one.
        old: IkeSaId,
        /// The new one.
        new: Box<IkeSaFacts>,
    },
    /// An IKE SA could not be rekeyed, and keeps its keys for now.
    IkeRekeyFailed {
        /// Its name.
        ike_sa: IkeSaId,
        /// The connection.
        connection: String,
        /// Why.
        reason: CloseReason,
        /// It is tried again after this.
        after: Duration,
    },
    /// Something works now and will fail later.
    Foretold {
        /// The IKE SA.
        ike_sa: IkeSaId,
        /// The connection.
        connection: String,
        /// What, and when.
        foresight: Foresight,
    },
    /// A Child SA could not be set up although its IKE SA is.
    ChildSaFailed {
        /// Its IKE SA.
        ike_sa: IkeSaId,
        /// The connection.
        connection: String,
        /// The child's name.
        child: String,
        /// Why.
        reason: CloseReason,
        /// What comes next.
        outlook: Outlook,
    },
    /// A Child SA is gone.
    ChildSaClosed {
        /// Its name.
        child_sa: ChildSaId,
        /// Its IKE SA.
        ike_sa: IkeSaId,
        /// Why.
        reason: CloseReason,
    },
    /// An IKE SA is gone, or never came up.
    IkeSaClosed {
        /// Its name.
        ike_sa: IkeSaId,
        /// The connection, if it was known.
        connection: Option<String>,
        /// Why.
        reason: CloseReason,
    },
    /// A peer's first message led to nothing; of a flood of them only some are told of.
    Refused {
        /// Where it came from.
        path: Path,
        /// Why.
        reason: CloseReason,
    },
    /// A connection that is kept up will be tried again.
    RetryScheduled {
        /// The connection.
        connection: String,
        /// After this.
        after: Duration,
    },
    /// A liveness check was answered.
    Alive {
        /// The IKE SA.
        ike_sa: IkeSaId,
        /// From request to response, if it was not retransmitted.
        round_trip: Option<Duration>,
    },
    /// The peer's address changed, or ours.
    Moved {
        /// The IKE SA.
        ike_sa: IkeSaId,
        /// Where it was.
        from: Path,
        /// Where it is now.
        path: Path,
        /// Why, in a few words.
        why: String,
        /// How long nothing came in; zero of a move from a path that worked.
        gap: Duration,
        /// Octets of IP datagrams that IKE sent and received for it, as far as this host began it.
        octets: u32,
    },
    /// An order about the path changed nothing.
    Stays {
        /// The IKE SA.
        ike_sa: IkeSaId,
        /// Where it is.
        path: Path,
        /// Why, in a few words.
        why: String,
    },
    /// Another path is wanted, or needed, and is not taken, or not yet.
    NotMoved {
        /// The IKE SA.
        ike_sa: IkeSaId,
        /// The path that is not taken; without any, the one that cannot be used any more.
        path: Path,
        /// What keeps it.
        hindrance: Hindrance,
        /// What the policy says of it; empty if it says nothing.
        why: String,
    },
    /// A path carries less than what is sent, and nobody on it says so.
    PathMtu {
        /// The IKE SA.
        ike_sa: IkeSaId,
        /// The path.
        path: Path,
        /// The largest packet that it carries, IP's header included.
        octets: u16,
    },
    /// It was learned for how long the NAT of a network remembers an idle mapping; there is nothing more to learn for now.
    KeepaliveLearned {
        /// The IKE SA.
        ike_sa: IkeSaId,
        /// The connection.
        connection: String,
        /// The network.
        network: Network,
        /// What is known of its NAT.
        memory: Memory,
    },
    /// A decision was made by a policy that operators may take over.
    Decided {
        /// The IKE SA.
        ike_sa: IkeSaId,
        /// The connection.
        connection: String,
        /// The question's name, such as `authorize_peer`.
        question: &'static str,
        /// `plugins` if the delegated chain's answer stands, `native` otherwise.
        by: &'static str,
        /// What was decided, in a few words.
        outcome: String,
    },
}

/// What becomes of a Child SA that could not be made, and of its IKE SA, which is authenticated all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// The IKE SA stands, and it is tried again after this.
    Retried(Duration),
    /// The IKE SA stands, and it is tried again by order or for traffic.
    Kept,
    /// The IKE SA stands; the peer wanted it, and may try again.
    LeftToPeer,
    /// The IKE SA ends for it.
    Closes,
}

impl Event {
    /// Returns the IKE SA that it is about; of two, the new one.
    pub fn ike_sa(&self) -> Option<IkeSaId> {
        let id = match self {
            Self::IkeSaEstablished(facts) | Self::IkeSaRekeyed { new: facts, .. } => facts.id,
            Self::IkeSaStarted { ike_sa, .. }
            | Self::ChildSaEstablished { ike_sa, .. }
            | Self::ChildSaFailed { ike_sa, .. }
            | Self::IkeRekeyFailed { ike_sa, .. }
            | Self::Foretold { ike_sa, .. }
            | Self::ChildSaClosed { ike_sa, .. }
            | Self::IkeSaClosed { ike_sa, .. }
            | Self::Alive { ike_sa, .. }
            | Self::Moved { ike_sa, .. }
            | Self::Stays { ike_sa, .. }
            | Self::NotMoved { ike_sa, .. }
            | Self::PathMtu { ike_sa, .. }
            | Self::KeepaliveLearned { ike_sa, .. }
            | Self::Decided { ike_sa, .. } => *ike_sa,
            Self::RetryScheduled { .. } | Self::Refused { .. } => return None,
        };
        // An IKE SA that could not even be begun has no name.
        Some(id).filter(|id| *id != IkeSaId(0))
    }

    /// Returns the connection that it names.
    pub fn connection(&self) -> Option<&str> {
        match self {
            Self::IkeSaEstablished(facts) | Self::IkeSaRekeyed { new: facts, .. } => Some(&facts.connection),
            Self::IkeSaStarted { connection, .. } | Self::IkeSaClosed { connection, .. } => {
                connection.as_deref()
            }
            Self::ChildSaEstablished { connection, .. }
            | Self::ChildSaFailed { connection, .. }
            | Self::IkeRekeyFailed { connection, .. }
            | Self::Foretold { connection, .. }
            | Self::RetryScheduled { connection, .. }
            | Self::KeepaliveLearned { connection, .. }
            | Self::Decided { connection, .. } => Some(connection.as_str()).filter(|name| !name.is_empty()),
            Self::ChildSaClosed { .. }
            | Self::Alive { .. }
            | Self::Moved { .. }
            | Self::Stays { .. }
            | Self::NotMoved { .. }
            | Self::PathMtu { .. }
            | Self::Refused { .. } => None,
        }
    }

    /// Returns what is known of the IKE SA that came up by it, new or in the place of another.
    pub fn facts(&self) -> Option<&IkeSaFacts> {
        match self {
            Self::IkeSaEstablished(facts) | Self::IkeSaRekeyed { new: facts, .. } => Some(facts),
            Self::IkeSaStarted { .. }
            | Self::ChildSaEstablished { .. }
            | Self::ChildSaFailed { .. }
            | Self::IkeRekeyFailed { .. }
            | Self::Foretold { .. }
            | Self::ChildSaClosed { .. }
            | Self::IkeSaClosed { .. }
            | Self::Refused { .. }
            | Self::RetryScheduled { .. }
            | Self::Alive { .. }
            | Self::Moved { .. }
            | Self::Stays { .. }
            | Self::NotMoved { .. }
            | Self::PathMtu { .. }
            | Self::KeepaliveLearned { .. }
            | Self::Decided { .. } => None,
        }
    }
}

/// What is known of an IKE SA that is up; keys only for a key log that the operator asked for.
#[derive(Clone, Debug)]
pub struct IkeSaFacts {
    /// Its name.
    pub id: IkeSaId,
    /// The connection.
    pub connection: String,
    /// This host's role as original initiator or responder.
    pub role: Role,
    /// The initiator's SPI.
    pub spi_i: IkeSpi,
    /// The responder's SPI.
    pub spi_r: IkeSpi,
    /// What protects it.
    pub suite: IkeSuite,
    /// Where.
    pub path: Path,
    /// Who this host is to the peer.
    pub local_id: Identity,
    /// Who the peer is.
    pub peer_id: Identity,
    /// The certificate that the peer proved itself with.
    pub certificate: Option<CertificateFacts>,
    /// What EAP has proved of the peer.
    pub eap: Option<EapFacts>,
    /// Whether a NAT is before this host.
    pub local_behind_nat: bool,
    /// Whether a NAT is before the peer.
    pub peer_behind_nat: bool,
    /// SK_ei, SK_er, SK_ai, SK_ar.
    pub keys: [SecretBytes; 4],
}

impl IkeSaFacts {
    /// Returns who the two are, this host first, as people write it: distinguished names as text.
    pub fn peers(&self) -> String {
        format!("{} to {}", text_of(&self.local_id), text_of(&self.peer_id))
    }
}

/// Why a peer is not who it says it is, or why this host cannot prove who it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationFailure {
    /// The AUTH payload does not match the secret.
    #[error("the pre-shared key does not match")]
    WrongSecret,
    /// No connection admits the identity.
    #[error("no connection admits this identity")]
    UnknownIdentity,
    /// The responder is not whom the connection asks for.
    #[error("the peer is another than the connection asks for (peer.id)")]
    UnexpectedIdentity {
        /// Who it says it is.
        said: String,
        /// Who it should be.
        expected: String,
    },
    /// No secret is configured for the identity.
    #[error("no secret for this identity")]
    NoSecret,
    /// The peer proves itself in another way than the connection wants, or in one that is unknown.
    #[error("the peer authenticates by {used}, the connection wants {wanted}")]
    Method {
        /// What the peer's AUTH payload says.
        used: String,
        /// What the connection wants.
        wanted: &'static str,
    },
    /// The peer's certificate is refused.
    #[error("{0}")]
    Certificate(Refusal),
    /// The AUTH payload is not signed with the key of the peer's certificate.
    #[error("the signature is not made with the key of the peer's certificate")]
    WrongSignature,
    /// The AUTH payload is signed with an algorithm that is unknown, unfit for the key, or not allowed.
    #[error("the signature algorithm {0}")]
    SignatureAlgorithm(&'static str),
    /// This host's key cannot sign in a way that the peer says it can verify.
    #[error("no signature of this host's {key} key is among what the peer verifies ({hashes})")]
    NoCommonSignature {
        /// The kind of the key.
        key: String,
        /// The hashes that the peer named.
        hashes: String,
    },
    /// EAP failed.
    #[error("EAP: {0}")]
    Eap(EapFailure),
    /// This host's own key could not sign.
    #[error("this host's private key cannot sign")]
    OwnKey,
    /// This host's own certificate is past its end, or before its begin: an initiator shows it to nobody.
    #[error("{}", .0.sentence_of_own())]
    OwnCertificate(Refusal),
}

impl AuthenticationFailure {
    /// Tells whether the fault is this host's own, not the peer's.
    pub(crate) fn is_our_own(&self) -> bool {
        matches!(
            self,
            Self::OwnKey
                | Self::OwnCertificate(_)
                | Self::Eap(EapFailure::OwnCertificate(_) | EapFailure::Internal(_))
        )
    }

    /// Returns the code, which never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongSecret => "wrong-psk",
            Self::UnknownIdentity => "unknown-identity",
            Self::UnexpectedIdentity { .. } => "unexpected-identity",
            Self::NoSecret => "no-secret",
            Self::Method { .. } => "auth-method",
            Self::Certificate(refusal) => refusal.code(),
            Self::WrongSignature => "wrong-signature",
            Self::SignatureAlgorithm(_) => "signature-algorithm",
            Self::NoCommonSignature { .. } => "no-common-signature",
            Self::Eap(failure) => failure.code(),
            Self::OwnKey => "own-key",
            Self::OwnCertificate(refusal) => refusal.code_of_own(),
        }
    }
}
