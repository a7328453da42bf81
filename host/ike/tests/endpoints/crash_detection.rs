//! Quick crash detection (RFC 6290): who is given a token, who says it, and what is believed.

use std::time::Duration;

use vpnhost_crypto::SecretBytes;
use vpnhost_ike::wire::payload::NotifyType;
use vpnhost_ike::wire::{Flags, Header, Message};
use vpnhost_ike::{CloseReason, Command, Event, IkeSaStatus, Transmit, limits};
use vpnhost_model::{IkeSpi, Protocol};

use crate::invalid::FROM_A;
use crate::pump::*;

const TOKEN: NotifyType = NotifyType::QUICK_CRASH_DETECTION;

/// Gives a side the secret that it finds again after a restart.
fn remember(pump: &mut Pump, side: usize) {
    let secret = SecretBytes::new(vec![[0xa1, 0xb2][side]; 32]);
    pump.sides[side].endpoint.use_crash_secret(secret);
}

/// Two connected hosts, of which some make tokens.
fn connected_with(makers: &[usize]) -> Pump {
    let mut pump = pair();
    makers.iter().for_each(|&side| remember(&mut pump, side));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    pump
}

/// A side loses all but its secret.
fn lose(pump: &mut Pump, side: usize) {
    pump.restart(side, 4711);
    remember(pump, side);
}

/// Has a side ask the other about its IKE SA.
fn ask(pump: &mut Pump, side: usize) {
    let id = pump.ike_sa(side).id;
    pump.command(side, Command::CheckLiveness(id));
}

/// Returns the tokens that a side said in clear.
fn tokens_of(pump: &Pump, side: usize) -> Vec<(Transmit, Message)> {
    let in_clear = |sent: &Transmit| Some((sent.clone(), Message::decode(&sent.octets).ok()?));
    let says = |(_, message): &(Transmit, Message)| message.notify(TOKEN).is_some();
    pump.sides[side].sent.iter().filter_map(in_clear).filter(says).collect()
}

/// Tells whether a side ended an IKE SA for a token, or began another that takes its place.
fn proved_lost(pump: &Pump, side: usize) -> bool {
    let inits = pump.sides[side].sent.iter().filter(|sent| sent.octets.len() > 28 && sent.octets[18] == 34);
    let begun: std::collections::BTreeSet<&[u8]> = inits.map(|sent| &sent.octets[..8]).collect();
    begun.len() > 1
        || pump
            .saw(side, |event| matches!(event, Event::IkeSaClosed { reason: CloseReason::PeerLostState, .. }))
}

/// Makes a protected request out of one that was sent: with other SPIs, or flags.
fn altered(octets: &[u8], (spi_i, spi_r): (IkeSpi, IkeSpi), flags: Flags) -> Vec<u8> {
    let old = Header::decode(octets).unwrap();
    let header = Header::new((spi_i, spi_r), old.exchange, flags, old.message_id);
    let mut altered = Message { header, payloads: Vec::new() }.encode().unwrap();
    // Next payload and length stay as they were.
    altered[16] = octets[16];
    altered[24..28].copy_from_slice(&octets[24..28]);
    altered.extend_from_slice(&octets[28..]);
    altered
}

/// Returns the last request that `A` sent under protection.
fn request_of_a(pump: &Pump) -> Vec<u8> {
    pump.sides[A].sent.last().unwrap().octets.clone()
}

fn spis(sa: &IkeSaStatus) -> (IkeSpi, IkeSpi) {
    (sa.spi_i, sa.spi_r)
}

/// `B` has lost its state, and `A`'s question is on the way; returns what `B` answered, which does not arrive.
fn answer_of_lost_b(pump: &mut Pump) -> Vec<u8> {
    lose(pump, B);
    pump.filter = Box::new(|from, _| from == A);
    ask(pump, A);
    pump.run_for(Duration::from_millis(100));
    let (answer, message) = tokens_of(pump, B).pop().expect("a token");
    assert!(message.notify(NotifyType::INVALID_IKE_SPI).is_some(), "for those who know no tokens");
    let token = message.notify(TOKEN).unwrap();
    // RFC 6290, 4.1.
    assert_eq!((token.kind.0, token.protocol, token.spi.len()), (16_419, Protocol::IKE, 0));
    assert!(limits::CRASH_TOKEN.contains(&token.data.len()));
    answer.octets
}

#[test]
fn who_is_told_to_go_down_stays_down_though_a_token_comes_meanwhile() {
    let mut pump = connected_with(&[B]);
    let answer = answer_of_lost_b(&mut pump);
    // The end waits behind the question that is not answered.
    pump.command(A, Command::Terminate("b".into()));
    pump.inject(A, "192.0.2.2:500", 500, &answer);
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(120));
    pump.assert_empty(A);
    pump.assert_empty(B);
}

#[test]
fn a_genuine_token_ends_the_ike_sa_and_another_begins_at_once() {
    let mut pump = connected_with(&[B]);
    let old = spis(&pump.ike_sa(A));
    lose(&mut pump, B);
    ask(&mut pump, A);
    // A question and its answer, IKE_SA_INIT, IKE_AUTH.
    pump.run_for(6 * pump.latency);
    assert!(proved_lost(&pump, A));
    pump.assert_connected(1);
    assert_ne!(spis(&pump.ike_sa(A)), old);
    let message = "the peer lost its state: its token proves it";
    assert_eq!(
        (CloseReason::PeerLostState.to_string().as_str(), CloseReason::PeerLostState.code()),
        (message, "peer-lost-state")
    );
}

#[test]
fn a_token_is_believed_wherever_it_comes_from() {
    let mut pump = connected_with(&[B]);
    let answer = answer_of_lost_b(&mut pump);
    pump.filter = Box::new(|_, _| true);
    pump.inject(A, "203.0.113.9:1234", 500, &answer);
    assert!(proved_lost(&pump, A));
}

#[test]
fn a_forged_token_changes_nothing() {
    let mut pump = connected_with(&[B]);
    let answer = answer_of_lost_b(&mut pump);
    let (old, sent) = (pump.ike_sa(A).id, pump.sides[A].sent.len());
    for at in answer.len() - limits::CRASH_TOKEN.start()..answer.len() {
        let mut forged = answer.clone();
        forged[at] ^= 1;
        pump.inject(A, "192.0.2.2:500", 500, &forged);
    }
    // One that is cut off is no token either.
    let message = Message::decode(&answer).unwrap();
    let mut cut = message.clone();
    for payload in &mut cut.payloads {
        if let vpnhost_ike::wire::Payload::Notify(notify) = payload {
            notify.data.truncate(31);
        }
    }
    pump.inject(A, "192.0.2.2:500", 500, &cut.encode().unwrap());
    assert_eq!((pump.ike_sa(A).id, pump.sides[A].sent.len()), (old, sent), "nobody is answered");
    assert!(!proved_lost(&pump, A));
    pump.inject(A, "192.0.2.2:500", 500, &answer);
    assert!(proved_lost(&pump, A), "the genuine one");
}

#[test]
fn of_several_tokens_four_are_looked_at() {
    for (before, is_believed) in [(3, true), (4, false)] {
        let mut pump = connected_with(&[B]);
        let answer = answer_of_lost_b(&mut pump);
        let mut message = Message::decode(&answer).unwrap();
        let genuine = message.payloads.pop().unwrap();
        let mut other = genuine.clone();
        if let vpnhost_ike::wire::Payload::Notify(notify) = &mut other {
            notify.data[0] ^= 1;
        }
        message.payloads.extend(std::iter::repeat_n(other, before));
        message.payloads.push(genuine);
        pump.inject(A, "192.0.2.2:500", 500, &message.encode().unwrap());
        assert_eq!(proved_lost(&pump, A), is_believed, "behind {before}");
    }
}

#[test]
fn a_token_is_for_one_pair_of_spis() {
    let mut pump = connected_with(&[B]);
    let answer = answer_of_lost_b(&mut pump);
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    // The next IKE SA, and the token of the last.
    let next = pump.ike_sa(A);
    let flags = Header::decode(&answer).unwrap().flags;
    pump.inject(A, "192.0.2.2:500", 500, &altered(&answer, spis(&next), flags));
    assert_eq!(pump.ike_sa(A).id, next.id);
    pump.assert_connected(1);
}

#[test]
fn the_token_of_an_ike_sa_that_is_here_is_never_said() {
    let mut pump = connected_with(&[A, B]);
    ask(&mut pump, A);
    pump.settle();
    let request = request_of_a(&pump);
    let (spi_i, spi_r) = spis(&pump.ike_sa(A));
    let stranger = IkeSpi([7; 8]);
    for pair in [(spi_i, spi_r), (spi_r, spi_i), (spi_i, stranger), (stranger, spi_r), (spi_r, stranger)] {
        for initiator in [true, false] {
            for to in [A, B] {
                let flags = Flags { initiator, ..FROM_A };
                pump.inject(to, "203.0.113.9:4500", 500, &altered(&request, pair, flags));
            }
        }
    }
    let told: Vec<_> = [A, B].iter().flat_map(|&side| tokens_of(&pump, side)).collect();
    let is_of_both = |message: &Message| {
        [message.header.spi_i, message.header.spi_r].iter().all(|spi| [spi_i, spi_r].contains(spi))
    };
    assert!(told.iter().all(|(_, message)| !is_of_both(message)), "{told:?}");
    pump.assert_connected(1);
}

#[test]
fn who_asks_in_clear_gets_no_token() {
    let mut pump = connected_with(&[B]);
    ask(&mut pump, A);
    pump.settle();
    let sealed = request_of_a(&pump);
    lose(&mut pump, B);
    let header = Header::decode(&sealed).unwrap();
    let clear = Message { header, payloads: Vec::new() }.encode().unwrap();
    let sent = pump.sides[B].sent.len();
    pump.inject(B, "192.0.2.1:500", 500, &clear);
    assert_eq!(pump.sides[B].sent.len(), sent + 1, "INVALID_IKE_SPI, as ever");
    assert_eq!(tokens_of(&pump, B).len(), 0);
    pump.inject(B, "192.0.2.1:500", 500, &sealed);
    assert_eq!(tokens_of(&pump, B).len(), 1);
}

#[test]
fn no_more_tokens_are_said_than_the_bound_allows_and_the_error_goes_on_alone() {
    let mut pump = connected_with(&[B]);
    ask(&mut pump, A);
    pump.settle();
    let sealed = request_of_a(&pump);
    lose(&mut pump, B);
    pump.run_for(Duration::from_secs(2));
    let (sent, most) = (pump.sides[B].sent.len(), usize::try_from(limits::CRASH_TOKENS_PER_SECOND).unwrap());
    for number in 0..4 * most as u64 {
        let strange = (IkeSpi((1 + number).to_be_bytes()), IkeSpi([9; 8]));
        pump.inject(B, "198.51.100.1:500", 500, &altered(&sealed, strange, FROM_A));
    }
    assert_eq!(tokens_of(&pump, B).len(), most);
    let answers = usize::try_from(limits::UNPROTECTED_ANSWERS_PER_SECOND).unwrap();
    assert_eq!(pump.sides[B].sent.len() - sent, answers);
    pump.run_for(Duration::from_secs(1));
    pump.inject(B, "198.51.100.1:500", 500, &sealed);
    assert_eq!(tokens_of(&pump, B).len(), most + 1);
}

#[test]
fn who_makes_no_tokens_takes_them_and_the_other_way_round() {
    // The initiator alone makes tokens: the responder hears of its loss, and waits for it to begin anew.
    let mut pump = connected_with(&[A]);
    lose(&mut pump, A);
    ask(&mut pump, B);
    pump.run_for(Duration::from_millis(100));
    assert!(proved_lost(&pump, B));
    pump.assert_empty(B);
    // The initiator's loss without a token is only a word.
    let mut pump = connected_with(&[B]);
    pump.restart(A, 4711);
    ask(&mut pump, B);
    pump.run_for(Duration::from_millis(100));
    assert!(!proved_lost(&pump, B));
    assert_eq!(pump.established(B).len(), 1);
}

#[test]
fn an_ike_sa_that_took_anothers_place_has_tokens_of_its_own() {
    for (rekeys, loses) in [(A, A), (A, B), (B, A), (B, B)] {
        let mut pump = connected_with(&[A, B]);
        let id = pump.ike_sa(rekeys).id;
        let old = spis(&pump.ike_sa(A));
        pump.command(rekeys, Command::RekeyIkeSa(id));
        pump.run_for(Duration::from_secs(5));
        pump.assert_connected(1);
        assert_ne!(spis(&pump.ike_sa(A)), old);
        lose(&mut pump, loses);
        ask(&mut pump, 1 - loses);
        pump.run_for(Duration::from_millis(100));
        assert!(proved_lost(&pump, 1 - loses), "{rekeys} rekeyed, {loses} lost its state");
    }
}

#[test]
fn an_operator_can_switch_both_off() {
    for off in [A, B] {
        let mut pump = pair();
        let mut config = pump.configs[off].clone();
        config.crash_detection = false;
        pump.configs[off] = config.clone();
        pump.command(off, Command::Configure(Box::new(config)));
        [A, B].iter().for_each(|&side| remember(&mut pump, side));
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_secs(5));
        lose(&mut pump, B);
        ask(&mut pump, A);
        pump.run_for(Duration::from_millis(100));
        assert!(!proved_lost(&pump, A));
        assert_eq!(tokens_of(&pump, B).len(), usize::from(off == A), "who is asked, and makes tokens");
    }
}
