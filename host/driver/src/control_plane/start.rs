//! Opens everything that a host needs, in an order in which nothing leaks, and undoes it if a part fails.

use tokio::sync::{broadcast, mpsc};
use vpnhost_ike::config::{PeerConfig, SelectorConfig, Start};
use vpnhost_ike::input::JobResult;
use vpnhost_ike::output::JobId;
use vpnhost_ike::{EndpointConfig, IkeEndpoint};
use vpnhost_model::{LocalAddress, Mode, TrafficSelector};

use std::collections::VecDeque;
use std::net::IpAddr;

use super::ControlPlane;
use super::children::Children;
use super::host_changes::{Changed, HostChanges};
use crate::chronicle::Chronicle;
use crate::clock::Clock;
use crate::config::HostConfig;
use crate::data_plane::{DataPlane, FromPath, PathSettings};
use crate::error::DriverError;
use crate::host::HostEvent;
use crate::limits;
use crate::links::{LinkNews, Links};
use crate::machine::{Machine, MachineSettings, Protected};
use crate::resolver::{PluginReply, Resolver};
use crate::work::Workers;

/// What a running host waits for, besides orders and the time.
pub(crate) struct Inputs {
    /// From the sockets and the packet path.
    pub(crate) path: FromPath,
    /// From plugins.
    pub(crate) replies: mpsc::Receiver<PluginReply>,
    /// From workers.
    pub(crate) results: mpsc::Receiver<(JobId, JobResult)>,
    /// From the task that changes routes.
    pub(crate) changed: mpsc::Receiver<Changed>,
    /// From the watch over the machine's addresses.
    pub(crate) links: mpsc::Receiver<LinkNews>,
}

/// Opens what a host needs. An error leaves nothing behind.
pub(crate) async fn start(
    config: HostConfig,
    readers: broadcast::Sender<HostEvent>,
) -> Result<(ControlPlane, Inputs), DriverError> {
    // Threads first: they can fail without anything outside having been touched.
    let (replies, from_plugins) = mpsc::channel(limits::RESULTS);
    let (results, from_workers) = mpsc::channel(limits::RESULTS);
    let resolver = Resolver::start(config.plugins.as_ref(), replies)?;
    let workers = Workers::start(&results)?;
    Machine::clear_leftovers(&config.tun.name).await?;
    let (data_plane, path) = DataPlane::start(path_settings(&config))?;
    let (machine, addresses, links) = match start_machine(&config, &data_plane).await {
        Ok(started) => started,
        Err(error) => {
            data_plane.stop();
            return Err(error);
        }
    };
    let (told, changed) = mpsc::channel(limits::RESULTS);
    let clock = Clock;
    let ports = data_plane.ports();
    // Connections come with the first configuration, when questions are delegated and addresses known.
    let empty = EndpointConfig { connections: Vec::new(), ports, ..config.endpoint.clone() };
    let policy = config.policy.clone();
    let endpoint = IkeEndpoint::new(empty, config.crypto, (config.random)(), policy, clock.now());
    let control = ControlPlane {
        clock,
        started: clock.instant(),
        crypto: config.crypto,
        ports,
        config,
        endpoint,
        data_plane,
        changes: HostChanges::start(machine, told),
        resolver,
        workers,
        children: Children::default(),
        chronicle: Chronicle::new(readers),
        addresses,
        outputs: VecDeque::new(),
        held: VecDeque::new(),
        reloads: VecDeque::new(),
        next_look: clock.instant(),
        goodbye: None,
    };
    Ok((control, Inputs { path, replies: from_plugins, results: from_workers, changed, links }))
}

type Started = (Machine, Vec<LocalAddress>, mpsc::Receiver<LinkNews>);

async fn start_machine(config: &HostConfig, data_plane: &DataPlane) -> Result<Started, DriverError> {
    let (name, index) = data_plane.tun();
    let settings = machine_settings(config, (name, index), data_plane.ports());
    let machine = Machine::start(settings).await?;
    match Links::start((name, index), config.metered.clone()).await {
        Ok((addresses, links)) => Ok((machine, addresses, links)),
        Err(error) => {
            machine.stop().await;
            Err(error)
        }
    }
}

fn path_settings(config: &HostConfig) -> PathSettings {
    PathSettings {
        listen: config.listen.clone(),
        ports: config.endpoint.ports,
        tun: config.tun.clone(),
        mark: Machine::MARK,
        random: config.random.clone(),
        clock: Clock,
    }
}

/// Returns what the machine's part is to know of a configuration.
pub(super) fn machine_settings(
    config: &HostConfig,
    (tun_name, tun_index): (&str, u32),
    ports: [u16; 2],
) -> MachineSettings {
    let routing = |name: &str| config.connections.get(name).copied().unwrap_or_default();
    let protected = |connection: &PeerConfig| Protected {
        name: connection.name.clone(),
        remote: remote_prefixes(connection),
        local: prefixes(connection, |child| &child.local),
        on_traffic: connection.initiate && connection.start == Start::OnTraffic,
        routing: routing(&connection.name),
    };
    MachineSettings {
        tun_name: tun_name.to_owned(),
        tun_index,
        mtu: config.tun.mtu,
        dns: config.dns,
        connections: config.endpoint.connections.iter().map(|it| protected(it)).collect(),
        pools: config.pools.clone(),
        ports,
    }
}

/// Returns what is behind the peer; in transport mode that is the peer, wherever this host knows it to be.
fn remote_prefixes(connection: &PeerConfig) -> Vec<(IpAddr, u8)> {
    let mut all = prefixes(connection, |child| &child.remote);
    let is_peer = |child: &vpnhost_ike::ChildConfig| {
        child.mode == Mode::Transport && child.remote.contains(&SelectorConfig::Dynamic)
    };
    if connection.initiate && connection.children.iter().any(is_peer) {
        let peers = connection.gateways.iter().map(|gateway| TrafficSelector::host(gateway.address.ip()));
        all.extend(peers.flat_map(|peer| peer.prefixes()));
        all.sort_unstable();
        all.dedup();
    }
    all
}

/// Returns the configured prefixes of one side of a connection's tunnels. Everything stands for anything
/// where this host only answers: that it protects nothing by itself.
fn prefixes(
    connection: &PeerConfig,
    side: fn(&vpnhost_ike::ChildConfig) -> &Vec<SelectorConfig>,
) -> Vec<(IpAddr, u8)> {
    let fixed = connection.children.iter().flat_map(side).filter_map(|selector| match selector {
        SelectorConfig::Fixed(selector) => Some(selector.prefixes()),
        SelectorConfig::Dynamic => None,
    });
    let mut all: Vec<(IpAddr, u8)> = Vec::new();
    for prefix in fixed.flatten().filter(|(_, length)| connection.initiate || *length > 0) {
        if !all.contains(&prefix) && all.len() < limits::ROUTES {
            all.push(prefix);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vpnhost_ike::config::{
        ChildConfig, EncapsulationPolicy, LocalAuth, PeerAuth, PeerIdentity, RequestAddress, Secrets, Start,
        Timing,
    };
    use vpnhost_model::{Identity, Lifetime};

    use super::*;

    fn connection(initiate: bool, remote: Vec<SelectorConfig>) -> PeerConfig {
        let child = ChildConfig {
            name: "net".to_owned(),
            local: vec![SelectorConfig::Dynamic],
            remote,
            esp: Vec::new(),
            mode: Mode::Tunnel,
            lifetime: Lifetime {
                rekey_after: Some(Duration::from_secs(1)),
                rekey_bytes: None,
                rekey_packets: None,
                jitter_percent: 0,
            },
            replay_window: 64,
        };
        PeerConfig {
            name: "corp".to_owned(),
            initiate,
            respond: !initiate,
            gateways: Vec::new(),
            local_id: Identity::Fqdn("carol".into()),
            peer_id: PeerIdentity::Any,
            local_auth: LocalAuth::SharedKey,
            peer_auth: PeerAuth::SharedKey,
            secrets: Secrets::default(),
            ike: Vec::new(),
            children: vec![child.clone(), child],
            start: Start::Manual,
            request_address: RequestAddress::default(),
            pools: Vec::new(),
            encapsulation: EncapsulationPolicy::Always,
            timing: Timing::default(),
            unique: vpnhost_ike::Uniqueness::default(),
            on_child_failed: vpnhost_ike::ChildFailure::default(),
            childless: vpnhost_ike::Childless::default(),
            sha1_auth: false,
        }
    }

    #[test]
    fn an_initiator_protects_what_is_fixed_once_and_also_everything() {
        let net = TrafficSelector::prefix(IpAddr::from([10, 1, 0, 0]), 16).expect("a prefix");
        let remote = vec![
            SelectorConfig::Fixed(net),
            SelectorConfig::Dynamic,
            SelectorConfig::Fixed(TrafficSelector::any_v4()),
        ];
        let protected = prefixes(&connection(true, remote), |child| &child.remote);
        assert_eq!(protected, [(IpAddr::from([10, 1, 0, 0]), 16), (IpAddr::from([0, 0, 0, 0]), 0)]);
    }

    #[test]
    fn a_responder_that_admits_anything_does_not_lock_itself_out() {
        let remote = vec![SelectorConfig::Fixed(TrafficSelector::any_v4())];
        assert_eq!(prefixes(&connection(false, remote), |child| &child.remote), []);
    }
}
