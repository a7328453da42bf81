//! Two hosts become connected, and packets pass.

use vpnhost_ike::EncapsulationPolicy;
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, child, endpoint, initiator, responder};
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{A, B, HostSettings, Simulation};
use vpnhost_model::{Encapsulation, IkeSuite};

use crate::world::{children, connected, pair, secs, shut_down};

#[test]
fn two_hosts_connect_pass_packets_and_part() {
    let mut simulation = connected(1);
    simulation.assert_passes(A, B);
    shut_down(&mut simulation);
}

#[test]
fn raw_esp_is_used_where_no_nat_is_and_nobody_wants_udp() {
    let mut a = initiator(children());
    a.encapsulation = EncapsulationPolicy::Auto;
    let mut simulation = pair(a, 1);
    simulation.run_for(secs(2));
    simulation.assert_agreed(A, B);
    assert_eq!(simulation.ike_sa(A).path.encapsulation, Encapsulation::Raw);
    simulation.assert_passes(A, B);
}

#[test]
fn every_suite_connects_with_real_algorithms_and_passes_packets() {
    for (ike, esp) in [
        ("aes128-sha256-modp1024", "aes128-sha256"),
        ("aes192-sha384-modp1536", "aes192-sha384"),
        ("3des-sha256-modp1024", "3des-sha256"),
        ("aes256-sha512-modp2048", "aes256-sha512-esn"),
        ("aes256gcm16-prfsha384-x25519", "aes192gcm16-esn"),
        ("aes128gcm16-prfsha256-x25519", "aes128gcm16-noesn"),
    ] {
        let mut a = initiator(vec![
            child("one", esp, "10.1.0.0/24", "10.2.0.0/24"),
            child("two", esp, "fd01::/64", "fd02::/64"),
        ]);
        a.ike = IkeSuite::parse_all(ike).unwrap();
        let mut simulation = real_pair(a, 3);
        simulation.run_for(secs(5));
        simulation.assert_agreed(A, B);
        assert_eq!(simulation.ike_sa(A).suite.unwrap().to_string(), ike);
        simulation.assert_passes(A, B);
        shut_down(&mut simulation);
    }
}

/// Two hosts whose algorithms are real.
pub(crate) fn real_pair(a: vpnhost_ike::PeerConfig, seed: u64) -> Simulation {
    let b = responder(&a);
    let real = |settings| HostSettings { crypto: vpnhost_rustcrypto::backend(), ..settings };
    let a = real(settings(A_ADDRESS, endpoint(a), 2 * seed));
    let b = real(settings(B_ADDRESS, endpoint(b), 2 * seed + 1));
    Simulation::pair_of([a, b], seed)
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| {
        let mut simulation = connected(seed);
        simulation.network.weather = vpnhost_kit::Weather::STORM;
        simulation.run_for(secs(120));
        simulation.network.capture.to_string()
    };
    assert_eq!(story(5), story(5));
    assert_ne!(story(5), story(6));
}
