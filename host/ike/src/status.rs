//! What `status` and `list` show: owned facts about every IKE SA and its Child SAs.

use std::net::IpAddr;
use std::time::Duration;

use vpnhost_model::{
    ChildSaId, ChildSpi, EspSuite, Identity, IkeSaId, IkeSpi, IkeSuite, Instant, Mode, Now, Path, Role,
    TrafficSelector,
};

use vpnhost_policy::PathFacts;

use crate::auth::eap::EapFacts;
use crate::auth::judged::CertificateFacts;
use crate::endpoint::IkeEndpoint;
use crate::host::Host;
use crate::question::rank_paths;
use crate::sa::IkeSa;
use crate::sa::estate::{ChildPhase, ChildSa};
use crate::sa::mapping::{Memory, Network};
use crate::sa::paths::Candidate;
use crate::sa::state::{Established, State};
use crate::tally::Tally;
use crate::timer::Timer;
use crate::wire::payload::AuthMethod;

/// An IKE SA in any state.
#[derive(Clone, Debug, PartialEq)]
pub struct IkeSaStatus {
    /// Its name.
    pub id: IkeSaId,
    /// The connection, once known.
    pub connection: Option<String>,
    /// This host's role as original initiator or responder.
    pub role: Role,
    /// The state's name for people: `established`.
    pub state: &'static str,
    /// Whether it is authenticated and in use.
    pub established: bool,
    /// The initiator's SPI.
    pub spi_i: IkeSpi,
    /// The responder's SPI; zero while unknown.
    pub spi_r: IkeSpi,
    /// What protects it, once agreed.
    pub suite: Option<IkeSuite>,
    /// Where.
    pub path: Path,
    /// Who this host is to the peer, once established.
    pub local_id: Option<Identity>,
    /// Who the peer is, once established.
    pub peer_id: Option<Identity>,
    /// How the peer proved itself, once established.
    pub auth_method: Option<AuthMethod>,
    /// The certificate that the peer proved itself with.
    pub certificate: Option<CertificateFacts>,
    /// What EAP has proved of the peer.
    pub eap: Option<EapFacts>,
    /// Whether a NAT is before this host.
    pub local_behind_nat: bool,
    /// Whether a NAT is before the peer, or it says so.
    pub peer_behind_nat: bool,
    /// How long it has been there.
    pub age: Duration,
    /// When it will be rekeyed.
    pub rekey_in: Option<Duration>,
    /// When its peers are authenticated anew; of a responder, when it ends unless that was done.
    pub reauth_in: Option<Duration>,
    /// How long ago the peer was heard of.
    pub last_heard: Duration,
    /// Virtual addresses that this host was given, with prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// DNS servers that this host was given.
    pub dns: Vec<IpAddr>,
    /// Virtual addresses that this host gave to the peer.
    pub peer_addresses: Vec<IpAddr>,
    /// Its Child SAs.
    pub children: Vec<ChildSaStatus>,
    /// Whether it may move (MOBIKE).
    pub mobike: bool,
    /// Whether it is this host that chooses its path.
    pub chooses_path: bool,
    /// What goes out to keep a NAT's mapping, and how often, if anything does.
    pub keepalive: Option<Duration>,
    /// What is known of the NAT before this host.
    pub memory: Memory,
    /// The paths that it could take, where this host chooses, in the order in which the policy is told of them.
    pub paths: Vec<PathStatus>,
}

/// A path that an IKE SA could take.
#[derive(Clone, Debug, PartialEq)]
pub struct PathStatus {
    /// Whether it is the one in use.
    pub in_use: bool,
    /// What is known of it.
    pub facts: PathFacts,
    /// What is known of the NAT of its network.
    pub memory: Memory,
}

/// A Child SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSaStatus {
    /// Its name.
    pub id: ChildSaId,
    /// The child's name in the configuration.
    pub child: String,
    /// The state's name for people: `active`, `replaced`, `closing`.
    pub state: &'static str,
    /// Whether this host sends on it.
    pub sends: bool,
    /// The SPI that this host receives on.
    pub spi_in: ChildSpi,
    /// The SPI that this host sends on.
    pub spi_out: ChildSpi,
    /// What protects it.
    pub suite: EspSuite,
    /// What is behind this host.
    pub local: Vec<TrafficSelector>,
    /// What is behind the peer.
    pub remote: Vec<TrafficSelector>,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// How long it has been there.
    pub age: Duration,
    /// When it will be rekeyed.
    pub rekey_in: Option<Duration>,
}

/// A connection of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// Its name.
    pub name: String,
    /// Whether it is kept up: after an end it is tried again.
    pub kept_up: bool,
    /// When it is tried again, if that is decided.
    pub retry_in: Option<Duration>,
    /// Its IKE SAs, in any state.
    pub ike_sas: Vec<IkeSaId>,
}

/// How much an endpoint holds, of each kind: at rest it is what the SAs need that are up, and without any it is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// IKE SAs in any state, also those that only repeat their last reply.
    pub ike_sas: usize,
    /// SPIs of IKE SAs.
    pub ike_spis: usize,
    /// Child SAs that have an IKE SA.
    pub child_sas: usize,
    /// SPIs that ESP may come in on, also those of replaced Child SAs.
    pub child_spis: usize,
    /// Half-open IKE SAs as responder.
    pub half_open: usize,
    /// Octets of fragments that they hold.
    pub half_open_fragments: usize,
    /// Answers to IKE_SA_INIT that can be repeated.
    pub inits: usize,
    /// Questions that are not answered yet.
    pub questions: usize,
    /// Jobs whose results are not there yet.
    pub jobs: usize,
    /// Virtual addresses that peers have.
    pub leases: usize,
    /// Deadlines: of IKE SAs, of questions, of what is replaced, of connections.
    pub deadlines: usize,
}

impl IkeEndpoint {
    /// Returns how much the endpoint holds.
    pub fn holdings(&self) -> Holdings {
        let (host, directory) = (&self.host, &self.host.directory);
        let retries = self.connections.values().filter(|state| state.retry_at.is_some()).count();
        Holdings {
            ike_sas: self.sas.len(),
            ike_spis: directory.ike_spis.len(),
            child_sas: directory.child_owners.len(),
            child_spis: directory.child_spis.len(),
            half_open: directory.crowd.half_open(),
            half_open_fragments: host.half_open_fragments,
            inits: directory.inits.len(),
            questions: host.questions.len(),
            jobs: host.jobs.len(),
            leases: host.pools.leases(),
            deadlines: self.deadlines() + host.questions.len() + host.lingering() + retries,
        }
    }

    /// Returns what was refused, dropped or asked for to stay within the bounds.
    pub fn tally(&self) -> Tally {
        self.host.tally
    }

    /// Returns facts about every IKE SA that is not closed, in the order of their names.
    pub fn ike_sas(&self, now: Now) -> Vec<IkeSaStatus> {
        let open = |sa: &&IkeSa| !matches!(sa.state, State::Gone | State::Closed) && sa.announced;
        self.sas.values().filter(open).map(|sa| ike_sa_status(sa, &self.host, now.instant)).collect()
    }

    /// Returns facts about every connection of the configuration, in the order of the file.
    pub fn connections(&self, now: Now) -> Vec<ConnectionStatus> {
        let of = |sa: &&IkeSa, name: &str| {
            sa.connection.as_ref().is_some_and(|connection| connection.name == name) && sa.announced
        };
        let status = |name: &str| {
            let state = self.connections.get(name);
            ConnectionStatus {
                name: name.to_owned(),
                kept_up: state.is_some_and(|state| state.kept_up),
                retry_in: state.and_then(|state| state.retry_at).map(|at| at - now.instant),
                ike_sas: self.sas.values().filter(|sa| of(sa, name)).map(|sa| sa.id).collect(),
            }
        };
        self.host.config.connections.iter().map(|connection| status(&connection.name)).collect()
    }
}

fn paths(sa: &IkeSa, host: &Host, now: Instant) -> Vec<PathStatus> {
    let current = sa.current_pair();
    let all = sa.mobility().map_or(&[][..], |mobility| mobility.paths.all());
    let status = |candidate: &Candidate| PathStatus {
        in_use: Some(candidate.pair) == current,
        facts: rank_paths::facts(sa, host, now, candidate),
        memory: host
            .mappings
            .memory(Network { local: candidate.pair.local, interface: Some(candidate.pair.interface) }),
    };
    all.iter().map(status).collect()
}

fn ike_sa_status(sa: &IkeSa, host: &Host, now: Instant) -> IkeSaStatus {
    let established = sa.established();
    let remaining = |timer| sa.timers.deadline(timer).map(|deadline| deadline - now);
    let estate = established.map(|established| &established.estate);
    IkeSaStatus {
        id: sa.id,
        connection: sa.connection.as_ref().map(|connection| connection.name.clone()),
        role: sa.role,
        state: sa.state.name(),
        established: established.is_some(),
        spi_i: sa.spi_i,
        spi_r: sa.spi_r,
        suite: sa.secured.as_ref().map(|secured| secured.suite),
        path: sa.path,
        local_id: established.map(|established| established.local_id.clone()),
        peer_id: established.map(|established| established.peer_id.clone()),
        auth_method: established.map(|established| established.proof.method()),
        certificate: established.and_then(|established| established.proof.certificate().cloned()),
        eap: established.and_then(|established| established.proof.eap().cloned()),
        local_behind_nat: sa.nat.local,
        peer_behind_nat: sa.nat.peer,
        age: now - established.map_or(sa.begun, |established| established.since),
        rekey_in: remaining(Timer::RekeyIkeSa),
        reauth_in: remaining(Timer::Reauthenticate).or(remaining(Timer::AuthenticationExpires)),
        last_heard: now - sa.last_heard,
        addresses: estate.map_or_else(Vec::new, |estate| estate.addresses.clone()),
        dns: estate.map_or_else(Vec::new, |estate| estate.dns.clone()),
        peer_addresses: estate.map_or_else(Vec::new, |estate| estate.peer_addresses.clone()),
        children: established.map_or_else(Vec::new, |established| {
            let children = established.estate.children.values();
            children
                .map(|child| {
                    child_sa_status(child, established, remaining(Timer::RekeyChildSa(child.id)), now)
                })
                .collect()
        }),
        mobike: sa.mobility().is_some_and(|mobility| mobility.enabled),
        chooses_path: sa.chooses_path(),
        keepalive: sa.keepalive(),
        memory: host.mappings.memory(Network::of(&sa.path)),
        paths: paths(sa, host, now),
    }
}

fn child_sa_status(
    child: &ChildSa,
    established: &Established,
    rekey_in: Option<Duration>,
    now: Instant,
) -> ChildSaStatus {
    ChildSaStatus {
        id: child.id,
        child: established.connection.children.get(child.index).map_or_else(String::new, |c| c.name.clone()),
        state: match child.phase {
            ChildPhase::Active => "active",
            ChildPhase::ReplacedByPeer { .. } | ChildPhase::ReplacedByUs { .. } => "replaced",
            ChildPhase::Closing => "closing",
        },
        sends: child.sends,
        spi_in: child.spi_in,
        spi_out: child.spi_out,
        suite: child.suite,
        local: child.local.clone(),
        remote: child.remote.clone(),
        mode: child.mode,
        age: now - child.since,
        rekey_in,
    }
}
