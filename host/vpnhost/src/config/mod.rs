//! The configuration: a TOML file, read whole and checked whole.
//!
//! [`load`] tells everything that is wrong with a file, not only the first thing. What it returns
//! can run, as far as that can be known without plugins and crypto backends; [`crate::check`] tells
//! the rest.

mod certificate;
mod child;
mod connection;
mod document;
mod eap;
mod gateway;
mod host;
mod item;
mod lifetime;
mod odd;
mod peer;
mod plugin;
mod pool;
mod problem;
mod proposal;
mod secret;
mod selector;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vpnhost_driver::{ConnectionRouting, DnsMode, PoolRouting, TunSettings};
use vpnhost_ike::config::{OwnCertificate, PeerConfig, PoolConfig};
use vpnhost_pki::{Certificate, Crl};
use vpnhost_plugin_host::{Grant, PluginKey, Settings, StoreKind, TableSpec};
use vpnhost_policy::{OnFailure, QuestionSet};

use document::{Section, Source};
use secret::Directories;

use crate::{exit, limits};

pub(crate) use problem::{Place, Problem, Problems};
pub(crate) use value::written;

/// Everything that a file says, with defaults for what it does not say.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    /// `[host]`.
    pub(crate) host: HostSettings,
    /// `[crypto] backends`, the top first.
    pub(crate) backends: Vec<String>,
    /// `[floor] allow_legacy`.
    pub(crate) allow_legacy: bool,
    /// Every `[[plugin]]`, in the order in which they are asked.
    pub(crate) plugins: Vec<PluginSettings>,
    /// Every `[[connection]]`, in the order of the file.
    pub(crate) connections: Vec<Connection>,
    /// Every `[[pool]]`.
    pub(crate) pools: Vec<Pool>,
    /// Interfaces that cost money: what any connection says.
    pub(crate) metered: BTreeSet<String>,
    /// Interfaces that are in another operator's network: what any connection says.
    pub(crate) roaming: BTreeSet<String>,
    /// What is weak, odd, or without effect.
    pub(crate) warnings: Vec<Problem>,
}

/// `[host]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostSettings {
    /// Addresses for the UDP sockets.
    pub(crate) listen: Vec<IpAddr>,
    /// The port for IKE and the one for NAT traversal.
    pub(crate) ports: [u16; 2],
    /// The control socket.
    pub(crate) control: PathBuf,
    /// The inside interface.
    pub(crate) tun: TunSettings,
    /// Where the tunnel's DNS servers go.
    pub(crate) dns: DnsMode,
    /// How long a whole chain of plugins may take.
    pub(crate) answer_deadline: Duration,
    /// The largest datagram of IKE; a longer message is sent in fragments.
    pub(crate) fragment_size: u16,
    /// Whether a lost state is proved, and believed (RFC 6290).
    pub(crate) crash_detection: bool,
    /// The directory that keys are written to for Wireshark.
    pub(crate) keylog: Option<PathBuf>,
    /// The file that decisions are written to.
    pub(crate) decisions: Option<DecisionSettings>,
    /// The directory for what survives a restart.
    pub(crate) state: PathBuf,
    /// Who must have signed every plugin; nobody where there are none.
    pub(crate) plugin_keys: Vec<PluginKey>,
}

/// `[host] decisions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DecisionSettings {
    /// The file; older ones lie beside it, the youngest as `FILE.1`.
    pub(crate) file: PathBuf,
    /// Octets of a file, before it is moved aside.
    pub(crate) size: u64,
    /// Files in all.
    pub(crate) files: usize,
}

impl DecisionSettings {
    /// Returns the defaults for a file.
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, size: limits::DECISIONS_OCTETS, files: limits::DECISIONS_FILES }
    }
}

/// One plugin of the chain.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PluginSettings {
    /// The name to go by; the plugin's own where none is given.
    pub(crate) name: Option<String>,
    /// The component's file.
    pub(crate) path: PathBuf,
    /// The questions of its roles; all that it answers where none are given.
    pub(crate) questions: Option<QuestionSet>,
    /// For one call.
    pub(crate) deadline: Duration,
    /// The most octets of memory.
    pub(crate) memory: usize,
    /// What counts when it fails to answer `authorize_peer`.
    pub(crate) on_failure: OnFailure,
    /// What it is configured with.
    pub(crate) settings: Settings,
    /// What it may have of the host, beside the log.
    pub(crate) grants: Vec<Grant>,
    /// How long its store is kept.
    pub(crate) store: StoreKind,
    /// The tables that it may look into.
    pub(crate) tables: Vec<TableSpec>,
    /// Its file is looked at, and taken when it changes.
    pub(crate) watch: bool,
    /// Where it stands in a file; `None` for one of the command line.
    pub(crate) place: Option<Place>,
}

impl PluginSettings {
    /// Returns the defaults for a file.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        let limits = vpnhost_plugin_host::Limits::default();
        Self {
            name: None,
            path: path.into(),
            questions: None,
            deadline: limits.call,
            memory: limits.memory,
            on_failure: OnFailure::default(),
            settings: Settings::new(),
            grants: Vec::new(),
            store: StoreKind::default(),
            tables: Vec::new(),
            watch: false,
            place: None,
        }
    }
}

/// One `[[connection]]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Connection {
    /// What the endpoint is told; its gateways are empty until names are resolved.
    pub(crate) peer: PeerConfig,
    /// The peer's addresses or names, in order.
    pub(crate) gateways: Vec<GatewayName>,
    /// Whether the peer may come from anywhere.
    pub(crate) any: bool,
    /// What the machine's routing does.
    pub(crate) routing: ConnectionRouting,
    /// This host's own certificates, each with those above it.
    pub(crate) own: Vec<Arc<OwnCertificate>>,
    /// Revocation lists out of files, whose names are as they are written.
    pub(crate) crls: Vec<(String, Crl)>,
    /// Where further ones are fetched.
    pub(crate) crl_urls: Vec<String>,
    /// CAs, and peers' own certificates, that are trusted.
    pub(crate) trusted: Vec<Certificate>,
    /// Whether peers' certificates may be of legacy algorithms.
    pub(crate) takes_legacy: bool,
    /// Where its proposals stand, for what only the backends can tell.
    pub(crate) proposals: Vec<Proposals>,
}

impl Connection {
    /// Returns who may have signed revocation lists: whom this host trusts, and who stands above its own certificates.
    pub(crate) fn authorities(&self) -> impl Iterator<Item = &Certificate> {
        let above = self.own.iter().flat_map(|own| own.credential().certificates().iter().skip(1));
        self.trusted.iter().chain(above)
    }
}

/// A peer's address as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayName {
    /// An address or a name.
    pub(crate) host: String,
    /// The UDP port; one other than 500 is spoken to with the non-ESP marker.
    pub(crate) port: u16,
}

/// One text of a list of proposals, and the suites that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposals {
    /// Where it stands.
    pub(crate) place: Place,
    /// The text.
    pub(crate) text: String,
    /// What it means.
    pub(crate) suites: Vec<vpnhost_model::Suite>,
}

/// One `[[pool]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// What the endpoint is told.
    pub(crate) config: PoolConfig,
    /// What the machine's routing does.
    pub(crate) routing: PoolRouting,
}

/// Reads a size as configurations write it: `16MiB`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    value::size(text).map_err(|wrong| wrong.what)
}

/// Reads a configuration and every file of secrets that it names.
///
/// # Errors
/// Everything that is wrong with it; warnings stand among the errors.
pub(crate) fn load(file: &Path) -> Result<Configuration, Problems> {
    let text = read_text(file).map_err(|what| {
        let place = Place { file: file.to_owned(), line: 0, key: String::new() };
        let hint = "vpnhost man ends with such files, each key explained";
        Problems(vec![Problem::error(place, what).hint(hint)])
    })?;
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let base = file.parent().map(Path::to_owned).unwrap_or_default();
    read(file, &text, &Directories { base, credentials })
}

/// Reads a configuration's text.
fn read(file: &Path, text: &str, directories: &Directories) -> Result<Configuration, Problems> {
    let source = Source::new(file, text);
    let table = source.parse();
    let configuration = table.as_ref().map(|table| {
        let whole = Section::whole(&source, table);
        let configuration = document(&whole, directories);
        whole.finish();
        configuration
    });
    let problems = source.into_problems();
    match configuration {
        Some(configuration) if !problems.iter().any(Problem::is_error) => {
            Ok(Configuration { warnings: problems, ..configuration })
        }
        Some(_) | None => Err(Problems(problems)),
    }
}

fn document(whole: &Section<'_>, directories: &Directories) -> Configuration {
    let host = host::read(&whole.section("host"), directories);
    let backends = host::backends(&whole.section("crypto"));
    let allow_legacy = host::floor(&whole.section("floor"), directories);
    let plugins = plugin::read(whole, &host, directories);
    let pools = pool::read(whole);
    let context = connection::Context { directories, pools: &pools, allow_legacy };
    let (connections, [metered, roaming]) = connection::read(whole, &context);
    let warnings = Vec::new();
    Configuration { host, backends, allow_legacy, plugins, connections, pools, metered, roaming, warnings }
}

/// Reads a text file within the bound of configurations; the error is what is wrong with it.
fn read_text(file: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {}", exit::plain(&error));
    let opened = File::open(file).map_err(failed)?;
    if opened.metadata().map_err(failed)?.is_dir() {
        return Err("cannot be read: it is a directory".to_owned());
    }
    let mut octets = Vec::new();
    opened.take(limits::CONFIG_OCTETS + 1).read_to_end(&mut octets).map_err(failed)?;
    if u64::try_from(octets.len()).is_ok_and(|length| length > limits::CONFIG_OCTETS) {
        return Err(format!("is larger than {} MiB", limits::CONFIG_OCTETS >> 20));
    }
    String::from_utf8(octets).map_err(|_| "is no UTF-8 text".to_owned())
}
