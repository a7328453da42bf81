//! What must happen, in the order in which it must happen.

mod event;
mod job;

use std::collections::BTreeSet;
use std::net::IpAddr;

use vpnhost_crypto::SecretBytes;
use vpnhost_model::{
    ChildSaId, ChildSpi, EspSuite, IkeSaId, Lifetime, Mode, Path, Role, TrafficSelector, Translation,
};
use vpnhost_policy::Question;

pub use self::event::{Event, IkeSaFacts, Outlook};
pub use self::job::Job;
pub use crate::auth::failure::AuthenticationFailure;
pub use crate::reason::{CloseReason, Foresight, Hindrance};

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
    /// A Child SA is to be replaced at another age, or after another amount, than was said when it was installed.
    LimitChildSa(ChildSaId, Lifetime),
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
