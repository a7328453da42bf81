//! What the kernel does with packets of others and with IPv6: read, told, never changed.

use std::fs;

use crate::machine::MachineSettings;
use crate::routes::Family;

/// Warns where packets between the tunnels and the networks behind this host are not forwarded.
pub(crate) fn warn(settings: &MachineSettings) {
    for family in Family::ALL {
        let (setting, file) = match family {
            Family::V4 => ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
            Family::V6 => ("net.ipv6.conf.all.forwarding", "/proc/sys/net/ipv6/conf/all/forwarding"),
        };
        if needs(settings, family) && fs::read_to_string(file).is_ok_and(|text| text.trim() == "0") {
            tracing::warn!(
                "{setting} is 0: what comes out of the tunnel reaches this host only; set it to 1"
            );
        }
    }
}

/// Pools and networks behind this host are for others than this host; a single address may be its own.
fn needs(settings: &MachineSettings, family: Family) -> bool {
    let pool = settings.pools.iter().any(|pool| Family::of(pool.base) == family);
    let network = |(base, length): &(std::net::IpAddr, u8)| {
        Family::of(*base) == family && *length > 0 && *length < family.bits()
    };
    pool || settings.connections.iter().flat_map(|connection| &connection.local).any(network)
}

/// Tells whether IPv6 works on an interface.
pub(crate) fn has_ipv6(interface: &str) -> bool {
    fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"))
        .is_ok_and(|text| text.trim() == "0")
}
