//! What the octets of a message must look like, and what is refused.

mod arbitrary;
mod protection;

pub(crate) use arbitrary::payloads;
use proptest::prelude::*;
use vpnhost_model::{IkeSpi, Protocol, Transform, TransformType};

use super::payload::{
    Attribute, AttributeValue, Notify, NotifyType, OfferedTransform, Proposal, SecurityAssociation,
};
use super::*;

proptest! {
    #[test]
    fn a_message_comes_back_as_it_was_written(message in arbitrary::message()) {
        let octets = message.encode().unwrap();
        let decoded = Message::decode(&octets).unwrap();
        prop_assert_eq!(&decoded.payloads, &message.payloads);
        prop_assert_eq!(usize::try_from(decoded.header.length).unwrap(), octets.len());
        let header = Header { next_payload: decoded.header.next_payload, length: decoded.header.length, ..message.header };
        prop_assert_eq!(decoded.header, header);
        prop_assert_eq!(decoded.encode().unwrap(), octets);
    }

    #[test]
    fn a_truncated_message_is_refused_at_an_offset_inside(message in arbitrary::message(), at in any::<prop::sample::Index>()) {
        let mut octets = message.encode().unwrap();
        octets.truncate(at.index(octets.len()));
        // As received: the header's length no longer fits.
        prop_assert!(Message::decode(&octets).unwrap_err().offset <= octets.len());
        // As a hostile peer would send it: the header says what is there.
        fit_length(&mut octets);
        if let Err(error) = Message::decode(&octets) {
            prop_assert!(error.offset <= octets.len(), "{}", error);
        }
    }

    #[test]
    fn arbitrary_octets_decode_to_something_stable_or_to_an_offset_inside(
        first in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut octets = header_octets(first);
        octets.extend(body);
        fit_length(&mut octets);
        match Message::decode(&octets) {
            Ok(message) => {
                let again = message.encode().unwrap();
                prop_assert_eq!(Message::decode(&again).unwrap().payloads, message.payloads);
            }
            Err(error) => prop_assert!(error.offset <= octets.len()),
        }
    }
}

#[test]
fn a_security_association_looks_as_in_rfc_7296_3_3() {
    // The second proposal of the example in section 3.3: AES-GCM with an 8-octet ICV, 128 or 256 bits,
    // with and without extended sequence numbers; and IKE's shape of a fixed-length cipher before it.
    let transform = |kind, id, key_bits| OfferedTransform::from(Transform { kind, id, key_bits });
    let (encr, esn) = (TransformType::ENCRYPTION, TransformType::SEQUENCE);
    let payload = Payload::SecurityAssociation(SecurityAssociation {
        proposals: vec![
            Proposal {
                number: 1,
                protocol: Protocol::ESP,
                spi: vec![0x05, 0x23, 0x57, 0xbb],
                transforms: vec![transform(encr, 3, None)],
            },
            Proposal {
                number: 2,
                protocol: Protocol::ESP,
                spi: vec![0x35, 0xa1, 0xd6, 0xf2],
                transforms: vec![
                    transform(encr, 18, Some(128)),
                    transform(encr, 18, Some(256)),
                    transform(esn, 1, None),
                    transform(esn, 0, None),
                ],
            },
        ],
    });
    #[rustfmt::skip]
    let body = [
        0, 0, 0, 76, // next payload, critical and reserved, payload length
        2, 0, 0, 20, 1, 3, 4, 1, 0x05, 0x23, 0x57, 0xbb, // more proposals; number, ESP, SPI size, count; SPI
        0, 0, 0, 8, 1, 0, 0, 3, // last transform: ENCR, 3DES
        0, 0, 0, 52, 2, 3, 4, 4, 0x35, 0xa1, 0xd6, 0xf2,
        3, 0, 0, 12, 1, 0, 0, 18, 0x80, 14, 0, 128, // more transforms; Key Length in TV format
        3, 0, 0, 12, 1, 0, 0, 18, 0x80, 14, 1, 0,
        3, 0, 0, 8, 5, 0, 0, 1,
        0, 0, 0, 8, 5, 0, 0, 0,
    ];
    assert_written(payload, &body);
}

#[test]
fn payloads_look_as_their_diagrams() {
    assert_written(
        Payload::Notify(Notify::new(NotifyType::INVALID_KE_PAYLOAD, [0, 14])),
        &[0, 0, 0, 10, 0, 0, 0, 17, 0, 14],
    );
    let rekey = Notify::about_esp(NotifyType::REKEY_SA, vpnhost_model::ChildSpi(0x0102_0304));
    assert_written(Payload::Notify(rekey), &[0, 0, 0, 12, 3, 4, 0x40, 9, 1, 2, 3, 4]);
    assert_written(Payload::Delete(payload::Delete::ike()), &[0, 0, 0, 8, 1, 0, 0, 0]);
    assert_written(
        Payload::Delete(payload::Delete::esp(vec![vpnhost_model::ChildSpi(0xff)])),
        &[0, 0, 0, 12, 3, 4, 0, 1, 0, 0, 0, 0xff],
    );
    let any_v4 = vpnhost_model::TrafficSelector::any_v4();
    #[rustfmt::skip]
    assert_written(Payload::TsInitiator(vec![any_v4].into()), &[
        0, 0, 0, 24, 1, 0, 0, 0,
        7, 0, 0, 16, 0, 0, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255,
    ]);
}

#[test]
fn errors_name_the_payload_its_offset_and_the_lengths() {
    let mut octets = header_octets(40);
    octets.extend([0, 0, 0, 16]);
    octets.extend([9; 12]);
    fit_length(&mut octets);
    let error = Message::decode(&octets).unwrap_err();
    assert_eq!(error.to_string(), "nonce payload at octet 32: 12 octets, at least 16 expected");
    assert_eq!(
        refusal(41, &[0, 0, 0, 200]),
        "notify payload at octet 32: length field says 200 octets, 4 are there"
    );
    assert_eq!(
        refusal(41, &[0, 0, 0, 3, 0]),
        "notify payload at octet 32: length field says 3 octets, 5 are there"
    );
    assert_eq!(
        Message::decode(&[0; 27]).unwrap_err().to_string(),
        "message at octet 0: 27 octets, at least 28 expected"
    );
}

#[test]
fn an_unknown_payload_survives_unless_it_is_critical() {
    let kept = decode_body(200, &[0, 0, 0, 6, 1, 2]).unwrap();
    assert_eq!(
        kept.payloads,
        [Payload::Unknown(payload::Unknown { kind: PayloadType(200), data: vec![1, 2] })]
    );
    let error = decode_body(200, &[0, 0x80, 0, 6, 1, 2]).unwrap_err();
    assert_eq!((error.payload, error.kind), (PayloadType(200), DecodeErrorKind::UnknownCritical));
    // RFC 7296, 2.5: the critical bit of a known payload, and reserved bits, are ignored.
    assert!(decode_body(43, &[0, 0x80, 0, 5, 1]).is_ok() && decode_body(43, &[0, 0x7f, 0, 5, 1]).is_ok());
}

#[test]
fn another_major_version_is_told_apart() {
    let mut octets = header_octets(0);
    octets[17] = 0x30;
    assert_eq!(Message::decode(&octets).unwrap_err().kind, DecodeErrorKind::MajorVersion(3));
    assert_eq!(Header::decode(&octets).unwrap().version.major(), 3);
    octets[17] = 0x2f;
    assert!(Message::decode(&octets).is_ok(), "RFC 7296, 3.1: the minor version is ignored");
}

#[test]
fn a_transform_with_an_unknown_attribute_is_never_known() {
    let proposal = |attributes: &[u8]| {
        let length = 8 + attributes.len() as u8;
        let mut body =
            vec![0, 0, 0, 12 + length, 0, 0, 0, 8 + length, 1, 1, 0, 1, 0, 0, 0, length, 1, 0, 0, 12];
        body.extend(attributes);
        let message = decode_body(33, &body).unwrap();
        message.security_association().unwrap().proposals[0].transforms[0].clone()
    };
    assert_eq!(proposal(&[0x80, 14, 0, 128]).known().unwrap().key_bits, Some(128));
    assert_eq!(proposal(&[0x80, 14, 0, 128, 0x80, 15, 0, 1]).known(), None);
    assert_eq!(proposal(&[0x80, 14, 0, 128, 0x80, 14, 1, 0]).known(), None, "two key lengths");
    let long = proposal(&[0, 14, 0, 2, 0, 128]);
    assert_eq!(long.others, [Attribute { kind: 14, value: AttributeValue::Long(vec![0, 128]) }]);
    assert_eq!(long.known(), None, "RFC 7296, 3.3.5: Key Length is written in two octets");
}

#[test]
fn lengths_and_counts_that_disagree_are_refused() {
    let cases: [(u8, &[u8]); 12] = [
        // A proposal that announces two transforms and has one.
        (33, &[0, 0, 0, 20, 0, 0, 0, 16, 1, 1, 0, 2, 0, 0, 0, 8, 1, 0, 0, 3]),
        // A transform that says that more follow, and none does.
        (33, &[0, 0, 0, 20, 0, 0, 0, 16, 1, 1, 0, 1, 3, 0, 0, 8, 1, 0, 0, 3]),
        // An SA without a proposal.
        (33, &[0, 0, 0, 4]),
        // An SPI longer than its proposal.
        (33, &[0, 0, 0, 12, 0, 0, 0, 8, 1, 3, 4, 0]),
        // An ESP SPI of three octets in a Delete; an IKE Delete with an SPI; one SPI too few.
        (42, &[0, 0, 0, 11, 3, 3, 0, 1, 1, 2, 3]),
        (42, &[0, 0, 0, 16, 1, 8, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
        (42, &[0, 0, 0, 12, 3, 4, 0, 2, 1, 2, 3, 4]),
        // Two traffic selectors announced, one there.
        (44, &[0, 0, 0, 24, 2, 0, 0, 0, 7, 0, 0, 16, 0, 0, 255, 255, 1, 1, 1, 1, 2, 2, 2, 2]),
        // A range that runs backwards.
        (44, &[0, 0, 0, 24, 1, 0, 0, 0, 7, 0, 0, 16, 0, 0, 255, 255, 2, 2, 2, 2, 1, 1, 1, 1]),
        // An IPv4 address of three octets.
        (47, &[0, 0, 0, 15, 1, 0, 0, 0, 0, 1, 0, 3, 1, 2, 3]),
        // EAP success with data; an EAP length beyond the payload.
        (48, &[0, 0, 0, 9, 3, 1, 0, 5, 1]),
        (48, &[0, 0, 0, 9, 1, 1, 0, 6, 1]),
    ];
    for (kind, body) in cases {
        assert!(decode_body(kind, body).is_err(), "{kind}: {body:?}");
    }
}

#[test]
fn nothing_follows_and_nothing_is_left() {
    assert!(decode_body(46, &[40, 0, 0, 6, 1, 2, 0]).is_err(), "octets behind SK");
    assert!(decode_body(43, &[0, 0, 0, 4, 0]).is_err(), "octets behind the last payload");
    assert!(decode_body(0, &[0]).is_err(), "octets without a payload");
    assert!(decode_body(53, &[0, 0, 0, 8, 0, 0, 0, 1]).is_err(), "fragment number zero");
    assert!(decode_body(53, &[0, 0, 0, 8, 0, 3, 0, 2]).is_err(), "fragment three of two");
}

#[test]
fn the_number_of_payloads_is_bounded() {
    let chain = |count: usize| {
        let mut body = [43, 0, 0, 4].repeat(count - 1);
        body.extend([0, 0, 0, 4]);
        body
    };
    assert!(decode_body(43, &chain(limits::PAYLOADS)).is_ok());
    let error = decode_body(43, &chain(limits::PAYLOADS + 1)).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::TooMany { what: "payloads", most: limits::PAYLOADS });
}

#[test]
fn a_payload_that_does_not_fit_its_length_field_is_named() {
    let vendor = Payload::VendorId(payload::VendorId { data: vec![0; 65_532] });
    let error = Message { header: header(), payloads: vec![vendor] }.encode().unwrap_err();
    assert_eq!(error, EncodeError { payload: PayloadType::VENDOR_ID, found: 65_536, most: 65_535 });
}

#[test]
fn numbers_are_named_as_in_the_registry() {
    assert_eq!(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED.to_string(), "IKEV2_FRAGMENTATION_SUPPORTED");
    assert_eq!(NotifyType(40_000).to_string(), "NotifyType(40000)");
    assert!(NotifyType(16_383).is_error() && !NotifyType::INITIAL_CONTACT.is_error());
    assert_eq!(ExchangeType::IKE_AUTH.to_string(), "IKE_AUTH");
}

fn header() -> Header {
    Header::new((IkeSpi([1; 8]), IkeSpi([2; 8])), ExchangeType::INFORMATIONAL, Flags::default(), 7)
}

fn header_octets(first: u8) -> Vec<u8> {
    let mut octets = Message { header: header(), payloads: Vec::new() }.encode().unwrap();
    octets[16] = first;
    octets
}

/// Makes the length in the header that of the message, if there is a header.
fn fit_length(octets: &mut [u8]) {
    let length = u32::try_from(octets.len()).unwrap();
    if let Some(field) = octets.get_mut(24..28) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

fn decode_body(first: u8, body: &[u8]) -> Result<Message, DecodeError> {
    let mut octets = header_octets(first);
    octets.extend(body);
    fit_length(&mut octets);
    Message::decode(&octets)
}

fn refusal(first: u8, body: &[u8]) -> String {
    decode_body(first, body).unwrap_err().to_string()
}

fn assert_written(payload: Payload, body: &[u8]) {
    let message = Message { header: header(), payloads: vec![payload.clone()] };
    let octets = message.encode().unwrap();
    assert_eq!(octets[Header::LEN..], *body);
    assert_eq!(Message::decode(&octets).unwrap().payloads, [payload]);
}
