//! What a host tells of its state: owned, plain, without keys.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use vpnhost_ike::Memory;
use vpnhost_model::{
    ChildSaId, ChildSpi, EspSuite, Identity, IkeSaId, IkeSpi, IkeSuite, LinkKind, LocalAddress, Mode, Path,
    Role, TrafficSelector,
};
use vpnhost_policy::{Metric, OnFailure, PathStanding, QuestionSet, Sha256};

use crate::chronicle::Failure;
use crate::journal::Entry;

/// The state of a host at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The wall clock, since 1970.
    pub unix: Duration,
    /// How long the host has been running.
    pub uptime: Duration,
    /// Every configured connection, in the order of the file.
    pub connections: Vec<ConnectionState>,
    /// Every IKE SA that is up, oldest first.
    pub ike_sas: Vec<IkeSaState>,
    /// The machine's addresses.
    pub addresses: Vec<LocalAddress>,
    /// Counters of the packet path with their stable names; drops by cause are named `drop_…`.
    pub counters: Vec<(String, u64)>,
    /// The plugins' names, in the order of the chain.
    pub plugins: Vec<PluginState>,
    /// The crypto backend.
    pub backend: String,
    /// Its version.
    pub backend_version: String,
    /// What became of questions to plugins.
    pub questions: QuestionCounters,
    /// The name of the inside interface.
    pub tun: String,
    /// What the packet path makes use of, such as segmentation offload, and how.
    pub features: Vec<(String, String)>,
}

/// One configured connection.
#[derive(Clone, Debug)]
pub struct ConnectionState {
    /// Its name.
    pub name: String,
    /// Whether it has an IKE SA that is up, or is being set up.
    pub phase: Phase,
    /// Whether it is tried again after an end.
    pub kept_up: bool,
    /// How the last try ended, if none is up; or which child failed on what is up.
    pub last_failure: Option<Failure>,
    /// The last refusal of a peer that did not prove who it is: of one who named this connection, or whom it is the
    /// nearest for; none, if the connection came up since.
    pub last_refusal: Option<Entry>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is under way.
    Down,
    /// An IKE SA is being set up.
    Connecting,
    /// An IKE SA is up.
    Up,
    /// It will be tried again at this time, since 1970.
    Retrying(Duration),
}

/// One IKE SA that is up.
#[derive(Clone, Debug)]
pub struct IkeSaState {
    /// Its name.
    pub id: IkeSaId,
    /// Its connection.
    pub connection: String,
    /// This host's role.
    pub role: Role,
    /// The initiator's SPI.
    pub spi_i: IkeSpi,
    /// The responder's SPI.
    pub spi_r: IkeSpi,
    /// What protects it.
    pub suite: IkeSuite,
    /// Who serves its encryption.
    pub backend: String,
    /// Where it runs.
    pub path: Path,
    /// Who this host is to the peer.
    pub local_id: Identity,
    /// Who the peer is.
    pub peer_id: Identity,
    /// The certificate that the peer proved itself with.
    pub certificate: Option<vpnhost_ike::CertificateFacts>,
    /// What EAP has proved of the peer.
    pub eap: Option<vpnhost_ike::EapFacts>,
    /// Whether a NAT is before this host.
    pub local_behind_nat: bool,
    /// Whether a NAT is before the peer.
    pub peer_behind_nat: bool,
    /// When it came up, since 1970; a rekey begins anew.
    pub established: Duration,
    /// How many IKE SAs it replaced by rekeying.
    pub rekeyed: u32,
    /// When it will be rekeyed.
    pub rekey_in: Option<Duration>,
    /// When its peers are authenticated anew; of a responder, when it ends unless that was done.
    pub reauth_in: Option<Duration>,
    /// Time since the peer was heard of.
    pub last_heard: Duration,
    /// The round-trip time of the last liveness check.
    pub round_trip: Option<Duration>,
    /// Whether it may move (MOBIKE).
    pub mobike: bool,
    /// Whether it is this host that chooses its path.
    pub chooses_path: bool,
    /// How often a NAT's mapping is kept alive, if it is.
    pub keepalive: Option<Duration>,
    /// What is known of the NAT before this host.
    pub memory: Memory,
    /// The path that it takes, and those that it could take.
    pub paths: Vec<PathState>,
    /// Virtual addresses that this host was given.
    pub addresses: Vec<(IpAddr, u8)>,
    /// DNS servers that this host was given.
    pub dns: Vec<IpAddr>,
    /// Virtual addresses that this host gave to the peer.
    pub peer_addresses: Vec<IpAddr>,
    /// Its Child SAs.
    pub children: Vec<ChildSaState>,
    /// What will fail later: a stable code, and a sentence.
    pub foretold: Vec<(&'static str, String)>,
    /// The last decision of each question.
    pub decisions: Vec<Decision>,
}

/// A path that an IKE SA takes, or could take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathState {
    /// Whether it is the one in use.
    pub in_use: bool,
    /// This host's address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The interface's name; empty if the machine has no such address.
    pub interface: String,
    /// What it is made of.
    pub kind: LinkKind,
    /// Whether traffic on it costs money.
    pub metered: bool,
    /// Its MTU in octets.
    pub mtu: u32,
    /// What the last probe of it showed; none where this host probes no paths.
    pub standing: Option<PathStanding>,
    /// The round-trip time.
    pub round_trip: Option<Duration>,
    /// Lost probes, in thousandths.
    pub loss_permille: Option<u16>,
    /// When the peer was heard on it last.
    pub heard: Option<Duration>,
    /// How long it has been there without interruption.
    pub up: Option<Duration>,
    /// How often it went away lately.
    pub flaps: u16,
    /// What is known of the NAT of its network.
    pub memory: Memory,
}

/// One Child SA.
#[derive(Clone, Debug)]
pub struct ChildSaState {
    /// Its name.
    pub id: ChildSaId,
    /// The child's name in the configuration.
    pub child: String,
    /// What this host receives on.
    pub spi_in: ChildSpi,
    /// What this host sends on.
    pub spi_out: ChildSpi,
    /// What protects it.
    pub suite: EspSuite,
    /// Who serves its encryption.
    pub backend: String,
    /// What is behind this host.
    pub local: Vec<TrafficSelector>,
    /// What is behind the peer.
    pub remote: Vec<TrafficSelector>,
    /// When it was installed, since 1970.
    pub installed: Duration,
    /// How many Child SAs it replaced by rekeying.
    pub rekeyed: u32,
    /// When it will be rekeyed by its age.
    pub rekey_in: Option<Duration>,
    /// Its state for people: `active`, `replaced`, `closing`.
    pub state: &'static str,
    /// Whether this host sends on it.
    pub sends: bool,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// Inbound traffic.
    pub inbound: Traffic,
    /// Outbound traffic.
    pub outbound: Traffic,
}

/// Traffic of one direction of a Child SA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Octets of inner packets.
    pub bytes: u64,
    /// Time since the last packet; `None` if there was none.
    pub idle: Option<Duration>,
}

/// A decision of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The question's name.
    pub question: &'static str,
    /// `plugins` or `native`.
    pub by: &'static str,
    /// The plugin whose answer stands, if one's does.
    pub plugin: Option<String>,
    /// What was decided, in a few words.
    pub outcome: String,
    /// When, since 1970.
    pub unix: Duration,
}

/// One plugin of the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginState {
    /// Its name.
    pub name: String,
    /// The digest of its component.
    pub sha256: Option<Sha256>,
    /// The questions that it is asked.
    pub questions: QuestionSet,
    /// What counts when it fails to answer `authorize_peer`.
    pub on_failure: OnFailure,
    /// What became of questions to it.
    pub counters: QuestionCounters,
    /// The numbers that it counts and measures itself.
    pub metrics: Vec<Metric>,
}

/// What became of questions to plugins, or to one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuestionCounters {
    /// Put to the chain.
    pub asked: u64,
    /// Answered by it.
    pub answered: u64,
    /// Left to the native policy by it.
    pub abstained: u64,
    /// Not put to it because its queue was full.
    pub refused: u64,
    /// Not answered because it crashed, ran out of time or memory, or is switched off.
    pub failed: u64,
    /// Answered off the menu.
    pub off_the_menu: u64,
}
