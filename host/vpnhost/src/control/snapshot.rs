//! The host's state and journal as documents.

use std::sync::Arc;
use std::time::Duration;

use vpnhost_driver::{
    ChildSaState, ConnectionState, Decision, Entry, IkeSaState, Move, PathState, Phase, PluginState,
    Snapshot, Traffic, legible,
};
use vpnhost_model::{Encapsulation, LocalAddress, Mode, Role, TrafficSelector};
use vpnhost_plugin_host::{PluginSlot, TrialReport};
use vpnhost_policy::{MetricValue, OnFailure, Policy as _, Reply};

use super::document::{
    Address, Certificate, Child, Connection, Decided, Eap, Event, Flow, Foretold, IkeSa, Moved, NearRefusal,
    Path, Plugin, Status, Trial,
};
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

impl Status {
    /// Adds what is known of the plugins' components.
    pub(crate) fn know_plugins(&mut self, slots: &[Arc<PluginSlot>]) {
        for plugin in &mut self.plugins {
            if let Some(slot) = slots.iter().find(|slot| slot.name() == plugin.name) {
                plugin.know(slot);
            }
        }
    }
}

impl Connection {
    fn of(state: &ConnectionState, facts: &Facts, unix: Duration) -> Self {
        let known = facts.connections.iter().find(|known| known.name == state.name);
        // Without an address the names that lead nowhere are the cause.
        let failure = state.last_failure.as_ref().filter(|_| known.is_none_or(|known| known.is_reachable));
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
            last_failure: failure.map(|failure| failure.text.clone()),
            last_reason: failure.map(|failure| failure.reason.to_owned()),
            last_refusal: state.last_refusal.as_ref().and_then(|entry| NearRefusal::of(entry, unix)),
        }
    }
}

impl NearRefusal {
    fn of(entry: &Entry, unix: Duration) -> Option<Self> {
        Some(Self {
            secs_ago: unix.saturating_sub(entry.unix).as_secs(),
            nearest: entry.connection.clone().or_else(|| entry.nearest.clone())?,
            reason: entry.reason?.to_owned(),
            text: entry.text.clone(),
        })
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
            encapsulation: encapsulation(sa).to_owned(),
            local_id: sa.local_id.to_string(),
            peer_id: sa.peer_id.to_string(),
            certificate: sa.certificate.as_ref().map(|facts| Certificate {
                subject: facts.subject.clone(),
                issuer: facts.issuer.clone(),
                ca: facts.ca.clone(),
                serial: facts.serial.clone(),
                ends_in_secs: facts.not_after - i64::try_from(unix.as_secs()).unwrap_or(i64::MAX),
            }),
            eap: sa.eap.as_ref().map(|facts| Eap {
                identity: facts.identity.clone(),
                method: facts.method.to_owned(),
                ike_id: facts.ike_id.to_string(),
            }),
            local_behind_nat: sa.local_behind_nat,
            peer_behind_nat: sa.peer_behind_nat,
            established_secs: unix.saturating_sub(sa.established).as_secs(),
            rekeyed: sa.rekeyed,
            rekey_in_secs: sa.rekey_in.map(|span| span.as_secs()),
            reauth_in_secs: sa.reauth_in.map(|span| span.as_secs()),
            last_heard_secs: sa.last_heard.as_secs(),
            round_trip_us: sa.round_trip.map(micros),
            mobike: sa.mobike,
            chooses_path: sa.chooses_path,
            keepalive_ms: sa.keepalive.map(millis),
            nat_remembered_ms: sa.memory.proven.map(millis),
            nat_forgot_ms: sa.memory.failed.map(millis),
            paths: sa.paths.iter().map(|path| Path::of(path, sa)).collect(),
            virtual_addresses: sa.addresses.iter().map(|(address, len)| format!("{address}/{len}")).collect(),
            dns: sa.dns.iter().map(ToString::to_string).collect(),
            peer_addresses: sa.peer_addresses.iter().map(ToString::to_string).collect(),
            children: sa.children.iter().map(|child| Child::of(child, unix)).collect(),
            foretold: sa.foretold.iter().map(foretold).collect(),
            decisions: sa.decisions.iter().map(|decision| Decided::of(decision, unix)).collect(),
        }
    }
}

fn encapsulation(sa: &IkeSaState) -> &'static str {
    match sa.path.encapsulation {
        Encapsulation::Udp => "udp",
        Encapsulation::Raw => "raw",
    }
}

impl Path {
    fn of(path: &PathState, sa: &IkeSaState) -> Self {
        Self {
            connection: sa.connection.clone(),
            ike_sa: sa.id.0,
            in_use: path.in_use,
            local: path.local.to_string(),
            remote: path.remote.to_string(),
            encapsulation: encapsulation(sa).to_owned(),
            interface: path.interface.clone(),
            kind: path.kind.name().to_owned(),
            metered: path.metered,
            mtu: path.mtu,
            standing: path.standing.map(|standing| standing.name().to_owned()),
            round_trip_us: path.round_trip.map(micros),
            loss_permille: path.loss_permille,
            last_heard_secs: path.heard.map(|span| span.as_secs()),
            up_secs: path.up.map(|span| span.as_secs()),
            flaps: path.flaps,
            nat_remembered_ms: path.memory.proven.map(millis),
            nat_forgot_ms: path.memory.failed.map(millis),
        }
    }
}

fn foretold((reason, text): &(&'static str, String)) -> Foretold {
    Foretold { reason: (*reason).to_owned(), text: text.clone() }
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
            sha256: plugin.sha256.map(|sha256| sha256.to_string()),
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
            metrics: plugin.metrics.iter().map(|it| (it.name.clone(), number(it.value))).collect(),
            version: None,
            file: None,
            state: None,
            previous: None,
            trial: None,
        }
    }

    /// Adds what is known of its components.
    fn know(&mut self, slot: &PluginSlot) {
        let active = slot.active();
        self.version = Some(active.manifest().version.clone());
        self.file = Some(active.path().display().to_string());
        let state = match active.state() {
            vpnhost_plugin_host::PluginState::Active => "active",
            vpnhost_plugin_host::PluginState::Disabled => "disabled",
        };
        self.state = Some(state.to_owned());
        self.previous = slot.previous().map(|it| it.digest().to_string());
        self.trial = slot.trial().map(|report| Trial::of(&report));
    }
}

impl Trial {
    fn of(report: &TrialReport) -> Self {
        Self {
            kind: report.kind.to_string(),
            sha256: report.sha256.to_string(),
            version: report.version.clone(),
            asked: report.asked,
            alike: report.alike,
            differs: report.differs,
            failed: report.failed,
            missed: report.missed,
            last: report.last.as_ref().map(|it| {
                let told = |reply: &Reply| match reply {
                    Ok(Some(answer)) => vpnhost_record::answer(answer).to_string(),
                    Ok(None) => "nothing".to_owned(),
                    Err(failure) => failure.to_string(),
                };
                let (active, candidate) = (told(&it.active), told(&it.candidate));
                format!("{} of {}: {active}; on trial {candidate}", it.question, it.connection)
            }),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "JSON's numbers are these, and a count beyond 2^53 is none")]
fn number(value: MetricValue) -> f64 {
    match value {
        MetricValue::Counter(count) => count as f64,
        MetricValue::Gauge(value) => value,
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
            nearest: entry.nearest.clone(),
            ike_sa: entry.ike_sa.map(|id| id.0),
            kind: entry.kind.to_owned(),
            question: entry.question.map(str::to_owned),
            by: entry.by.map(str::to_owned),
            plugin: entry.plugin.clone(),
            plugin_sha256: entry.plugin_sha256.map(|sha256| sha256.to_string()),
            reason: entry.reason.map(str::to_owned),
            moved: entry.moved.as_ref().map(Moved::of),
            text: entry.text.clone(),
        }
    }
}

impl Moved {
    /// Tells a move.
    pub(crate) fn of(moved: &Move) -> Self {
        let Move { from, to, why, gap, octets } = moved;
        Self {
            from_local: from.local.to_string(),
            from_remote: from.remote.to_string(),
            to_local: to.local.to_string(),
            to_remote: to.remote.to_string(),
            why: legible(why),
            gap_ms: u64::try_from(gap.as_millis()).unwrap_or(u64::MAX),
            octets: *octets,
        }
    }
}

/// Returns a time in whole milliseconds.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;
    use vpnhost_ike::Memory;
    use vpnhost_model::{
        ChildSaId, ChildSpi, EspSuite, Identity, IkeSaId, IkeSpi, IkeSuite, LinkKind, Sequence,
    };
    use vpnhost_policy::{Metric, PathStanding, QuestionKind, QuestionSet, Sha256};

    use super::super::server::Known;
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    fn ago(secs: u64) -> Duration {
        NOW.saturating_sub(Duration::from_secs(secs))
    }

    fn child() -> ChildSaState {
        let net = |text: &str| vec![TrafficSelector::prefix(text.parse().unwrap(), 24).unwrap()];
        ChildSaState {
            id: ChildSaId(7),
            child: "net".to_owned(),
            spi_in: ChildSpi(0xc000_0001),
            spi_out: ChildSpi(0xc000_0002),
            suite: EspSuite::parse_all("aes128gcm16", &[Sequence::EXTENDED]).unwrap()[0],
            backend: "aws-lc".to_owned(),
            local: net("10.30.0.0"),
            remote: net("10.20.0.0"),
            installed: ago(10),
            rekeyed: 1,
            rekey_in: Some(Duration::from_secs(3300)),
            state: "active",
            sends: true,
            mode: Mode::Tunnel,
            inbound: Traffic { packets: 3, bytes: 252, idle: Some(Duration::from_millis(2900)) },
            outbound: Traffic::default(),
        }
    }

    fn path() -> PathState {
        PathState {
            in_use: false,
            local: "198.51.100.9:4500".parse().unwrap(),
            remote: "192.0.2.1:4500".parse().unwrap(),
            interface: "wwan0".to_owned(),
            kind: LinkKind::CELLULAR,
            metered: true,
            mtu: 1428,
            standing: Some(PathStanding::WORKS),
            round_trip: Some(Duration::from_micros(48_200)),
            loss_permille: Some(20),
            heard: Some(Duration::from_millis(61_500)),
            up: Some(Duration::from_secs(300)),
            flaps: 2,
            memory: Memory::default(),
        }
    }

    fn ike_sa() -> IkeSaState {
        IkeSaState {
            id: IkeSaId(4),
            connection: "corp".to_owned(),
            role: Role::Initiator,
            spi_i: IkeSpi([1; 8]),
            spi_r: IkeSpi([2; 8]),
            suite: IkeSuite::parse_all("aes256gcm16-prfsha384-x25519").unwrap()[0],
            backend: "aws-lc".to_owned(),
            path: vpnhost_model::Path {
                local: "192.0.2.2:4500".parse().unwrap(),
                remote: "192.0.2.1:4500".parse().unwrap(),
                interface: None,
                encapsulation: Encapsulation::Udp,
            },
            local_id: Identity::Fqdn("carol".into()),
            peer_id: Identity::Fqdn("moon".into()),
            local_behind_nat: true,
            certificate: None,
            eap: None,
            peer_behind_nat: false,
            established: ago(75),
            rekeyed: 0,
            rekey_in: None,
            reauth_in: None,
            last_heard: Duration::from_secs(3),
            round_trip: Some(Duration::from_micros(412)),
            mobike: true,
            chooses_path: true,
            keepalive: Some(Duration::from_millis(25_200)),
            memory: Memory { proven: Some(Duration::from_secs(28)), failed: Some(Duration::from_secs(32)) },
            paths: vec![path()],
            addresses: vec![("10.30.0.1".parse().unwrap(), 24)],
            dns: vec!["10.20.0.53".parse().unwrap()],
            peer_addresses: Vec::new(),
            children: vec![child()],
            foretold: vec![("life-too-short", "it is renewed after 5 s".to_owned())],
            decisions: vec![Decision {
                question: "authorize_peer",
                by: "plugins",
                plugin: Some("office-hours".to_owned()),
                outcome: "allowed".to_owned(),
                unix: ago(75),
            }],
        }
    }

    pub(in super::super) fn snapshot() -> Snapshot {
        let state = |name: &str, phase, failure: Option<&str>| ConnectionState {
            name: name.to_owned(),
            phase,
            kept_up: true,
            last_failure: failure.map(|text| vpnhost_driver::Failure {
                child: None,
                reason: "no-common-proposal",
                text: text.to_owned(),
            }),
            last_refusal: None,
        };
        Snapshot {
            unix: NOW,
            uptime: Duration::from_secs(90),
            connections: vec![
                state("corp", Phase::Up, None),
                state("home", Phase::Retrying(NOW + Duration::from_secs(4)), Some("no common proposal")),
            ],
            ike_sas: vec![ike_sa()],
            counters: vec![("drop_replay".to_owned(), 2)],
            plugins: vec![PluginState {
                name: "office-hours".to_owned(),
                sha256: Some(Sha256([0xab; 32])),
                metrics: vec![Metric { name: "refusals".to_owned(), value: MetricValue::Counter(3) }],
                questions: QuestionSet::from_iter([QuestionKind::AuthorizePeer]),
                on_failure: OnFailure::Deny,
                counters: vpnhost_driver::QuestionCounters { asked: 1, answered: 1, ..Default::default() },
            }],
            backend: "aws-lc,rustcrypto".to_owned(),
            tun: "vpn0".to_owned(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_documents_names_and_units_stay() {
        let facts = Facts {
            connections: vec![Known {
                name: "corp".to_owned(),
                role: "initiator",
                gateways: vec!["moon.example.org".to_owned()],
                children: vec!["net".to_owned()],
                unresolved: Vec::new(),
                is_reachable: true,
            }],
            ..Facts::default()
        };
        let status = serde_json::to_value(Status::of(&snapshot(), &facts, Some("corp"))).unwrap();
        assert_eq!(
            status["connections"],
            json!([{
                "name": "corp", "role": "initiator", "gateways": ["moon.example.org"], "unresolved": [],
                "state": "up", "retry_in_secs": null, "kept_up": true, "last_failure": null, "last_reason": null,
                "last_refusal": null,
            }])
        );
        assert_eq!(
            status["ike_sas"][0]["children"][0],
            json!({
                "id": 7, "name": "net", "state": "active", "spi_in": "c0000001", "spi_out": "c0000002",
                "suite": "aes128gcm16-esn", "backend": "aws-lc", "mode": "tunnel",
                "local_ts": ["10.30.0.0/24"], "remote_ts": ["10.20.0.0/24"],
                "installed_secs": 10, "rekeyed": 1, "rekey_in_secs": 3300, "sends": true,
                "inbound": { "packets": 3, "bytes": 252, "idle_secs": 2 },
                "outbound": { "packets": 0, "bytes": 0, "idle_secs": null },
            })
        );
        let mut sa = status["ike_sas"][0].clone();
        sa.as_object_mut().unwrap().remove("children");
        let paths = sa.as_object_mut().unwrap().remove("paths");
        assert_eq!(
            paths,
            Some(json!([{
                "connection": "corp", "ike_sa": 4, "in_use": false, "local": "198.51.100.9:4500",
                "remote": "192.0.2.1:4500", "encapsulation": "udp", "interface": "wwan0", "kind": "cellular",
                "metered": true, "mtu": 1428, "standing": "works", "round_trip_us": 48200,
                "loss_permille": 20, "last_heard_secs": 61, "up_secs": 300, "flaps": 2, "nat_remembered_ms": null, "nat_forgot_ms": null,
            }]))
        );
        assert_eq!(
            sa,
            json!({
                "id": 4, "connection": "corp", "role": "initiator",
                "spi_i": "0101010101010101", "spi_r": "0202020202020202",
                "suite": "aes256gcm16-prfsha384-x25519", "backend": "aws-lc",
                "local": "192.0.2.2:4500", "remote": "192.0.2.1:4500", "encapsulation": "udp",
                "local_id": "carol", "peer_id": "moon", "certificate": null, "eap": null, "local_behind_nat": true, "peer_behind_nat": false,
                "established_secs": 75, "rekeyed": 0, "rekey_in_secs": null, "reauth_in_secs": null, "last_heard_secs": 3,
                "round_trip_us": 412, "mobike": true, "chooses_path": true,
                "keepalive_ms": 25200, "nat_remembered_ms": 28000, "nat_forgot_ms": 32000,
                "virtual_addresses": ["10.30.0.1/24"], "dns": ["10.20.0.53"],
                "peer_addresses": [],
                "foretold": [{ "reason": "life-too-short", "text": "it is renewed after 5 s" }],
                "decisions": [{
                    "question": "authorize_peer", "by": "office-hours", "outcome": "allowed", "secs_ago": 75,
                }],
            })
        );
        assert_eq!(status["plugins"][0]["questions"], json!(["authorize-peer"]));
        assert_eq!(status["plugins"][0]["sha256"], "ab".repeat(32));
        assert_eq!(status["plugins"][0]["metrics"], json!({ "refusals": 3.0 }));
        assert_eq!(status["counters"], json!({ "drop_replay": 2 }));
        assert_eq!((&status["uptime_secs"], &status["unix_secs"]), (&json!(90), &json!(1_000_000)));
    }

    #[test]
    fn without_a_name_every_connection_is_told() {
        let status = Status::of(&snapshot(), &Facts::default(), None);
        let states: Vec<_> =
            status.connections.iter().map(|it| (it.state.as_str(), it.retry_in_secs)).collect();
        assert_eq!(states, [("up", None), ("retrying", Some(4))]);
        assert_eq!(Status::of(&snapshot(), &Facts::default(), Some("home")).ike_sas.len(), 0);
    }
}
