//! The host's state at one moment, put together from those who know it.

use std::time::Duration;

use vpnhost_ike::status::{ChildSaStatus, ConnectionStatus, IkeSaStatus, PathStatus};
use vpnhost_ipsec::DirectionActivity;
use vpnhost_model::{LinkKind, Now};
use vpnhost_policy::PathFacts;

use super::ControlPlane;
use crate::snapshot::{ChildSaState, ConnectionState, IkeSaState, PathState, Phase, Snapshot, Traffic};

impl ControlPlane {
    /// Returns the state at this moment.
    pub(super) fn portrait(&self, now: Now) -> Snapshot {
        let statuses = self.endpoint.ike_sas(now);
        let connections = self.endpoint.connections(now);
        let features = self.data_plane.features();
        Snapshot {
            unix: now.unix,
            uptime: now.instant - self.started,
            connections: connections.into_iter().map(|it| self.connection(now, it, &statuses)).collect(),
            ike_sas: statuses.into_iter().filter_map(|it| self.ike_sa(now, it)).collect(),
            addresses: self.addresses.clone(),
            counters: self.counters(),
            plugins: self.resolver.plugins(),
            backend: self.crypto.name().to_owned(),
            backend_version: self.crypto.version().to_owned(),
            questions: self.resolver.counters(),
            tun: self.data_plane.tun().0.to_owned(),
            features: features.into_iter().map(|(name, how)| (name.to_owned(), how)).collect(),
        }
    }

    /// Returns the packet path's counters, and what the endpoint holds and refused for strangers.
    fn counters(&self) -> Vec<(String, u64)> {
        let (tally, holdings) = (self.endpoint.tally(), self.endpoint.holdings());
        let own = [
            ("ike_half_open", holdings.half_open as u64),
            ("ike_half_open_fragment_octets", holdings.half_open_fragments as u64),
            ("ike_cookies_asked", tally.cookies_asked),
            ("ike_inits_dropped", tally.inits_dropped),
            ("ike_fragments_dropped", tally.fragments_dropped),
            ("ike_exchanges_put_off", tally.exchanges_put_off),
            ("ike_certificates_left_out", tally.certificates_left_out),
            ("log_refusals_withheld", self.chronicle.unlogged()),
        ];
        let mut all = self.data_plane.all_counters();
        all.extend(own.map(|(name, value)| (name.to_owned(), value)));
        all
    }

    fn connection(&self, now: Now, status: ConnectionStatus, ike_sas: &[IkeSaStatus]) -> ConnectionState {
        // One that is being taken down is none that comes up.
        let is_leaving = |sa: &IkeSaStatus| matches!(sa.state, "closing" | "rekeyed" | "closed");
        let is_own = |sa: &&IkeSaStatus| status.ike_sas.contains(&sa.id) && !is_leaving(sa);
        let mut own = ike_sas.iter().filter(is_own).peekable();
        let begun = own.peek().is_some();
        let phase = match (own.any(|sa| sa.established), begun, status.retry_in) {
            (true, ..) => Phase::Up,
            (false, true, _) => Phase::Connecting,
            (false, false, Some(after)) => Phase::Retrying(now.unix.saturating_add(after)),
            (false, false, None) => Phase::Down,
        };
        // What is up may be without a child that failed.
        let last_failure = self.chronicle.last_failure(&status.name);
        let last_failure = last_failure.filter(|it| phase != Phase::Up || it.child.is_some());
        ConnectionState {
            last_failure: last_failure.cloned(),
            last_refusal: self.chronicle.last_refusal(&status.name).cloned(),
            phase,
            kept_up: status.kept_up,
            name: status.name,
        }
    }

    fn ike_sa(&self, now: Now, status: IkeSaStatus) -> Option<IkeSaState> {
        let remembered = self.chronicle.of(status.id).cloned().unwrap_or_default();
        let suite = status.suite.filter(|_| status.established)?;
        let paths = self.paths(&status, remembered.round_trip);
        Some(IkeSaState {
            id: status.id,
            connection: status.connection?,
            role: status.role,
            spi_i: status.spi_i,
            spi_r: status.spi_r,
            backend: remembered.backend.unwrap_or_default(),
            suite,
            path: status.path,
            local_id: status.local_id?,
            peer_id: status.peer_id?,
            certificate: status.certificate,
            eap: status.eap,
            local_behind_nat: status.local_behind_nat,
            peer_behind_nat: status.peer_behind_nat,
            established: now.unix.saturating_sub(status.age),
            rekeyed: remembered.rekeyed,
            rekey_in: status.rekey_in,
            reauth_in: status.reauth_in,
            last_heard: status.last_heard,
            round_trip: remembered.round_trip,
            mobike: status.mobike,
            chooses_path: status.chooses_path,
            keepalive: status.keepalive,
            memory: status.memory,
            paths,
            addresses: status.addresses,
            dns: status.dns,
            peer_addresses: status.peer_addresses,
            children: status.children.into_iter().map(|it| self.child_sa(now, it)).collect(),
            foretold: remembered.foretold,
            decisions: remembered.decisions,
        })
    }

    /// Returns the paths that there are, the one in use among them, even if the machine does not have it any more.
    fn paths(&self, status: &IkeSaStatus, round_trip: Option<Duration>) -> Vec<PathState> {
        let port = status.path.local.port();
        let mut paths: Vec<PathState> = status.paths.iter().map(|it| path(it, port)).collect();
        if !paths.iter().any(|path| path.in_use) {
            let ends = status.path;
            let link = self.addresses.iter().find(|link| {
                link.address == ends.local.ip() && ends.interface.is_none_or(|index| index == link.interface)
            });
            let in_use = PathState {
                in_use: true,
                local: ends.local,
                remote: ends.remote,
                interface: link.map_or_else(String::new, |link| link.name.clone()),
                kind: link.map_or(LinkKind::OTHER, |link| link.kind),
                metered: link.is_some_and(|link| link.metered),
                mtu: link.map_or(0, |link| link.mtu),
                standing: None,
                round_trip,
                loss_permille: None,
                heard: Some(status.last_heard),
                up: None,
                flaps: 0,
                memory: status.memory,
            };
            paths.insert(0, in_use);
        }
        paths
    }

    fn child_sa(&self, now: Now, status: ChildSaStatus) -> ChildSaState {
        let installed = self.children.find(status.id);
        let traffic = |direction: fn(&vpnhost_ipsec::SaActivity) -> &DirectionActivity| {
            installed.map_or_else(Traffic::default, |child| traffic(now, direction(&child.activity)))
        };
        ChildSaState {
            id: status.id,
            child: status.child,
            spi_in: status.spi_in,
            spi_out: status.spi_out,
            suite: status.suite,
            backend: installed.map_or_else(String::new, |child| child.backend.clone()),
            local: status.local,
            remote: status.remote,
            installed: now.unix.saturating_sub(status.age),
            rekeyed: installed.map_or(0, |child| child.rekeyed),
            rekey_in: status.rekey_in,
            state: status.state,
            sends: status.sends,
            mode: status.mode,
            inbound: traffic(|activity| &activity.inbound),
            outbound: traffic(|activity| &activity.outbound),
        }
    }
}

fn path(PathStatus { in_use, facts, memory }: &PathStatus, port: u16) -> PathState {
    let PathFacts { local, remote, kind, metered, mtu, standing, loss_permille, flaps, .. } = *facts;
    let millis = |value: u32| Duration::from_millis(value.into());
    PathState {
        in_use: *in_use,
        local: (local, port).into(),
        remote,
        interface: facts.interface.clone(),
        kind,
        metered,
        mtu,
        standing: Some(standing),
        round_trip: facts.rtt_us.map(|micros| Duration::from_micros(micros.into())),
        loss_permille,
        heard: facts.age_ms.map(millis),
        up: Some(millis(facts.up_ms)),
        flaps,
        memory: *memory,
    }
}

fn traffic(now: Now, direction: &DirectionActivity) -> Traffic {
    let idle: Option<Duration> = direction.last().map(|last| now.instant - last);
    Traffic { packets: direction.packets(), bytes: direction.bytes(), idle }
}
