//! Every knob of the endpoint and of a connection, with its default.

mod authentication;

pub use authentication::{LocalAuth, OwnCertificate, PeerAuth, Trust};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::SecretBytes;
use vpnhost_model::{EspSuite, Identity, IkeSuite, Lifetime, Mode, TrafficSelector};
use vpnhost_pki::{Crl, Pattern, identity};

/// What the endpoint as a whole is configured with.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// The connections, in the order of the file: a responder takes the first of those that name the peer most closely.
    pub connections: Vec<Arc<PeerConfig>>,
    /// Revocation lists that are there from the start; those fetched later come by `Command::UseCrls`.
    pub crls: Vec<Crl>,
    /// Pools that virtual addresses come from.
    pub pools: Vec<PoolConfig>,
    /// Whether peers are told which RFC 7427 signatures are verified here; without it they sign by the older methods.
    pub signature_hashes: bool,
    /// Whether SAs with legacy algorithms may be set up: the operator's floor.
    pub allow_legacy: bool,
    /// Half-open IKE SAs as responder above which a COOKIE is asked for (RFC 7296 §2.6).
    pub cookie_threshold: usize,
    /// Octets of fragments that all half-open IKE SAs may hold together.
    pub half_open_fragments: usize,
    /// The local UDP port for IKE and the one for NAT traversal.
    pub ports: [u16; 2],
    /// Whether a peer that lost its state is believed when its token proves it, and peers get tokens of this host (RFC 6290).
    /// Not for hosts that stand behind one address and cannot tell which of them an IKE SA lives on (§9.2).
    pub crash_detection: bool,
    /// A local UDP port, with the non-ESP marker, on which silences are tried to learn how long a NAT remembers; `None` tries
    /// none. Nothing else is ever sent from it.
    pub idle_port: Option<u16>,
    /// How long a chain of plugins may take to answer before the native policy does.
    pub answer_deadline: Duration,
    /// Octets of an IP datagram that carries an IKE message; a longer message is sent in fragments where the
    /// peer can put them together (RFC 7383 §2.5.1). Held to at least [`crate::limits::DATAGRAM_LEAST`].
    pub fragment_size: u16,
    /// Interfaces that are in another operator's network: policies are told of them, and decide what that means.
    pub roaming: BTreeSet<String>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            connections: Vec::new(),
            crls: Vec::new(),
            pools: Vec::new(),
            signature_hashes: true,
            allow_legacy: false,
            cookie_threshold: 32,
            half_open_fragments: crate::limits::HALF_OPEN_FRAGMENTS,
            ports: [500, 4500],
            crash_detection: true,
            idle_port: None,
            answer_deadline: Duration::from_millis(200),
            fragment_size: 1280,
            roaming: BTreeSet::new(),
        }
    }
}

/// One `[[connection]]`: a peer or a group of peers, and what may be agreed with them.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerConfig {
    /// The operator's name for it.
    pub name: String,
    /// Whether this host may begin.
    pub initiate: bool,
    /// Whether this host answers.
    pub respond: bool,
    /// The peer's addresses in order, already resolved; empty means any peer (responder only).
    pub gateways: Vec<Gateway>,
    /// Who this host says it is.
    pub local_id: Identity,
    /// Who the peer must be.
    pub peer_id: PeerIdentity,
    /// How this host proves it.
    pub local_auth: LocalAuth,
    /// How the peer has to.
    pub peer_auth: PeerAuth,
    /// The secrets, by peer identity, for sides that prove themselves with a shared key.
    pub secrets: Secrets,
    /// IKE suites in order of preference.
    pub ike: Vec<IkeSuite>,
    /// Child SAs in the order of the file.
    pub children: Vec<ChildConfig>,
    /// When an initiator begins.
    pub start: Start,
    /// Whether to ask for virtual addresses (as initiator), by family.
    pub request_address: RequestAddress,
    /// Pools that this connection's peers get addresses from (as responder), in order.
    pub pools: Vec<String>,
    /// Whether and when ESP is wrapped in UDP.
    pub encapsulation: EncapsulationPolicy,
    /// Whether the SA may move to other addresses (MOBIKE, RFC 4555); a peer that does not know it never does.
    pub mobike: bool,
    /// Whether, and when, a peer has to show that it is reachable where it moved to.
    pub return_routability: ReturnRoutability,
    /// When things are repeated, refreshed and given up.
    pub timing: Timing,
    /// How many IKE SAs a peer may have.
    pub unique: Uniqueness,
    /// What becomes of an IKE SA whose Child SA, or address, could not be had.
    pub on_child_failed: ChildFailure,
    /// Whether IKE SAs come up without a Child SA (RFC 6023).
    pub childless: Childless,
    /// Whether RSA and ECDSA keys may make AUTH payloads with SHA-1 (method 1, RFC 7427), at either end. Beyond that the
    /// host's and the peer's floor must allow legacy algorithms.
    pub sha1_auth: bool,
}

impl PeerConfig {
    /// Tells whether its peers can only be reached at addresses out of its pools: they have to ask for one.
    pub(crate) fn requires_address(&self) -> bool {
        let dynamic = |selector: &SelectorConfig| *selector == SelectorConfig::Dynamic;
        !self.pools.is_empty() && self.children.iter().all(|child| child.remote.iter().all(dynamic))
    }
}

/// Whether IKE SAs come up without a Child SA (RFC 6023), in the words of swanctl's `childless`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Childless {
    /// A peer may begin so; this host does only where the connection has no child.
    #[default]
    Allow,
    /// This host begins so wherever the peer admits it.
    Prefer,
    /// Both must: a Child SA in IKE_AUTH is refused.
    Force,
    /// Neither may.
    Never,
}

/// What becomes of an authenticated IKE SA whose Child SA, or address, could not be had (RFC 7296 §2.21.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ChildFailure {
    /// It stands, and whoever began it tries again, each time after a longer pause.
    #[default]
    Retry,
    /// It stands; the child is tried again by order or for traffic.
    Keep,
    /// It ends, unless it has another child.
    Close,
}

/// What becomes of the IKE SAs that a peer has when it begins another, by its identity; as swanctl's `unique`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Uniqueness {
    /// They stay, whatever the peer says.
    Never,
    /// They go if the peer says INITIAL_CONTACT.
    #[default]
    No,
    /// They go.
    Replace,
    /// They stay, and the new one is refused; unless it comes from the same address, where it is a re-authentication.
    Keep,
}

/// A peer's address, and whether its port takes the non-ESP marker from the first message on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Address and port. A port other than 500 is spoken to from the NAT traversal socket.
    pub address: SocketAddr,
}

/// Who a peer may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerIdentity {
    /// Exactly this one.
    Is(Identity),
    /// Whoever proves an identity of this pattern.
    Like(Pattern),
    /// Anyone whose secret is known.
    Any,
}

impl PeerIdentity {
    /// Returns who it must be, where only one may.
    pub fn exact(&self) -> Option<&Identity> {
        match self {
            Self::Is(identity) => Some(identity),
            Self::Like(_) | Self::Any => None,
        }
    }

    /// Tells whether a peer may be this one.
    pub fn admits(&self, peer: &Identity) -> bool {
        match self {
            Self::Is(expected) => identity::matches(expected, peer),
            Self::Like(pattern) => pattern.matches(peer),
            Self::Any => true,
        }
    }

    /// Tells whether a user that EAP proves may be this one: IDi, by which the connection was chosen, nobody has proved.
    pub fn admits_user(&self, user: &str) -> bool {
        let is_named = self.exact().is_some_and(|expected| expected.to_string() == user);
        let admitted = || identity::parse(user).is_some_and(|user| self.admits(&user));
        *self == Self::Any || is_named || admitted()
    }

    /// Returns how closely it tells who is meant: of connections that fit alike, the closest is a peer's.
    pub(crate) fn closeness(&self) -> (u8, usize) {
        match self {
            Self::Is(_) => (2, 0),
            Self::Like(pattern) => (1, pattern.closeness()),
            Self::Any => (0, 0),
        }
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(expected) => f.write_str(&expected.to_string()),
            Self::Like(pattern) => write!(f, "{pattern}"),
            Self::Any => f.write_str("anybody"),
        }
    }
}

/// Pre-shared keys.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Secrets {
    /// The key of each peer, by the peer's identity, [`identity::folded`].
    pub by_peer: BTreeMap<Identity, SecretBytes>,
    /// The key of every other peer.
    pub default: Option<SecretBytes>,
}

impl Secrets {
    /// Returns a peer's own key.
    pub fn of(&self, peer: &Identity) -> Option<&SecretBytes> {
        self.by_peer.get(&identity::folded(peer))
    }
}

/// When an initiator begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At once, and again for ever.
    Up,
    /// With the first packet that has no SA.
    OnTraffic,
    /// When told.
    Manual,
}

/// Which virtual addresses an initiator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RequestAddress {
    /// INTERNAL_IP4_ADDRESS.
    pub v4: bool,
    /// INTERNAL_IP6_ADDRESS.
    pub v6: bool,
}

/// Whether ESP is wrapped in UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncapsulationPolicy {
    /// Always: a false NAT_DETECTION_SOURCE_IP makes the peer do so too (RFC 7296 §2.23).
    Always,
    /// Where a NAT is on the way.
    Auto,
    /// Never, since no NAT may be on the way: NO_NATS_ALLOWED (RFC 4555 §3.9).
    ForbidNat,
}

/// When a peer that moves has to show that it is reachable at its new address: it returns a COOKIE2 that it was sent
/// there (RFC 4555 §3.7). Without that, whoever is authenticated may point the traffic at anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReturnRoutability {
    /// Before traffic goes there.
    #[default]
    Before,
    /// Traffic goes there at once; without an answer it stops.
    After,
    /// Never: its authentication is enough.
    Never,
}

/// One `[[connection.child]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildConfig {
    /// The operator's name for it.
    pub name: String,
    /// What may be behind this host.
    pub local: Vec<SelectorConfig>,
    /// What may be behind the peer.
    pub remote: Vec<SelectorConfig>,
    /// ESP suites in order of preference.
    pub esp: Vec<EspSuite>,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// When it is rekeyed.
    pub lifetime: Lifetime,
    /// The anti-replay window in packets, 64 to 4096.
    pub replay_window: u32,
}

/// A traffic selector as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorConfig {
    /// A fixed one.
    Fixed(TrafficSelector),
    /// The side's virtual address where there is one, else its address on the path.
    Dynamic,
}

/// A `[[pool]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// The operator's name for it.
    pub name: String,
    /// The prefix; its first and last IPv4 addresses are not given out.
    pub base: IpAddr,
    /// Its length in bits.
    pub prefix_len: u8,
    /// DNS servers told to the peer.
    pub dns: Vec<IpAddr>,
}

/// When things are repeated, refreshed and given up. Each is what the native policy plans; a plugin's
/// plan moves within the bounds of `question/plan_maintenance.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For how long what went out may stay unanswered until liveness is checked, and after how much silence a keepalive to
    /// a NAT is such a check; zero never. Who says nothing and hears nothing checks seldom
    /// ([`crate::limits::SILENT_PEER`]).
    pub liveness_idle: Duration,
    /// Silence towards a NAT after which a keepalive goes out (RFC 3948 §4); zero never.
    pub keepalive: Duration,
    /// Outbound traffic and nothing inbound for so long: every path is probed. Zero never.
    pub suspect: Duration,
    /// Without any path for longer: a full negotiation, not a move.
    pub max_outage: Duration,
    /// The first retransmission comes after this.
    pub retransmit_first: Duration,
    /// Each further one after the last wait times this, in percent.
    pub retransmit_factor_percent: u16,
    /// Retransmissions before the peer counts as gone.
    pub retransmit_tries: u16,
    /// Age of an IKE SA at which it is rekeyed; zero never.
    pub rekey_ike: Duration,
    /// Age of an authentication at which it is made anew: by an initiator with a further IKE SA; a responder announces
    /// it (RFC 4478), and ends what is older. Zero never.
    pub reauth: Duration,
    /// How much earlier a rekey may begin, in percent, at random.
    pub rekey_jitter_percent: u8,
    /// A half-open IKE SA of a responder is forgotten after this.
    pub half_open: Duration,
    /// The first pause before a connection that is kept up is tried again; it doubles up to `retry_cap`.
    pub retry_first: Duration,
    /// The longest such pause.
    pub retry_cap: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            liveness_idle: Duration::from_secs(30),
            keepalive: Duration::from_secs(20),
            suspect: Duration::from_secs(1),
            max_outage: Duration::from_secs(8 * 3600),
            retransmit_first: Duration::from_secs(1),
            retransmit_factor_percent: 180,
            retransmit_tries: 6,
            rekey_ike: Duration::from_secs(4 * 3600),
            reauth: Duration::ZERO,
            rekey_jitter_percent: 10,
            half_open: Duration::from_secs(30),
            retry_first: Duration::from_secs(1),
            retry_cap: Duration::from_secs(60),
        }
    }
}
