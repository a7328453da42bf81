//! What the endpoint wants, carried out in its order.
//!
//! Questions and jobs leave the order at once: nothing before them needs to have happened, and their results
//! come back as inputs. What an IKE SA has to say, to its peer or to people, waits while the machine's routes are
//! being changed for it, so that who is told that a tunnel is up can use it.

use std::sync::Arc;

use vpnhost_ike::input::OutputFailure;
use vpnhost_ike::output::{ChildSaKeys, Event, Output, Transmit};
use vpnhost_ipsec::{SaActivity, SoftLimits};
use vpnhost_model::{Encapsulation, IkeSaId, Lifetime, Now, Path};
use vpnhost_policy::OnFailure;

use super::{ControlPlane, Pending, esp_keys};
use crate::error::DriverError;
use crate::limits;
use crate::machine::Edit;
use crate::resolver::{self, Verdict};

impl ControlPlane {
    /// Drains the endpoint and carries out what may be carried out now.
    pub(super) fn settle(&mut self, now: Now) {
        loop {
            self.collect(now);
            let Some(pending) = self.outputs.pop_front() else { return };
            if self.is_to_wait(&pending.output) {
                self.held.push_back(pending);
            } else {
                self.carry_out(now, pending);
            }
        }
    }

    /// Carries out what does not wait any more. Comes after everything that may end the waiting, so that what an IKE SA
    /// says later stays behind it.
    pub(super) fn let_go(&mut self, now: Now) {
        for pending in std::mem::take(&mut self.held) {
            if self.is_to_wait(&pending.output) {
                self.held.push_back(pending);
            } else {
                self.carry_out(now, pending);
            }
        }
    }

    /// Tells whether an output waits for the machine. At the end nothing does: time is short.
    fn is_to_wait(&self, output: &Output) -> bool {
        let is_free = self.goodbye.is_some() || self.held.len() >= limits::HELD_OUTPUTS;
        !is_free && said_by(output).is_some_and(|ike_sa| self.changes.is_under_way(ike_sa))
    }

    /// Drains the endpoint; what is decided already is told to it, which may make it want more.
    pub(super) fn collect(&mut self, now: Now) {
        loop {
            self.take_outputs(now, None);
            let Some(verdict) = self.resolver.poll_verdict() else { return };
            self.decide(now, verdict);
        }
    }

    fn take_outputs(&mut self, now: Now, decider: Option<&str>) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Ask(id, question) => {
                    let deadline = resolver::deadline(now.instant, self.config.endpoint.answer_deadline);
                    self.resolver.ask(now.instant, id, *question, deadline);
                }
                Output::Work(id, job) => {
                    if let Some((id, job)) = self.workers.give(id, job) {
                        self.endpoint.handle_work(now, id, job.run());
                    }
                }
                output @ (Output::ReserveSpi(_)
                | Output::FreeSpi(_)
                | Output::InstallChildSa(_)
                | Output::LimitChildSa(..)
                | Output::ActivateOutbound(_)
                | Output::MoveChildSas(..)
                | Output::PathMtu(..)
                | Output::RemoveChildSa(_)
                | Output::ConfigureHost(_)
                | Output::ReleaseHost(_)
                | Output::RenameIkeSa { .. }
                | Output::FindPairs(_)
                | Output::Transmit(_)
                | Output::Event(_)) => {
                    let told = matches!(&output, Output::Event(Event::Decided { by: "plugins", .. }));
                    let plugin = decider.filter(|_| told).map(str::to_owned);
                    self.outputs.push_back(Pending { output, plugin });
                }
            }
        }
    }

    fn decide(&mut self, now: Now, verdict: Verdict) {
        let plugins = self.resolver.plugins();
        let on_failure = |name: &str| {
            let plugin = plugins.iter().find(|plugin| plugin.name == name);
            plugin.map_or(OnFailure::Deny, |plugin| plugin.on_failure)
        };
        self.chronicle.tell_faults(now, &verdict, &on_failure);
        if let Some(log) = &self.config.decisions {
            log.decided(now.unix, &verdict.question, &verdict.decision);
        }
        self.endpoint.handle_answer(now, verdict.id, verdict.decision.answer);
        self.take_outputs(now, verdict.decision.decided_by.as_deref());
    }

    fn carry_out(&mut self, now: Now, Pending { output, plugin }: Pending) {
        match output {
            Output::ReserveSpi(spi) => self.data_plane.expect_early(spi),
            Output::FreeSpi(spi) => self.data_plane.forget_early(spi),
            Output::InstallChildSa(keys) => self.install(now, &keys),
            Output::LimitChildSa(id, lifetime) => {
                if let Some(child) = self.children.find(id) {
                    child.activity.limit(soft_limits(&lifetime));
                }
            }
            Output::ActivateOutbound(id) => self.data_plane.activate(id),
            Output::MoveChildSas(ike_sa, path) => {
                for id in self.children.of(ike_sa) {
                    self.data_plane.move_sa(id, path);
                }
            }
            Output::PathMtu(path, octets) => self.data_plane.set_path_mtu(path, octets),
            Output::RemoveChildSa(id) => {
                if self.children.strike(id) {
                    self.data_plane.remove(id);
                }
            }
            Output::ConfigureHost(configuration) => self.edit(now, Edit::Configure(configuration)),
            Output::ReleaseHost(ike_sa) => self.edit(now, Edit::Release(ike_sa)),
            Output::RenameIkeSa { old, new } => {
                self.children.rename(old, new);
                self.edit(now, Edit::Rename { old, new });
                // What the old one has to say waits no more.
                self.let_go(now);
            }
            Output::FindPairs(remotes) => {
                self.remotes.send_replace(remotes);
            }
            Output::Transmit(transmit) => self.transmit(&transmit),
            Output::Event(event) => self.tell(now, event, plugin),
            // They left the order when they were collected.
            Output::Ask(..) | Output::Work(..) => {}
        }
    }

    /// Has the machine changed. At the end everything is taken away at once instead.
    fn edit(&mut self, now: Now, edit: Edit) {
        let ike_sa = edit.ike_sa();
        if self.goodbye.is_none()
            && let Err(error) = self.changes.edit(now.instant, edit)
        {
            self.fail_host(now, ike_sa, &error);
        }
    }

    /// Tells the endpoint, and people, that the machine could not be changed for an IKE SA.
    pub(super) fn fail_host(&mut self, now: Now, ike_sa: IkeSaId, error: &DriverError) {
        self.note_host_failure(now, Some(ike_sa), error);
        self.endpoint.handle_failure(now, OutputFailure::Host(ike_sa, error.to_string()));
    }

    fn install(&mut self, now: Now, keys: &ChildSaKeys) {
        if let Some(log) = &self.config.keylog {
            log.child_sa(keys);
        }
        let activity = Arc::new(SaActivity::default());
        activity.limit(soft_limits(&keys.lifetime));
        match self.give_to_path(keys, &activity) {
            Ok(()) => {
                let backend = self.crypto.serves(keys.suite.packet).to_owned();
                self.children.enter(keys, activity, backend);
            }
            Err(what) => self.endpoint.handle_failure(now, OutputFailure::ChildSa(keys.id, what)),
        }
    }

    /// Makes the packet keys and gives both halves to the packet path.
    fn give_to_path(&self, keys: &ChildSaKeys, activity: &Arc<SaActivity>) -> Result<(), String> {
        let Path { encapsulation, remote, .. } = keys.path;
        if encapsulation == Encapsulation::Raw && !self.data_plane.has_raw_esp(remote.is_ipv4()) {
            return Err("ESP without UDP needs a raw socket, which this host could not open".to_owned());
        }
        let (inbound, outbound) = esp_keys::halves(self.crypto, keys, activity)
            .map_err(|error| format!("no key for {}: {error}", keys.suite))?;
        self.data_plane.install(inbound, outbound).map_err(|error| error.to_string())
    }

    fn transmit(&self, Transmit { path, octets, kind, .. }: &Transmit) {
        if let Err(error) = self.data_plane.transmit(path, octets, *kind) {
            // What is lost here is repeated, as if the network had lost it.
            tracing::debug!(%path, %error, "a datagram could not be sent");
        }
    }

    fn tell(&mut self, now: Now, event: Event, plugin: Option<String>) {
        if let (Some(facts), Some(log)) = (event.facts(), &self.config.keylog) {
            log.ike_sa(facts);
        }
        self.give_up(&event);
        let secured = event.facts().map(|facts| (facts.id, facts.suite.packet));
        self.chronicle.tell(now, event, plugin);
        if let Some((ike_sa, packet)) = secured {
            self.chronicle.served_by(ike_sa, self.crypto.serves(packet));
        }
    }
}

/// Returns who says it: an IKE SA, to its peer or to people; `None` of what only this host hears.
fn said_by(output: &Output) -> Option<IkeSaId> {
    match output {
        Output::Transmit(transmit) => transmit.ike_sa,
        Output::Event(event) => event.ike_sa(),
        Output::ReserveSpi(_)
        | Output::FreeSpi(_)
        | Output::InstallChildSa(_)
        | Output::LimitChildSa(..)
        | Output::ActivateOutbound(_)
        | Output::MoveChildSas(..)
        | Output::PathMtu(..)
        | Output::RemoveChildSa(_)
        | Output::ConfigureHost(_)
        | Output::ReleaseHost(_)
        | Output::RenameIkeSa { .. }
        | Output::FindPairs(_)
        | Output::Ask(..)
        | Output::Work(..) => None,
    }
}

/// What the packet path counts of a Child SA's lifetime; its age is the endpoint's affair.
fn soft_limits(lifetime: &Lifetime) -> SoftLimits {
    SoftLimits { bytes: lifetime.rekey_bytes, packets: lifetime.rekey_packets }
}
