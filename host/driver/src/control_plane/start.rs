//! Opens everything that a host needs, in an order in which nothing leaks, and undoes it if a part fails.

use tokio::sync::{broadcast, mpsc, watch};
use vpnhost_crypto::SecretBytes;
use vpnhost_ike::config::{PeerConfig, SelectorConfig, Start};
use vpnhost_ike::input::JobResult;
use vpnhost_ike::output::JobId;
use vpnhost_ike::{EndpointConfig, IkeEndpoint};
use vpnhost_model::{LocalAddress, Mode, TrafficSelector};
use vpnhost_policy::Power;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::ControlPlane;
use super::children::Children;
use super::host_changes::{Changed, HostChanges};
use crate::chronicle::Chronicle;
use crate::clock::Clock;
use crate::config::{HostConfig, RandomSource};
use crate::data_plane::{DataPlane, FromPath, PathSettings};
use crate::error::DriverError;
use crate::host::HostEvent;
use crate::limits;
use crate::links::{LinkNews, Links};
use crate::machine::{Machine, MachineSettings, Protected};
use crate::networks::Networks;
use crate::power;
use crate::resolver::{PluginReply, Resolver};
use crate::state_directory::StateDirectory;
use crate::suspension::Suspension;
use crate::work::Workers;

/// The file with the secret that tokens are made under, and its octets (RFC 6290 §5.1).
const CRASH_SECRET: &str = "crash-detection";
const CRASH_SECRET_LEN: usize = 32;

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
    /// From the watch over what the machine runs on.
    pub(crate) power: mpsc::Receiver<Power>,
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
    let (remotes, asked) = watch::channel(BTreeSet::new());
    let (machine, addresses, links) = match start_machine(&config, &data_plane, asked).await {
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
    let mut endpoint = IkeEndpoint::new(empty, config.crypto, (config.random)(), policy, clock.now());
    if let Some(secret) = config.state.as_ref().and_then(|state| crash_secret(state, &config.random)) {
        endpoint.use_crash_secret(secret);
    }
    let networks = Networks::read(config.state.clone(), clock.now());
    let mut chronicle = Chronicle::new(readers);
    chronicle.know_components(resolver.components());
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
        chronicle,
        networks,
        addresses,
        pairs: Vec::new(),
        remotes,
        outputs: VecDeque::new(),
        held: VecDeque::new(),
        reloads: VecDeque::new(),
        next_look: clock.instant(),
        goodbye: None,
        suspension: Suspension::new(clock.asleep()),
        held_metered: BTreeSet::new(),
        packet_costs: BTreeMap::new(),
    };
    let (replies, results, power) = (from_plugins, from_workers, power::watch());
    Ok((control, Inputs { path, replies, results, changed, links, power }))
}

/// Returns the secret by which this host proves, after a restart, that it lost its IKE SAs (RFC 6290 §5.1): the one that is
/// kept, or another. One that cannot be kept is of no use.
fn crash_secret(state: &StateDirectory, random: &RandomSource) -> Option<SecretBytes> {
    let kept = state.read(CRASH_SECRET).and_then(|kept| match kept {
        Some(secret) if secret.len() == CRASH_SECRET_LEN => Ok(Some(secret)),
        Some(_) | None => {
            let mut secret = SecretBytes::new(vec![0; CRASH_SECRET_LEN]);
            if let Err(error) = random().fill(secret.expose_mut()) {
                tracing::warn!(%error, "no secret could be drawn to prove a crash with");
                return Ok(None);
            }
            state.replace(CRASH_SECRET, secret.expose()).map(|()| Some(secret))
        }
    });
    kept.unwrap_or_else(|error| {
        tracing::warn!(%error, "after a crash peers find out by themselves that their SAs are gone");
        None
    })
}

type Started = (Machine, Vec<LocalAddress>, mpsc::Receiver<LinkNews>);

async fn start_machine(
    config: &HostConfig,
    data_plane: &DataPlane,
    remotes: watch::Receiver<BTreeSet<IpAddr>>,
) -> Result<Started, DriverError> {
    let (name, index) = data_plane.tun();
    let settings = machine_settings(config, (name, index), data_plane.ports());
    let settings = MachineSettings { idle_port: data_plane.idle_port(), ..settings };
    let machine = Machine::start(settings).await?;
    match Links::start((name, index), config.metered.clone(), remotes, Machine::MARK).await {
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
        idle_port: None,
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
    use crate::state_directory::open_again;

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
            mobike: true,
            return_routability: vpnhost_ike::ReturnRoutability::default(),
            timing: Timing::default(),
            unique: vpnhost_ike::Uniqueness::default(),
            on_child_failed: vpnhost_ike::ChildFailure::default(),
            childless: vpnhost_ike::Childless::default(),
            sha1_auth: false,
        }
    }

    #[test]
    fn the_secret_that_proves_a_crash_is_found_again_and_a_damaged_one_is_replaced() {
        struct Counting(u8);
        impl vpnhost_crypto::SecureRandom for Counting {
            fn fill(&mut self, out: &mut [u8]) -> Result<(), vpnhost_crypto::CryptoError> {
                out.fill(self.0);
                Ok(())
            }
        }
        let of = |octet: u8| -> RandomSource { std::sync::Arc::new(move || Box::new(Counting(octet))) };
        let ground = tempfile::tempdir().expect("a directory");
        let path = ground.path().join("state");
        let start = |octet| crash_secret(&open_again(&path), &of(octet)).expect("a secret");
        assert_eq!(start(1).expose(), [1; CRASH_SECRET_LEN]);
        assert_eq!(start(2).expose(), [1; CRASH_SECRET_LEN], "it survives a restart");
        let file = path.join(CRASH_SECRET);
        let mut octets = std::fs::read(&file).expect("the file");
        *octets.last_mut().expect("an octet") ^= 1;
        std::fs::write(&file, octets).expect("written");
        assert_eq!(start(3).expose(), [3; CRASH_SECRET_LEN]);
        assert_eq!(start(4).expose(), [3; CRASH_SECRET_LEN]);
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
