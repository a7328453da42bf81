//! What the machine is told for the tunnels' sake: addresses, routes, rules, firewall, DNS.
//!
//! Each change makes a plan of what there should be, looks at what the kernel has of ours, and carries out the
//! difference: first what is missing, then what is too much, so that traffic which a tunnel protects never finds a way
//! around it in between. The same holds for the start after a crash.

mod change;
mod turn;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use vpnhost_ike::output::HostConfiguration;
use vpnhost_model::IkeSaId;

use crate::config::{ConnectionRouting, DnsMode, PoolRouting};
use crate::dns::{self, Dns};
use crate::error::DriverError;
use crate::routes::kernel::{Installed, Kernel};
use crate::routes::plan::Plan;
use crate::routes::{Family, Prefix, Tables};
use crate::{firewall, forwarding, limits};

pub(crate) use change::Edit;
pub(crate) use turn::Turn;

/// What the machine's part is started with, and what a reload changes.
#[derive(Clone, Debug)]
pub(crate) struct MachineSettings {
    /// The TUN's name.
    pub(crate) tun_name: String,
    /// Its interface index.
    pub(crate) tun_index: u32,
    /// Its MTU in octets.
    pub(crate) mtu: u16,
    /// Where the tunnel's DNS servers go.
    pub(crate) dns: DnsMode,
    /// Every configured connection.
    pub(crate) connections: Vec<Protected>,
    /// Prefixes of pools.
    pub(crate) pools: Vec<PoolRouting>,
    /// The UDP ports of IKE and of NAT traversal.
    pub(crate) ports: [u16; 2],
    /// The port on which silences are tried.
    pub(crate) idle_port: Option<u16>,
}

/// What a connection protects, as configured: what is dynamic is left out.
#[derive(Clone, Debug)]
pub(crate) struct Protected {
    /// The connection's name.
    pub(crate) name: String,
    /// What is behind the peer.
    pub(crate) remote: Vec<Prefix>,
    /// What is behind this host.
    pub(crate) local: Vec<Prefix>,
    /// Whether its first packet brings it up: then packets go into the TUN also while there is no tunnel.
    pub(crate) on_traffic: bool,
    /// What the operator wants of the routing.
    pub(crate) routing: ConnectionRouting,
}

/// The machine's addresses, routes, rules, firewall and DNS, as far as they are for the tunnels.
///
/// Dropped without [`Machine::stop`], what blocks leaks stays.
#[derive(Debug)]
pub(crate) struct Machine {
    settings: MachineSettings,
    kernel: Kernel,
    dns: Dns,
    configured: BTreeMap<IkeSaId, HostConfiguration>,
    /// The firewall table as it was last set up; before that, whatever an earlier daemon left.
    firewall: Wall,
}

#[derive(Debug, PartialEq, Eq)]
enum Wall {
    Unknown,
    /// A change of it failed, perhaps when it had been made.
    Unsure,
    Absent,
    Present(String),
}

impl Machine {
    /// The mark (`SO_MARK`) of this host's own sockets, whose packets go outside the tunnel. It shares no bit with
    /// the masks of Kubernetes (0xc000) and Tailscale (0xff0000).
    pub(crate) const MARK: u32 = 0x7200_0096;

    /// Takes away what a killed daemon of this TUN's name left and a start would not replace. Its blocks and its
    /// firewall stay until [`Machine::start`] puts the new ones in their place: nothing leaks in between.
    pub(crate) async fn clear_leftovers(tun_name: &str) -> Result<(), DriverError> {
        let links = bounded("list the interfaces", Kernel::connect()?.link_names()).await?;
        if links.contains(tun_name) {
            // Its daemon lives, or it is somebody else's; opening the TUN will say so.
            return Ok(());
        }
        for tun in dns::take_back(|tun| tun == tun_name).await? {
            tracing::info!("took the DNS servers of an earlier {tun} back");
        }
        Ok(())
    }

    /// Sets up what is there before any tunnel is: blocks, firewall, pool routes; the TUN goes up.
    ///
    /// # Errors
    /// Says what was refused; what this start has made is gone again, what an earlier daemon left still blocks.
    pub(crate) async fn start(settings: MachineSettings) -> Result<Self, DriverError> {
        if !firewall::takes(&settings.tun_name) {
            let source =
                io::Error::new(io::ErrorKind::InvalidInput, "quotation marks and patterns are not supported");
            return Err(DriverError::Io { action: "use the TUN's name in firewall rules", source });
        }
        let _turn = Turn::wait().await;
        let kernel = Kernel::connect()?;
        let before = bounded("list the routes", kernel.installed()).await?;
        let dns = Dns::new(settings.dns, &settings.tun_name)?;
        let mut machine =
            Self { settings, kernel, dns, configured: BTreeMap::new(), firewall: Wall::Unknown };
        forwarding::warn(&machine.settings);
        match machine.apply(true).await {
            Ok(()) => Ok(machine),
            Err(error) => {
                machine.restore(&before).await;
                if before == Installed::default() && machine.firewall != Wall::Unknown {
                    tell(firewall::remove(&machine.settings.tun_name).await);
                }
                Err(error)
            }
        }
    }

    /// Takes other settings; the TUN's name and index, its MTU, the ports and the DNS mode stay as they were.
    ///
    /// # Errors
    /// Says what was refused; the settings are the old ones then.
    pub(crate) async fn reload(&mut self, settings: MachineSettings) -> Result<(), DriverError> {
        let MachineSettings { tun_name, tun_index, mtu, dns, ports, .. } = self.settings.clone();
        let settings = MachineSettings { tun_name, tun_index, mtu, dns, ports, ..settings };
        let old = std::mem::replace(&mut self.settings, settings);
        forwarding::warn(&self.settings);
        let done = self.apply(true).await;
        if done.is_err() {
            self.settings = old;
            if let Err(error) = self.apply(true).await {
                tracing::warn!(%error, "the old settings of the tunnels' routing could not be put back");
            }
        }
        done
    }

    /// Makes the machine again as it was: somebody else has changed it.
    ///
    /// # Errors
    /// Says what was refused.
    pub(crate) async fn renew(&mut self) -> Result<(), DriverError> {
        self.apply(true).await
    }

    /// Takes everything away: an orderly end. What refuses to go is told in the log; virtual addresses go with the TUN.
    pub(crate) async fn stop(mut self) {
        let _turn = Turn::wait().await;
        self.dns.give(Vec::new()).await;
        self.restore(&Installed::default()).await;
        if self.firewall != Wall::Absent {
            tell(firewall::remove(&self.settings.tun_name).await);
        }
    }

    /// Makes the machine as the settings and the tunnels want it.
    async fn apply(&mut self, link: bool) -> Result<(), DriverError> {
        let (kernel, index) = (self.kernel.clone(), self.settings.tun_index);
        if link {
            bounded("bring the TUN up", kernel.bring_up(index, self.settings.mtu)).await?;
        }
        let addresses = bounded("list the addresses", kernel.addresses()).await?;
        let of_tun = |wanted: bool| {
            addresses.iter().filter(move |(of, _)| (*of == index) == wanted).map(|(_, address)| *address)
        };
        let plan = self.plan(&of_tun(false).collect::<Vec<IpAddr>>())?;
        let tables = Tables::of(&self.settings.tun_name);
        let there = bounded("list the routes", kernel.installed()).await?.of(|owner| owner == tables);
        bounded("set up routes", add(&kernel, index, &plan, &there)).await?;
        let local = match plan.is_full() {
            true => bounded("list the local networks", kernel.local_networks(index)).await?,
            false => Vec::new(),
        };
        self.apply_firewall(&plan, &local).await?;
        bounded("remove routes", remove(&kernel, &plan, &there)).await?;
        for address in of_tun(true).filter(|address| !plan.addresses.contains(address)) {
            bounded("remove a virtual address", kernel.remove_address(index, address)).await?;
        }
        self.dns.give(self.dns_servers()).await;
        Ok(())
    }

    fn plan(&self, own: &[IpAddr]) -> Result<Plan, DriverError> {
        let mut plan = Plan::new(&self.settings, self.configured.values(), own);
        if plan.routes.len() > limits::ROUTES {
            let source = io::Error::other(format!("more than {} prefixes", limits::ROUTES));
            return Err(DriverError::Io { action: "route what the tunnels protect", source });
        }
        if !forwarding::has_ipv6("lo") {
            if plan.without(Family::V6, false) {
                tracing::warn!("IPv6 is switched off on this machine: it is neither routed nor blocked");
            }
        } else if !forwarding::has_ipv6(&self.settings.tun_name) && plan.without(Family::V6, true) {
            tracing::warn!(
                "IPv6 is switched off on {}: the tunnel does not carry it",
                self.settings.tun_name
            );
        }
        Ok(plan)
    }

    async fn apply_firewall(&mut self, plan: &Plan, local: &[Prefix]) -> Result<(), DriverError> {
        let wanted = match firewall::ruleset(&self.settings, self.configured.values(), plan, local) {
            Some(ruleset) => Wall::Present(ruleset),
            // What needs it later is told now.
            None if firewall::is_needed(&self.settings) && !firewall::is_available() => {
                return Err(DriverError::NftMissing);
            }
            None => Wall::Absent,
        };
        if self.firewall == wanted {
            return Ok(());
        }
        self.firewall = Wall::Unsure;
        match &wanted {
            Wall::Present(ruleset) => firewall::apply(ruleset).await?,
            Wall::Absent | Wall::Unsure | Wall::Unknown => firewall::remove(&self.settings.tun_name).await?,
        }
        self.firewall = wanted;
        Ok(())
    }

    /// Returns the servers of all tunnels, those of the youngest first.
    fn dns_servers(&self) -> Vec<IpAddr> {
        let mut servers = Vec::new();
        for server in self.configured.values().rev().flat_map(|configuration| &configuration.dns) {
            if !servers.contains(server) {
                servers.push(*server);
            }
        }
        servers
    }

    /// Removes routes and rules that were not there before.
    async fn restore(&self, before: &Installed) {
        let tables = Tables::of(&self.settings.tun_name);
        let remove = async {
            let there = self.kernel.installed().await?.of(|owner| owner == tables);
            let kept = Plan { routes: before.routes.clone(), rules: before.rules.clone(), ..Plan::default() };
            remove(&self.kernel, &kept, &there).await
        };
        tell(bounded("remove routes", remove).await);
    }
}

/// Adds what is missing: addresses, since routes name them; then routes; then the rules that lead to them.
async fn add(kernel: &Kernel, tun: u32, plan: &Plan, there: &Installed) -> Result<(), DriverError> {
    for address in &plan.addresses {
        kernel.add_address(tun, *address).await?;
    }
    for (place, target) in &plan.routes {
        if there.routes.get(place) != Some(target) {
            kernel.add_route(*place, *target).await?;
        }
    }
    for rule in plan.rules.difference(&there.rules) {
        kernel.add_rule(*rule).await?;
    }
    Ok(())
}

/// Removes what is too much: rules, then the routes that they lead to.
async fn remove(kernel: &Kernel, plan: &Plan, there: &Installed) -> Result<(), DriverError> {
    for rule in there.rules.difference(&plan.rules) {
        kernel.remove_rule(*rule).await?;
    }
    for (place, target) in &there.routes {
        if !plan.routes.contains_key(place) {
            kernel.remove_route(*place, *target).await?;
        }
    }
    Ok(())
}

/// Gives the kernel so much time and no more.
pub(crate) async fn bounded<T>(
    action: &'static str,
    change: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, DriverError> {
    tokio::time::timeout(limits::HOST_CHANGE, change).await.unwrap_or(Err(DriverError::Timeout(action)))
}

fn tell(done: Result<(), DriverError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "something of the tunnel's routing stays behind");
    }
}

#[cfg(test)]
mod bound;
#[cfg(test)]
pub(crate) mod ground;
#[cfg(test)]
pub(crate) mod tests;
