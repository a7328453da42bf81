//! From what an operator wrote to what a host is started with.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use vpnhost_crypto::{CryptoError, SecureRandom};
use vpnhost_driver::{DecisionLog, HostConfig, KeyLog, RandomSource};
use vpnhost_ike::config::{EndpointConfig, Gateway};
use vpnhost_plugin_host::WasmPolicy;
use vpnhost_policy::{Chain, Policy};
use vpnhost_policy_standard::Standard;

use crate::backends::Assembly;
use crate::config::{Configuration, Connection, GatewayName};
use crate::decisions::DecisionFile;
use crate::exit::Failure;
use crate::keylog::WiresharkTables;

/// Everything besides the configuration that a host is made of.
pub(crate) struct Parts {
    /// Where algorithms come from.
    pub(crate) backends: Assembly,
    /// The plugins in order.
    pub(crate) plugins: Vec<Arc<WasmPolicy>>,
    /// The peers' addresses, by connection.
    pub(crate) gateways: BTreeMap<String, Vec<Gateway>>,
}

/// Makes a host's configuration; files that it names are opened.
///
/// # Errors
/// A key log or a decision log that cannot be opened.
pub(crate) fn host(configuration: &Configuration, parts: Parts) -> Result<HostConfig, Failure> {
    let Parts { backends, plugins, mut gateways } = parts;
    let settings = &configuration.host;
    let connections = configuration.connections.iter().map(|connection| {
        let mut peer = connection.peer.clone();
        peer.gateways = gateways.remove(&peer.name).unwrap_or_default();
        Arc::new(peer)
    });
    let endpoint = EndpointConfig {
        connections: connections.collect(),
        pools: configuration.pools.iter().map(|pool| pool.config.clone()).collect(),
        allow_legacy: configuration.allow_legacy,
        ports: settings.ports,
        answer_deadline: settings.answer_deadline,
        ..EndpointConfig::default()
    };
    let policies: Vec<Arc<dyn Policy>> = plugins.into_iter().map(|plugin| plugin as Arc<dyn Policy>).collect();
    let routing = |connection: &Connection| (connection.peer.name.clone(), connection.routing);
    Ok(HostConfig {
        endpoint,
        crypto: backends.crypto,
        random: random_source(),
        policy: Arc::new(Standard),
        plugins: (!policies.is_empty()).then(|| Chain::new(policies).with_clock(since_start)),
        listen: settings.listen.clone(),
        tun: settings.tun.clone(),
        dns: settings.dns,
        connections: configuration.connections.iter().map(routing).collect(),
        pools: configuration.pools.iter().map(|pool| pool.routing).collect(),
        metered: configuration.metered.clone(),
        keylog: keylog(configuration)?,
        decisions: decisions(configuration)?,
    })
}

fn keylog(configuration: &Configuration) -> Result<Option<Arc<dyn KeyLog>>, Failure> {
    let Some(directory) = &configuration.host.keylog else { return Ok(None) };
    let tables = WiresharkTables::open(directory).map_err(|error| {
        Failure::failed(format!("the key log {} cannot be opened", directory.display())).because(error.to_string())
    })?;
    tracing::warn!(directory = %directory.display(), "keys are written for Wireshark: whoever reads them reads the traffic");
    Ok(Some(Arc::new(tables)))
}

fn decisions(configuration: &Configuration) -> Result<Option<Arc<dyn DecisionLog>>, Failure> {
    let Some(file) = &configuration.host.decisions else { return Ok(None) };
    let log = DecisionFile::open(file).map_err(|error| {
        Failure::failed(format!("the log of decisions {} cannot be opened", file.display()))
            .because(error.to_string())
    })?;
    Ok(Some(Arc::new(log)))
}

/// A monotonic clock for the times that plugins take.
fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// The kernel's randomness.
struct KernelRandom;

impl SecureRandom for KernelRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        getrandom::fill(out).map_err(|_| CryptoError::Backend)
    }
}

fn random_source() -> RandomSource {
    Arc::new(|| Box::new(KernelRandom))
}

/// What became of looking up the peers' names.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// The addresses, by connection.
    pub(crate) gateways: BTreeMap<String, Vec<Gateway>>,
    /// What could not be resolved, in sentences.
    pub(crate) unresolved: Vec<String>,
}

/// Looks the peers' names up; this blocks. An address is its own name.
pub(crate) fn resolve(configuration: &Configuration) -> Lookup {
    let mut lookup = Lookup::default();
    for connection in &configuration.connections {
        let mut gateways = Vec::new();
        for name in &connection.gateways {
            match addresses_of(name, &configuration.host.listen) {
                Ok(found) => gateways.extend(found.into_iter().map(|address| Gateway { address })),
                Err(why) => lookup.unresolved.push(format!("{}: {} cannot be resolved ({why})", connection.peer.name, name.host)),
            }
        }
        lookup.gateways.insert(connection.peer.name.clone(), gateways);
    }
    lookup
}

/// Tells whether any peer is known by a name, whose addresses may change.
pub(crate) fn has_names(configuration: &Configuration) -> bool {
    let names = configuration.connections.iter().flat_map(|connection| &connection.gateways);
    names.into_iter().any(|name| name.host.parse::<IpAddr>().is_err())
}

fn addresses_of(name: &GatewayName, listen: &[IpAddr]) -> Result<Vec<SocketAddr>, String> {
    let reachable = |address: &SocketAddr| listen.iter().any(|own| own.is_ipv4() == address.is_ipv4());
    let found = (name.host.as_str(), name.port).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        text.rsplit(": ").next().unwrap_or(&text).to_owned()
    })?;
    let found: Vec<SocketAddr> = found.filter(reachable).collect();
    if found.is_empty() { Err("no address of a family that this host listens on".to_owned()) } else { Ok(found) }
}
