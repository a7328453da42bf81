//! The end of SAs that cannot be rekeyed: no key is used for ever.

use vpnhost_ike::{CloseReason, Command, Event};
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, child, endpoint, initiator, responder};
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{A, B, Simulation};
use vpnhost_model::{EspSuite, IkeSuite, Sequence};

use crate::world::{children, secs};

#[test]
fn a_child_sa_whose_rekey_is_refused_ends_and_is_made_anew() {
    let mut a = initiator(vec![child("one", "aes128gcm16-x25519", "10.1.0.0/24", "10.2.0.0/24")]);
    a.children[0].lifetime.rekey_after = Some(secs(100));
    let mut b = responder(&a);
    // The first Child SA has no key exchange of its own; one for a rekey is not agreed on.
    b.children[0].esp = EspSuite::parse_all("aes128gcm16-modp2048", &[Sequence::EXTENDED]).unwrap();
    b.children[0].lifetime.rekey_after = None;
    let mut simulation = Simulation::pair(endpoint(a), endpoint(b), 1);
    simulation.run_for(secs(150));
    let old = simulation.ike_sa(A).children[0].id;
    let expired = |event: &Event| matches!(event, Event::ChildSaClosed { child_sa, reason: CloseReason::Expired, .. } if *child_sa == old);
    assert!(!simulation.saw(A, expired), "it has a while left beyond its age");
    simulation.run_for(secs(15));
    assert!(simulation.saw(A, expired), "{:?}", simulation.hosts[A].events);
    simulation.run_for(secs(30));
    simulation.assert_agreed(A, B);
    simulation.assert_passes(A, B);
}

#[test]
fn a_cipher_of_short_blocks_is_rekeyed_early_whatever_else_is_configured() {
    for (esp, configured, expected) in [
        ("3des-sha256", None, Some(256 << 20)),
        ("3des-sha256", Some(1 << 20), Some(1 << 20)),
        ("aes128-sha256", None, None),
    ] {
        let mut a = initiator(vec![child("one", esp, "10.1.0.0/24", "10.2.0.0/24")]);
        a.children[0].lifetime.rekey_bytes = configured;
        let b = responder(&a);
        let mut simulation = Simulation::pair(endpoint(a), endpoint(b), 3);
        simulation.run_for(secs(2));
        simulation.assert_agreed(A, B);
        let installed = simulation.hosts[A].installed.values().map(|keys| keys.lifetime.rekey_bytes);
        assert_eq!(installed.collect::<Vec<_>>(), [expected], "{esp}");
    }
}

#[test]
fn an_ike_sa_whose_rekey_is_refused_ends() {
    let mut a = initiator(children());
    a.ike = IkeSuite::parse_all("3des-sha256-modp1024").unwrap();
    a.timing.rekey_ike = secs(100);
    let mut b = responder(&a);
    b.timing.rekey_ike = secs(0);
    let b = endpoint(b);
    let [at_a, at_b] = [settings(A_ADDRESS, endpoint(a), 2), settings(B_ADDRESS, b.clone(), 3)];
    let mut simulation = Simulation::pair_of([at_a, at_b], 2);
    simulation.run_for(secs(2));
    simulation.assert_agreed(A, B);
    // Its operator allows such a suite no longer.
    let stricter = vpnhost_ike::EndpointConfig { allow_legacy: false, ..b };
    simulation.command(B, Command::Configure(Box::new(stricter)));
    simulation.run_for(secs(150));
    assert_eq!(simulation.established(A).len(), 1, "it has a while left beyond its age");
    simulation.run_for(secs(15));
    let expired = |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::Expired, .. });
    assert!(simulation.saw(A, expired), "{:?}", simulation.hosts[A].events);
    assert!(simulation.established(B).is_empty());
}
