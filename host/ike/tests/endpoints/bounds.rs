//! What strangers can make a responder hold, and a peer make it do, is bounded, and counted for people to see
//! (RFC 8019 §4.4, §5).

use std::time::Duration;

use vpnhost_ike::extension::fragmentation::seal_fragments;
use vpnhost_ike::wire::payload::{Certificate, CertificateEncoding, Notify, NotifyType};
use vpnhost_ike::wire::{ExchangeType, Header, Payload};
use vpnhost_ike::{Command, EndpointConfig, limits};

use crate::invalid::{FROM_A, Insider, half_open};
use crate::pump::*;

/// A long IKE_AUTH request in fragments.
fn fragments(insider: &Insider, payloads: &[Payload]) -> Vec<Vec<u8>> {
    let header = Header::new((insider.facts.spi_i, insider.facts.spi_r), ExchangeType::IKE_AUTH, FROM_A, 1);
    let mut iv = |out: &mut [u8]| {
        out.fill(7);
        Ok(())
    };
    seal_fragments(&header, payloads, &mut *insider.key(true), &mut iv, 1200).unwrap()
}

fn long() -> Payload {
    Payload::Notify(Notify::new(NotifyType(40_000), vec![1; 8000]))
}

#[test]
fn fragments_of_half_open_ike_sas_count_until_they_are_whole_or_given_up() {
    let (mut pump, insider, port) = half_open();
    let sent = fragments(&insider, &[long(), long()]);
    let held = |pump: &Pump| pump.sides[B].endpoint.holdings().half_open_fragments;
    for fragment in &sent[1..] {
        pump.inject(B, "192.0.2.1:4500", port, fragment);
    }
    assert!((12_000..17_000).contains(&held(&pump)), "{}", held(&pump));
    // What comes twice counts once.
    pump.inject(B, "192.0.2.1:4500", port, &sent[1]);
    assert!(held(&pump) < 17_000);
    pump.inject(B, "192.0.2.1:4500", port, &sent[0]);
    assert_eq!(held(&pump), 0, "the message is whole");
    let (mut pump, ..) = half_open();
    pump.inject(B, "192.0.2.1:4500", port, &sent[0]);
    assert!(held(&pump) > 0);
    pump.run_for(Duration::from_secs(60));
    assert_eq!(pump.sides[B].endpoint.holdings().half_open_fragments, 0, "given up with the IKE SA");
}

#[test]
fn all_half_open_ike_sas_share_one_bound_on_fragments_and_whoever_is_up_has_his_own() {
    let (pump, insider, port) = half_open();
    let sent = fragments(&insider, &[long(), long()]);
    let [a, b] = pump.configs.clone();
    let mut pump = Pump::new(a, EndpointConfig { half_open_fragments: 5000, ..b });
    pump.filter = Box::new(|from, transmit| from == B || transmit.octets[18] == 34);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_millis(100));
    for fragment in &sent[1..] {
        pump.inject(B, "192.0.2.1:4500", port, fragment);
    }
    let endpoint = &pump.sides[B].endpoint;
    assert!(endpoint.holdings().half_open_fragments < 5000 + 1200);
    assert!(endpoint.tally().fragments_dropped as usize > sent.len() / 2, "{:?}", endpoint.tally());
    // A message in one piece is no fragment: the true peer gets in.
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    assert_eq!(pump.sides[B].endpoint.holdings().half_open_fragments, 0);
}

#[test]
fn certificates_behind_the_sixteenth_are_not_looked_at_and_counted() {
    let (mut pump, insider, port) = half_open();
    let certificate =
        |data| Payload::Certificate(Certificate { encoding: CertificateEncoding::X509_SIGNATURE, data });
    let many: Vec<Payload> = (0..40).map(|_| certificate(vec![0x30; 500])).collect();
    for fragment in fragments(&insider, &many) {
        pump.inject(B, "192.0.2.1:4500", port, &fragment);
    }
    // Without an identity it is no IKE_AUTH at all; what is counted is one that has its form.
    assert_eq!(pump.sides[B].endpoint.tally().certificates_left_out, 0);
    let (mut pump, insider, port) = half_open();
    let mut whole = vec![
        Payload::IdInitiator(vpnhost_ike::wire::payload::Identification::new(id("a.lab"))),
        Payload::Authentication(vpnhost_ike::wire::payload::Authentication {
            method: vpnhost_ike::wire::payload::AuthMethod::SHARED_KEY,
            data: vec![0; 32],
        }),
    ];
    whole.extend(many);
    for fragment in fragments(&insider, &whole) {
        pump.inject(B, "192.0.2.1:4500", port, &fragment);
    }
    let left_out = pump.sides[B].endpoint.tally().certificates_left_out;
    assert_eq!(left_out, 24, "forty less sixteen");
}

#[test]
fn a_peer_that_rekeys_without_end_is_put_off_and_stays_connected() {
    let mut pump = connected();
    let times = limits::CREATE_CHILD_AT_ONCE + 200;
    for _ in 0..times {
        let Some(sa) = pump.established(A).last().map(|sa| sa.id) else { break };
        pump.command(A, Command::RekeyIkeSa(sa));
        pump.run_for(Duration::from_millis(50));
    }
    let put_off = pump.sides[B].endpoint.tally().exchanges_put_off;
    assert!(put_off > 0, "nothing was put off");
    pump.run_for(Duration::from_secs(120));
    pump.assert_connected(1);
    assert_eq!(pump.sides[A].endpoint.tally().exchanges_put_off, 0, "who asks is not who is asked");
}

#[test]
fn what_is_asked_for_and_dropped_at_the_door_is_counted() {
    let mut pump = pair();
    pump.command(A, Command::Initiate("b".into()));
    let first = pump.sides[A].sent[0].octets.clone();
    pump.filter = Box::new(|_, _| false);
    for n in 0..100_u32 {
        let mut octets = first.clone();
        octets[..4].copy_from_slice(&(n + 1).to_be_bytes());
        pump.inject(B, "192.0.2.1:500", 500, &octets);
    }
    let tally = pump.sides[B].endpoint.tally();
    assert_eq!(tally.cookies_asked, 100 - limits::HALF_OPEN_PER_SOURCE_BEFORE_COOKIE as u64);
    assert_eq!(tally.inits_dropped, 0);
}
