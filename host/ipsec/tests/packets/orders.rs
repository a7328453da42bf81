//! What changes the packet path: only its commands, and only whole.

use vpnhost_ipsec::{
    CommandError, InboundCommand, InboundSa, OutboundCommand, OutboundSa, TrafficReport, Verdict,
};
use vpnhost_model::{ChildSaId, ChildSpi, Encapsulation, Mode, Path};

use crate::rig::*;

#[test]
fn an_sa_that_cannot_be_is_refused_and_nothing_changes() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let second = ChildSaId(2);
    let cases = [
        (InboundSa { spi: ChildSpi(0x5000), ..rig.inbound_sa() }, CommandError::Duplicate(ID)),
        (InboundSa { id: second, ..rig.inbound_sa() }, CommandError::SpiInUse(SPI)),
        (
            InboundSa { id: second, spi: ChildSpi(255), ..rig.inbound_sa() },
            CommandError::SpiReserved(ChildSpi(255)),
        ),
        (
            InboundSa { id: second, spi: ChildSpi(256), local: Vec::new(), ..rig.inbound_sa() },
            CommandError::Selectors(second),
        ),
        (
            InboundSa { id: second, spi: ChildSpi(256), mode: Mode::Transport, ..rig.inbound_sa() },
            CommandError::TransportMode(second),
        ),
    ];
    for (sa, error) in cases {
        let refused = rig.inbound.handle_command(rig.now, InboundCommand::Install(Box::new(sa)));
        assert_eq!(refused, Err(error));
    }
    assert_eq!(
        rig.outbound.handle_command(rig.now, OutboundCommand::Activate(second)),
        Err(CommandError::Unknown(second))
    );
    let sealed = rig.sealed(inner_v4(60, true));
    assert_eq!(rig.open_one(&sealed), Verdict::Deliver);
}

#[test]
fn the_sa_that_was_activated_last_is_used_until_it_is_removed() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let (id, spi) = (ChildSaId(2), ChildSpi(0x2222_0000));
    let sa = OutboundSa { id, spi, ..rig.outbound_sa() };
    let order = |rig: &mut Rig, command| rig.outbound.handle_command(rig.now, command).unwrap();
    order(&mut rig, OutboundCommand::Install(Box::new(sa)));
    assert_eq!(rig.sealed(inner_v4(60, true))[..4], SPI.0.to_be_bytes(), "installed is not yet activated");
    order(&mut rig, OutboundCommand::Activate(id));
    assert_eq!(rig.sealed(inner_v4(60, true))[..4], spi.0.to_be_bytes());
    order(&mut rig, OutboundCommand::Remove(id));
    assert_eq!(rig.sealed(inner_v4(60, true))[..4], SPI.0.to_be_bytes());
}

#[test]
fn an_sa_that_moves_sends_to_where_it_is_told() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let elsewhere = Path { remote: ([203, 0, 113, 9], 1234).into(), ..path() };
    rig.outbound.handle_command(rig.now, OutboundCommand::Move(ID, elsewhere)).unwrap();
    assert_eq!(rig.seal(&[inner_v4(60, true)])[0].0, Verdict::Send(elsewhere));
    let raw = Path { encapsulation: Encapsulation::Raw, ..path() };
    let before = rig.outbound.tunnel_mtu(ID).unwrap();
    rig.outbound.handle_command(rig.now, OutboundCommand::Move(ID, raw)).unwrap();
    assert!(rig.outbound.tunnel_mtu(ID).unwrap() > before, "eight octets of UDP are saved");
}

#[test]
fn what_comes_to_another_address_of_this_host_shows_neither_that_the_path_works_nor_that_the_peer_moved() {
    let mut rig = Rig::without_sas(suite("aes128gcm16"));
    rig.install(0);
    let sa = InboundSa { id: ChildSaId(2), spi: ChildSpi(0x5000), ..rig.inbound_sa() };
    let activity = std::sync::Arc::clone(&sa.activity);
    rig.inbound.handle_command(rig.now, InboundCommand::Remove(ID)).unwrap();
    let sa = InboundSa { id: ID, spi: SPI, ..sa };
    rig.inbound.handle_command(rig.now, InboundCommand::Install(Box::new(sa))).unwrap();
    let packets = [rig.sealed(inner_v4(60, true)), rig.sealed(inner_v4(60, true))];
    let elsewhere =
        Path { local: ([192, 0, 2, 77], 4500).into(), remote: ([203, 0, 113, 9], 1234).into(), ..path() };
    assert_eq!(rig.open_on(elsewhere, &packets[..1])[0].0, Verdict::Deliver);
    let reports = |rig: &mut Rig| std::iter::from_fn(|| rig.inbound.poll_report()).collect::<Vec<_>>();
    assert_eq!(reports(&mut rig), [TrafficReport::FirstInbound(ID)], "RFC 4555, 3.12");
    assert_eq!(activity.inbound.last(), None);
    assert_eq!(rig.open_on(path(), &packets[1..])[0].0, Verdict::Deliver);
    assert_eq!(activity.inbound.last(), Some(rig.now));
}
