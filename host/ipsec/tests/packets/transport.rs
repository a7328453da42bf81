//! Transport mode: what is carried has no header of its own, and arrives with the one that it left with.

use vpnhost_ipsec::{
    CommandError, DropCause, InboundCommand, InboundSa, OutboundCommand, OutboundSa, Verdict,
};
use vpnhost_model::{ChildSaId, ChildSpi, Mode, TrafficSelector};

use crate::rig::*;

fn hosts(v6: bool) -> (Vec<TrafficSelector>, Vec<TrafficSelector>) {
    let host = |text: &str| vec![TrafficSelector::host(text.parse().unwrap())];
    if v6 { (host("fd01::5"), host("fd02::9")) } else { (host("10.1.0.5"), host("10.2.0.9")) }
}

fn rig(text: &str, v6: bool) -> Rig {
    let mut rig = Rig::without_sas(suite(text));
    let (here, there) = hosts(v6);
    let inbound =
        InboundSa { local: there.clone(), remote: here.clone(), mode: Mode::Transport, ..rig.inbound_sa() };
    let outbound = OutboundSa { local: here, remote: there, mode: Mode::Transport, ..rig.outbound_sa() };
    rig.inbound.handle_command(rig.now, InboundCommand::Install(Box::new(inbound))).unwrap();
    rig.outbound.handle_command(rig.now, OutboundCommand::Install(Box::new(outbound))).unwrap();
    rig.outbound.handle_command(rig.now, OutboundCommand::Activate(ID)).unwrap();
    rig
}

/// A packet whose UDP has no checksum.
fn datagram(len: usize, v6: bool) -> Vec<u8> {
    let mut packet = if v6 { inner_v6(len) } else { inner_v4(len, true) };
    if !v6 {
        packet[4..6].fill(0);
        packet[26..28].fill(0);
        let sum = checksum(&packet[..20]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
    }
    packet
}

fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[test]
fn a_packet_arrives_as_it_left_and_is_shorter_by_its_header() {
    for text in ["aes128gcm16", "aes256-sha256", "aes128gcm16-esn"] {
        for len in [28, 29, 100, 1200] {
            let mut rig = rig(text, false);
            let sealed = rig.sealed(datagram(len, false));
            let mut tunnel = Rig::new(suite(text));
            let longer = tunnel.sealed(datagram(len, false)).len();
            assert!((16..=32).contains(&(longer - sealed.len())), "{text}: {} of {longer}", sealed.len());
            assert_eq!(rig.open(&[sealed])[0], (Verdict::Deliver, datagram(len, false)), "{text} {len}");
        }
    }
}

#[test]
fn ipv6_arrives_with_its_extension_headers_and_a_checksum_that_fits() {
    let mut rig = rig("aes128gcm16", true);
    // Destination options of eight octets, and then something without ports or checksum.
    let mut packet = inner_v6(80);
    packet[6] = 60;
    packet[40..48].copy_from_slice(&[253, 0, 1, 4, 0, 0, 0, 0]);
    let sealed = rig.sealed(packet.clone());
    assert_eq!(rig.open(&[sealed])[0], (Verdict::Deliver, packet));
}

#[test]
fn a_fragment_is_not_carried_and_what_is_too_large_is_answered() {
    let mut rig = rig("aes128gcm16", false);
    let mut fragment = inner_v4(60, false);
    fragment[6] = 0x20;
    assert_eq!(rig.seal(&[fragment])[0].0, Verdict::Dropped(DropCause::Fragmented));
    assert_eq!(rig.seal(&[inner_v4(1900, false)])[0].0, Verdict::Reply);
}

#[test]
fn only_two_hosts_have_an_sa_in_transport_mode() {
    let mut rig = Rig::without_sas(suite("aes128gcm16"));
    let (id, spi) = (ChildSaId(2), ChildSpi(0x5000));
    let inbound = InboundSa { id, spi, mode: Mode::Transport, ..rig.inbound_sa() };
    let outbound = OutboundSa { id, spi, mode: Mode::Transport, ..rig.outbound_sa() };
    let refused = Err(CommandError::TransportMode(id));
    assert_eq!(rig.inbound.handle_command(rig.now, InboundCommand::Install(Box::new(inbound))), refused);
    assert_eq!(rig.outbound.handle_command(rig.now, OutboundCommand::Install(Box::new(outbound))), refused);
}

#[test]
fn an_authentic_dummy_is_dropped_and_a_header_in_clear_is_a_protocol_like_any_other() {
    let mut rig = rig("aes128gcm16", false);
    let dummy = rig.seal_text(1, &[1, 2, 2, 59]);
    rig.assert_dropped(&dummy, DropCause::Dummy);
    // IP in IP between the hosts is theirs to take, not a tunnel of ours.
    let inner = [inner_v4(40, true), vec![1, 2, 2, 4]].concat();
    let sealed = rig.seal_text(2, &inner);
    let (verdict, octets) = rig.open(&[sealed]).remove(0);
    assert_eq!((verdict, octets[9], octets.len()), (Verdict::Deliver, 4, 60));
}
