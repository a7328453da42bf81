//! The hosts of most stories.

use std::time::Duration;

use vpnhost_ike::{ChildConfig, Command, PeerConfig};
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, child, endpoint, initiator, responder};
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{A, B, Simulation};

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two children: one with a key exchange of its own, one of IPv6.
pub(crate) fn children() -> Vec<ChildConfig> {
    vec![
        child("one", "aes128gcm16-x25519", "10.1.0.0/24", "10.2.0.0/24"),
        child("two", "aes256gcm16", "fd01::/64", "fd02::/64"),
    ]
}

/// Two hosts, the first of which begins.
pub(crate) fn pair(a: PeerConfig, seed: u64) -> Simulation {
    let b = responder(&a);
    Simulation::pair(endpoint(a), endpoint(b), seed)
}

/// Two hosts that are connected by two children.
pub(crate) fn connected(seed: u64) -> Simulation {
    let mut simulation = pair(initiator(children()), seed);
    simulation.run_for(secs(2));
    simulation.assert_agreed(A, B);
    assert_eq!(simulation.ike_sa(A).children.len(), 2);
    simulation
}

/// Starts one of two hosts anew with what it had.
pub(crate) fn restart(simulation: &mut Simulation, host: usize, seed: u64) {
    let a = initiator(children());
    let (at, connection) = if host == A { (A_ADDRESS, a) } else { (B_ADDRESS, responder(&a)) };
    simulation.restart(host, settings(at, endpoint(connection), seed));
}

/// Ends both in order, and checks that nothing is left.
pub(crate) fn shut_down(simulation: &mut Simulation) {
    simulation.command(A, Command::Shutdown);
    simulation.run_for(secs(10));
    simulation.assert_empty(A);
    simulation.assert_empty(B);
}
