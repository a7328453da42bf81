//! What a daemon knows beside its host: what it was started with, what its configuration says, and where its
//! peers are; and how it takes another configuration while it runs.

mod plugins;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use vpnhost_driver::{HostConfig, HostHandle, Phase};
use vpnhost_ike::Command;
use vpnhost_plugin_host::{PluginEngine, PluginSlot};

use crate::backends::Assembly;
use crate::certs;
use crate::check::{self, Prepared};
use crate::cli::Run;
use crate::config::{Configuration, Connection, HostSettings};
use crate::control::document::{Backend, Backends, Certs};
use crate::control::server::{self, Facts, Known, Later};
use crate::exit::Failure;
use crate::gateways::{self, Asked, Gateways};
use crate::lists::Lists;
use crate::notify::Notify;
use crate::wiring::{self, Records};

pub(crate) use plugins::PluginOrder;

/// What a host starts with.
pub(crate) struct Start {
    /// For the host itself.
    pub(crate) config: HostConfig,
    /// Where verbs find the daemon.
    pub(crate) control: PathBuf,
    /// What it does, in a few words.
    pub(crate) summary: String,
}

/// One for the process.
pub(crate) struct Daemon {
    options: Run,
    /// Of the command line.
    control: Option<PathBuf>,
    host: OnceLock<HostHandle>,
    notify: Notify,
    facts: Mutex<Facts>,
    /// What verbs are told of certificates: what is in force, and the lists that were fetched last.
    known: Mutex<Option<(Arc<Prepared>, Lists)>>,
    /// Compiles and runs plugins, and holds what outlives them; made with the first of them.
    plugins: Arc<OnceLock<Arc<PluginEngine>>>,
    /// The plugins that are asked, in order; they change without another configuration, too.
    slots: Mutex<Vec<Arc<PluginSlot>>>,
    /// What is in force; whoever changes it holds it meanwhile, so that there is one change at a time.
    current: tokio::sync::Mutex<Current>,
    /// Held while revocation lists are fetched.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    /// Where verbs find the daemon, from its start to its end.
    control: PathBuf,
    /// Where what survives a restart is kept, from its start to its end.
    state: PathBuf,
    prepared: Option<Arc<Prepared>>,
    records: Records,
    gateways: Gateways,
    lists: Lists,
}

impl Daemon {
    /// Makes a daemon that has read nothing yet.
    pub(crate) fn new(options: Run, control: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            options,
            control,
            host: OnceLock::new(),
            notify: Notify::from_environment(),
            facts: Mutex::default(),
            known: Mutex::default(),
            plugins: Arc::default(),
            slots: Mutex::default(),
            current: tokio::sync::Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// Returns the way to the service manager.
    pub(crate) fn notify(&self) -> &Notify {
        &self.notify
    }

    /// Waits until what plugins stored is on the disk.
    pub(crate) fn flush_stores(&self) {
        if let Some(engine) = self.plugins.get() {
            engine.flush();
        }
    }

    /// Names the host that takes configurations from now on.
    pub(crate) fn attend(&self, host: HostHandle) {
        // There is one host for the process: a second call would change nothing.
        let _ = self.host.set(host);
    }

    /// Reads the configuration for the start.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) async fn prepare(&self) -> Result<Start, Failure> {
        let mut current = self.current.lock().await;
        let prepared = self.read().await?;
        let Configuration { host, .. } = &prepared.configuration;
        let control = self.control.clone().unwrap_or_else(|| host.control.clone());
        current.look_up_all(&prepared.configuration).await;
        current.lists.fetch(&prepared.configuration, prepared.assembly.crypto).await;
        current.lists.is_news = false;
        current.records = Records::open(&prepared.configuration, &Records::default())?;
        let state = wiring::state(&host.state)?;
        self.keep_slots(prepared.slots());
        let config = wiring::host(&prepared, &self.slots(), current.places(), &current.records);
        let config = HostConfig { state, ..config };
        let summary = summary(&prepared);
        current.control.clone_from(&control);
        current.state.clone_from(&host.state);
        current.prepared = Some(Arc::new(prepared));
        self.tell(&current);
        Ok(Start { config, control, summary })
    }

    /// Looks up the names that lead nowhere; where one leads somewhere now, the host is told.
    pub(crate) async fn look_up_again(&self) {
        self.fetch_lists().await;
        let Some(up) = self.connections_up().await else { return };
        self.look_up(|name| !up.contains(name), Asked::System, Gateways::has_failed).await;
    }

    /// This machine is in another network: names whose time is over may lead elsewhere.
    pub(crate) async fn look_up_after_move(&self) {
        self.fetch_lists().await;
        let Some(up) = self.connections_up().await else { return };
        self.look_up(|name| !up.contains(name), Asked::System, Gateways::is_due).await;
        self.look_up(|name| up.contains(name), Asked::Outside, Gateways::is_due).await;
    }

    /// This machine slept, and what is measured without that time is of no use: every name may lead elsewhere.
    pub(crate) async fn forget_lifetimes(&self) {
        self.current.lock().await.gateways.forget_lifetimes();
    }

    /// A connection is begun, perhaps beside what is up, because its peer may be gone: it may be somewhere else.
    pub(crate) async fn look_up_for(&self, connection: &str) {
        let Some(up) = self.connections_up().await else { return };
        let asked = if up.contains(connection) { Asked::Outside } else { Asked::System };
        self.look_up(|name| name == connection, asked, Gateways::is_due).await;
    }

    /// Returns the connections that have an SA.
    async fn connections_up(&self) -> Option<BTreeSet<String>> {
        let snapshot = self.host.get()?.snapshot().await.ok()?;
        let up = snapshot.connections.into_iter().filter(|it| it.phase == Phase::Up);
        Some(up.map(|it| it.name).collect())
    }

    /// Fetches the revocation lists that are due. Nobody waits for it, and it is done once at a time.
    async fn fetch_lists(&self) {
        let Ok(_fetching) = self.fetching.try_lock() else { return };
        let (prepared, mut lists) = {
            let current = self.current.lock().await;
            let Some(prepared) = current.prepared.clone() else { return };
            (prepared, current.lists.clone())
        };
        lists.fetch(&prepared.configuration, prepared.assembly.crypto).await;
        let mut current = self.current.lock().await;
        // Another configuration that came meanwhile has lists of its own.
        if current.prepared.as_ref().is_some_and(|it| Arc::ptr_eq(it, &prepared)) {
            current.lists = lists;
            self.keep(&current);
        }
    }

    /// Looks up the names of connections that are wanted and of which a condition holds.
    async fn look_up(
        &self,
        wanted: impl Fn(&str) -> bool,
        asked: Asked,
        holds: impl Fn(&Gateways, &str) -> bool,
    ) {
        let mut current = self.current.lock().await;
        let (Some(host), Some(prepared)) = (self.host.get(), current.prepared.clone()) else { return };
        let before = current.gateways.clone();
        let mut hosts = gateways::names(&prepared.configuration, wanted);
        hosts.retain(|host| holds(&before, host));
        current.look_up(&prepared.configuration, hosts, asked).await;
        if current.gateways != before {
            self.tell(&current);
        }
        // Another reason why a name leads nowhere is news, but not to the host.
        if current.gateways.leads_where(&before) && !current.lists.is_news {
            return;
        }
        for (name, gateways) in moved(&prepared.configuration, &before, &current.gateways) {
            // What is up stays so; a host that has stopped says so below.
            drop(host.command(Command::LearnGateways(name, gateways)).await);
        }
        let config = wiring::host(&prepared, &self.slots(), current.places(), &current.records);
        match host.reload(config).await {
            Ok(_) => current.lists.is_news = false,
            Err(error) => {
                // The next look sees the news again.
                current.gateways = before;
                tracing::warn!(%error, "peers' new addresses and revocation lists could not be taken");
            }
        }
    }

    /// Reads the configuration and all that it names, on a thread that may wait for files and compilers.
    async fn read(&self) -> Result<Prepared, Failure> {
        let Run { config, choice, .. } = self.options.clone();
        let known = Arc::clone(&self.plugins);
        let engine = move |host: &HostSettings| match known.get() {
            Some(engine) => Ok(Arc::clone(engine)),
            // One configuration is read at a time: nobody else makes one meanwhile.
            None => PluginEngine::keeping(&host.state).map(|engine| Arc::clone(known.get_or_init(|| engine))),
        };
        let running = self.slots();
        let reading = tokio::task::spawn_blocking(move || check::prepare(&config, &choice, &running, engine));
        match reading.await {
            Ok(prepared) => prepared.map_err(Failure::from),
            Err(error) => {
                Err(Failure::failed("the configuration could not be read").because(error.to_string()))
            }
        }
    }

    async fn take(&self) -> Result<String, Failure> {
        let Some(host) = self.host.get() else { return Err(Failure::failed("the host has not started")) };
        let mut current = self.current.lock().await;
        let mut prepared = self.read().await?;
        let records = Records::open(&prepared.configuration, &current.records)?;
        let before = (current.gateways.clone(), current.lists.clone());
        current.look_up_all(&prepared.configuration).await;
        current.lists.fetch(&prepared.configuration, prepared.assembly.crypto).await;
        let config = wiring::host(&prepared, &prepared.slots(), current.places(), &records);
        let taken = host.reload(config).await;
        match &taken {
            Ok(_) => current.lists.is_news = false,
            Err(_) => (current.gateways, current.lists) = before,
        }
        let mut kept = taken?;
        if self.control.is_none() && prepared.configuration.host.control != current.control {
            kept.push("host.control");
        }
        if prepared.configuration.host.state != current.state {
            kept.push("host.state");
        }
        let summary = summary(&prepared) + &self.take_slots(&mut prepared).await;
        current.records = records;
        current.prepared = Some(Arc::new(prepared));
        self.tell(&current);
        self.notify.ready(&summary);
        Ok(match kept[..] {
            [] => format!("the configuration was read again: {summary}"),
            _ => {
                format!("the configuration was read again: {summary}; a restart changes {}", kept.join(", "))
            }
        })
    }

    /// Keeps for verbs what certificates there are.
    fn keep(&self, current: &Current) {
        let known = current.prepared.clone().map(|prepared| (prepared, current.lists.clone()));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Logs what the operator should know, and keeps it for verbs.
    fn tell(&self, current: &Current) {
        self.keep(current);
        let Some(prepared) = &current.prepared else { return };
        let Prepared { configuration, assembly, .. } = &**prepared;
        let warnings: Vec<String> = configuration.warnings.iter().map(ToString::to_string).collect();
        let connections = configuration
            .connections
            .iter()
            .map(|it| known(it, &current.gateways, &configuration.host.listen));
        let facts = Facts { connections: connections.collect(), backends: backends(assembly), warnings };
        let mut old = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in facts.warnings.iter().filter(|it| !old.warnings.contains(it)) {
            tracing::warn!("{warning}");
        }
        for known in &facts.connections {
            let was = old.connections.iter().find(|it| it.name == known.name);
            let news =
                known.unresolved.iter().filter(|it| was.is_none_or(|was| !was.unresolved.contains(it)));
            for failure in news {
                tracing::warn!(connection = known.name, "{failure}");
            }
        }
        *old = facts;
    }
}

impl server::Daemon for Daemon {
    fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn certs(&self) -> Certs {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.map_or_else(Certs::default, |(prepared, lists)| {
            certs::of(&prepared.configuration.connections, &lists, prepared.assembly.crypto)
        })
    }

    fn reload(self: Arc<Self>) -> Later<Result<String, Failure>> {
        Box::pin(async move {
            self.notify.reloading();
            let taken = self.take().await;
            match &taken {
                Ok(text) => tracing::info!("{text}"),
                Err(failure) => {
                    let why = failure.reasons().join("; ");
                    tracing::error!("the configuration was not read again, the old one stays: {why}");
                    self.notify.ready("the old configuration is in force: the new one would not run");
                }
            }
            taken
        })
    }

    fn plugins(&self) -> Vec<Arc<PluginSlot>> {
        self.slots()
    }

    fn change_plugins(self: Arc<Self>, order: PluginOrder) -> Later<Result<String, Failure>> {
        Box::pin(async move {
            let changed = Daemon::change_plugins(&self, order).await;
            match &changed {
                Ok(text) => tracing::info!("{text}"),
                Err(failure) => {
                    tracing::error!("the plugins stay as they are: {}", failure.reasons().join("; "))
                }
            }
            changed
        })
    }

    fn resolve(self: Arc<Self>, connection: String) -> Later<()> {
        Box::pin(async move { self.look_up(|name| name == connection, Asked::System, |_, _| true).await })
    }
}

impl Current {
    /// Returns what the network was asked for.
    fn places(&self) -> (&Gateways, &Lists) {
        (&self.gateways, &self.lists)
    }

    /// Looks up all names.
    async fn look_up_all(&mut self, configuration: &Configuration) {
        let all = gateways::names(configuration, |_| true);
        self.look_up(configuration, all, Asked::System).await;
    }

    async fn look_up(&mut self, configuration: &Configuration, hosts: BTreeSet<String>, asked: Asked) {
        let all = gateways::names(configuration, |_| true);
        self.gateways.look_up(&all, hosts, asked).await;
    }
}

/// Returns the connections whose names lead elsewhere than before, and where.
fn moved(
    configuration: &Configuration,
    before: &Gateways,
    now: &Gateways,
) -> Vec<(String, Vec<vpnhost_ike::config::Gateway>)> {
    let listen = &configuration.host.listen;
    let of = |gateways: &Gateways, connection: &Connection| gateways.of(connection, listen);
    let changed = configuration.connections.iter().filter(|it| of(before, it) != of(now, it));
    changed.map(|it| (it.peer.name.clone(), of(now, it))).collect()
}

/// Says what a daemon does, in a few words.
fn summary(prepared: &Prepared) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let Prepared { configuration, assembly, plugins } = prepared;
    let mut text = count(configuration.connections.len(), "connection");
    if !plugins.is_empty() {
        text = format!("{text}, {}", count(plugins.len(), "plugin"));
    }
    format!("{text}, {}", assembly.crypto.name())
}

fn known(connection: &Connection, gateways: &Gateways, listen: &[IpAddr]) -> Known {
    let Connection { peer, gateways: names, any, .. } = connection;
    let role = match (peer.initiate, peer.respond) {
        (true, true) => "either",
        (true, false) => "initiator",
        (false, _) => "responder",
    };
    let name = |it: &crate::config::GatewayName| match it.port {
        500 => it.host.clone(),
        port => format!("{}:{port}", it.host),
    };
    Known {
        name: peer.name.clone(),
        role,
        gateways: if *any { vec!["%any".to_owned()] } else { names.iter().map(name).collect() },
        children: peer.children.iter().map(|child| child.name.clone()).collect(),
        unresolved: gateways.failures(connection),
        is_reachable: !peer.initiate || !gateways.of(connection, listen).is_empty(),
    }
}

fn backends(assembly: &Assembly) -> Backends {
    let backend = |report: &Arc<vpnhost_known_answers::Report>| Backend {
        name: report.backend.clone(),
        version: report.version.clone(),
        admitted: report.passed(),
        refused: report.refused().map(ToString::to_string).collect(),
    };
    Backends { backends: assembly.reports.iter().map(backend).collect() }
}
