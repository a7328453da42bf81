//! The host's state and journal as documents.

use std::time::Duration;

use vpnhost_driver::{
    ChildSaState, ConnectionState, Decision, Entry, IkeSaState, Phase, PluginState, Snapshot, Traffic,
};
use vpnhost_model::{Encapsulation, LocalAddress, Mode, Role, TrafficSelector};
use vpnhost_policy::OnFailure;

use super::document::{Address, Child, Connection, Decided, Event, Flow, IkeSa, Plugin, Status};
use super::server::Facts;

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
    fn of(address: &LocalAddress) -> Self {
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
