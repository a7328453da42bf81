//! Invalid messages, before and after authentication (RFC 7296 §2.21): what is answered, what ends an IKE SA, and what
//! changes nothing. Both hosts draw by seed, so that a test knows the keys of an IKE SA that is not there yet.

use std::time::Duration;

use vpnhost_crypto::{PacketAlgorithm as _, PacketKey, PacketLayout, PacketMut};
use vpnhost_ike::wire::payload::{AuthMethod, Authentication, Identification, Notify, NotifyType, Unknown};
use vpnhost_ike::wire::{
    ExchangeType, Flags, Header, Message, Payload, PayloadType, open_message, seal_message,
};
use vpnhost_ike::{CloseReason, Command, Event, IkeSaFacts};
use vpnhost_model::IkeSpi;

use crate::pump::*;

pub(crate) const FROM_A: Flags = Flags { initiator: true, version: false, response: false };
const ANSWER_OF_B: Flags = Flags { initiator: false, version: false, response: true };

/// A type that no RFC names.
const STRANGE: PayloadType = PayloadType(200);

/// What only the two ends can say: messages under the keys of an IKE SA.
pub(crate) struct Insider {
    pub(crate) facts: IkeSaFacts,
}

/// Seals with the first payload's critical bit set.
struct Critical(Box<dyn PacketKey>);

impl PacketKey for Critical {
    fn layout(&self) -> PacketLayout {
        self.0.layout()
    }

    fn seal(&mut self, packets: &mut [PacketMut<'_>]) {
        let iv_len = self.layout().iv_len;
        for packet in packets.iter_mut() {
            packet.octets[packet.aad_len + iv_len + 1] |= 0x80;
        }
        self.0.seal(packets);
    }

    fn open(&mut self, packets: &mut [PacketMut<'_>]) {
        self.0.open(packets);
    }
}

impl Insider {
    /// Knows the IKE SA that these two hosts always make.
    pub(crate) fn of(pump: &Pump) -> Self {
        let facts = pump.sides[A].events.iter().find_map(|event| match event {
            Event::IkeSaEstablished(facts) => Some((**facts).clone()),
            _ => None,
        });
        Self { facts: facts.expect("an IKE SA") }
    }

    pub(crate) fn key(&self, initiator: bool) -> Box<dyn PacketKey> {
        let [ei, er, ai, ar] = &self.facts.keys;
        let (encryption, integrity) = if initiator { (ei, ai) } else { (er, ar) };
        let algorithm = vpnhost_rustcrypto::backend().find_packet(self.facts.suite.packet).unwrap();
        algorithm.key(encryption.expose(), integrity.expose()).unwrap()
    }

    fn seal(
        &self,
        exchange: ExchangeType,
        (flags, id): (Flags, u32),
        payloads: &[Payload],
        critical: bool,
    ) -> Vec<u8> {
        let header = Header::new((self.facts.spi_i, self.facts.spi_r), exchange, flags, id);
        let mut key = self.key(flags.initiator);
        if critical {
            key = Box::new(Critical(key));
        }
        let mut iv = |out: &mut [u8]| {
            out.fill(7);
            Ok(())
        };
        seal_message(&header, payloads, &mut *key, &mut iv).unwrap()
    }

    fn request(&self, exchange: ExchangeType, id: u32, payloads: &[Payload]) -> Vec<u8> {
        self.seal(exchange, (FROM_A, id), payloads, false)
    }

    /// Reads what a side sent.
    fn open(&self, octets: &[u8]) -> Message {
        let initiator = octets[19] & 0x08 != 0;
        open_message(&mut octets.to_vec(), &mut *self.key(initiator)).unwrap().message().unwrap()
    }
}

/// A payload whose content does not hold what its type says.
fn broken(kind: PayloadType) -> Payload {
    Payload::Unknown(Unknown { kind, data: vec![1, 2, 3] })
}

fn strange() -> Payload {
    Payload::Unknown(Unknown { kind: STRANGE, data: vec![1, 2, 3] })
}

fn notify(kind: NotifyType) -> Payload {
    Payload::Notify(Notify::new(kind, vec![]))
}

fn last(pump: &Pump, side: usize) -> Vec<u8> {
    pump.sides[side].sent.last().expect("something was sent").octets.clone()
}

/// Returns why the IKE SAs of a side ended.
fn ends(pump: &Pump, side: usize) -> Vec<&'static str> {
    let ended = pump.sides[side].events.iter().filter_map(|event| match event {
        Event::IkeSaClosed { reason, .. } => Some(reason.code()),
        _ => None,
    });
    ended.collect()
}

/// Two hosts amid IKE_AUTH: the responder has answered IKE_SA_INIT, and the request that follows has not arrived.
pub(crate) fn half_open() -> (Pump, Insider, u16) {
    let insider = Insider::of(&connected());
    let mut pump = pair();
    pump.filter = Box::new(|from, transmit| from == B || transmit.octets[18] == 34);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_millis(100));
    let request = pump.sides[A].sent.last().unwrap();
    assert_eq!(request.octets[..8], insider.facts.spi_i.0, "the same seed, the same IKE SA");
    assert_eq!(request.octets[8..16], insider.facts.spi_r.0);
    assert_eq!(pump.sides[B].endpoint.holdings().half_open, 1);
    let port = request.path.remote.port();
    (pump, insider, port)
}

// ---- 2.21.1: IKE_SA_INIT ---------------------------------------------------------------------------------------------

#[test]
fn a_malformed_ike_sa_init_is_not_answered_and_leaves_nothing() {
    let mut pump = pair();
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::Initiate("b".into()));
    let first = last(&pump, A);
    let message = Message::decode(&first).unwrap();
    for lacking in 0..3 {
        let mut without = message.clone();
        without.payloads.remove(lacking);
        pump.inject(B, "192.0.2.1:500", 500, &without.encode().unwrap());
    }
    for length in (28..first.len()).chain([first.len() + 4]) {
        let mut cut = first.clone();
        cut.resize(length, 0);
        cut[24..28].copy_from_slice(&(length as u32).to_be_bytes());
        pump.inject(B, "192.0.2.1:500", 500, &cut);
    }
    assert!(pump.sides[B].sent.is_empty(), "{:?}", pump.sides[B].sent);
    assert_eq!(pump.sides[B].endpoint.holdings(), vpnhost_ike::Holdings::default());
    pump.inject(B, "192.0.2.1:500", 500, &first);
    assert_eq!(pump.sides[B].sent.len(), 1, "the whole one is answered");
}

#[test]
fn an_unknown_critical_payload_in_ike_sa_init_is_named_in_clear_and_nothing_is_kept() {
    let mut pump = pair();
    pump.filter = Box::new(|_, _| false);
    pump.command(A, Command::Initiate("b".into()));
    let mut message = Message::decode(&last(&pump, A)).unwrap();
    message.payloads.push(strange());
    let mut octets = message.encode().unwrap();
    let at = octets.len() - 7;
    octets[at + 1] |= 0x80;
    pump.inject(B, "192.0.2.1:500", 500, &octets);
    let answer = Message::decode(&last(&pump, B)).unwrap();
    let named = answer.notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD).expect("it is named");
    assert_eq!(named.data, [STRANGE.0]);
    assert_eq!(pump.sides[B].endpoint.holdings(), vpnhost_ike::Holdings::default());
    octets[at + 1] = 0;
    pump.inject(B, "192.0.2.1:500", 500, &octets);
    assert_eq!(pump.sides[B].endpoint.holdings().half_open, 1, "one that is not critical is passed over");
}

#[test]
fn a_malformed_answer_to_ike_sa_init_is_passed_over_and_the_true_one_counts() {
    let mut pump = pair();
    pump.command(A, Command::Initiate("b".into()));
    let first = last(&pump, A);
    let spis = (IkeSpi(first[..8].try_into().unwrap()), IkeSpi([9; 8]));
    let header = Header::new(spis, ExchangeType::IKE_SA_INIT, ANSWER_OF_B, 0);
    for payloads in [
        vec![],
        vec![broken(PayloadType::SECURITY_ASSOCIATION)],
        vec![broken(PayloadType::NONCE), broken(PayloadType::KEY_EXCHANGE)],
    ] {
        let forged = Message { header, payloads }.encode().unwrap();
        pump.inject(A, "192.0.2.2:500", 500, &forged);
    }
    pump.settle();
    pump.assert_connected(1);
}

// ---- 2.21.2: IKE_AUTH ------------------------------------------------------------------------------------------------

#[test]
fn a_malformed_ike_auth_is_told_invalid_syntax_and_the_ike_sa_ends() {
    let broken_id = [broken(PayloadType::ID_INITIATOR), broken(PayloadType::AUTHENTICATION)];
    let without_any = [notify(NotifyType::INITIAL_CONTACT)];
    for payloads in [&broken_id[..], &without_any] {
        let (mut pump, insider, port) = half_open();
        let request = insider.request(ExchangeType::IKE_AUTH, 1, payloads);
        pump.inject(B, "192.0.2.1:4500", port, &request);
        assert!(insider.open(&last(&pump, B)).notify(NotifyType::INVALID_SYNTAX).is_some());
        assert_eq!(ends(&pump, B), ["malformed"]);
        assert_eq!(pump.sides[B].endpoint.holdings().half_open, 0);
        // The initiator's own request is the same Message ID: it finds the answer, and gives up with the cause.
        pump.filter = Box::new(|_, _| true);
        pump.run_for(Duration::from_secs(5));
        assert_eq!(ends(&pump, A), ["invalid-syntax"]);
        pump.run_for(Duration::from_secs(20));
        pump.assert_empty(B);
    }
}

#[test]
fn an_unknown_critical_payload_in_ike_auth_is_named_under_protection_and_the_ike_sa_ends() {
    let (mut pump, insider, port) = half_open();
    let request = insider.seal(ExchangeType::IKE_AUTH, (FROM_A, 1), &[strange()], true);
    pump.inject(B, "192.0.2.1:4500", port, &request);
    let answer = insider.open(&last(&pump, B));
    let named = answer.notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD).expect("it is named");
    assert_eq!(named.data, [STRANGE.0]);
    assert_eq!(ends(&pump, B), ["malformed"]);
    assert!(pump.established(B).is_empty());
}

#[test]
fn before_authentication_nothing_but_ike_auth_is_read() {
    let (mut pump, insider, port) = half_open();
    let sent = pump.sides[B].sent.len();
    for exchange in [ExchangeType::INFORMATIONAL, ExchangeType::CREATE_CHILD_SA, ExchangeType(99)] {
        for payloads in [vec![], vec![notify(NotifyType::AUTHENTICATION_FAILED)]] {
            pump.inject(B, "192.0.2.1:4500", port, &insider.request(exchange, 1, &payloads));
        }
    }
    assert_eq!((pump.sides[B].sent.len(), ends(&pump, B).len()), (sent, 0));
    pump.filter = Box::new(|_, _| true);
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
}

// ---- 2.21.3: after authentication ------------------------------------------------------------------------------------

#[test]
fn a_malformed_request_after_authentication_ends_the_ike_sa_on_both_sides_with_a_reason() {
    let cases = [
        (ExchangeType::INFORMATIONAL, vec![broken(PayloadType::DELETE)]),
        (ExchangeType::CREATE_CHILD_SA, vec![broken(PayloadType::SECURITY_ASSOCIATION)]),
        (ExchangeType::CREATE_CHILD_SA, vec![notify(NotifyType::REKEY_SA)]),
    ];
    for (exchange, payloads) in cases {
        let mut pump = connected();
        let insider = Insider::of(&pump);
        // The peer has a request under way with that Message ID; the malformed one stands for it.
        pump.filter = Box::new(|from, _| from == B);
        let sa = pump.ike_sa(A).id;
        pump.command(A, Command::CheckLiveness(sa));
        pump.inject(B, "192.0.2.1:500", 500, &insider.request(exchange, 2, &payloads));
        assert!(insider.open(&last(&pump, B)).notify(NotifyType::INVALID_SYNTAX).is_some(), "{exchange}");
        assert_eq!(ends(&pump, B), ["malformed"]);
        pump.settle();
        let codes = ends(&pump, A);
        assert_eq!(codes, ["invalid-syntax"], "{exchange}");
        assert!(pump.sides[B].installed.is_empty(), "no Child SA outlives it");
    }
}

#[test]
fn an_unknown_critical_payload_after_authentication_is_named_and_the_ike_sa_stays() {
    let mut pump = connected();
    let insider = Insider::of(&pump);
    for exchange in [ExchangeType::INFORMATIONAL, ExchangeType::CREATE_CHILD_SA] {
        let id = if exchange == ExchangeType::INFORMATIONAL { 2 } else { 3 };
        pump.inject(
            B,
            "192.0.2.1:500",
            500,
            &insider.seal(exchange, (FROM_A, id), &[strange(), notify(NotifyType::REKEY_SA)], true),
        );
        let answer = insider.open(&last(&pump, B));
        let named = answer.notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD).expect("it is named");
        assert_eq!((named.data.as_slice(), answer.header.message_id), (&[STRANGE.0][..], id));
    }
    pump.assert_connected(1);
    assert!(ends(&pump, B).is_empty());
}

#[test]
fn who_cannot_read_an_answer_ends_the_ike_sa_and_says_so() {
    for (payloads, critical) in [(vec![broken(PayloadType::DELETE)], false), (vec![strange()], true)] {
        let mut pump = connected();
        let insider = Insider::of(&pump);
        pump.filter = Box::new(|from, _| from == B);
        let sa = pump.ike_sa(A).id;
        pump.command(A, Command::CheckLiveness(sa));
        pump.filter = Box::new(|_, _| true);
        let answer = insider.seal(ExchangeType::INFORMATIONAL, (ANSWER_OF_B, 2), &payloads, critical);
        pump.inject(A, "192.0.2.2:500", 500, &answer);
        let goodbye = insider.open(&last(&pump, A));
        assert_eq!((goodbye.header.message_id, goodbye.count(PayloadType::DELETE)), (3, 1));
        assert!(!goodbye.header.flags.response);
        // For the peer the request that it has not seen is missing: it answers once that arrives.
        let check = pump.sides[A].sent.iter().rev().nth(1).unwrap().clone();
        pump.deliver(A, &check);
        pump.run_for(Duration::from_secs(10));
        assert_eq!(ends(&pump, A), ["malformed"]);
        assert_eq!(ends(&pump, B), ["deleted-by-peer"]);
    }
}

#[test]
fn invalid_message_id_is_never_acted_on_and_never_sent() {
    let mut pump = connected();
    let insider = Insider::of(&pump);
    let before = pump.ike_sa(B).children;
    let told = Payload::Notify(Notify::new(NotifyType::INVALID_MESSAGE_ID, vec![0, 0, 0, 9]));
    // RFC 7296, 3.10.1: it comes as a request, which gets an empty answer.
    pump.inject(
        B,
        "192.0.2.1:500",
        500,
        &insider.request(ExchangeType::INFORMATIONAL, 2, std::slice::from_ref(&told)),
    );
    let answer = insider.open(&last(&pump, B));
    assert!(answer.payloads.is_empty() && answer.header.message_id == 2);
    let sent = pump.sides[B].sent.len();
    // RFC 7296, 2.3: what is outside the window is not answered.
    for id in [0, 1, 4, 5, 1000, u32::MAX] {
        pump.inject(B, "192.0.2.1:500", 500, &insider.request(ExchangeType::INFORMATIONAL, id, &[]));
        let response =
            insider.seal(ExchangeType::INFORMATIONAL, (ANSWER_OF_B, id), std::slice::from_ref(&told), false);
        pump.inject(A, "192.0.2.2:500", 500, &response);
    }
    assert_eq!(pump.sides[B].sent.len(), sent);
    assert_eq!(pump.ike_sa(B).children, before);
    pump.settle();
    pump.assert_connected(1);
}

// ---- 2.21.4: outside an IKE SA ---------------------------------------------------------------------------------------

/// Every Notify that would do harm if somebody believed it in clear.
const HARMFUL: [NotifyType; 12] = [
    NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD,
    NotifyType::INVALID_IKE_SPI,
    NotifyType::INVALID_MAJOR_VERSION,
    NotifyType::INVALID_SYNTAX,
    NotifyType::INVALID_MESSAGE_ID,
    NotifyType::INVALID_SPI,
    NotifyType::NO_PROPOSAL_CHOSEN,
    NotifyType::AUTHENTICATION_FAILED,
    NotifyType::TEMPORARY_FAILURE,
    NotifyType::CHILD_SA_NOT_FOUND,
    NotifyType::INITIAL_CONTACT,
    NotifyType::COOKIE,
];

fn in_clear(insider: &Insider, exchange: ExchangeType, flags: Flags, id: u32, kind: NotifyType) -> Vec<u8> {
    let header = Header::new((insider.facts.spi_i, insider.facts.spi_r), exchange, flags, id);
    Message { header, payloads: vec![notify(kind)] }.encode().unwrap()
}

#[test]
fn no_notify_in_clear_changes_an_ike_sa_in_any_state() {
    let exchanges = [
        ExchangeType::IKE_SA_INIT,
        ExchangeType::IKE_AUTH,
        ExchangeType::CREATE_CHILD_SA,
        ExchangeType::INFORMATIONAL,
    ];
    for is_up in [false, true] {
        let (mut pump, insider, port) = if is_up {
            let pump = connected();
            let insider = Insider::of(&pump);
            (pump, insider, 500)
        } else {
            half_open()
        };
        for (exchange, kind) in exchanges.iter().flat_map(|&exchange| HARMFUL.map(|kind| (exchange, kind))) {
            for id in 0..4 {
                for flags in [FROM_A, Flags { response: true, ..FROM_A }] {
                    pump.inject(B, "192.0.2.1:500", port, &in_clear(&insider, exchange, flags, id, kind));
                }
                for flags in [ANSWER_OF_B, Flags { response: false, ..ANSWER_OF_B }] {
                    let forged = in_clear(&insider, exchange, flags, id, kind);
                    pump.inject(A, &format!("192.0.2.2:{port}"), port, &forged);
                }
            }
        }
        pump.filter = Box::new(|_, _| true);
        pump.run_for(Duration::from_secs(100));
        pump.assert_connected(1);
        assert!(ends(&pump, A).is_empty() && ends(&pump, B).is_empty());
    }
}

#[test]
fn what_belongs_to_no_ike_sa_is_answered_in_clear_once_and_an_answer_never() {
    let mut pump = pair();
    let spis = (IkeSpi([7; 8]), IkeSpi([8; 8]));
    let ask = |exchange, flags| {
        Message { header: Header::new(spis, exchange, flags, 5), payloads: vec![] }.encode().unwrap()
    };
    for exchange in [ExchangeType::IKE_AUTH, ExchangeType::CREATE_CHILD_SA, ExchangeType::INFORMATIONAL] {
        let sent = pump.sides[B].sent.len();
        pump.inject(B, "198.51.100.9:500", 500, &ask(exchange, FROM_A));
        let answer = Message::decode(&last(&pump, B)).unwrap();
        assert!(answer.notify(NotifyType::INVALID_IKE_SPI).is_some());
        let Header { spi_i, spi_r, exchange: same, message_id, flags, .. } = answer.header;
        assert_eq!(((spi_i, spi_r), same, message_id), (spis, exchange, 5), "the request's own");
        assert!(flags.response && !flags.initiator);
        // Two hosts that know nothing of each other do not play ball.
        let octets = last(&pump, B);
        pump.inject(A, "192.0.2.2:500", 500, &octets);
        pump.inject(B, "198.51.100.9:500", 500, &octets);
        assert_eq!((pump.sides[A].sent.len(), pump.sides[B].sent.len()), (0, sent + 1));
    }
    let nothing = vpnhost_ike::Holdings::default();
    assert_eq!(pump.sides.each_ref().map(|side| side.endpoint.holdings()), [nothing; 2]);
}

#[test]
fn a_malformed_message_has_a_sentence_that_names_the_payload() {
    let (mut pump, insider, port) = half_open();
    let request = insider.request(ExchangeType::IKE_AUTH, 1, &[broken(PayloadType::ID_INITIATOR)]);
    pump.inject(B, "192.0.2.1:4500", port, &request);
    let reason = pump.sides[B].events.iter().find_map(|event| match event {
        Event::IkeSaClosed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let Some(CloseReason::Protocol(what)) = reason else { panic!("{reason:?}") };
    assert!(what.contains("IDi") || what.to_lowercase().contains("id"), "{what}");
    assert!(what.contains("octet"), "{what}");
}

#[test]
fn a_responder_that_says_it_is_another_is_told_with_both_names() {
    let (mut pump, insider, port) = half_open();
    let says = Payload::IdResponder(Identification::new(id("mallory.lab")));
    let proof = Payload::Authentication(Authentication { method: AuthMethod::SHARED_KEY, data: vec![0; 32] });
    let answer = insider.seal(ExchangeType::IKE_AUTH, (ANSWER_OF_B, 1), &[says, proof], false);
    pump.inject(A, &format!("192.0.2.2:{port}"), port, &answer);
    let goodbye = insider.open(&last(&pump, A));
    assert!(goodbye.notify(NotifyType::AUTHENTICATION_FAILED).is_some());
    pump.run_for(Duration::from_secs(20));
    let reason = pump.sides[A].events.iter().find_map(|event| match event {
        Event::IkeSaClosed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let reason = reason.expect("an end");
    assert_eq!(reason.code(), "unexpected-identity");
    assert_eq!(
        reason.in_full(),
        "authentication failed: the peer is another than the connection asks for (peer.id): \
         it says it is mallory.lab, we asked for b.lab"
    );
}
