//! What the control socket tells, as JSON with stable field names: times are seconds, traffic is octets.
//!
//! Fields are only ever added. Identities, suites, selectors and addresses are text as operators write them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vpnhost_driver::{
    ChildSaState, ConnectionState, Decision, Entry, IkeSaState, Phase, PluginState, Snapshot, Traffic,
};
use vpnhost_model::{Encapsulation, Mode, Role, TrafficSelector};
use vpnhost_policy::OnFailure;

use super::server::Facts;
use crate::exit::Code;

/// The state of a host: `GET /status`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The program's version.
    pub(crate) version: String,
    /// How long it has been running.
    pub(crate) uptime_secs: u64,
    /// The wall clock since 1970.
    pub(crate) unix_secs: u64,
    /// The inside interface.
    pub(crate) tun: String,
    /// The crypto backend, layers from the top joined by commas.
    pub(crate) backend: String,
    /// Its version.
    pub(crate) backend_version: String,
    /// Every connection of the configuration, or the one that was asked for.
    pub(crate) connections: Vec<Connection>,
    /// Every IKE SA that is up.
    pub(crate) ike_sas: Vec<IkeSa>,
    /// Plugins in the order in which they are asked.
    pub(crate) plugins: Vec<Plugin>,
    /// The machine's addresses.
    pub(crate) addresses: Vec<Address>,
    /// Counters of the packet path.
    pub(crate) counters: BTreeMap<String, u64>,
    /// What the packet path makes use of.
    pub(crate) features: BTreeMap<String, String>,
    /// What the operator should know, in sentences.
    pub(crate) warnings: Vec<String>,
}

/// One configured connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Connection {
    pub(crate) name: String,
    /// `initiator`, `responder` or `either`.
    #[serde(default)]
    pub(crate) role: String,
    /// The peer's addresses and names, as they are written; `%any` for any.
    #[serde(default)]
    pub(crate) gateways: Vec<String>,
    /// Which of these names lead nowhere, in sentences.
    #[serde(default)]
    pub(crate) unresolved: Vec<String>,
    /// `down`, `connecting`, `up` or `retrying`.
    pub(crate) state: String,
    /// Until the next try, while `retrying`.
    pub(crate) retry_in_secs: Option<u64>,
    /// Whether it is tried again after an end.
    pub(crate) kept_up: bool,
    /// How the last try ended, while there is no IKE SA.
    pub(crate) last_failure: Option<String>,
}

/// One IKE SA.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IkeSa {
    pub(crate) id: u64,
    pub(crate) connection: String,
    /// `initiator` or `responder`.
    pub(crate) role: String,
    pub(crate) spi_i: String,
    pub(crate) spi_r: String,
    pub(crate) suite: String,
    /// Who serves its encryption.
    pub(crate) backend: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    /// `udp` or `raw`.
    pub(crate) encapsulation: String,
    pub(crate) local_id: String,
    pub(crate) peer_id: String,
    pub(crate) local_behind_nat: bool,
    pub(crate) peer_behind_nat: bool,
    pub(crate) established_secs: u64,
    pub(crate) rekeyed: u32,
    pub(crate) rekey_in_secs: Option<u64>,
    pub(crate) last_heard_secs: u64,
    pub(crate) round_trip_us: Option<u64>,
    /// Virtual addresses that this host was given, with prefix length.
    pub(crate) virtual_addresses: Vec<String>,
    pub(crate) dns: Vec<String>,
    /// Virtual addresses that this host gave to the peer.
    pub(crate) peer_addresses: Vec<String>,
    pub(crate) children: Vec<Child>,
    pub(crate) decisions: Vec<Decided>,
}

/// One Child SA.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Child {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// `active`, `replaced` or `closing`.
    pub(crate) state: String,
    pub(crate) spi_in: String,
    pub(crate) spi_out: String,
    pub(crate) suite: String,
    pub(crate) backend: String,
    /// `tunnel` or `transport`.
    #[serde(default)]
    pub(crate) mode: String,
    pub(crate) local_ts: Vec<String>,
    pub(crate) remote_ts: Vec<String>,
    pub(crate) installed_secs: u64,
    pub(crate) rekeyed: u32,
    pub(crate) rekey_in_secs: Option<u64>,
    pub(crate) sends: bool,
    pub(crate) inbound: Flow,
    pub(crate) outbound: Flow,
}

/// Traffic of one direction.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flow {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) idle_secs: Option<u64>,
}

/// The last decision of a question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Decided {
    pub(crate) question: String,
    /// The plugin whose answer stands, or `native`.
    pub(crate) by: String,
    pub(crate) outcome: String,
    pub(crate) secs_ago: u64,
}

/// One plugin of the chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) questions: Vec<String>,
    /// `deny` or `native`: what counts when it fails to answer `authorize_peer`.
    pub(crate) on_failure: String,
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) abstained: u64,
    pub(crate) failed: u64,
    pub(crate) off_the_menu: u64,
    pub(crate) refused: u64,
}

/// One address of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) address: String,
    pub(crate) interface: String,
    pub(crate) kind: String,
    pub(crate) mtu: u32,
    pub(crate) metered: bool,
}

/// One entry of the journal: `GET /explain`, `GET /events`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) number: u64,
    /// Since 1970.
    pub(crate) unix_ms: u64,
    pub(crate) connection: Option<String>,
    pub(crate) ike_sa: Option<u64>,
    pub(crate) kind: String,
    pub(crate) question: Option<String>,
    pub(crate) by: Option<String>,
    pub(crate) plugin: Option<String>,
    pub(crate) text: String,
}

/// A line that tells of an operation under way, or of its outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Line {
    /// It goes on.
    Progress {
        /// What just happened.
        text: String,
    },
    /// It is done.
    Done {
        /// What was done.
        text: String,
        /// The round-trip time, of a liveness exchange.
        round_trip_us: Option<u64>,
    },
    /// It failed.
    Failed {
        /// What failed.
        what: String,
        /// Why.
        why: Option<String>,
        /// What the operator may do.
        hint: Option<String>,
        /// The exit code.
        code: u8,
    },
}

impl Line {
    /// It is done.
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self::Done { text: text.into(), round_trip_us: None }
    }

    /// It failed.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed { what: what.into(), why: None, hint: None, code: Code::Failed as u8 }
    }

    /// Adds the cause.
    pub(crate) fn because(mut self, cause: impl ToString) -> Self {
        if let Self::Failed { why, .. } = &mut self {
            *why = Some(cause.to_string());
        }
        self
    }

    /// Adds what the operator may do about it.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Failed { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// Changes the exit code.
    pub(crate) fn code(mut self, other: Code) -> Self {
        if let Self::Failed { code, .. } = &mut self {
            *code = other as u8;
        }
        self
    }
}

/// One backend in use: `GET /backends`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) version: String,
    /// How many algorithms gave their known answers.
    pub(crate) admitted: usize,
    /// What is not offered, and why.
    pub(crate) refused: Vec<String>,
}

/// The backends in use, the top layer first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Backends {
    pub(crate) backends: Vec<Backend>,
}

impl Status {
    /// Tells a snapshot, of one connection or of all.
    pub(crate) fn of(snapshot: &Snapshot, facts: &Facts, connection: Option<&str>) -> Self {
        let wanted = |name: &str| connection.is_none_or(|connection| connection == name);
        let Snapshot { unix, connections, ike_sas, .. } = snapshot;
        let connections = connections.iter().filter(|state| wanted(&state.name));
        let ike_sas = ike_sas.iter().filter(|sa| wanted(&sa.connection));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_secs: snapshot.uptime.as_secs(),
            unix_secs: unix.as_secs(),
            tun: snapshot.tun.clone(),
            backend: snapshot.backend.clone(),
            backend_version: snapshot.backend_version.clone(),
            connections: connections.map(|state| Connection::of(state, facts, *unix)).collect(),
            ike_sas: ike_sas.map(|sa| IkeSa::of(sa, *unix)).collect(),
            plugins: snapshot.plugins.iter().map(Plugin::of).collect(),
            addresses: snapshot.addresses.iter().map(Address::of).collect(),
            counters: snapshot.counters.iter().cloned().collect(),
            features: snapshot.features.iter().cloned().collect(),
            warnings: facts.warnings.clone(),
        }
    }
}

impl Connection {
    fn of(state: &ConnectionState, facts: &Facts, unix: Duration) -> Self {
        let known = facts.connections.iter().find(|known| known.name == state.name);
        Self {
            name: state.name.clone(),
            role: known.map_or("", |known| known.role).to_owned(),
            gateways: known.map_or_else(Vec::new, |known| known.gateways.clone()),
            unresolved: known.map_or_else(Vec::new, |known| known.unresolved.clone()),
            state: phase_name(state.phase).to_owned(),
            retry_in_secs: match state.phase {
                Phase::Retrying(at) => Some(at.saturating_sub(unix).as_secs()),
                Phase::Down | Phase::Connecting | Phase::Up => None,
            },
            kept_up: state.kept_up,
            last_failure: state.last_failure.clone(),
        }
    }
}

impl IkeSa {
    fn of(sa: &IkeSaState, unix: Duration) -> Self {
        Self {
            id: sa.id.0,
            connection: sa.connection.clone(),
            role: match sa.role {
                Role::Initiator => "initiator",
                Role::Responder => "responder",
            }
            .to_owned(),
            spi_i: sa.spi_i.to_string(),
            spi_r: sa.spi_r.to_string(),
            suite: sa.suite.to_string(),
            backend: sa.backend.clone(),
            local: sa.path.local.to_string(),
            remote: sa.path.remote.to_string(),
            encapsulation: match sa.path.encapsulation {
                Encapsulation::Udp => "udp",
                Encapsulation::Raw => "raw",
            }
            .to_owned(),
            local_id: sa.local_id.to_string(),
            peer_id: sa.peer_id.to_string(),
            local_behind_nat: sa.local_behind_nat,
            peer_behind_nat: sa.peer_behind_nat,
            established_secs: unix.saturating_sub(sa.established).as_secs(),
            rekeyed: sa.rekeyed,
            rekey_in_secs: sa.rekey_in.map(|span| span.as_secs()),
            last_heard_secs: sa.last_heard.as_secs(),
            round_trip_us: sa.round_trip.map(micros),
            virtual_addresses: sa.addresses.iter().map(|(address, len)| format!("{address}/{len}")).collect(),
            dns: sa.dns.iter().map(ToString::to_string).collect(),
            peer_addresses: sa.peer_addresses.iter().map(ToString::to_string).collect(),
            children: sa.children.iter().map(|child| Child::of(child, unix)).collect(),
            decisions: sa.decisions.iter().map(|decision| Decided::of(decision, unix)).collect(),
        }
    }
}

impl Child {
    fn of(child: &ChildSaState, unix: Duration) -> Self {
        let texts = |selectors: &[TrafficSelector]| selectors.iter().map(ToString::to_string).collect();
        Self {
            id: child.id.0,
            name: child.child.clone(),
            state: child.state.to_owned(),
            spi_in: child.spi_in.to_string(),
            spi_out: child.spi_out.to_string(),
            suite: child.suite.to_string(),
            backend: child.backend.clone(),
            mode: match child.mode {
                Mode::Tunnel => "tunnel",
                Mode::Transport => "transport",
            }
            .to_owned(),
            local_ts: texts(&child.local),
            remote_ts: texts(&child.remote),
            installed_secs: unix.saturating_sub(child.installed).as_secs(),
            rekeyed: child.rekeyed,
            rekey_in_secs: child.rekey_in.map(|span| span.as_secs()),
            sends: child.sends,
            inbound: Flow::of(child.inbound),
            outbound: Flow::of(child.outbound),
        }
    }
}

impl Flow {
    fn of(traffic: Traffic) -> Self {
        let Traffic { packets, bytes, idle } = traffic;
        Self { packets, bytes, idle_secs: idle.map(|span| span.as_secs()) }
    }
}

impl Decided {
    fn of(decision: &Decision, unix: Duration) -> Self {
        Self {
            question: decision.question.to_owned(),
            by: decision.plugin.clone().unwrap_or_else(|| decision.by.to_owned()),
            outcome: decision.outcome.clone(),
            secs_ago: unix.saturating_sub(decision.unix).as_secs(),
        }
    }
}

impl Plugin {
    fn of(plugin: &PluginState) -> Self {
        let counters = plugin.counters;
        Self {
            name: plugin.name.clone(),
            questions: plugin.questions.iter().map(|kind| kind.name().to_owned()).collect(),
            on_failure: match plugin.on_failure {
                OnFailure::Deny => "deny",
                OnFailure::Native => "native",
            }
            .to_owned(),
            asked: counters.asked,
            answered: counters.answered,
            abstained: counters.abstained,
            failed: counters.failed,
            off_the_menu: counters.off_the_menu,
            refused: counters.refused,
        }
    }
}

impl Address {
    fn of(address: &vpnhost_model::LocalAddress) -> Self {
        Self {
            address: address.address.to_string(),
            interface: address.name.clone(),
            kind: address.kind.name().to_owned(),
            mtu: address.mtu,
            metered: address.metered,
        }
    }
}

impl Event {
    /// Tells an entry of the journal.
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            number: entry.number,
            unix_ms: u64::try_from(entry.unix.as_millis()).unwrap_or(u64::MAX),
            connection: entry.connection.clone(),
            ike_sa: entry.ike_sa.map(|id| id.0),
            kind: entry.kind.to_owned(),
            question: entry.question.map(str::to_owned),
            by: entry.by.map(str::to_owned),
            plugin: entry.plugin.clone(),
            text: entry.text.clone(),
        }
    }
}

/// Returns a time in whole microseconds.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Down => "down",
        Phase::Connecting => "connecting",
        Phase::Up => "up",
        Phase::Retrying(_) => "retrying",
    }
}
