//! What people and logs want to know.

use std::time::Duration;

use vpnhost_crypto::SecretBytes;
use vpnhost_model::{ChildSaId, Identity, IkeSaId, IkeSpi, IkeSuite, Path, Role};

use super::{CloseReason, Foresight, Hindrance};
use crate::auth::eap::EapFacts;
use crate::auth::judged::CertificateFacts;
use crate::sa::mapping::{Memory, Network};

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
        /// Octets of IP datagrams that IKE sent and received for it until then.
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
        format!("{} to {}", self.local_id, self.peer_id)
    }
}
