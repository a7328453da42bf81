//! What a Child SA is agreed to be: transport or tunnel mode (RFC 7296 §1.3.1, §2.23.1), and how long its sequence
//! numbers are.

use vpnhost_ike::{ChildConfig, Command, SelectorConfig};
use vpnhost_model::{EspSuite, Mode, Sequence, TrafficSelector, Translation};

use crate::pump::*;

/// Two hosts that say to each other what the two children allow; returns what both sides installed.
fn agreed(ours: ChildConfig, theirs: ChildConfig) -> [vpnhost_ike::ChildSaStatus; 2] {
    let a = initiator(IKE, vec![ours]);
    let mut b = responder(&a);
    b.children = vec![theirs];
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    [A, B].map(|side| pump.ike_sa(side).children[0].clone())
}

fn between_hosts(mode: Mode) -> ChildConfig {
    let dynamic = vec![SelectorConfig::Dynamic];
    let child = child("hosts", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    ChildConfig { local: dynamic.clone(), remote: dynamic, mode, ..child }
}

#[test]
fn transport_mode_is_agreed_where_both_want_it_and_a_tunnel_else() {
    for (ours, theirs, agreed_on) in [
        (Mode::Transport, Mode::Transport, Mode::Transport),
        (Mode::Transport, Mode::Tunnel, Mode::Tunnel),
        (Mode::Tunnel, Mode::Transport, Mode::Tunnel),
        (Mode::Tunnel, Mode::Tunnel, Mode::Tunnel),
    ] {
        let [a, b] = agreed(between_hosts(ours), between_hosts(theirs));
        assert_eq!((a.mode, b.mode), (agreed_on, agreed_on), "{ours:?} {theirs:?}");
        assert_eq!((&a.local, &a.remote), (&b.remote, &b.local));
        assert!(a.local.iter().chain(&a.remote).all(|ts: &TrafficSelector| ts.start == ts.end));
    }
}

/// RFC 7296, 2.23.1: the initiator says that it is behind a NAT, to be encapsulated, and its offer tells the addresses
/// that its checksums cover.
#[test]
fn what_the_checksums_of_an_initiator_cover_is_told_by_its_offer() {
    let [inside, server] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
    let a = initiator(IKE, vec![between_hosts(Mode::Transport)]);
    let b = responder(&a);
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let of_offer = Translation::From { local: server, remote: inside };
    for (side, translation) in [(A, Translation::None), (B, of_offer)] {
        let child = pump.ike_sa(side).children[0].id;
        assert_eq!(pump.sides[side].installed[&child].translation, translation);
    }
}

#[test]
fn a_rekeyed_child_keeps_its_mode() {
    let a = initiator(IKE, vec![between_hosts(Mode::Transport)]);
    let b = responder(&a);
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    for side in [A, B] {
        let child = pump.ike_sa(side).children[0].id;
        pump.command(side, Command::RekeyChildSa(child));
        pump.settle();
        for end in [A, B] {
            assert!(pump.ike_sa(end).children.iter().all(|child| child.mode == Mode::Transport));
        }
    }
}

#[test]
fn extended_sequence_numbers_are_agreed_where_both_have_them() {
    const BOTH: &[Sequence] = &[Sequence::EXTENDED, Sequence::SHORT];
    let of = |sequences: &[Sequence]| {
        let esp = EspSuite::parse_all("aes128gcm16", sequences).unwrap();
        ChildConfig { esp, ..child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24") }
    };
    let of_peer = |sequences| mirrored(&of(sequences));
    for (ours, theirs, agreed_on) in [
        (BOTH, BOTH, Sequence::EXTENDED),
        (BOTH, &BOTH[1..], Sequence::SHORT),
        (&BOTH[..1], BOTH, Sequence::EXTENDED),
        (&BOTH[1..], BOTH, Sequence::SHORT),
    ] {
        let [a, b] = agreed(of(ours), of_peer(theirs));
        assert_eq!((a.suite.sequence, b.suite.sequence), (agreed_on, agreed_on), "{ours:?} {theirs:?}");
    }
}

#[test]
fn who_requires_extended_sequence_numbers_has_no_child_with_who_has_none() {
    let extended = EspSuite::parse_all("aes128gcm16", &[Sequence::EXTENDED]).unwrap();
    let ours = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let a = initiator(IKE, vec![ChildConfig { esp: extended, ..ours.clone() }]);
    let mut b = responder(&a);
    b.children = vec![mirrored(&ours)];
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    assert!(pump.sides[A].endpoint.ike_sas(pump.now).iter().all(|sa| sa.children.is_empty()));
}
