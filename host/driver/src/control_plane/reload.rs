//! Another configuration for a host that runs: the machine's part first, so that nothing leaks that is
//! protected from now on; then the plugins, the algorithms and the endpoint.

use tokio::sync::oneshot;
use vpnhost_ike::EndpointConfig;
use vpnhost_ike::input::Command;
use vpnhost_model::Now;

use super::{ControlPlane, start};
use crate::chronicle::Note;
use crate::config::HostConfig;
use crate::error::DriverError;

/// A reload that waits for the machine's part.
pub(super) struct Reload {
    config: Box<HostConfig>,
    reply: oneshot::Sender<Result<Vec<&'static str>, DriverError>>,
}

impl ControlPlane {
    /// Has the machine's part take the new settings.
    pub(super) fn begin_reload(
        &mut self,
        now: Now,
        config: Box<HostConfig>,
        reply: oneshot::Sender<Result<Vec<&'static str>, DriverError>>,
    ) {
        let mut settings = start::machine_settings(&config, self.data_plane.tun(), self.ports);
        settings.mtu = self.config.tun.mtu;
        match self.changes.reload(now.instant, settings) {
            Ok(()) => self.reloads.push_back(Reload { config, reply }),
            // Who does not wait for the reply any more needs none.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Takes the rest, once the machine's part has been changed.
    pub(super) fn finish_reload(&mut self, now: Now, result: Result<(), DriverError>) {
        let Some(Reload { config, reply }) = self.reloads.pop_front() else { return };
        if result.is_err() {
            let old = start::machine_settings(&self.config, self.data_plane.tun(), self.ports);
            if let Err(error) = self.changes.put_back(now.instant, old) {
                self.note_host_failure(now, None, "could not be put back", &error);
            }
        }
        let taken = result.and_then(|()| self.take_configuration(now, *config));
        if let Err(error) = &taken {
            let text = format!("the configuration was not taken: {error}");
            self.chronicle.note(now, Note { kind: "host_failed", text, ..Note::default() });
        }
        drop(reply.send(taken));
    }

    fn take_configuration(&mut self, now: Now, config: HostConfig) -> Result<Vec<&'static str>, DriverError> {
        let fixed = fixed_at_start(&self.config, &config);
        self.resolver.load(config.plugins.as_ref())?;
        self.endpoint.delegate(self.resolver.questions());
        if !std::ptr::addr_eq(self.crypto, config.crypto) {
            self.use_crypto(now, config.crypto);
            self.endpoint.handle_command(now, Command::UseCrypto(config.crypto));
        }
        // What only a restart changes remains as it was, also for the next comparison.
        let HostConfig { listen, tun, dns, endpoint: EndpointConfig { ports, .. }, .. } = &self.config;
        let endpoint = EndpointConfig { ports: *ports, ..config.endpoint };
        self.config = HostConfig { listen: listen.clone(), tun: tun.clone(), dns: *dns, endpoint, ..config };
        self.mark_metered();
        self.endpoint.handle_links(now, &self.addresses);
        let text = "the configuration was taken; what it does not change goes on".to_owned();
        self.chronicle.note(now, Note { kind: "reloaded", text, ..Note::default() });
        let endpoint = self.endpoint_config();
        self.endpoint.handle_command(now, Command::Configure(endpoint));
        Ok(fixed)
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
