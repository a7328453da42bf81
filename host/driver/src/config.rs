//! What a host is started with, and what a reload may change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{CryptoBackend, SecureRandom};
use vpnhost_ike::config::EndpointConfig;
use vpnhost_ike::output::{ChildSaKeys, IkeSaFacts};
use vpnhost_policy::{Chain, Decision, Policy, Question};

use crate::state_directory::StateDirectory;

/// Makes independent sources of randomness: one for the endpoint, one for each packet path.
pub type RandomSource = Arc<dyn Fn() -> Box<dyn SecureRandom> + Send + Sync>;

/// Everything that a host is started with.
pub struct HostConfig {
    /// Connections, pools, floor, ports: what the IKE endpoint knows.
    pub endpoint: EndpointConfig,
    /// Where algorithms come from.
    pub crypto: &'static dyn CryptoBackend,
    /// Where randomness comes from.
    pub random: RandomSource,
    /// The policy that decides whenever no plugin does.
    pub policy: Arc<dyn Policy>,
    /// The plugins, if there are any; they answer on a thread of their own.
    pub plugins: Option<Chain>,
    /// The addresses that the UDP sockets are bound to.
    pub listen: Vec<IpAddr>,
    /// The inside interface.
    pub tun: TunSettings,
    /// Where the tunnel's DNS servers go.
    pub dns: DnsMode,
    /// What the machine's routing does for each connection, by name; default for one without.
    pub connections: BTreeMap<String, ConnectionRouting>,
    /// Prefixes of pools, all routed to the TUN.
    pub pools: Vec<PoolRouting>,
    /// Interfaces that cost money.
    pub metered: BTreeSet<String>,
    /// Who is told keys; only for debugging.
    pub keylog: Option<Arc<dyn KeyLog>>,
    /// Who is told what plugins were asked and what they said, so that it can be replayed.
    pub decisions: Option<Arc<dyn DecisionLog>>,
    /// Where what survives a restart is kept; nothing does without it. Only a restart changes it.
    pub state: Option<Arc<StateDirectory>>,
}

/// The inside interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunSettings {
    /// Its name.
    pub name: String,
    /// Its MTU in octets.
    pub mtu: u16,
}

impl Default for TunSettings {
    fn default() -> Self {
        Self { name: "vpn0".to_owned(), mtu: 1400 }
    }
}

/// Where the tunnel's DNS servers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DnsMode {
    /// To systemd-resolved or resolvconf, whichever is there; nowhere in another network namespace
    /// than the machine's own.
    #[default]
    Auto,
    /// To systemd-resolved.
    Resolved,
    /// To the program `resolvconf`.
    Resolvconf,
    /// Nowhere.
    Off,
}

/// What the machine's routing does for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionRouting {
    /// What becomes of protected traffic while there is no tunnel.
    pub leak: Leak,
    /// Whether a full tunnel of one address family leaves the other one alone.
    pub allow_other_family: bool,
}

impl Default for ConnectionRouting {
    fn default() -> Self {
        Self { leak: Leak::Block, allow_other_family: false }
    }
}

/// What becomes of protected traffic while there is no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// It is dropped, also after a crash.
    Block,
    /// It goes out in clear.
    Allow,
}

/// The prefix of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolRouting {
    /// Its base address.
    pub base: IpAddr,
    /// Its length in bits.
    pub prefix_len: u8,
    /// Whether the network behind sees this host's address instead.
    pub masquerade: bool,
}

/// Takes keys for a key log that the operator asked for.
pub trait KeyLog: Send + Sync {
    /// Takes the keys of an IKE SA that came up or replaced another.
    fn ike_sa(&self, facts: &IkeSaFacts);
    /// Takes the keys of a pair of ESP SAs.
    fn child_sa(&self, keys: &ChildSaKeys);
}

/// Takes what plugins were asked and what they said. Called by the event loop: it must not block.
pub trait DecisionLog: Send + Sync {
    /// Takes a question and what the chain came to, at a time since 1970.
    fn decided(&self, unix: Duration, question: &Question, decision: &Decision);
}
