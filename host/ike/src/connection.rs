//! Connections: when they begin, what becomes of them between their IKE SAs, and orders about them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use vpnhost_model::{IkeSaId, Instant, Now};

use crate::auth::certificates;
use crate::config::{EndpointConfig, Gateway, PeerConfig, SelectorConfig, Start, Timing};
use crate::endpoint::IkeEndpoint;
use crate::exchange::selectors;
use crate::host::{Ending, Host};
use crate::limits;
use crate::output::{CloseReason, Event};
use crate::sa::IkeSa;
use crate::sa::queue::Task;
use crate::sa::state::State;

/// A connection that this host may begin.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionState {
    /// After an end it is tried again.
    pub(crate) kept_up: bool,
    /// It was ordered, and is kept up once it has been up.
    pub(crate) ordered: bool,
    /// Attempts that failed in a row.
    pub(crate) failures: u32,
    /// IKE SAs in a row that ended without ever having had a Child SA.
    pub(crate) fruitless: u32,
    /// When it is tried again.
    pub(crate) retry_at: Option<Instant>,
    /// Not before this is an attempt made for traffic's sake.
    pub(crate) not_before: Option<Instant>,
    /// Which gateway comes next.
    pub(crate) next_gateway: usize,
}

impl ConnectionState {
    /// Makes the state of a connection as it is configured.
    pub(crate) fn of(connection: &PeerConfig) -> Self {
        let kept_up = connection.initiate && connection.start == Start::Up;
        Self { kept_up, ..Self::default() }
    }

    /// Returns the pause before the next attempt, and counts it.
    pub(crate) fn next_pause(&mut self, timing: &Timing) -> Duration {
        let doubled = timing.retry_first.saturating_mul(2u32.saturating_pow(self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        doubled.min(timing.retry_cap.max(timing.retry_first))
    }

    /// It is up.
    pub(crate) fn is_up(&mut self) {
        self.failures = 0;
        self.retry_at = None;
        self.not_before = None;
        self.kept_up |= self.ordered;
    }

    /// It is to be down, and to stay so.
    pub(crate) fn take_down(&mut self) {
        *self = Self { next_gateway: self.next_gateway, ..Self::default() };
    }
}

impl IkeEndpoint {
    pub(crate) fn begin_configured(&mut self, now: Now) {
        for connection in self.host.config.connections.clone() {
            let fresh = !self.connections.contains_key(&connection.name);
            if fresh {
                self.connections.insert(connection.name.clone(), ConnectionState::of(&connection));
            }
            let kept_up = self.connections.get(&connection.name).is_some_and(|state| state.kept_up);
            if fresh && kept_up {
                self.begin(now, &connection);
            }
        }
    }

    fn begin(&mut self, now: Now, connection: &Arc<PeerConfig>) {
        let state = self.connections.entry(connection.name.clone()).or_default();
        state.retry_at = None;
        let gateways = &connection.gateways;
        let gateway = gateways.get(state.next_gateway % gateways.len().max(1)).map(|gateway| gateway.address);
        self.begin_with(now, connection, gateway, Vec::new());
    }

    /// Begins with a gateway; the virtual addresses are those that this host would like to keep. Returns the IKE SA.
    pub(crate) fn begin_with(
        &mut self,
        now: Now,
        connection: &Arc<PeerConfig>,
        gateway: Option<SocketAddr>,
        addresses: Vec<IpAddr>,
    ) -> Option<IkeSaId> {
        if self.host.shutting_down {
            return None;
        }
        if let Err(failure) = certificates::in_time(connection, now) {
            self.put_off(now, connection, CloseReason::AuthenticationFailed(failure));
            return None;
        }
        let begun = match gateway.filter(|_| connection.initiate && self.sas.len() < limits::IKE_SAS) {
            Some(gateway) => IkeSa::initiate(&mut self.host, now, Arc::clone(connection), gateway)
                .map_err(|error| error.close_reason()),
            None => Err(CloseReason::Internal("this host cannot begin the connection".into())),
        };
        match begun {
            Ok(mut sa) => {
                let id = sa.id;
                sa.wanted_addresses = addresses;
                sa.begin_elsewhere(&mut self.host, now);
                self.keep(sa);
                self.host.note_remotes();
                self.visit(now, id, |sa, host| sa.start_init(host, now));
                Some(id)
            }
            Err(reason) => {
                let connection = Some(connection.name.clone());
                self.host.event(Event::IkeSaClosed { ike_sa: IkeSaId(0), connection, reason });
                None
            }
        }
    }

    /// An attempt ends before it begins, and is made again like any that failed.
    fn put_off(&mut self, now: Now, connection: &Arc<PeerConfig>, reason: CloseReason) {
        let name = Some(connection.name.clone());
        self.host.event(Event::IkeSaClosed { ike_sa: IkeSaId(0), connection: name, reason: reason.clone() });
        let connection = Arc::clone(connection);
        let ending = Ending { connection, peer: None, was_established: false, carried: false, reason };
        self.on_ending(now, &ending);
    }

    pub(crate) fn sas_of(&self, name: &str) -> Vec<IkeSaId> {
        let of = |sa: &&IkeSa| sa.connection.as_ref().is_some_and(|connection| connection.name == name);
        self.sas.values().filter(of).map(|sa| sa.id).collect()
    }

    /// Returns the IKE SAs of a connection that Child SAs are made on: neither what has not inherited yet, and does not
    /// know them, nor what another is about to replace.
    pub(crate) fn lasting_sas_of(&self, name: &str) -> Vec<IkeSaId> {
        let lasts = |sa: &IkeSa| sa.announced && sa.redundant_since.is_none() && sa.established().is_some();
        self.sas_of(name).into_iter().filter(|id| self.sas.get(id).is_some_and(lasts)).collect()
    }

    /// Tells whether a connection has an IKE SA that is up or may come up.
    fn is_alive(&self, name: &str) -> bool {
        self.sas_of(name).iter().filter_map(|id| self.sas.get(id)).any(|sa| match &sa.state {
            State::SaInitSent(_) | State::SaInitAnswered(_) | State::AuthSent(_) | State::Authorizing(_) => {
                true
            }
            // A redundant IKE SA of a simultaneous rekey is no connection.
            State::Established(_) => sa.announced,
            State::Rekeyed | State::Closing(_) | State::Gone | State::Closed => false,
        })
    }

    pub(crate) fn initiate(&mut self, now: Now, name: &str) {
        let Some(connection) = self.host.connection(name).cloned() else {
            tracing::warn!(connection = name, "no such connection");
            return;
        };
        self.connections.entry(name.to_owned()).or_default().ordered = true;
        if !self.is_alive(name) {
            return self.begin(now, &connection);
        }
        for id in self.lasting_sas_of(name) {
            self.connections.entry(name.to_owned()).or_default().is_up();
            // A child that was ended comes back; one that is there is not begun anew.
            for index in 0..connection.children.len() {
                self.want(now, id, Task::CreateChild(index));
            }
        }
    }

    pub(crate) fn terminate(&mut self, now: Now, name: &str, reason: CloseReason) {
        self.connections.entry(name.to_owned()).or_default().take_down();
        for id in self.sas_of(name) {
            self.end_sa(now, id, reason.clone());
        }
    }

    /// A packet found no SA: begins what it is for.
    pub(crate) fn acquire(&mut self, now: Now, destination: IpAddr) {
        for connection in self.host.config.connections.clone() {
            let children = connection.children.iter().enumerate();
            let wanted = |remote: &[SelectorConfig]| {
                let gateway = connection.gateways.first().map(|gateway| gateway.address.ip());
                gateway.is_some_and(|gateway| {
                    selectors::resolve(remote, &[], gateway).iter().any(|ts| ts.contains_address(destination))
                })
            };
            let Some((index, _)) = children.into_iter().find(|(_, child)| wanted(&child.remote)) else {
                continue;
            };
            if self.is_alive(&connection.name) {
                for id in self.lasting_sas_of(&connection.name) {
                    // One that failed is not asked for with each packet.
                    if self.sas.get(&id).is_some_and(|sa| sa.may_begin_for_traffic(now, index)) {
                        self.want(now, id, Task::CreateChild(index));
                    }
                }
                return;
            }
            let state = self.connections.entry(connection.name.clone()).or_default();
            let too_early = state.not_before.is_some_and(|not_before| now.instant < not_before);
            if connection.initiate && connection.start == Start::OnTraffic && !too_early {
                return self.begin(now, &connection);
            }
        }
    }

    /// An IKE SA ended: a connection that is kept up is tried again.
    pub(crate) fn on_ending(&mut self, now: Now, ending: &Ending) {
        let name = &ending.connection.name;
        if let (CloseReason::Replaced, Some(peer)) = (&ending.reason, &ending.peer) {
            self.hasten_heirs(peer, name);
        }
        let is_refused = !ending.was_established
            && ending.reason != CloseReason::Replaced
            && !matches!(ending.reason, CloseReason::PeerDead(_));
        if is_refused && self.end_lost(now, name) {
            return;
        }
        let same = |connection: &Arc<PeerConfig>| {
            Arc::ptr_eq(connection, &ending.connection) || *connection == ending.connection
        };
        let current = self.host.connection(name).is_some_and(same);
        if ending.reason == CloseReason::Replaced
            || !current
            || self.host.shutting_down
            || self.is_alive(name)
        {
            return;
        }
        let Some(state) = self.connections.get_mut(name) else { return };
        if !ending.was_established {
            // The next gateway may be better.
            state.next_gateway = state.next_gateway.wrapping_add(1);
        }
        // What comes up and is of no use is no success: the pauses grow.
        state.fruitless = if ending.carried { 0 } else { state.fruitless.saturating_add(1) };
        state.failures = state.failures.max(state.fruitless.saturating_sub(1));
        let pause = state.next_pause(&ending.connection.timing);
        state.kept_up &= ending.connection.start == Start::Up || is_accident(&ending.reason);
        if !state.kept_up {
            state.ordered = false;
            state.not_before = Some(now.instant + pause);
            return;
        }
        // Many hosts that lost one gateway must not come back all at once.
        let after = IkeSa::jittered(&mut self.host, pause, 20);
        state.retry_at = Some(now.instant + after);
        tracing::debug!(connection = name, ?after, "the connection will be tried again");
        self.host.event(Event::RetryScheduled { connection: name.clone(), after });
    }

    pub(crate) fn retry_connections(&mut self, now: Now) {
        let due = |state: &ConnectionState| state.retry_at.is_some_and(|at| at <= now.instant);
        let names: Vec<String> =
            self.connections.iter().filter(|(_, state)| due(state)).map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(state) = self.connections.get_mut(&name) {
                state.retry_at = None;
            }
            if let Some(connection) = self.host.connection(&name).cloned()
                && !self.is_alive(&name)
            {
                self.begin(now, &connection);
            }
        }
    }

    /// Takes a new configuration; what did not change is not touched.
    pub(crate) fn configure(&mut self, now: Now, config: EndpointConfig) {
        self.host.pools.configure(&config.pools);
        let old = std::mem::replace(&mut self.host.config, config);
        let kept =
            |connection: &Arc<PeerConfig>, host: &Host| host.connection(&connection.name) == Some(connection);
        for connection in &old.connections {
            if !kept(connection, &self.host) {
                self.connections.remove(&connection.name);
            }
        }
        let outdated: Vec<IkeSaId> = self
            .sas
            .values()
            .filter(|sa| sa.connection.as_ref().is_none_or(|connection| !kept(connection, &self.host)))
            .map(|sa| sa.id)
            .collect();
        for id in outdated {
            self.end_sa(now, id, CloseReason::Reconfigured);
        }
        self.host.gather_crls();
        self.rejudge_all(now);
        self.begin_configured(now);
    }

    /// The names of a connection's gateways lead elsewhere than before.
    pub(crate) fn learn_gateways(&mut self, now: Now, name: &str, gateways: Vec<Gateway>) {
        let mut connections = self.host.config.connections.iter_mut();
        let Some(connection) = connections.find(|connection| connection.name == name) else { return };
        if connection.gateways == gateways {
            return;
        }
        let learned = Arc::new(PeerConfig { gateways, ..(**connection).clone() });
        *connection = Arc::clone(&learned);
        if let Some(state) = self.connections.get_mut(name) {
            state.next_gateway = 0;
        }
        for id in self.sas_of(name) {
            self.visit(now, id, |sa, host| sa.learn_gateways(host, now, &learned));
        }
        self.begin_where_learned(now, &learned);
    }

    /// What is begun with a gateway that no name leads to any more is begun anew.
    fn begin_where_learned(&mut self, now: Now, connection: &Arc<PeerConfig>) {
        let is_named = |sa: &IkeSa| {
            let remote = sa.path.remote.ip();
            let mut named = connection.gateways.iter().map(|gateway| gateway.address.ip());
            named.any(|address| self.host.translators.is_same_host(address, remote))
        };
        let begun = self.sas_of(&connection.name).into_iter().filter_map(|id| self.sas.get(&id));
        let lost = begun.filter(|sa| matches!(sa.state, State::SaInitSent(_)) && !is_named(sa));
        let lost: Vec<(IkeSaId, Option<IkeSaId>)> =
            lost.map(|sa| (sa.id, sa.beside.map(|beside| beside.of))).collect();
        for (id, beside) in lost {
            self.visit_one(id, |sa, host| sa.end(host, now, CloseReason::Replaced));
            // The one that it was begun beside may have ended since: its peer proved that it is gone.
            let doubted = beside.filter(|id| self.sas.get(id).is_some_and(|sa| sa.established().is_some()));
            match doubted {
                Some(doubted) => self.renegotiate(now, doubted),
                None if !self.is_alive(&connection.name) => self.begin(now, connection),
                None => {}
            }
        }
        self.deliver(now);
    }

    pub(crate) fn shut_down(&mut self, now: Now) {
        self.host.shutting_down = true;
        self.connections.values_mut().for_each(ConnectionState::take_down);
        let all: Vec<IkeSaId> = self.sas.keys().copied().collect();
        for id in all {
            self.end_sa(now, id, CloseReason::Local);
        }
        self.host.end_lingering(None);
    }
}

/// Tells whether an IKE SA ended without anybody's will: then even a connection that is only kept up by an
/// order is tried again.
fn is_accident(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::PeerDead { .. }
            | CloseReason::HalfOpenTimeout
            | CloseReason::InitialContact
            | CloseReason::PeerLostState
            | CloseReason::Expired
            | CloseReason::Asleep(_)
            | CloseReason::AuthenticationExpired
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_begin_anew_once_it_was_up() {
        let timing = Timing {
            retry_first: Duration::from_secs(1),
            retry_cap: Duration::from_secs(5),
            ..Timing::default()
        };
        let mut state = ConnectionState::default();
        let pauses: Vec<u64> = (0..5).map(|_| state.next_pause(&timing).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        state.is_up();
        assert_eq!(state.next_pause(&timing).as_secs(), 1);
    }

    #[test]
    fn an_ordered_connection_is_kept_up_once_it_has_been_up() {
        let mut state = ConnectionState { ordered: true, ..ConnectionState::default() };
        assert!(!state.kept_up);
        state.is_up();
        assert!(state.kept_up);
    }
}
