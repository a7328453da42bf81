//! What arrives: delivered as it was sent and once, or dropped and counted by its cause.

use std::time::Duration;

use vpnhost_ipsec::{DropCause, InboundCommand, TrafficReport, Verdict, limits};
use vpnhost_model::{ChildSaId, Sequence};

use crate::rig::*;

#[test]
fn every_suite_carries_both_families_in_every_size() {
    for suite in suites() {
        let mut rig = Rig::new(suite);
        for len in (48..200).chain([576, 1280, 1400]) {
            let packets = [inner_v4(len, true), inner_v6(len)];
            let sealed: Vec<Vec<u8>> = rig.seal(&packets).into_iter().map(|(_, octets)| octets).collect();
            let opened = rig.open(&sealed);
            assert_eq!(opened[0], (Verdict::Deliver, packets[0].clone()), "{suite} {len}");
            assert_eq!(opened[1], (Verdict::Deliver, packets[1].clone()), "{suite} {len}");
        }
    }
}

#[test]
fn every_truncation_is_dropped_by_its_cause_and_harms_nothing() {
    for suite in suites() {
        let mut rig = Rig::new(suite);
        let layout = key(suite).layout();
        let around = HEADER + layout.iv_len + layout.icv_len;
        let sealed = rig.sealed(inner_v4(60, true));
        for len in 0..sealed.len() {
            let cause = match len.checked_sub(around) {
                None => DropCause::Truncated,
                Some(0) => DropCause::Empty,
                // A trailer, in whole blocks, is the least.
                Some(text) if text < 2 || text % layout.block_len != 0 => DropCause::Truncated,
                Some(_) => DropCause::BadIcv,
            };
            rig.assert_dropped(&sealed[..len], cause);
        }
        assert_eq!(rig.open_one(&sealed), Verdict::Deliver, "{suite}");
    }
}

#[test]
fn every_flipped_bit_is_dropped_by_its_cause_and_harms_nothing() {
    for suite in suites() {
        let mut rig = Rig::new(suite);
        let sealed = rig.sealed(inner_v4(44, true));
        for bit in 0..sealed.len() * 8 {
            let mut octets = sealed.clone();
            octets[bit / 8] ^= 0x80 >> (bit % 8);
            let cause = match bit / 8 {
                0..4 => DropCause::UnknownSpi,
                // The first packet's number is one: its last bit gone, it is zero, which no packet has.
                7 if bit % 8 == 7 && suite.sequence == Sequence::SHORT => DropCause::Stale,
                _ => DropCause::BadIcv,
            };
            if bit / 8 == 7 && bit % 8 == 7 && suite.sequence == Sequence::EXTENDED {
                // With extended numbers zero may be the start of the next half: then the ICV tells.
                assert!(matches!(rig.open_one(&octets), Verdict::Dropped(_)));
                continue;
            }
            rig.assert_dropped(&octets, cause);
        }
        assert_eq!(rig.open_one(&sealed), Verdict::Deliver, "{suite}");
    }
}

#[test]
fn a_packet_is_delivered_once_in_whatever_order_they_come() {
    for sequence in ["esn", "noesn"] {
        let mut rig = Rig::new(suite(&format!("aes128gcm16-{sequence}")));
        let sealed: Vec<Vec<u8>> = (0..64).map(|_| rig.sealed(inner_v4(60, true))).collect();
        // Backwards, so that every place of the window is used.
        for octets in sealed.iter().rev() {
            assert_eq!(rig.open_one(octets), Verdict::Deliver);
            rig.assert_dropped(octets, DropCause::Replayed);
        }
        // Both copies in one batch: the first counts.
        let twice = rig.sealed(inner_v4(60, true));
        let verdicts: Vec<Verdict> =
            rig.open(&[twice.clone(), twice]).into_iter().map(|(verdict, _)| verdict).collect();
        assert_eq!(verdicts, [Verdict::Deliver, Verdict::Dropped(DropCause::Replayed)]);
    }
}

#[test]
fn a_packet_before_the_window_is_stale() {
    let mut rig = Rig::new(suite("aes128-sha256"));
    let early = rig.sealed(inner_v4(60, true));
    for _ in 0..64 {
        let octets = rig.sealed(inner_v4(60, true));
        assert_eq!(rig.open_one(&octets), Verdict::Deliver);
    }
    rig.assert_dropped(&early, DropCause::Stale);
}

#[test]
fn a_forged_number_far_ahead_moves_no_window() {
    let mut rig = Rig::new(suite("aes128gcm16-noesn"));
    let sealed = rig.sealed(inner_v4(60, true));
    let mut ahead = sealed.clone();
    ahead[4..8].copy_from_slice(&0xffff_0000u32.to_be_bytes());
    rig.assert_dropped(&ahead, DropCause::BadIcv);
    assert_eq!(rig.open_one(&sealed), Verdict::Deliver);
}

#[test]
fn extended_numbers_pass_from_one_half_to_the_next() {
    for suite in suites().into_iter().filter(|suite| suite.sequence == Sequence::EXTENDED) {
        let mut rig = Rig::without_sas(suite);
        rig.install(u64::from(u32::MAX) - 3);
        for _ in 0..8 {
            let octets = rig.sealed(inner_v4(60, true));
            assert_eq!(rig.open_one(&octets), Verdict::Deliver, "{suite}");
        }
    }
}

/// What is authentic and wrong was the peer's doing: it is dropped, and its number is used up.
#[test]
fn an_authentic_packet_that_is_wrong_is_dropped_by_its_cause() {
    let whole = |mut inner: Vec<u8>, next: u8| {
        let padding = (14usize.wrapping_sub(inner.len())) % 16;
        inner.extend((1..=padding).map(|pad| pad as u8));
        inner.extend([padding as u8, next]);
        inner
    };
    let outside = |at: usize| {
        let mut inner = inner_v4(62, true);
        inner[at] = 77;
        whole(inner, 4)
    };
    let mut bad_padding = whole(inner_v4(60, true), 4);
    let at = bad_padding.len() - 4;
    bad_padding[at] ^= 1;
    let mut too_much = whole(inner_v4(62, true), 4);
    let at = too_much.len() - 2;
    too_much[at] = 255;
    let mut wrong_length = inner_v4(62, true);
    wrong_length[3] = 200;
    let cases = [
        (bad_padding, DropCause::BadPadding),
        (too_much, DropCause::BadPadding),
        (whole(vec![0; 30], 59), DropCause::Dummy),
        (whole(inner_v4(62, true), 6), DropCause::BadNextHeader),
        (whole(inner_v4(62, true), 41), DropCause::BadNextHeader),
        (whole(inner_v6(78), 4), DropCause::BadNextHeader),
        (whole(vec![0x45; 14], 4), DropCause::MalformedInner),
        (whole(Vec::new(), 4), DropCause::MalformedInner),
        (whole(wrong_length, 4), DropCause::MalformedInner),
        (outside(13), DropCause::SelectorMismatch),
        (outside(17), DropCause::SelectorMismatch),
    ];
    for text in ["aes128gcm16", "aes256-sha512", "aes128gcm16-esn"] {
        let mut rig = Rig::new(suite(text));
        for (number, (text, cause)) in cases.iter().enumerate() {
            let octets = rig.seal_text(number as u32 + 1, text);
            rig.assert_dropped(&octets, *cause);
            rig.assert_dropped(&octets, DropCause::Replayed);
        }
        // What follows the inner packet is padding against traffic analysis (RFC 4303 §2.7).
        let mut padded = inner_v4(62, true);
        padded.extend([0; 48]);
        let octets = rig.seal_text(100, &whole(padded, 4));
        assert_eq!(rig.open(&[octets])[0], (Verdict::Deliver, inner_v4(62, true)));
    }
}

#[test]
fn a_batch_of_good_and_bad_is_sorted_packet_by_packet() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let good: Vec<Vec<u8>> = (0..3).map(|_| rig.sealed(inner_v4(60, true))).collect();
    let mut bad = good[1].clone();
    bad[30] ^= 1;
    let mut unknown = good[2].clone();
    unknown[0] ^= 1;
    let verdicts: Vec<Verdict> = rig
        .open(&[good[0].clone(), bad, good[1].clone(), unknown, Vec::new(), good[2].clone()])
        .into_iter()
        .map(|(verdict, _)| verdict)
        .collect();
    let dropped = Verdict::Dropped;
    let (icv, spi, short) = (DropCause::BadIcv, DropCause::UnknownSpi, DropCause::Truncated);
    let deliver = Verdict::Deliver;
    assert_eq!(verdicts, [deliver, dropped(icv), deliver, dropped(spi), dropped(short), deliver]);
}

#[test]
fn the_first_authentic_packet_is_told_and_a_forged_one_is_not() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let sealed = rig.sealed(inner_v4(60, true));
    let mut forged = sealed.clone();
    *forged.last_mut().unwrap() ^= 1;
    rig.assert_dropped(&forged, DropCause::BadIcv);
    assert_eq!(rig.inbound.poll_report(), None);
    assert_eq!(rig.open_one(&sealed), Verdict::Deliver);
    assert_eq!(rig.inbound.poll_report(), Some(TrafficReport::FirstInbound(ID)));
    assert_eq!(rig.inbound.poll_report(), None);
}

#[test]
fn an_sa_that_was_removed_is_unknown() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let sealed = rig.sealed(inner_v4(60, true));
    rig.inbound.handle_command(rig.now, InboundCommand::Remove(ID)).unwrap();
    rig.assert_dropped(&sealed, DropCause::UnknownSpi);
    assert!(rig.inbound.handle_command(rig.now, InboundCommand::Remove(ChildSaId(1))).is_err());
}

/// A receiver that gave its SPI away and has no SA yet, and packets of a sender that has.
fn early(count: usize) -> (Rig, Vec<Vec<u8>>) {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let sealed = (0..count).map(|_| rig.sealed(inner_v4(60, true))).collect();
    rig.inbound.handle_command(rig.now, InboundCommand::Remove(ID)).unwrap();
    rig.inbound.handle_command(rig.now, InboundCommand::Expect(SPI)).unwrap();
    (rig, sealed)
}

#[test]
fn what_comes_before_its_sa_waits_for_it_and_is_delivered_once() {
    let (mut rig, sealed) = early(40);
    for octets in &sealed {
        assert_eq!(rig.open_one(octets), Verdict::Waits);
    }
    assert_eq!(rig.inbound.poll_report(), None, "nobody is told of an unknown SPI");
    assert!(rig.released().is_empty(), "there is no SA yet");
    rig.install_inbound();
    let mut delivered = Vec::new();
    // A batch takes less than all.
    while let Some(batch) = Some(rig.released()).filter(|batch| !batch.is_empty()) {
        delivered.extend(batch);
    }
    assert_eq!(delivered.len(), sealed.len());
    assert!(
        delivered
            .iter()
            .all(|(verdict, octets)| (*verdict, octets) == (Verdict::Deliver, &inner_v4(60, true)))
    );
    assert_eq!(rig.inbound.poll_report(), Some(TrafficReport::FirstInbound(ID)));
    rig.assert_dropped(&sealed[0], DropCause::Replayed);
    assert_eq!(rig.arrived.dropped(DropCause::UnknownSpi), 0);
}

#[test]
fn what_comes_before_an_sa_that_does_not_come_is_dropped_and_counted() {
    let (mut rig, sealed) = early(3);
    assert_eq!(rig.open_one(&sealed[0]), Verdict::Waits);
    rig.inbound.handle_command(rig.now, InboundCommand::Forget(SPI)).unwrap();
    assert_eq!(rig.arrived.dropped(DropCause::UnknownSpi), 1);
    rig.assert_dropped(&sealed[1], DropCause::UnknownSpi);
    // One that comes too late finds what waited for it gone.
    rig.inbound.handle_command(rig.now, InboundCommand::Expect(SPI)).unwrap();
    assert_eq!(rig.open_one(&sealed[2]), Verdict::Waits);
    rig.now = rig.now + limits::EARLY_TIME + Duration::from_millis(1);
    rig.install_inbound();
    assert!(rig.released().is_empty());
    assert_eq!(rig.arrived.dropped(DropCause::UnknownSpi), 3);
}

#[test]
fn no_more_waits_before_its_sa_than_may() {
    let (mut rig, sealed) = early(limits::EARLY + 1);
    let (last, held) = sealed.split_last().unwrap();
    for octets in held {
        assert_eq!(rig.open_one(octets), Verdict::Waits);
    }
    rig.assert_dropped(last, DropCause::UnknownSpi);
}

#[test]
fn a_packet_after_silence_tells_since_when_nothing_passed_and_what_is_missing() {
    let mut rig = Rig::new(suite("aes128gcm16"));
    let sealed = |rig: &mut Rig| rig.sealed(inner_v4(60, true));
    let began = rig.now;
    let first = sealed(&mut rig);
    assert_eq!(rig.open_one(&first), Verdict::Deliver);
    assert_eq!(rig.inbound.poll_report(), Some(TrafficReport::FirstInbound(ID)));
    rig.now += Duration::from_millis(4_999);
    let soon = sealed(&mut rig);
    assert_eq!(rig.open_one(&soon), Verdict::Deliver);
    assert_eq!(rig.inbound.poll_report(), None);
    let since = rig.now;
    let (_, _) = (sealed(&mut rig), sealed(&mut rig));
    rig.now += Duration::from_secs(20);
    let late = sealed(&mut rig);
    assert_eq!(rig.open_one(&late), Verdict::Deliver);
    let told = TrafficReport::Resumed { id: ID, since, spoke: None, at: rig.now, missing: 2 };
    assert_eq!(rig.inbound.poll_report(), Some(told));
    assert!(since > began);
}
