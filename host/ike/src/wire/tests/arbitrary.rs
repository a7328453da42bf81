//! Arbitrary messages: everything that this host could write.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use vpnhost_model::{
    ChildSpi, Identity, IkeSpi, KeyExchange as Method, Protocol, TrafficSelector, Transform, TransformType,
};

use crate::wire::payload::*;
use crate::wire::{ExchangeType, Flags, FragmentPosition, Header, Message, Version};

/// A message in clear; its header has the next payload and length that encoding will fill in.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    let closed = prop_oneof![3 => Just(None), 1 => encrypted().prop_map(Some)];
    (header(), vec(payload(), 0..8), closed).prop_map(|(header, mut payloads, closed)| {
        payloads.extend(closed);
        Message { header, payloads }
    })
}

pub(crate) fn payloads() -> impl Strategy<Value = Vec<Payload>> {
    vec(payload(), 0..8)
}

pub(crate) fn header() -> impl Strategy<Value = Header> {
    (any::<[u8; 8]>(), any::<[u8; 8]>(), 0..16u8, any::<u8>(), any::<[bool; 3]>(), any::<u32>()).prop_map(
        |(spi_i, spi_r, minor, exchange, [initiator, version, response], message_id)| Header {
            version: Version(0x20 | minor),
            ..Header::new(
                (IkeSpi(spi_i), IkeSpi(spi_r)),
                ExchangeType(exchange),
                Flags { initiator, version, response },
                message_id,
            )
        },
    )
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        vec(proposal(), 1..4)
            .prop_map(|p| Payload::SecurityAssociation(SecurityAssociation { proposals: p })),
        (any::<u16>(), octets(300))
            .prop_map(|(method, data)| Payload::KeyExchange(KeyExchange { method: Method(method), data })),
        identification().prop_map(Payload::IdInitiator),
        identification().prop_map(Payload::IdResponder),
        (any::<u8>(), octets(600)).prop_map(|(encoding, data)| {
            Payload::Certificate(Certificate { encoding: CertificateEncoding(encoding), data })
        }),
        (any::<u8>(), octets(60)).prop_map(|(encoding, authorities)| {
            let encoding = CertificateEncoding(encoding);
            Payload::CertificateRequest(CertificateRequest { encoding, authorities })
        }),
        (any::<u8>(), octets(64)).prop_map(|(method, data)| {
            Payload::Authentication(Authentication { method: AuthMethod(method), data })
        }),
        vec(any::<u8>(), 16..=256).prop_map(|data| Payload::Nonce(Nonce { data })),
        (any::<u8>(), octets(9), any::<u16>(), octets(80)).prop_map(|(protocol, spi, kind, data)| {
            let (protocol, kind) = (Protocol(protocol), NotifyType(kind));
            Payload::Notify(Notify { protocol, spi, kind, data })
        }),
        delete().prop_map(Payload::Delete),
        octets(40).prop_map(|data| Payload::VendorId(VendorId { data })),
        selectors().prop_map(Payload::TsInitiator),
        selectors().prop_map(Payload::TsResponder),
        configuration().prop_map(Payload::Configuration),
        eap().prop_map(Payload::Eap),
        (any::<u8>(), octets(40))
            .prop_map(|(kind, data)| (PayloadType(kind), data))
            .prop_filter("unknown and not the end", |(kind, _)| !kind.is_known() && kind.0 != 0)
            .prop_map(|(kind, data)| Payload::Unknown(Unknown { kind, data })),
    ]
}

fn encrypted() -> impl Strategy<Value = Payload> {
    prop_oneof![
        (any::<u8>(), octets(90))
            .prop_map(|(first, data)| { Payload::Encrypted(Encrypted { first: PayloadType(first), data }) }),
        (any::<u8>(), 1..=u16::MAX, any::<u16>(), octets(90)).prop_map(|(first, number, more, data)| {
            let position = FragmentPosition { number, total: number.saturating_add(more) };
            Payload::EncryptedFragment(EncryptedFragment { first: PayloadType(first), position, data })
        }),
    ]
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (any::<u8>(), any::<u8>(), octets(9), vec(transform(), 0..6)).prop_map(
        |(number, protocol, spi, transforms)| Proposal {
            number,
            protocol: Protocol(protocol),
            spi,
            transforms,
        },
    )
}

fn transform() -> impl Strategy<Value = OfferedTransform> {
    let other = (0..0x8000u16).prop_filter("not the known one", |&kind| kind != Attribute::KEY_LENGTH);
    let value =
        prop_oneof![any::<u16>().prop_map(AttributeValue::Short), octets(12).prop_map(AttributeValue::Long)];
    let other = (other, value).prop_map(|(kind, value)| Attribute { kind, value });
    (any::<u8>(), any::<u16>(), any::<Option<u16>>(), vec(other, 0..3)).prop_map(
        |(kind, id, key_bits, others)| OfferedTransform {
            transform: Transform { kind: TransformType(kind), id, key_bits },
            others,
        },
    )
}

fn identification() -> impl Strategy<Value = Identification> {
    (any::<u8>(), octets(30), any::<[u8; 3]>()).prop_map(|(kind, data, reserved)| Identification {
        identity: Identity::from_wire(kind, &data),
        reserved,
    })
}

fn delete() -> impl Strategy<Value = Delete> {
    prop_oneof![
        Just(Delete::ike()),
        (2..=3u8, vec(any::<u32>(), 0..5)).prop_map(|(protocol, spis)| Delete {
            protocol: Protocol(protocol),
            spis: spis.into_iter().map(ChildSpi).collect(),
        }),
    ]
}

fn selectors() -> impl Strategy<Value = TrafficSelectors> {
    let other = (9..=255u8, any::<u8>(), octets(12)).prop_map(|(kind, protocol, data)| UnknownSelector {
        kind,
        protocol,
        data,
    });
    (vec(selector(), 0..5), vec(other, 0..2))
        .prop_map(|(selectors, others)| TrafficSelectors { selectors, others })
}

fn selector() -> impl Strategy<Value = TrafficSelector> {
    let v4 = any::<[[u8; 4]; 2]>().prop_map(|pair| pair.map(IpAddr::from));
    let v6 = any::<[[u8; 16]; 2]>().prop_map(|pair| pair.map(IpAddr::from));
    let ports = prop_oneof![Just((u16::MAX, 0)), any::<(u16, u16)>().prop_map(|(a, b)| (a.min(b), a.max(b)))];
    (any::<u8>(), ports, prop_oneof![v4, v6]).prop_map(|(protocol, (start_port, end_port), [a, b])| {
        TrafficSelector { protocol, start_port, end_port, start: a.min(b), end: a.max(b) }
    })
}

fn configuration() -> impl Strategy<Value = Configuration> {
    use ConfigurationAttributeType as Type;
    let attribute = prop_oneof![
        (0..0x8000u16).prop_map(|kind| ConfigurationAttribute::empty(Type(kind))),
        any::<[u8; 4]>().prop_map(|a| ConfigurationAttribute::ipv4(Type::INTERNAL_IP4_ADDRESS, a.into())),
        (any::<[u8; 16]>(), any::<u8>()).prop_map(|(a, l)| ConfigurationAttribute::ipv6_prefix(
            Type::INTERNAL_IP6_ADDRESS,
            a.into(),
            l
        )),
        octets(30).prop_map(|value| ConfigurationAttribute { kind: Type::APPLICATION_VERSION, value }),
        (100..0x8000u16, octets(20))
            .prop_map(|(kind, value)| ConfigurationAttribute { kind: Type(kind), value }),
    ];
    (any::<u8>(), vec(attribute, 0..6))
        .prop_map(|(kind, attributes)| Configuration { kind: ConfigurationType(kind), attributes })
}

fn eap() -> impl Strategy<Value = Eap> {
    (any::<u8>(), any::<u8>(), octets(40)).prop_map(|(code, identifier, mut data)| {
        match code {
            Eap::REQUEST | Eap::RESPONSE => data.push(1),
            Eap::SUCCESS | Eap::FAILURE => data.clear(),
            _ => {}
        }
        Eap { code, identifier, data }
    })
}

fn octets(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}
