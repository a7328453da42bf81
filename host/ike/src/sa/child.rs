//! Child SAs as IKE sees them: installed, taken into use, removed; and the host's configuration that follows.

use std::net::IpAddr;

use vpnhost_crypto::{CryptoError, PacketAlgorithm, SecretBytes};
use vpnhost_model::{
    ChildSaId, ChildSpi, Encryption, EspSuite, IkeSaId, Lifetime, Mode, Now, TrafficSelector, Translation,
};
use vpnhost_policy::SituationCause;

use crate::error::IkeError;
use crate::exchange::LocalExchange;
use crate::host::{Ending, Host, Inheritance, Letter};
use crate::limits;
use crate::output::{ChildSaKeys, CloseReason, Event, HostConfiguration, Output};
use crate::sa::IkeSa;
use crate::sa::estate::{ChildPhase, ChildSa};
use crate::sa::keys::{self, Nonces};
use crate::sa::queue::Task;
use crate::sa::state::State;
use crate::timer::Timer;

/// A Child SA that both sides agreed on.
#[derive(Debug)]
pub(crate) struct NewChild {
    pub(crate) index: usize,
    pub(crate) spi_in: ChildSpi,
    pub(crate) spi_out: ChildSpi,
    pub(crate) suite: EspSuite,
    pub(crate) nonce_i: Vec<u8>,
    pub(crate) nonce_r: Vec<u8>,
    /// The shared secret of the exchange's own key exchange.
    pub(crate) shared: Option<SecretBytes>,
    /// Whether this host began the exchange.
    pub(crate) ours: bool,
    pub(crate) local: Vec<TrafficSelector>,
    pub(crate) remote: Vec<TrafficSelector>,
    pub(crate) mode: Mode,
    /// What addresses the peer's checksums cover in transport mode.
    pub(crate) translation: Translation,
    pub(crate) replaces: Option<ChildSaId>,
}

impl IkeSa {
    /// Installs a Child SA: it may receive from now on, and send unless it replaces another.
    pub(crate) fn install_child(
        &mut self,
        host: &mut Host,
        now: Now,
        new: NewChild,
    ) -> Result<ChildSaId, IkeError> {
        let keys = self.child_keys(host, &new)?;
        let (ike_sa, path) = (self.id, self.path);
        let Some(established) = self.established_mut() else {
            return Err(IkeError::Local("the established IKE SA"));
        };
        let Some(config) = established.connection.children.get(new.index) else {
            return Err(IkeError::Local("the child's configuration"));
        };
        let lifetime = lifetime(config.lifetime, new.suite);
        let is_carried = host.directory.sends(&established.peer_id, &established.connection.name, new.index);
        let id = host.name_child_sa(ike_sa);
        let (connection, child) = (established.connection.name.clone(), config.name.clone());
        tracing::debug!(%ike_sa, child_sa = %id, connection, child, suite = %new.suite, "Child SA established");
        host.output(Output::InstallChildSa(Box::new(ChildSaKeys {
            id,
            ike_sa,
            connection: connection.clone(),
            child: child.clone(),
            spi_in: new.spi_in,
            spi_out: new.spi_out,
            suite: new.suite,
            inbound: keys.0,
            outbound: keys.1,
            path,
            local: new.local.clone(),
            remote: new.remote.clone(),
            mode: new.mode,
            translation: new.translation,
            replay_window: config.replay_window,
            lifetime,
            replaces: new.replaces,
        })));
        let (replaces, ours) = (new.replaces, new.ours);
        let established_event =
            Event::ChildSaEstablished { child_sa: id, ike_sa, connection, child, replaces };
        established.estate.failures.remove(&new.index);
        let child = ChildSa {
            id,
            index: new.index,
            spi_in: new.spi_in,
            spi_out: new.spi_out,
            suite: new.suite,
            local: new.local,
            remote: new.remote,
            mode: new.mode,
            configured: lifetime,
            lifetime,
            is_planned: false,
            rekeys: replaces.is_some(),
            since: now.instant,
            sends: false,
            phase: ChildPhase::Active,
        };
        established.estate.children.insert(id, child);
        self.carried = true;
        self.set_child_timer(host, id);
        self.configure_host(host);
        // RFC 7296, 2.8: the responder of a rekey sends on the new SA only when it has seen traffic on it, or
        // the Delete of the old one; the initiator when it has decided that the new one stays. Where another IKE SA
        // carries the same, it is alike: the peer has the new one only when our answer has arrived.
        if replaces.is_none() && !ours && is_carried {
            self.timers.set(Timer::Activate(id), now.instant + limits::ANSWER_ARRIVES);
        } else if replaces.is_none() {
            self.activate_child(host, id);
        }
        // Who is told that it is up may use it at once.
        host.event(established_event);
        self.plan_lifetimes(host, now);
        Ok(id)
    }

    /// Derives the keys: inbound, then outbound.
    fn child_keys(
        &self,
        host: &Host,
        new: &NewChild,
    ) -> Result<(crate::output::DirectionKeys, crate::output::DirectionKeys), IkeError> {
        let secured = self.secured()?;
        let algorithm = host.crypto.find_packet(new.suite.packet).ok_or(CryptoError::Unsupported)?;
        let nonces = Nonces { i: &new.nonce_i, r: &new.nonce_r };
        let (from_i, to_i) = keys::child_keys(
            secured.prf,
            &secured.keys.sk_d,
            new.shared.as_ref(),
            nonces,
            algorithm.layout(),
        )?;
        Ok(if new.ours { (to_i, from_i) } else { (from_i, to_i) })
    }

    /// Notes in the directory what packets go out on.
    fn note_sending(&self, host: &mut Host) {
        let children = self.established().into_iter().flat_map(|it| it.estate.children.values());
        let sending = children.filter(|child| child.sends).map(|child| child.index).collect();
        host.directory.note_sending(self.id, sending);
    }

    /// Sends on a Child SA from now on.
    pub(crate) fn activate_child(&mut self, host: &mut Host, id: ChildSaId) {
        if self.redundant_since.is_some() {
            // Its twin may have to be the one that is sent on.
            host.twins.push(self.id);
        }
        let Some(established) = self.established_mut() else { return };
        let Some(child) = established.estate.children.get_mut(&id) else { return };
        if !child.sends {
            child.sends = true;
            host.output(Output::ActivateOutbound(id));
            self.note_sending(host);
        }
    }

    /// Notes that an exchange which the peer began made a Child SA in the place of another.
    pub(crate) fn replace_by_peer(&mut self, now: Now, old: ChildSaId, by: ChildSaId, lowest_nonce: Vec<u8>) {
        let Some(established) = self.established_mut() else { return };
        if let Some(child) = established.estate.children.get_mut(&old) {
            child.phase = ChildPhase::ReplacedByPeer { by, lowest_nonce };
        }
        self.timers.stop(Timer::RekeyChildSa(old));
        self.timers.set(Timer::Handover(by), now.instant + limits::REKEY_HANDOVER);
    }

    /// Traffic came in on a Child SA for the first time: its peer sends on it, and so may this host.
    pub(crate) fn on_first_inbound(&mut self, host: &mut Host, now: Now, id: ChildSaId) {
        self.heard(host, now);
        self.activate_child(host, id);
    }

    /// Removes a Child SA. One that was replaced may receive a little longer.
    pub(crate) fn remove_child(&mut self, host: &mut Host, now: Now, id: ChildSaId, reason: CloseReason) {
        let ike_sa = self.id;
        let Some(established) = self.established_mut() else { return };
        let Some(child) = established.estate.children.remove(&id) else { return };
        established.queue.forget_child(id);
        if let (Some(LocalExchange::CreateChild(local)), ChildPhase::ReplacedByPeer { by, lowest_nonce }) =
            (&mut established.local, &child.phase)
            && local.rekeys == Some(id)
        {
            local.rival = Some((*by, lowest_nonce.clone()));
        }
        let heir = match &child.phase {
            ChildPhase::ReplacedByPeer { by, .. } | ChildPhase::ReplacedByUs { by } => Some(*by),
            ChildPhase::Active | ChildPhase::Closing => None,
        };
        for other in established.estate.children.values_mut() {
            match (&mut other.phase, heir) {
                (ChildPhase::ReplacedByPeer { by, .. }, Some(heir)) if *by == id => *by = heir,
                // What was to take its place is gone: it is in use again.
                (phase @ ChildPhase::ReplacedByPeer { .. }, None) if phase.is_by(id) => {
                    *phase = ChildPhase::Active;
                }
                (
                    ChildPhase::ReplacedByPeer { .. }
                    | ChildPhase::ReplacedByUs { .. }
                    | ChildPhase::Active
                    | ChildPhase::Closing,
                    _,
                ) => {}
            }
        }
        for timer in
            [Timer::RekeyChildSa(id), Timer::ChildSaExpires(id), Timer::Handover(id), Timer::Activate(id)]
        {
            self.timers.stop(timer);
        }
        if let ChildPhase::ReplacedByPeer { by, .. } = &child.phase {
            self.timers.stop(Timer::Handover(*by));
            self.activate_child(host, *by);
        }
        let until = (reason == CloseReason::Replaced).then(|| now.instant + limits::OLD_INBOUND);
        host.retire_child(id, child.spi_in, until);
        self.note_sending(host);
        host.event(Event::ChildSaClosed { child_sa: id, ike_sa, reason });
        self.configure_host(host);
    }

    /// Tells the host what this IKE SA's tunnels need, when that changed.
    pub(crate) fn configure_host(&mut self, host: &mut Host) {
        let (ike_sa, role) = (self.id, self.role);
        let Some(established) = self.established_mut() else { return };
        let estate = &mut established.estate;
        if estate.children.is_empty() && estate.configured.is_none() {
            return;
        }
        let (mut local, mut remote) = (Vec::new(), Vec::new());
        for child in estate.children.values() {
            add_distinct(&mut local, &child.local);
            add_distinct(&mut remote, &child.remote);
        }
        let configuration = HostConfiguration {
            ike_sa,
            connection: established.connection.name.clone(),
            role,
            addresses: estate.addresses.clone(),
            dns: estate.dns.clone(),
            peer_addresses: estate.peer_addresses.clone(),
            remote,
            local,
        };
        if estate.configured.as_ref() != Some(&configuration) {
            estate.configured = Some(configuration.clone());
            host.output(Output::ConfigureHost(Box::new(configuration)));
        }
    }

    /// Lets go of everything that this IKE SA has: it ends.
    pub(crate) fn give_up_estate(&mut self, host: &mut Host, now: Now, reason: &CloseReason) {
        let ike_sa = self.id;
        for spi in self.reserved_spis() {
            host.free_child_spi(spi);
        }
        if let Some(spi) = self.reserved_ike_spi() {
            host.directory.ike_spis.remove(&spi);
        }
        let Some(established) = self.established_mut() else { return };
        let estate = std::mem::take(&mut established.estate);
        // What is on its way to it comes in yet, where another carries on.
        let lingers = *reason == CloseReason::Replaced && !host.shutting_down;
        let until = lingers.then(|| now.instant + limits::OLD_INBOUND);
        for (id, child) in estate.children {
            host.retire_child(id, child.spi_in, until);
            host.event(Event::ChildSaClosed { child_sa: id, ike_sa, reason: reason.clone() });
        }
        if estate.configured.is_some() {
            host.output(Output::ReleaseHost(ike_sa));
        }
    }

    /// Leaves everything to the IKE SA that takes this one's place.
    ///
    /// RFC 7296, 2.18: the new IKE SA inherits the Child SAs.
    pub(crate) fn bequeath(&mut self, host: &mut Host, now: Now, to: IkeSaId) {
        let (from, place) = (self.id, (self.path, self.nat));
        // The exchange that made the heir shows that the answers before it have arrived.
        for id in self.timers.awaiting_activation() {
            self.activate_child(host, id);
        }
        let Some(established) = self.established_mut() else { return };
        let estate = std::mem::take(&mut established.estate);
        let tasks = established.queue.take_for_successor();
        let connection = std::sync::Arc::clone(&established.connection);
        for id in estate.children.keys() {
            host.directory.child_owners.insert(*id, to);
        }
        host.directory.leave(from);
        host.pools.rename(from, to);
        let inheritance = Inheritance { from, connection, estate, tasks, place };
        host.write_letter(to, Letter::Inherit(Box::new(inheritance)));
        self.waits.clear();
        self.timers.clear();
        self.timers.set(Timer::ReplacedIkeSa, now.instant + limits::REPLACED_IKE_SA);
        self.forget_idle_probe(host);
        self.state = State::Rekeyed;
    }

    /// Takes over from the IKE SA that this one replaces.
    pub(crate) fn inherit(&mut self, host: &mut Host, now: Now, inheritance: Inheritance) {
        let (id, role) = (self.id, self.role);
        (self.path, self.nat) = inheritance.place;
        let path = self.path;
        let Some(established) = self.established_mut() else {
            return Self::bury(host, id, inheritance);
        };
        let Inheritance { from, estate, tasks, .. } = inheritance;
        established.estate = estate;
        established.estate.mobility.predecessor = Some(from);
        if let Some(configured) = &mut established.estate.configured {
            // The driver renames what it keeps: only what else changed is told again.
            configured.ike_sa = id;
            configured.role = role;
        }
        tasks.into_iter().for_each(|task| established.queue.push(task));
        // What was said of the path and not answered yet is said anew.
        for task in established.estate.mobility.unanswered() {
            established.queue.push_first(Task::Path(task));
        }
        let handovers: Vec<ChildSaId> = established
            .estate
            .children
            .values()
            .filter_map(|child| match &child.phase {
                ChildPhase::ReplacedByPeer { by, .. } => Some(*by),
                ChildPhase::Active | ChildPhase::ReplacedByUs { .. } | ChildPhase::Closing => None,
            })
            .collect();
        let (peer, name) = (established.peer_id.clone(), established.connection.name.clone());
        for by in handovers {
            self.timers.set(Timer::Handover(by), now.instant + limits::REKEY_HANDOVER);
        }
        host.directory.enter(now.instant, &peer, (&name, path.remote), id);
        self.note_sending(host);
        host.twins.push(id);
        self.timers.stop(Timer::ReplacedIkeSa);
        self.announced = true;
        self.carried = true;
        host.output(Output::RenameIkeSa { old: from, new: id });
        if let Some(facts) = self.facts() {
            tracing::debug!(old = %from, new = %id, "IKE SA rekeyed");
            host.event(Event::IkeSaRekeyed { old: from, new: Box::new(facts) });
        }
        for spi in std::mem::take(&mut self.early_deletes) {
            let child = self.established().and_then(|established| established.estate.by_peer_spi(spi));
            if let Some(id) = child.map(|child| child.id) {
                self.remove_child(host, now, id, CloseReason::DeletedByPeer);
            }
        }
        self.start_maintenance(host, now, SituationCause::REKEYED);
        self.resume_choice(host, now);
        self.want_token_given(host);
        self.start_next(host, now);
    }

    /// The heir went before it could inherit: what it would have got ends, and with it the connection.
    pub(crate) fn bury(host: &mut Host, heir: IkeSaId, inheritance: Inheritance) {
        let Inheritance { from, estate, connection, .. } = inheritance;
        let reason = CloseReason::DeletedByPeer;
        for (id, child) in estate.children {
            host.retire_child(id, child.spi_in, None);
            host.event(Event::ChildSaClosed { child_sa: id, ike_sa: heir, reason: reason.clone() });
        }
        if estate.configured.is_some() {
            host.output(Output::ReleaseHost(from));
        }
        host.pools.release(heir);
        let name = Some(connection.name.clone());
        host.event(Event::IkeSaClosed { ike_sa: heir, connection: name, reason: reason.clone() });
        host.endings.push(Ending { connection, peer: None, was_established: true, carried: true, reason });
    }

    /// Returns this host's virtual addresses and the peer's.
    pub(crate) fn virtual_addresses(&self) -> (Vec<IpAddr>, Vec<IpAddr>) {
        self.established().map_or_else(Default::default, |established| {
            let estate = &established.estate;
            (estate.addresses.iter().map(|(address, _)| *address).collect(), estate.peer_addresses.clone())
        })
    }
}

/// Completes the limits of an SA by what its algorithm asks for.
fn lifetime(configured: Lifetime, suite: EspSuite) -> Lifetime {
    Lifetime { rekey_bytes: configured.rekey_bytes.or(most_octets(suite)), ..configured }
}

/// Returns how much an algorithm may carry at most under one key.
pub(crate) fn most_octets(suite: EspSuite) -> Option<u64> {
    (suite.packet.encryption == Encryption::TRIPLE_DES).then_some(limits::SHORT_BLOCK_OCTETS)
}

fn add_distinct(all: &mut Vec<TrafficSelector>, some: &[TrafficSelector]) {
    for selector in some {
        if !all.contains(selector) {
            all.push(*selector);
        }
    }
}
