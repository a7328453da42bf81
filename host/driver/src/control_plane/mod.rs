//! The control side of a host: feeds the IKE endpoint and carries out what it wants, in the order in which
//! it wants it (see the contract in `vpnhost_ike`).
//!
//! Each `on_…` takes one input and ends with [`ControlPlane::settle`]. Nothing here waits: what takes time
//! is done on other threads or in the task of [`host_changes`].

mod carry_out;
pub(crate) mod children;
pub(crate) mod esp_keys;
mod expecting;
pub(crate) mod host_changes;
mod portrait;
mod reload;
mod start;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::watch;

use vpnhost_crypto::CryptoBackend;
use vpnhost_ike::input::{Command, JobResult, OutputFailure, Resumption, TrafficReport};
use vpnhost_ike::output::{JobId, Output};
use vpnhost_ike::{EndpointConfig, IkeEndpoint};
use vpnhost_model::{AddressPair, IkeSaId, Instant, LocalAddress, Now, PacketId};
use vpnhost_policy::Power;

use crate::chronicle::{Chronicle, Note};
use crate::clock::Clock;
use crate::config::HostConfig;
use crate::data_plane::{DataPlane, Datagram, News};
use crate::error::DriverError;
use crate::host::Order;
use crate::limits;
use crate::links::{Harm, LinkNews};
use crate::networks::Networks;
use crate::packet_cost;
use crate::resolver::{PluginReply, Resolver};
use crate::suspension::Suspension;
use crate::work::Workers;

use children::Children;
use host_changes::{Changed, HostChanges, What};
use reload::Reload;

pub(crate) use start::{Inputs, start};

/// The endpoint, and everything that its outputs are carried out with.
pub(crate) struct ControlPlane {
    clock: Clock,
    started: Instant,
    config: HostConfig,
    crypto: &'static dyn CryptoBackend,
    /// The ports that are bound, whatever the configuration says now.
    ports: [u16; 2],
    endpoint: IkeEndpoint,
    data_plane: DataPlane,
    changes: HostChanges,
    resolver: Resolver,
    workers: Workers,
    children: Children,
    chronicle: Chronicle,
    /// What is known of the NATs of networks, over a restart.
    networks: Networks,
    addresses: Vec<LocalAddress>,
    pairs: Vec<AddressPair>,
    /// The peers' addresses for which pairs are looked for.
    remotes: watch::Sender<BTreeSet<IpAddr>>,
    /// What is still to be carried out, in order.
    outputs: VecDeque<Pending>,
    /// What of it waits for the machine.
    held: VecDeque<Pending>,
    reloads: VecDeque<Reload>,
    next_look: Instant,
    goodbye: Option<Instant>,
    suspension: Suspension,
    /// Interfaces that NetworkManager holds for metered.
    held_metered: BTreeSet<String>,
    /// What sealing a packet takes, in nanoseconds.
    packet_costs: BTreeMap<PacketId, u32>,
}

/// An output, and the plugin whose answer it tells of.
struct Pending {
    output: Output,
    plugin: Option<String>,
}

impl ControlPlane {
    /// Reads the clocks; a suspension that has just ended comes before whatever they are read for.
    fn now(&mut self) -> Now {
        let now = self.clock.now();
        if let Some(slept) = self.suspension.observe(self.clock.asleep()) {
            let text = format!("this machine slept for {} s: every peer is asked anew", slept.as_secs());
            self.chronicle.note(now, Note { kind: "resumed", text, ..Note::default() });
            self.endpoint.handle_resume(now, slept);
        }
        now
    }

    /// Begins: connections that are to be up are initiated.
    pub(crate) fn begin(&mut self) {
        let now = self.now();
        self.endpoint.delegate(self.resolver.delegated(self.config.decisions.is_some()));
        self.networks.recall(&self.addresses, &mut self.endpoint);
        self.endpoint.handle_links(now, &self.addresses, &self.pairs);
        self.learn_packet_costs();
        let config = self.endpoint_config();
        self.expect();
        self.endpoint.handle_command(now, Command::Configure(config));
        self.settle(now);
    }

    /// Takes what the sockets received for IKE.
    pub(crate) fn on_datagrams(&mut self, datagrams: &mut Vec<Datagram>) {
        let now = self.now();
        for Datagram { path, mut octets } in datagrams.drain(..) {
            self.endpoint.handle_datagram(now, path, &mut octets);
            self.settle(now);
        }
    }

    /// Takes what the packet path tells of itself.
    ///
    /// # Errors
    /// [`DriverError::DataPlane`] if it is no more.
    pub(crate) fn on_news(&mut self, news: Option<News>) -> Result<(), DriverError> {
        let now = self.now();
        match news {
            Some(News::Refused(id, error)) => {
                // One that is not there any more was removed while it was being installed.
                if self.children.strike(id) {
                    self.data_plane.remove(id);
                    self.endpoint.handle_failure(now, OutputFailure::ChildSa(id, error.to_string()));
                }
            }
            Some(News::Failed(what)) => return Err(DriverError::DataPlane(what)),
            None => return Err(DriverError::DataPlane("its threads ended".to_owned())),
        }
        self.settle(now);
        Ok(())
    }

    /// Takes a plugin's reply.
    pub(crate) fn on_reply(&mut self, reply: PluginReply) {
        let now = self.now();
        self.resolver.hear(now.instant, reply);
        self.settle(now);
    }

    /// Takes a job's result.
    pub(crate) fn on_result(&mut self, id: JobId, result: JobResult) {
        let now = self.now();
        self.endpoint.handle_work(now, id, result);
        self.settle(now);
    }

    /// Takes the news that a change of the machine was made, or was not.
    pub(crate) fn on_changed(&mut self, changed: Changed) {
        let now = self.now();
        self.changes.heard(changed.what);
        self.let_go(now);
        match (changed.what, changed.result) {
            (What::Edited(..) | What::Renewed, Ok(())) => {}
            (What::Edited(ike_sa, _), Err(error)) => self.fail_host(now, ike_sa, &error),
            (What::Renewed, Err(error)) => self.note_host_failure(now, None, &error),
            (What::Reloaded, result) => self.finish_reload(now, result),
        }
        self.settle(now);
    }

    /// Takes what the machine runs on.
    pub(crate) fn on_power(&mut self, power: Power) {
        let now = self.now();
        tracing::debug!(source = power.source.name(), percent = power.battery_percent, "power");
        self.endpoint.handle_power(now, power);
        self.settle(now);
    }

    /// Takes the machine's addresses, and what others did to what is ours.
    pub(crate) fn on_links(&mut self, news: LinkNews) {
        let LinkNews { addresses, pairs, translators, metered, harm } = news;
        let now = self.now();
        self.repair(now, harm);
        let before = std::mem::replace(&mut self.addresses, addresses);
        self.pairs = pairs;
        self.held_metered = metered;
        self.mark_metered();
        self.networks.recall(&self.addresses, &mut self.endpoint);
        self.endpoint.handle_translators(now, &translators);
        self.endpoint.handle_links(now, &self.addresses, &self.pairs);
        let (came, went) = (missing_in(&before, &self.addresses), missing_in(&self.addresses, &before));
        if !came.is_empty() || !went.is_empty() {
            let text = "this machine's addresses changed".to_owned();
            let told = [("came", came), ("went", went)].into_iter().filter(|(_, which)| !which.is_empty());
            let told = told.map(|(how, which)| format!("{} {how}", which.join(", ")));
            let detail = told.collect::<Vec<_>>().join("; ");
            self.chronicle.note(now, Note { kind: "links", text, detail, ..Note::default() });
            // The local network beside a full tunnel, and the sources of routes, are others now.
            self.renew(now);
        }
        self.settle(now);
    }

    /// Has everything set up again that somebody may have taken away: without it packets would leave in clear, or the
    /// tunnels would carry nothing, silently.
    fn repair(&mut self, now: Now, harm: Harm) {
        match harm {
            Harm::None => return,
            // Mostly it was this host.
            Harm::Removed => {}
            Harm::TunDown => {
                let text =
                    format!("the interface {} was taken down: it is set up again", self.data_plane.tun().0);
                self.chronicle.note(now, Note { kind: "host_failed", text, ..Note::default() });
            }
        }
        self.renew(now);
    }

    fn renew(&mut self, now: Now) {
        if self.goodbye.is_none()
            && let Err(error) = self.changes.renew()
        {
            self.note_host_failure(now, None, &error);
        }
    }

    /// Takes an order.
    pub(crate) fn on_order(&mut self, order: Order) {
        let now = self.now();
        match order {
            Order::Command(Command::Shutdown) | Order::Shutdown => self.shut_down(now),
            Order::Command(command) => {
                if let Command::UseCrypto(crypto) = command {
                    self.use_crypto(now, crypto);
                }
                self.endpoint.handle_command(now, command);
            }
            // Who does not wait for the reply any more needs none.
            Order::Snapshot(reply) => drop(reply.send(Box::new(self.portrait(now)))),
            Order::Journal(name, reply) => drop(reply.send(self.chronicle.entries(name.as_deref()))),
            Order::Reload(config, reply) => self.begin_reload(now, config, reply),
            // Who does not wait for the reply any more needs none.
            Order::UsePlugins(plugins, reply) => drop(reply.send(self.use_plugins(now, plugins))),
        }
        self.settle(now);
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self) {
        let now = self.now();
        self.resolver.handle_timeout(now.instant);
        self.collect(now);
        self.changes.handle_timeout(now.instant);
        self.let_go(now);
        self.networks.take(now, &self.addresses, &self.endpoint);
        if self.next_look <= now.instant {
            let reports = self.children.carried();
            // Whoever is not answered is to be noticed soon; at rest nobody is woken for it.
            let sends = reports.iter().any(|report| matches!(report, TrafficReport::Outbound(..)));
            for report in reports {
                self.endpoint.handle_traffic(now, report);
            }
            let attention = self.endpoint.attention().filter(|_| sends).unwrap_or(limits::ACTIVITY_INTERVAL);
            self.next_look = now.instant + attention.clamp(limits::ACTIVITY_LEAST, limits::ACTIVITY_INTERVAL);
        }
        if self.endpoint.poll_timeout().is_some_and(|(deadline, _)| deadline <= now.instant) {
            self.endpoint.handle_timeout(now);
        }
        self.settle(now);
    }

    /// Returns how long nothing is due; `None` for ever.
    ///
    /// Never longer than a second, because the sleeper's clock may stop while the machine is suspended and
    /// these deadlines do not.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        let look = (!self.children.is_empty()).then_some(self.next_look);
        let deadlines = [
            self.endpoint.poll_timeout().map(|(deadline, _)| deadline),
            self.resolver.next_deadline(),
            self.changes.deadline(),
            self.goodbye,
            look,
        ];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_since(self.clock.instant()).min(limits::ACTIVITY_INTERVAL))
    }

    /// Tells whether an ordered end has come: the peers have answered, or took too long.
    pub(crate) fn is_done(&self) -> bool {
        let said = || self.endpoint.is_idle() && self.outputs.is_empty();
        self.goodbye.is_some_and(|until| until <= self.clock.instant() || said())
    }

    /// Takes down everything that is outside this process.
    pub(crate) async fn stop(mut self) {
        self.networks.finish(self.clock.now(), &self.addresses, &self.endpoint);
        self.changes.stop().await;
        self.data_plane.stop();
    }

    /// Ends without order: what blocks leaks stays.
    pub(crate) fn fail(self) {
        self.data_plane.stop();
    }

    fn shut_down(&mut self, now: Now) {
        if self.goodbye.is_none() {
            self.goodbye = Some(now.instant + limits::GOODBYE);
            self.chronicle.note(
                now,
                Note { kind: "stopping", text: "the host is ending".to_owned(), ..Note::default() },
            );
            self.let_go(now);
            self.endpoint.handle_command(now, Command::Shutdown);
        }
    }

    /// Takes what the packet path tells of SAs.
    pub(crate) fn on_traffic(&mut self, report: vpnhost_ipsec::TrafficReport) {
        use vpnhost_ipsec::TrafficReport as Report;
        let now = self.now();
        let report = match report {
            Report::FirstInbound(id) => TrafficReport::FirstInbound(id),
            // Whoever is behind no NAT, as most gateways, has nothing to learn, and need not look at every Child SA.
            Report::Resumed { id, .. } if !self.endpoint.keeps_mapping(id) => return,
            Report::Resumed { id, since, spoke, at, missing } => {
                let Some(since) = self.children.silent_since(id, since, at) else { return };
                TrafficReport::Resumed(id, Resumption { since, spoke, at, missing })
            }
            Report::Moved(id, path) => TrafficReport::Moved(id, path),
            Report::SoftLimit(id) => TrafficReport::SoftLimit(id),
            Report::Exhausted(id) => TrafficReport::Exhausted(id),
            Report::Large(id, octets) => TrafficReport::Large(id, octets),
            Report::Acquire { source, destination } => TrafficReport::Acquire { source, destination },
            Report::UnknownSpi { spi, path, octets } => TrafficReport::UnknownSpi { spi, path, octets },
        };
        self.endpoint.handle_traffic(now, report);
        self.settle(now);
    }

    fn note_host_failure(&mut self, now: Now, ike_sa: Option<IkeSaId>, error: &DriverError) {
        let text = format!("addresses, routes, firewall or DNS could not be changed: {error}");
        self.chronicle.note(now, Note { kind: "host_failed", ike_sa, text, ..Note::default() });
    }

    fn use_crypto(&mut self, now: Now, crypto: &'static dyn CryptoBackend) {
        let text = format!("new SAs take their algorithms from {} {}", crypto.name(), crypto.version());
        self.crypto = crypto;
        self.chronicle.note(now, Note { kind: "crypto", text, ..Note::default() });
        self.packet_costs.clear();
        self.learn_packet_costs();
    }

    /// Measures what packets of the configured suites cost, as far as that is not known.
    fn learn_packet_costs(&mut self) {
        let children = self.config.endpoint.connections.iter().flat_map(|connection| &connection.children);
        let packets: BTreeSet<PacketId> =
            children.flat_map(|child| &child.esp).map(|suite| suite.packet).collect();
        let unknown = packets.into_iter().filter(|packet| !self.packet_costs.contains_key(packet));
        let learned = packet_cost::measure(self.crypto, unknown);
        self.packet_costs.extend(learned);
        self.endpoint.use_packet_costs(self.packet_costs.clone());
    }

    fn endpoint_config(&self) -> Box<EndpointConfig> {
        Box::new(EndpointConfig {
            ports: self.ports,
            idle_port: self.data_plane.idle_port(),
            ..self.config.endpoint.clone()
        })
    }

    fn mark_metered(&mut self) {
        for address in &mut self.addresses {
            let name = &address.name;
            address.metered = self.config.metered.contains(name) || self.held_metered.contains(name);
        }
    }
}

/// Names the addresses that are in the second list and not in the first.
fn missing_in(first: &[LocalAddress], second: &[LocalAddress]) -> Vec<String> {
    let is_there = |it: &LocalAddress| {
        first.iter().any(|other| (other.address, other.interface) == (it.address, it.interface))
    };
    second.iter().filter(|it| !is_there(it)).map(|it| format!("{} on {}", it.address, it.name)).collect()
}
