//! What waits for its SA: nothing else does, nothing of it is lost or leaks, and it ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use vpnhost_ipsec::{Batch, DropCause, OutboundCommand, OutboundSa, TrafficReport, Verdict, limits};

use crate::rig::*;

fn expecting() -> Rig {
    let mut rig = Rig::without_sas(suite("aes128gcm16"));
    order(&mut rig, OutboundCommand::Expect(vec![prefix("10.2.0.0", 16)]));
    rig
}

fn order(rig: &mut Rig, command: OutboundCommand) {
    rig.outbound.handle_command(rig.now, command).unwrap();
}

/// Has the SA come up.
fn come_up(rig: &mut Rig) {
    rig.install(0);
}

/// Returns what is released, sealed.
fn released(rig: &mut Rig) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut batch = Batch::new(16, 2000);
    loop {
        batch.clear();
        rig.outbound.release(&mut batch);
        if batch.is_empty() {
            return all;
        }
        rig.outbound.seal(rig.now, &mut batch);
        for (packet, octets) in batch.packets() {
            assert_eq!(packet.verdict(), Verdict::Send(path()));
            all.push(octets.to_vec());
        }
    }
}

fn numbered(number: u8) -> Vec<u8> {
    let mut packet = inner_v4(60, true);
    packet[59] = number;
    packet
}

#[test]
fn the_first_packets_wait_for_the_sa_and_leave_in_their_order() {
    let mut rig = expecting();
    for number in 0..10 {
        assert_eq!(rig.seal(&[numbered(number)])[0].0, Verdict::Waits);
    }
    assert!(matches!(rig.outbound.poll_report(), Some(TrafficReport::Acquire { .. })));
    assert!(released(&mut rig).is_empty(), "there is no SA yet");
    come_up(&mut rig);
    let sealed = released(&mut rig);
    assert_eq!(sealed.len(), 10);
    for (number, (verdict, octets)) in rig.open(&sealed).into_iter().enumerate() {
        assert_eq!((verdict, octets), (Verdict::Deliver, numbered(number as u8)));
    }
    assert!(released(&mut rig).is_empty(), "each leaves once");
    assert_eq!(rig.outbound.deadline(), None);
    assert_eq!(rig.left.waited.load(Ordering::Relaxed), 10);
    assert!(DropCause::ALL.iter().all(|cause| rig.left.dropped(*cause) == 0));
}

#[test]
fn a_packet_that_nobody_is_woken_by_does_not_wait() {
    let mut rig = expecting();
    let mut elsewhere = inner_v4(60, true);
    elsewhere[17] = 99;
    assert_eq!(rig.seal(&[elsewhere, inner_v6(80)])[0].0, Verdict::Dropped(DropCause::NoSa));
    assert_eq!(rig.left.dropped(DropCause::NoSa), 2);
    order(&mut rig, OutboundCommand::Expect(Vec::new()));
    assert_eq!(rig.seal(&[numbered(1)])[0].0, Verdict::Dropped(DropCause::NoSa));
}

#[test]
fn what_waits_is_bounded_for_one_destination_in_all_and_in_octets() {
    let mut rig = expecting();
    let to = |host: usize, len: usize| {
        let mut packet = inner_v4(len, true);
        packet[19] = host as u8;
        packet
    };
    let waits = |rig: &mut Rig, packet: Vec<u8>| rig.seal(&[packet])[0].0 == Verdict::Waits;
    let alike = (0..limits::WAITING).filter(|_| waits(&mut rig, to(1, 60))).count();
    assert_eq!(alike, limits::WAITING_FOR_ONE);
    let others = (0..2 * limits::WAITING).filter(|host| waits(&mut rig, to(host + 2, 60))).count();
    assert_eq!(others, limits::WAITING - limits::WAITING_FOR_ONE);
    let refused = limits::WAITING - alike + 2 * limits::WAITING - others;
    assert_eq!(rig.left.dropped(DropCause::WaitingFull), refused as u64);

    let mut rig = expecting();
    let large = (0..limits::WAITING).filter(|host| waits(&mut rig, to(*host, 1400))).count();
    assert_eq!(large, limits::WAITING_OCTETS / 1400);
    come_up(&mut rig);
    assert_eq!(released(&mut rig).len(), large, "more than one batch holds");
    order(&mut rig, OutboundCommand::Remove(ID));
    assert!(waits(&mut rig, to(1, 1400)), "the room is free again");
}

#[test]
fn what_waits_too_long_is_dropped_and_counted() {
    let mut rig = expecting();
    rig.seal(&[numbered(1)]);
    let due = rig.now + limits::WAITING_TIME;
    assert_eq!(rig.outbound.deadline(), Some(due));
    rig.now += Duration::from_secs(1);
    rig.seal(&[numbered(2)]);
    rig.outbound.expire(due);
    assert_eq!(rig.left.dropped(DropCause::WaitedTooLong), 1);
    assert_eq!(rig.outbound.deadline(), Some(due + Duration::from_secs(1)));
    come_up(&mut rig);
    let sealed = released(&mut rig);
    assert_eq!(rig.open(&sealed)[0].1, numbered(2));
}

#[test]
fn what_waits_for_a_peer_that_does_not_come_is_dropped_and_counted() {
    let mut rig = expecting();
    rig.seal(&[numbered(1), numbered(2)]);
    order(&mut rig, OutboundCommand::GiveUp(vec![prefix("10.3.0.0", 16)]));
    assert_eq!(rig.left.dropped(DropCause::SetUpFailed), 0, "another peer's");
    order(&mut rig, OutboundCommand::GiveUp(vec![prefix("10.2.0.0", 24)]));
    assert_eq!(rig.left.dropped(DropCause::SetUpFailed), 2);
    rig.seal(&[numbered(3)]);
    order(&mut rig, OutboundCommand::Expect(Vec::new()));
    assert_eq!(rig.left.dropped(DropCause::SetUpFailed), 3, "by a configuration that waits for nothing");
    come_up(&mut rig);
    assert!(released(&mut rig).is_empty());
}

#[test]
fn what_the_sa_does_not_carry_waits_no_longer() {
    let mut rig = expecting();
    let mut stray = numbered(1);
    // Not of what is behind this host.
    stray[13] = 9;
    rig.seal(&[stray, numbered(2)]);
    let sa = OutboundSa { local: vec![prefix("10.1.0.0", 16)], ..rig.outbound_sa() };
    order(&mut rig, OutboundCommand::Install(Box::new(sa)));
    order(&mut rig, OutboundCommand::Activate(ID));
    assert_eq!(rig.left.dropped(DropCause::NoSa), 1);
    assert_eq!(released(&mut rig).len(), 1);
}

#[test]
fn what_waited_is_fragmented_like_any_other() {
    let mut rig = expecting();
    for _ in 0..8 {
        assert_eq!(rig.seal(&[inner_v4(1900, false)])[0].0, Verdict::Waits);
    }
    come_up(&mut rig);
    assert_eq!(released(&mut rig).len(), 16);
}
