//! Rekeying, one side at a time.

use std::time::Duration;

use vpnhost_ike::{Command, Event, TrafficReport};
use vpnhost_model::EspSuite;

use crate::pump::*;

#[test]
fn a_child_is_rekeyed_by_either_side_make_before_break() {
    for side in [A, B] {
        let mut pump = connected();
        let (ours, theirs) = (pump.child_sa(side), pump.child_sa(1 - side));
        pump.command(side, Command::RekeyChildSa(ours));
        pump.settle();
        pump.assert_connected(1);
        assert_ne!(pump.child_sa(side), ours);
        assert!(pump.sides[side].installed.contains_key(&ours), "the old inbound half lives on");
        assert!(pump.sides[1 - side].installed.contains_key(&theirs));
        pump.run_for(Duration::from_secs(6));
        assert!(!pump.sides[side].installed.contains_key(&ours));
        assert!(!pump.sides[1 - side].installed.contains_key(&theirs));
        assert_eq!(pump.sides[A].installed.len(), 1);
    }
}

#[test]
fn the_responder_of_a_rekey_sends_on_the_new_one_when_it_has_seen_traffic_on_it() {
    let mut pump = connected();
    let old = pump.child_sa(B);
    let ours = pump.child_sa(A);
    // The Delete never arrives.
    let mut sent = 0;
    pump.filter = Box::new(move |side, _| {
        sent += usize::from(side == A);
        side == B || sent < 2
    });
    pump.command(A, Command::RekeyChildSa(ours));
    pump.run_for(Duration::from_millis(100));
    let new = *pump.sides[B].installed.keys().max().unwrap();
    assert_ne!(new, old);
    assert_eq!(pump.sides[B].sends_on, [old]);
    pump.traffic(B, TrafficReport::FirstInbound(new));
    assert_eq!(pump.sides[B].sends_on, [old, new]);
}

#[test]
fn a_rekey_with_its_own_key_exchange_and_a_wrong_guess() {
    let mut a =
        initiator(IKE, vec![child("net", "aes128-sha256-x25519-modp2048", "10.1.0.0/24", "10.2.0.0/24")]);
    let mut b = responder(&a);
    b.children[0].esp =
        EspSuite::parse_all("aes128-sha256-modp2048", &[vpnhost_model::Sequence::SHORT]).unwrap();
    a.children[0].lifetime.rekey_after = None;
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let child = pump.child_sa(A);
    pump.command(A, Command::RekeyChildSa(child));
    pump.settle();
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(A).children[0].suite.to_string(), "aes128-sha256-modp2048");
}

#[test]
fn time_and_soft_limits_rekey_a_child() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.children[0].lifetime.rekey_after = Some(Duration::from_secs(100));
    let mut pump = pair_of(a);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let first = pump.child_sa(A);
    pump.run_for(Duration::from_secs(120));
    pump.assert_connected(1);
    let second = pump.child_sa(A);
    assert_ne!(first, second);
    pump.traffic(A, TrafficReport::SoftLimit(second));
    pump.settle();
    pump.assert_connected(1);
    assert_ne!(second, pump.child_sa(A));
}

#[test]
fn the_ike_sa_is_rekeyed_by_either_side_and_keeps_its_children() {
    for side in [A, B] {
        let mut pump = connected();
        let (old, child) = (pump.ike_sa(side), pump.child_sa(side));
        pump.command(side, Command::RekeyIkeSa(old.id));
        pump.settle();
        pump.assert_connected(1);
        let new = pump.ike_sa(side);
        assert_ne!((old.spi_i, old.spi_r), (new.spi_i, new.spi_r));
        assert_eq!(pump.child_sa(side), child);
        assert_eq!(pump.sides[side].host.keys().copied().collect::<Vec<_>>(), [new.id]);
        assert!(pump.saw(1 - side, |event| matches!(event, Event::IkeSaRekeyed { .. })));
        // What was inherited can be rekeyed and deleted on the new one.
        pump.command(1 - side, Command::RekeyChildSa(pump.child_sa(1 - side)));
        pump.settle();
        pump.assert_connected(1);
        pump.command(side, Command::TerminateIkeSa(new.id));
        pump.run_for(Duration::from_secs(40));
        pump.assert_empty(A);
        pump.assert_empty(B);
    }
}

#[test]
fn the_ike_sa_is_rekeyed_by_time_again_and_again() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.timing.rekey_ike = Duration::from_secs(600);
    let mut pump = pair_of(a);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(6000));
    pump.run_for(Duration::from_secs(60));
    pump.assert_connected(1);
    let rekeys =
        pump.sides[A].events.iter().filter(|event| matches!(event, Event::IkeSaRekeyed { .. })).count();
    assert!(rekeys >= 9, "{rekeys}");
}

#[test]
fn a_virtual_address_outlives_the_rekey_of_the_ike_sa() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.children[0].local = vec![vpnhost_ike::SelectorConfig::Dynamic];
    let b = responder(&a);
    a.request_address = vpnhost_ike::RequestAddress { v4: true, v6: false };
    let mut b = config(b);
    b.pools = vec![vpnhost_ike::PoolConfig {
        name: "road".into(),
        base: "10.99.0.0".parse().unwrap(),
        prefix_len: 30,
        dns: vec![],
    }];
    let mut pump = Pump::new(config(a), b);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let before = pump.ike_sa(A);
    pump.command(A, Command::RekeyIkeSa(before.id));
    pump.settle();
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(A).addresses, before.addresses);
    assert_eq!(pump.ike_sa(B).peer_addresses.len(), 1);
    let child = pump.child_sa(A);
    pump.command(A, Command::RekeyChildSa(child));
    pump.settle();
    pump.assert_connected(1);
}

#[test]
fn lost_datagrams_of_a_rekey_are_repeated() {
    for lost in 0..4 {
        for ike in [false, true] {
            let mut pump = connected();
            let mut count = 0;
            pump.filter = Box::new(move |_, _| {
                count += 1;
                count - 1 != lost
            });
            let (sa, child) = (pump.ike_sa(A).id, pump.child_sa(A));
            pump.command(A, if ike { Command::RekeyIkeSa(sa) } else { Command::RekeyChildSa(child) });
            pump.run_for(Duration::from_secs(10));
            pump.assert_connected(1);
        }
    }
}
