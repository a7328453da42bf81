//! What anybody can send: it costs little and changes nothing.

use std::time::Duration;

use vpnhost_ike::wire::payload::{Notify, NotifyType};
use vpnhost_ike::wire::{ExchangeType, Flags, Header, Message, Payload};
use vpnhost_ike::{CloseReason, Command, Event};
use vpnhost_model::IkeSpi;

use crate::pump::*;

fn clear(
    spis: (IkeSpi, IkeSpi),
    exchange: ExchangeType,
    flags: Flags,
    id: u32,
    notify: NotifyType,
) -> Vec<u8> {
    let header = Header::new(spis, exchange, flags, id);
    Message { header, payloads: vec![Payload::Notify(Notify::new(notify, vec![0, 14]))] }.encode().unwrap()
}

const RESPONSE: Flags = Flags { initiator: false, version: false, response: true };
const REQUEST: Flags = Flags { initiator: true, version: false, response: false };

#[test]
fn forged_refusals_of_the_first_message_do_not_hinder() {
    let mut pump = pair();
    pump.command(A, Command::Initiate("b".into()));
    let first = pump.sides[A].sent[0].octets.clone();
    let spi_i = IkeSpi(first[..8].try_into().unwrap());
    for notify in [
        NotifyType::NO_PROPOSAL_CHOSEN,
        NotifyType::INVALID_SYNTAX,
        NotifyType::INVALID_KE_PAYLOAD,
        NotifyType::AUTHENTICATION_FAILED,
        NotifyType::INVALID_MAJOR_VERSION,
    ] {
        let forged = clear((spi_i, IkeSpi([9; 8])), ExchangeType::IKE_SA_INIT, RESPONSE, 0, notify);
        pump.inject(A, "192.0.2.2:500", 500, &forged);
    }
    pump.settle();
    pump.assert_connected(1);
}

#[test]
fn forgeries_in_clear_change_nothing() {
    let mut pump = connected();
    let sa = pump.ike_sa(A);
    let spis = (sa.spi_i, sa.spi_r);
    for exchange in [ExchangeType::INFORMATIONAL, ExchangeType::CREATE_CHILD_SA, ExchangeType::IKE_AUTH] {
        for id in 0..4 {
            for notify in [NotifyType::AUTHENTICATION_FAILED, NotifyType::INVALID_IKE_SPI] {
                pump.inject(A, "192.0.2.2:500", 500, &clear(spis, exchange, RESPONSE, id, notify));
                pump.inject(B, "192.0.2.1:500", 500, &clear(spis, exchange, REQUEST, id, notify));
            }
        }
    }
    pump.run_for(Duration::from_secs(100));
    pump.assert_connected(1);
}

#[test]
fn every_bit_of_a_protected_message_matters() {
    let mut pump = connected();
    let child = pump.child_sa(A);
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::RekeyChildSa(child));
    let request = pump.sides[A].sent.last().unwrap().octets.clone();
    let before = pump.sides[B].sent.len();
    let before_state = pump.ike_sa(B).children;
    for at in 16..request.len() {
        for bit in 0..8 {
            let mut forged = request.clone();
            forged[at] ^= 1 << bit;
            // The version and reserved bits of the flags aside, everything is covered by the ICV.
            pump.inject(B, "192.0.2.1:500", 500, &forged);
        }
        pump.inject(B, "192.0.2.1:500", 500, &request[..at]);
    }
    let answers: Vec<_> =
        pump.sides[B].sent[before..].iter().filter(|sent| sent.octets[17] == 0x20).collect();
    let unprotected = answers.iter().filter(|sent| sent.octets[16] == 41).count();
    assert_eq!(answers.len(), unprotected, "no protected answer to a forgery");
    assert_eq!(pump.ike_sa(B).children, before_state);
    pump.inject(B, "192.0.2.1:500", 500, &request);
    assert_eq!(pump.sides[B].sent.last().unwrap().octets[16], 46, "the true one is answered");
}

#[test]
fn a_replayed_request_is_answered_from_the_cache_and_done_once() {
    let mut pump = connected();
    let child = pump.child_sa(A);
    pump.command(A, Command::RekeyChildSa(child));
    let request = pump.sides[A].sent.last().unwrap().octets.clone();
    pump.run_for(Duration::from_millis(12));
    let installed = pump.sides[B].installed.len();
    let answer = pump.sides[B].sent.last().unwrap().octets.clone();
    for _ in 0..3 {
        pump.inject(B, "192.0.2.1:500", 500, &request);
        assert_eq!(pump.sides[B].sent.last().unwrap().octets, answer);
    }
    assert_eq!(pump.sides[B].installed.len(), installed);
    pump.run_for(Duration::from_secs(10));
    pump.assert_connected(1);
    let before = pump.sides[B].sent.len();
    pump.inject(B, "192.0.2.1:500", 500, &request);
    assert_eq!(pump.sides[B].sent.len(), before, "an old one is silent");
}

#[test]
fn a_made_up_repetition_gets_no_answer_wherever_it_says_it_comes_from() {
    let mut pump = connected();
    let child = pump.child_sa(A);
    pump.command(A, Command::RekeyChildSa(child));
    let request = pump.sides[A].sent.last().unwrap().octets.clone();
    pump.run_for(Duration::from_millis(12));
    let sent = pump.sides[B].sent.len();
    for at in 28..request.len() {
        let mut forged = request.clone();
        forged[at] ^= 1;
        pump.inject(B, "198.51.100.9:500", 500, &forged);
    }
    assert_eq!(pump.sides[B].sent.len(), sent);
    pump.inject(B, "192.0.2.1:500", 500, &request);
    assert_eq!(pump.sides[B].sent.len(), sent + 1);
}

#[test]
fn another_major_version_is_told_ours_and_responses_are_told_nothing() {
    let mut pump = pair();
    let mut octets =
        clear((IkeSpi([1; 8]), IkeSpi::ZERO), ExchangeType::IKE_SA_INIT, REQUEST, 0, NotifyType(1));
    octets[17] = 0x30;
    pump.inject(B, "198.51.100.9:500", 500, &octets);
    let answer = Message::decode(&pump.sides[B].sent[0].octets).unwrap();
    assert!(answer.notify(NotifyType::INVALID_MAJOR_VERSION).is_some());
    octets[17] = 0x10;
    pump.inject(B, "198.51.100.9:500", 500, &octets);
    octets[17] = 0x30;
    octets[19] |= 0x20;
    pump.inject(B, "198.51.100.9:500", 500, &octets);
    assert_eq!(pump.sides[B].sent.len(), 1);
}

#[test]
fn requests_for_unknown_ike_sas_get_few_answers() {
    let mut pump = pair();
    for n in 0..10_000u32 {
        let spis = (IkeSpi([7; 8]), IkeSpi((u64::from(n) + 1).to_be_bytes()));
        let octets = clear(spis, ExchangeType::INFORMATIONAL, REQUEST, 5, NotifyType(16384));
        pump.inject(B, "198.51.100.9:500", 500, &octets);
    }
    let sent = &pump.sides[B].sent;
    assert!(!sent.is_empty() && sent.len() <= vpnhost_ike::limits::UNPROTECTED_ANSWERS_PER_SECOND as usize);
    let answer = Message::decode(&sent[0].octets).unwrap();
    assert!(answer.notify(NotifyType::INVALID_IKE_SPI).is_some() && answer.header.message_id == 5);
}

#[test]
fn a_flood_of_first_messages_leaves_no_state_without_a_cookie() {
    let mut pump = pair();
    pump.command(A, Command::Initiate("b".into()));
    let first = pump.sides[A].sent[0].octets.clone();
    pump.filter = Box::new(|_, _| false);
    for n in 0..2000u32 {
        let mut octets = first.clone();
        octets[..4].copy_from_slice(&(n + 1).to_be_bytes());
        let from = format!("198.51.{}.{}:500", n / 250 % 250, n % 250 + 1);
        pump.inject(B, &from, 500, &octets);
    }
    // The connection names A's address alone: others have no proposal there.
    assert!(pump.sides[B].endpoint.is_idle());
    for n in 0..200u32 {
        let mut octets = first.clone();
        octets[..4].copy_from_slice(&(n + 1).to_be_bytes());
        pump.inject(B, "192.0.2.1:500", 500, &octets);
    }
    let half_open = pump.sides[B].endpoint.ike_sas(pump.now).len();
    assert_eq!(half_open, vpnhost_ike::limits::HALF_OPEN_PER_SOURCE_BEFORE_COOKIE);
    pump.run_for(Duration::from_secs(60));
    pump.assert_empty(B);
}

#[test]
fn random_octets_do_nothing() {
    let mut pump = connected();
    let mut random = Seeded(5);
    use vpnhost_crypto::SecureRandom;
    for length in 0..400 {
        let mut octets = vec![0; length];
        random.fill(&mut octets).unwrap();
        pump.inject(A, "192.0.2.2:500", 500, &octets);
        if length >= 28 {
            let sa = pump.ike_sa(B);
            octets[..8].copy_from_slice(&sa.spi_i.0);
            octets[8..16].copy_from_slice(&sa.spi_r.0);
            octets[16..20].copy_from_slice(&[46, 0x20, 37, 0x08]);
            octets[20..24].copy_from_slice(&2u32.to_be_bytes());
            octets[24..28].copy_from_slice(&(length as u32).to_be_bytes());
            pump.inject(B, "192.0.2.1:500", 500, &octets);
        }
    }
    pump.settle();
    pump.assert_connected(1);
}

/// `B` answers anybody who knows its secret; `A` is one of them.
fn open_house() -> Pump {
    let net = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let a = initiator("aes128gcm16-prfsha256-x25519", vec![net]);
    let mut b = responder(&a);
    b.gateways.clear();
    Pump::new(config(a), config(b))
}

/// Begins `count` IKE SAs at `B` in others' names, returning cookies where they are asked for.
fn crowd(pump: &mut Pump, count: u32) {
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::Initiate("b".into()));
    let first = pump.sides[A].sent.last().unwrap().octets.clone();
    pump.command(A, Command::Terminate("b".into()));
    for number in 0..count {
        let mut octets = first.clone();
        octets[..4].copy_from_slice(&(number + 1).to_be_bytes());
        let from = format!("198.{}.{}.1:500", 18 + number / 250, number % 250);
        let before = pump.sides[B].sent.len();
        pump.inject(B, &from, 500, &octets);
        let Some(answer) = pump.sides[B].sent.get(before) else { continue };
        let mut message = Message::decode(&octets).unwrap();
        if let Some(cookie) = Message::decode(&answer.octets).unwrap().notify(NotifyType::COOKIE) {
            message.payloads.insert(0, Payload::Notify(cookie.clone()));
            pump.inject(B, &from, 500, &message.encode().unwrap());
        }
    }
    pump.filter = Box::new(|_, _| true);
}

#[test]
fn while_there_is_a_crowd_half_open_ike_sas_are_kept_for_a_shorter_time_and_an_honest_peer_gets_in() {
    let mut pump = open_house();
    crowd(&mut pump, 200);
    let half_open = |pump: &Pump| pump.sides[B].endpoint.holdings().half_open;
    assert_eq!(half_open(&pump), 200);
    pump.run_for(vpnhost_ike::limits::HALF_OPEN_IN_A_CROWD + Duration::from_secs(1));
    assert!(half_open(&pump) <= 33, "only those that began before it was one: {}", half_open(&pump));
    crowd(&mut pump, 200);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
}

#[test]
fn a_crowd_buys_no_plugins_time() {
    let mut pump = open_house();
    pump.sides[B].endpoint.delegate([vpnhost_policy::QuestionKind::RankProposals].into_iter().collect());
    crowd(&mut pump, 200);
    let asked = pump.sides[B].questions.len();
    assert!(asked <= 33, "{asked} questions were put for strangers");
}

#[test]
fn who_guesses_secrets_is_let_in_seldom_and_others_are_not_hindered() {
    let net = child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24");
    let mut a = initiator("aes128gcm16-prfsha256-x25519", vec![net]);
    let b = responder(&a);
    a.secrets.default = Some(vpnhost_crypto::SecretBytes::new(b"a guess".to_vec()));
    let mut pump = Pump::new(config(a), config(b));
    pump.latency = Duration::from_millis(1);
    for _ in 0..200 {
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_millis(100));
    }
    let failed = |event: &&Event| {
        matches!(event, Event::IkeSaClosed { reason: CloseReason::AuthenticationFailed(_), .. })
    };
    let guesses = pump.sides[B].events.iter().filter(failed).count();
    let most = vpnhost_ike::limits::FAILURES_BEFORE_PAUSE as usize + 20 / 2 + 1;
    assert!((5..=most).contains(&guesses), "{guesses} guesses in 20 s");
}

#[test]
fn garbage_for_a_half_open_ike_sa_does_not_keep_the_true_peer_out() {
    let mut pump = pair();
    pump.filter = Box::new(|from, transmit| from == B || transmit.octets[18] == 34);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_millis(100));
    let auth = pump.sides[A].sent.iter().find(|sent| sent.octets[18] == 35).expect("IKE_AUTH").clone();
    let port = auth.path.remote.port();
    for at in 0..1000 {
        let mut garbage = auth.octets.clone();
        let last = garbage.len() - 1;
        garbage[28 + at % (last - 28)] ^= 0x55;
        pump.inject(B, "192.0.2.1:4500", port, &garbage);
    }
    assert_eq!(pump.sides[B].endpoint.holdings().half_open, 1, "garbage does not end it");
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(10));
    pump.assert_connected(1);
}
