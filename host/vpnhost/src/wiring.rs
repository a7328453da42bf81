//! From what an operator wrote to what a host is started with.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use vpnhost_crypto::{CryptoError, SecureRandom};
use vpnhost_driver::{DecisionLog, DriverError, HostConfig, KeyLog, RandomSource, StateDirectory};
use vpnhost_ike::config::{EndpointConfig, PeerConfig};
use vpnhost_plugin_host::PluginSlot;
use vpnhost_policy::{Chain, Policy};
use vpnhost_policy_standard::Standard;

use crate::check::Prepared;
use crate::config::{Configuration, Connection};
use crate::decisions::DecisionFile;
use crate::exit::{self, Failure};
use crate::gateways::Gateways;
use crate::keylog::WiresharkKeys;
use crate::lists::Lists;

/// What is written besides the log; kept over a reload that does not change it.
#[derive(Clone, Default)]
pub(crate) struct Records {
    keylog: Option<Arc<WiresharkKeys>>,
    decisions: Option<Arc<DecisionFile>>,
}

impl Records {
    /// Opens what a configuration names, unless it is open.
    ///
    /// # Errors
    /// What cannot be written.
    pub(crate) fn open(configuration: &Configuration, open: &Self) -> Result<Self, Failure> {
        let Configuration { host, .. } = configuration;
        let failed = |what: &str, path: &std::path::Path, error: &std::io::Error| {
            Failure::failed(format!("{what} {} cannot be written", path.display()))
                .because(exit::plain(error))
        };
        let keylog = match (&host.keylog, &open.keylog) {
            (None, _) => None,
            (Some(dir), Some(keys)) if keys.dir() == dir => Some(Arc::clone(keys)),
            (Some(dir), _) => {
                let keys = WiresharkKeys::open(dir).map_err(|error| failed("the key log", dir, &error))?;
                Some(Arc::new(keys))
            }
        };
        let decisions = match (&host.decisions, &open.decisions) {
            (None, _) => None,
            (Some(settings), Some(file)) if file.path() == settings.file => {
                file.bound(settings);
                Some(Arc::clone(file))
            }
            (Some(settings), _) => {
                let told = |error| failed("the log of decisions", &settings.file, &error);
                Some(Arc::new(DecisionFile::open(settings).map_err(told)?))
            }
        };
        Ok(Self { keylog, decisions })
    }
}

/// Opens the directory for what survives a restart. A host that cannot have it runs, and says what it does without.
///
/// # Errors
/// That others can write there: what this host believes after a restart would be theirs.
pub(crate) fn state(path: &Path) -> Result<Option<Arc<StateDirectory>>, Failure> {
    match StateDirectory::open(path) {
        Ok(state) => Ok(Some(Arc::new(state))),
        Err(error @ DriverError::StateExposed(_)) => {
            let mode = format!("make it this host's own: chmod 0700 {}", path.display());
            Err(Failure::from(error).hint(mode))
        }
        Err(error) => {
            tracing::warn!(
                "{error}: nothing survives a restart; after a crash peers find out by themselves that their SAs are \
                 gone"
            );
            Ok(None)
        }
    }
}

/// Makes a host's configuration.
pub(crate) fn host(
    prepared: &Prepared,
    slots: &[Arc<PluginSlot>],
    (gateways, lists): (&Gateways, &Lists),
    records: &Records,
) -> HostConfig {
    let Prepared { configuration, assembly, .. } = prepared;
    let settings = &configuration.host;
    let connections = configuration.connections.iter();
    let crls = connections.clone().flat_map(|it| it.crls.iter().map(|(_, crl)| crl));
    let routing = |connection: &Connection| (connection.peer.name.clone(), connection.routing);
    HostConfig {
        endpoint: EndpointConfig {
            crls: crls.chain(lists.all()).cloned().collect(),
            connections: connections
                .clone()
                .map(|it| Arc::new(peer(it, gateways, &settings.listen)))
                .collect(),
            pools: configuration.pools.iter().map(|pool| pool.config.clone()).collect(),
            allow_legacy: configuration.allow_legacy,
            ports: settings.ports,
            answer_deadline: settings.answer_deadline,
            fragment_size: settings.fragment_size,
            crash_detection: settings.crash_detection,
            roaming: configuration.roaming.clone(),
            ..EndpointConfig::default()
        },
        crypto: assembly.crypto,
        random: random_source(),
        policy: Arc::new(Standard),
        plugins: chain(slots),
        listen: settings.listen.clone(),
        tun: settings.tun.clone(),
        dns: settings.dns,
        connections: connections.map(routing).collect(),
        pools: configuration.pools.iter().map(|pool| pool.routing).collect(),
        metered: configuration.metered.clone(),
        keylog: records.keylog.clone().map(|keys| keys as Arc<dyn KeyLog>),
        decisions: records.decisions.clone().map(|file| file as Arc<dyn DecisionLog>),
        state: None,
    }
}

/// Returns the plugins as the host asks them.
pub(crate) fn chain(slots: &[Arc<PluginSlot>]) -> Option<Chain> {
    let policies: Vec<Arc<dyn Policy>> =
        slots.iter().map(|slot| Arc::clone(slot) as Arc<dyn Policy>).collect();
    (!policies.is_empty()).then(|| Chain::new(policies).with_clock(since_start))
}

/// Returns what the endpoint is told of a connection.
fn peer(connection: &Connection, gateways: &Gateways, listen: &[IpAddr]) -> PeerConfig {
    let gateways = gateways.of(connection, listen);
    // No gateway at all stands for any peer: one that is not resolved yet must not open the door to all.
    let respond = connection.peer.respond && (connection.any || !gateways.is_empty());
    PeerConfig { gateways, respond, ..connection.peer.clone() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_randomness_repeats_nothing() {
        let mut source = random_source()();
        let (mut first, mut second) = ([0; 32], [0; 32]);
        source.fill(&mut first).unwrap();
        source.fill(&mut second).unwrap();
        assert!(first != second && first != [0; 32]);
    }
}
