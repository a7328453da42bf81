//! IKE SAs without a Child SA (RFC 6023): which follow by CREATE_CHILD_SA, or never.

use std::time::Duration;

use vpnhost_ike::{
    Childless, CloseReason, Command, Event, Outlook, PeerConfig, PoolConfig, RequestAddress, SelectorConfig,
};

use crate::pump::*;

fn begun(a: Childless, b: Childless, children: usize) -> (PeerConfig, PeerConfig) {
    let net = |number: usize| {
        let (local, remote) = (format!("10.1.{number}.0/24"), format!("10.2.{number}.0/24"));
        child(&format!("net{number}"), "aes128gcm16-x25519", &local, &remote)
    };
    let mut initiator = initiator(IKE, (0..children).map(net).collect());
    let mut responder = responder(&initiator);
    (initiator.childless, responder.childless) = (a, b);
    (initiator, responder)
}

fn up(a: PeerConfig, b: PeerConfig) -> Pump {
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(5));
    pump
}

/// Returns how many exchanges of a number a side began.
fn requests(pump: &Pump, side: usize, exchange: u8) -> usize {
    let begun = |octets: &[u8]| octets[18] == exchange && octets[19] & 0x20 == 0;
    pump.sides[side].sent.iter().filter(|transmit| begun(&transmit.octets)).count()
}

const CREATE_CHILD_SA: u8 = 36;

#[test]
fn who_makes_the_first_child_where() {
    use Childless::{Allow, Force, Never, Prefer};
    for (a, b, created) in [
        (Allow, Allow, 0),
        (Prefer, Allow, 1),
        (Prefer, Never, 0),
        (Force, Allow, 1),
        (Force, Force, 1),
        (Never, Allow, 0),
        // Refused in IKE_AUTH, asked for again afterwards.
        (Allow, Force, 1),
    ] {
        let (a_config, b_config) = begun(a, b, 1);
        let pump = up(a_config, b_config);
        pump.assert_connected(1);
        assert_eq!(requests(&pump, A, CREATE_CHILD_SA), created, "{a:?} {b:?}");
        // Groups are only agreed on in CREATE_CHILD_SA.
        let suite = pump.ike_sa(A).children[0].suite.to_string();
        assert_eq!(suite.contains("x25519"), created == 1, "{suite}");
    }
}

#[test]
fn a_connection_without_children_is_an_ike_sa_alone() {
    let (a, b) = begun(Childless::Force, Childless::Allow, 0);
    let mut pump = up(a, b);
    pump.assert_connected(0);
    let id = pump.ike_sa(A).id;
    pump.command(A, Command::RekeyIkeSa(id));
    pump.run_for(Duration::from_secs(30));
    pump.assert_connected(0);
    pump.command(A, Command::Reauthenticate(pump.ike_sa(A).id));
    pump.run_for(Duration::from_secs(30));
    pump.assert_connected(0);
    pump.command(B, Command::Terminate("a".into()));
    pump.settle();
    pump.assert_empty(A);
    pump.assert_empty(B);
}

#[test]
fn a_peer_that_sets_up_nothing_without_a_child_is_told_of_by_name() {
    let (a, b) = begun(Childless::Force, Childless::Never, 1);
    let pump = up(a, b);
    assert!(pump.saw(A, |event| {
        matches!(event, Event::IkeSaClosed { reason: CloseReason::ChildlessUnsupported, .. })
    }));
    assert!(!pump.saw(A, |event| matches!(event, Event::IkeSaEstablished(_))));
    pump.assert_empty(A);
}

#[test]
fn force_refuses_a_child_in_ike_auth_by_name_and_keeps_the_ike_sa() {
    let (a, b) = begun(Childless::Allow, Childless::Force, 1);
    let pump = up(a, b);
    assert!(pump.saw(B, |event| matches!(
        event,
        Event::ChildSaFailed { reason: CloseReason::ChildlessRequired, outlook: Outlook::LeftToPeer, .. }
    )));
}

#[test]
fn many_children_follow_a_childless_ike_sa() {
    let (a, b) = begun(Childless::Force, Childless::Force, 5);
    let pump = up(a, b);
    pump.assert_connected(5);
    assert_eq!(requests(&pump, A, CREATE_CHILD_SA), 5);
}

#[test]
fn a_virtual_address_comes_with_ike_auth_all_the_same() {
    let (mut a, mut b) = begun(Childless::Force, Childless::Allow, 1);
    a.children[0].local = vec![SelectorConfig::Dynamic];
    b.children[0].remote = vec![SelectorConfig::Dynamic];
    a.request_address = RequestAddress { v4: true, v6: false };
    for pools in [true, false] {
        let mut b = config(b.clone());
        let base = "10.99.0.0".parse().unwrap();
        let pool = PoolConfig { name: "road".into(), base, prefix_len: 24, dns: vec![] };
        b.pools = if pools { vec![pool] } else { vec![] };
        let mut pump = Pump::new(config(a.clone()), b);
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_secs(5));
        pump.assert_connected(usize::from(pools));
        assert_eq!(pump.ike_sa(A).addresses.len(), usize::from(pools));
        assert_eq!(pump.saw(A, |event| matches!(event, Event::ChildSaFailed { .. })), !pools);
    }
}
