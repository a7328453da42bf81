//! Another configuration for a host that runs: first what can fail, the plugins' threads and then the machine's part,
//! so that nothing leaks that is protected from now on; then the algorithms and the endpoint.

use tokio::sync::oneshot;
use vpnhost_ike::EndpointConfig;
use vpnhost_ike::input::Command;
use vpnhost_model::Now;
use vpnhost_policy::Chain;

use super::{ControlPlane, start};
use crate::chronicle::Note;
use crate::config::HostConfig;
use crate::error::DriverError;
use crate::machine::MachineSettings;
use crate::resolver::Plugins;

/// Who waits to hear which settings only a restart changes, or why nothing was changed.
type Reply = oneshot::Sender<Result<Vec<&'static str>, DriverError>>;

/// A reload that waits for the machine's part.
pub(super) struct Reload {
    config: Box<HostConfig>,
    plugins: Plugins,
    reply: Reply,
}

impl ControlPlane {
    /// Has the machine's part take the new settings.
    pub(super) fn begin_reload(&mut self, now: Now, config: Box<HostConfig>, reply: Reply) {
        let settings = start::machine_settings(&config, self.data_plane.tun(), self.ports);
        let settings = MachineSettings { idle_port: self.data_plane.idle_port(), ..settings };
        let begun = self.resolver.prepare(config.plugins.as_ref());
        match begun.and_then(|plugins| self.changes.reload(settings).map(|()| plugins)) {
            Ok(plugins) => self.reloads.push_back(Reload { config, plugins, reply }),
            Err(error) => self.refuse(now, error, reply),
        }
    }

    /// Takes the rest, once the machine's part has been changed.
    pub(super) fn finish_reload(&mut self, now: Now, result: Result<(), DriverError>) {
        let Some(Reload { config, plugins, reply }) = self.reloads.pop_front() else { return };
        match result {
            // Who does not wait for the reply any more needs none.
            Ok(()) => drop(reply.send(Ok(self.take_configuration(now, *config, plugins)))),
            Err(error) => self.refuse(now, error, reply),
        }
    }

    fn refuse(&mut self, now: Now, error: DriverError, reply: Reply) {
        let text = format!("the configuration was not taken: {error}");
        self.chronicle.note(now, Note { kind: "host_failed", text, ..Note::default() });
        drop(reply.send(Err(error)));
    }

    fn take_configuration(&mut self, now: Now, config: HostConfig, plugins: Plugins) -> Vec<&'static str> {
        let fixed = fixed_at_start(&self.config, &config);
        self.take_plugins(plugins, config.decisions.is_some());
        if !std::ptr::addr_eq(self.crypto, config.crypto) {
            self.use_crypto(now, config.crypto);
            self.endpoint.handle_command(now, Command::UseCrypto(config.crypto));
        }
        // What only a restart changes remains as it was, also for the next comparison.
        let HostConfig { listen, tun, dns, state, endpoint: EndpointConfig { ports, .. }, .. } = &self.config;
        let endpoint = EndpointConfig { ports: *ports, ..config.endpoint };
        let (listen, tun, dns, state) = (listen.clone(), tun.clone(), *dns, state.clone());
        self.config = HostConfig { listen, tun, dns, state, endpoint, ..config };
        self.mark_metered();
        self.learn_packet_costs();
        self.endpoint.handle_links(now, &self.addresses, &self.pairs);
        let text = "the configuration was taken; what it does not change goes on".to_owned();
        self.chronicle.note(now, Note { kind: "reloaded", text, ..Note::default() });
        self.expect();
        let endpoint = self.endpoint_config();
        self.endpoint.handle_command(now, Command::Configure(endpoint));
        // Its policies may be others, and so may what they are told.
        self.endpoint.review(now);
        fixed
    }

    /// Has other plugins asked from now on; nothing else changes.
    pub(super) fn use_plugins(&mut self, now: Now, plugins: Option<Chain>) -> Result<(), DriverError> {
        let prepared = self.resolver.prepare(plugins.as_ref())?;
        self.config.plugins = plugins;
        self.take_plugins(prepared, self.config.decisions.is_some());
        self.endpoint.review(now);
        Ok(())
    }

    fn take_plugins(&mut self, plugins: Plugins, are_written: bool) {
        self.resolver.take(plugins);
        self.chronicle.know_components(self.resolver.components());
        self.endpoint.delegate(self.resolver.delegated(are_written));
    }
}

/// Names the settings that differ and that only a restart changes.
fn fixed_at_start(old: &HostConfig, new: &HostConfig) -> Vec<&'static str> {
    let differences = [
        ("host.listen", old.listen != new.listen),
        ("host.ports", old.endpoint.ports != new.endpoint.ports),
        ("host.tun", old.tun != new.tun),
        ("host.dns", old.dns != new.dns),
    ];
    differences.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}
