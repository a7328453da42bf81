//! Every output of the endpoint, carried out at once and in order.

use std::net::SocketAddr;
use std::sync::Arc;

use vpnhost_ike::{ChildSaKeys, HostConfiguration, Output, OutputFailure, Transmit, TransmitKind};
use vpnhost_ipsec::{InboundCommand, OutboundCommand, SaActivity, SoftLimits};
use vpnhost_model::{ChildSaId, IkeSaId, Lifetime, Now, Path};

use super::{Activity, HostUnderTest, IDLE_PORT, Pending};
use crate::keys;
use crate::network::{Carrier, Datagram};

impl HostUnderTest {
    /// Carries out every output.
    pub(super) fn drain(&mut self, now: Now) {
        while let Some(output) = self.endpoint.poll_output() {
            self.carry_out(now, output);
        }
    }

    fn carry_out(&mut self, now: Now, output: Output) {
        match output {
            Output::ReserveSpi(spi) => self.order_inbound(now, InboundCommand::Expect(spi)),
            Output::FreeSpi(spi) => self.order_inbound(now, InboundCommand::Forget(spi)),
            Output::InstallChildSa(keys) => self.install(now, *keys),
            Output::LimitChildSa(id, lifetime) => {
                self.activities[&id].shared.limit(soft_limits(&lifetime));
            }
            Output::ActivateOutbound(id) => self.order_outbound(now, OutboundCommand::Activate(id)),
            Output::MoveChildSas(ike_sa, path) => self.move_children(now, ike_sa, path),
            Output::PathMtu(path, octets) => {
                self.order_inbound(now, InboundCommand::MeasuredMtu(path, octets));
                self.order_outbound(now, OutboundCommand::MeasuredMtu(path, octets));
            }
            Output::RemoveChildSa(id) => self.remove(now, id),
            Output::ConfigureHost(configuration) => {
                self.configured.insert(configuration.ike_sa, *configuration);
            }
            Output::ReleaseHost(id) => {
                assert!(self.configured.remove(&id).is_some(), "{id} was released and is not configured");
            }
            Output::RenameIkeSa { old, new } => self.rename(old, new),
            Output::FindPairs(remotes) => {
                self.remotes = remotes;
                self.pend(now.instant, Pending::Pairs);
            }
            Output::Transmit(transmit) => self.transmit(&transmit),
            Output::Ask(id, question) => {
                let answer = question.put_to(&*self.policy);
                let at = now.instant + self.chance.between(self.delays.answer);
                self.pend(at, Pending::Answer(id, answer));
            }
            Output::Work(id, job) => {
                let at = now.instant + self.chance.between(self.delays.job);
                self.pend(at, Pending::Job(id, job));
            }
            Output::Event(event) => {
                if let Some(facts) = event.facts() {
                    self.ike_keys.insert(facts.id, facts.keys.clone());
                }
                self.events.push(event);
            }
        }
    }

    fn install(&mut self, now: Now, keys: ChildSaKeys) {
        let shared = Arc::new(SaActivity::default());
        shared.limit(soft_limits(&keys.lifetime));
        let (inbound, outbound) = match keys::sas(self.crypto, &keys, &shared) {
            Ok(sas) => sas,
            Err(error) => {
                let failure = OutputFailure::ChildSa(keys.id, error.to_string());
                return self.endpoint.handle_failure(now, failure);
            }
        };
        self.order_inbound(now, InboundCommand::Install(Box::new(inbound)));
        self.order_outbound(now, OutboundCommand::Install(Box::new(outbound)));
        self.activities.insert(keys.id, Activity { shared, told_in: None, told_out: None });
        let id = keys.id;
        assert!(self.installed.insert(id, keys).is_none(), "{id} was installed twice");
        self.open_early(now);
    }

    fn move_children(&mut self, now: Now, ike_sa: IkeSaId, path: Path) {
        let moved: Vec<ChildSaId> =
            self.installed.values().filter(|keys| keys.ike_sa == ike_sa).map(|keys| keys.id).collect();
        for id in moved {
            self.order_inbound(now, InboundCommand::Move(id, path));
            self.order_outbound(now, OutboundCommand::Move(id, path));
            if let Some(keys) = self.installed.get_mut(&id) {
                keys.path = path;
            }
        }
    }

    fn remove(&mut self, now: Now, id: ChildSaId) {
        self.order_inbound(now, InboundCommand::Remove(id));
        self.order_outbound(now, OutboundCommand::Remove(id));
        self.activities.remove(&id);
        assert!(self.installed.remove(&id).is_some(), "{id} was removed and is not installed");
    }

    fn rename(&mut self, old: IkeSaId, new: IkeSaId) {
        if let Some(configuration) = self.configured.remove(&old) {
            self.configured.insert(new, HostConfiguration { ike_sa: new, ..configuration });
        }
        for keys in self.installed.values_mut().filter(|keys| keys.ike_sa == old) {
            keys.ike_sa = new;
        }
    }

    fn order_inbound(&mut self, now: Now, command: InboundCommand) {
        self.inbound.handle_command(now.instant, command).expect("the endpoint orders what can be done");
    }

    fn order_outbound(&mut self, now: Now, command: OutboundCommand) {
        self.outbound.handle_command(now.instant, command).expect("the endpoint orders what can be done");
    }

    /// RFC 7296 §3.1, RFC 3948 §2.2: on the NAT traversal port an IKE message has four zero octets in
    /// front, a keepalive has not.
    fn transmit(&mut self, transmit: &Transmit) {
        let path = transmit.path;
        let marked = transmit.kind == TransmitKind::Ike && [4500, IDLE_PORT].contains(&path.local.port());
        let mut octets = if marked { vec![0; 4] } else { Vec::new() };
        octets.extend(&transmit.octets);
        self.post(path, Carrier::Udp, 0, octets);
    }

    /// Puts a datagram into the outbox; the unspecified address is this host's first one. What comes from an address that
    /// the host does not have any more goes nowhere.
    pub(super) fn post(&mut self, path: Path, carrier: Carrier, tos: u8, octets: Vec<u8>) {
        let first = || self.links.first().map_or(self.address, |link| link.address);
        let ip = if path.local.ip().is_unspecified() { first() } else { path.local.ip() };
        if !self.has(ip) {
            return;
        }
        let source = SocketAddr::new(ip, path.local.port());
        let link = path.interface;
        self.outbox.push_back(Datagram { source, destination: path.remote, carrier, tos, link, octets });
    }
}

fn soft_limits(lifetime: &Lifetime) -> SoftLimits {
    SoftLimits { bytes: lifetime.rekey_bytes, packets: lifetime.rekey_packets }
}
