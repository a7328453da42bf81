//! What leaves: sealed under a number of its own, fragmented, answered, or dropped and counted.

use std::sync::atomic::Ordering;

use vpnhost_ipsec::{DropCause, OutboundCommand, SoftLimits, TrafficReport, Verdict};
use vpnhost_model::Sequence;

use crate::rig::*;

#[test]
fn each_packet_has_the_spi_and_the_next_number() {
    for suite in suites() {
        let mut rig = Rig::new(suite);
        for number in 1..5u32 {
            let sealed = rig.sealed(inner_v4(60, true));
            assert_eq!(sealed[..4], SPI.0.to_be_bytes());
            assert_eq!(sealed[4..8], number.to_be_bytes());
        }
    }
}

#[test]
fn numbers_that_are_used_up_are_not_used_again() {
    let mut rig = Rig::without_sas(suite("aes128gcm16-noesn"));
    rig.install(u64::from(u32::MAX) - 1);
    rig.sealed(inner_v4(60, true));
    assert_eq!(rig.outbound.poll_report(), Some(TrafficReport::SoftLimit(ID)));
    for _ in 0..3 {
        let outcome = rig.seal(&[inner_v4(60, true)]);
        assert_eq!(outcome[0].0, Verdict::Dropped(DropCause::Exhausted));
    }
    assert_eq!(rig.left.dropped(DropCause::Exhausted), 3);
    assert_eq!(rig.outbound.poll_report(), Some(TrafficReport::Exhausted(ID)));
    assert_eq!(rig.outbound.poll_report(), None, "told once");
    let mut rig = Rig::without_sas(suite("aes128gcm16-esn"));
    rig.install(u64::MAX);
    assert_eq!(rig.suite.sequence, Sequence::EXTENDED);
    assert_eq!(rig.seal(&[inner_v4(60, true)])[0].0, Verdict::Dropped(DropCause::Exhausted));
}

#[test]
fn a_packet_without_an_sa_is_dropped_and_asked_for_once_a_second() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let mut elsewhere = inner_v4(60, true);
    elsewhere[17] = 99;
    for _ in 0..5 {
        assert_eq!(rig.seal(&[elsewhere.clone()])[0].0, Verdict::Dropped(DropCause::NoSa));
    }
    assert_eq!(rig.left.dropped(DropCause::NoSa), 5);
    assert!(matches!(rig.outbound.poll_report(), Some(TrafficReport::Acquire { .. })));
    assert_eq!(rig.outbound.poll_report(), None);
}

#[test]
fn broken_headers_are_dropped_and_counted() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let mut long = inner_v4(60, true);
    long[3] = 61;
    let mut short_header = inner_v4(60, true);
    short_header[0] = 0x44;
    let mut version = inner_v4(60, true);
    version[0] = 0x55;
    let broken = [long, short_header, version, vec![0x45; 19], vec![0x60; 39], Vec::new()];
    for (verdict, octets) in rig.seal(&broken) {
        assert_eq!(verdict, Verdict::Dropped(DropCause::MalformedInner), "{octets:02x?}");
    }
    assert_eq!(rig.left.dropped(DropCause::MalformedInner), 6);
}

#[test]
fn what_is_too_large_is_fragmented_or_answered() {
    for suite in suites() {
        let mut rig = Rig::new(suite);
        let mtu = usize::from(rig.outbound.tunnel_mtu(ID).unwrap());
        assert!(mtu > 1380 && mtu < 1460, "{suite}: {mtu}");
        assert!(matches!(rig.seal(&[inner_v4(mtu, true)])[0].0, Verdict::Send(_)));
        let answered = rig.seal(&[inner_v4(mtu + 1, true), inner_v6(mtu + 1)]);
        assert_eq!((answered[0].0, answered[1].0), (Verdict::Reply, Verdict::Reply));
        // "Fragmentation needed" and "packet too big" with the size that fits.
        assert_eq!((answered[0].1[20], answered[0].1[21]), (3, 4));
        assert_eq!(answered[0].1[26..28], (mtu as u16).to_be_bytes());
        assert_eq!((answered[1].1[40], answered[1].1[41]), (2, 0));
        assert_eq!(rig.left.dropped(DropCause::TooBig), 2);
        let fragments = rig.seal(&[inner_v4(1900, false)]);
        assert_eq!(fragments.len(), 2, "{suite}");
        let sealed: Vec<Vec<u8>> = fragments.into_iter().map(|(_, octets)| octets).collect();
        assert!(sealed.iter().all(|octets| octets.len() <= 1500 - 20 - 8));
        let opened = rig.open(&sealed);
        assert_eq!((opened[0].0, opened[1].0), (Verdict::Deliver, Verdict::Deliver));
        let payload: Vec<u8> = opened.iter().flat_map(|(_, octets)| octets[20..].iter().copied()).collect();
        assert_eq!(payload, inner_v4(1900, false)[20..]);
    }
}

#[test]
fn a_soft_limit_is_told_once_and_the_packets_go_on() {
    for limits in
        [SoftLimits { bytes: Some(150), packets: None }, SoftLimits { bytes: None, packets: Some(3) }]
    {
        let mut rig = Rig::without_sas(suite("aes128gcm16"));
        let sa = rig.outbound_sa();
        sa.activity.limit(limits);
        rig.outbound.handle_command(rig.now, OutboundCommand::Install(Box::new(sa))).unwrap();
        rig.outbound.handle_command(rig.now, OutboundCommand::Activate(ID)).unwrap();
        rig.seal(&[inner_v4(60, true), inner_v4(60, true)]);
        assert_eq!(rig.outbound.poll_report(), None);
        for _ in 0..4 {
            rig.sealed(inner_v4(60, true));
        }
        assert_eq!(rig.outbound.poll_report(), Some(TrafficReport::SoftLimit(ID)));
        assert_eq!(rig.outbound.poll_report(), None);
        assert_eq!(rig.left.packets_out.load(Ordering::Relaxed), 6);
    }
}
