//! The payloads (RFC 7296 §3.2 to §3.16): their types, and the chain that they form.

pub mod auth;
pub mod cert;
pub mod certreq;
pub mod cp;
pub mod delete;
pub mod eap;
pub mod id;
pub mod ke;
pub mod nonce;
pub mod notify;
pub mod sa;
pub mod sk;
pub mod skf;
pub mod ts;
pub mod unknown;
pub mod vendor;

use std::fmt;

pub use auth::{AuthMethod, Authentication};
pub use cert::{Certificate, CertificateEncoding};
pub use certreq::CertificateRequest;
pub use cp::{Configuration, ConfigurationAttribute, ConfigurationAttributeType, ConfigurationType};
pub use delete::Delete;
pub use eap::Eap;
pub use id::Identification;
pub use ke::KeyExchange;
pub use nonce::Nonce;
pub use notify::{Notify, NotifyType};
pub use sa::{Attribute, AttributeValue, OfferedTransform, Proposal, SecurityAssociation};
pub use sk::Encrypted;
pub use skf::EncryptedFragment;
pub use ts::{TrafficSelectors, UnknownSelector};
pub use unknown::Unknown;
pub use vendor::VendorId;

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, limits};

/// One payload of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// SA.
    SecurityAssociation(SecurityAssociation),
    /// KE.
    KeyExchange(KeyExchange),
    /// IDi.
    IdInitiator(Identification),
    /// IDr.
    IdResponder(Identification),
    /// CERT.
    Certificate(Certificate),
    /// CERTREQ.
    CertificateRequest(CertificateRequest),
    /// AUTH.
    Authentication(Authentication),
    /// Ni or Nr.
    Nonce(Nonce),
    /// N.
    Notify(Notify),
    /// D.
    Delete(Delete),
    /// V.
    VendorId(VendorId),
    /// TSi.
    TsInitiator(TrafficSelectors),
    /// TSr.
    TsResponder(TrafficSelectors),
    /// SK, closed.
    Encrypted(Encrypted),
    /// CP.
    Configuration(Configuration),
    /// EAP.
    Eap(Eap),
    /// SKF, closed.
    EncryptedFragment(EncryptedFragment),
    /// A type that this host does not know, not critical.
    Unknown(Unknown),
}

impl Payload {
    /// Returns its type.
    pub fn payload_type(&self) -> PayloadType {
        match self {
            Self::SecurityAssociation(_) => PayloadType::SECURITY_ASSOCIATION,
            Self::KeyExchange(_) => PayloadType::KEY_EXCHANGE,
            Self::IdInitiator(_) => PayloadType::ID_INITIATOR,
            Self::IdResponder(_) => PayloadType::ID_RESPONDER,
            Self::Certificate(_) => PayloadType::CERTIFICATE,
            Self::CertificateRequest(_) => PayloadType::CERTIFICATE_REQUEST,
            Self::Authentication(_) => PayloadType::AUTHENTICATION,
            Self::Nonce(_) => PayloadType::NONCE,
            Self::Notify(_) => PayloadType::NOTIFY,
            Self::Delete(_) => PayloadType::DELETE,
            Self::VendorId(_) => PayloadType::VENDOR_ID,
            Self::TsInitiator(_) => PayloadType::TS_INITIATOR,
            Self::TsResponder(_) => PayloadType::TS_RESPONDER,
            Self::Encrypted(_) => PayloadType::ENCRYPTED,
            Self::Configuration(_) => PayloadType::CONFIGURATION,
            Self::Eap(_) => PayloadType::EAP,
            Self::EncryptedFragment(_) => PayloadType::ENCRYPTED_FRAGMENT,
            Self::Unknown(unknown) => unknown.kind,
        }
    }

    fn decode(generic: &GenericHeader, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match generic.kind {
            PayloadType::SECURITY_ASSOCIATION => {
                Self::SecurityAssociation(SecurityAssociation::decode(body)?)
            }
            PayloadType::KEY_EXCHANGE => Self::KeyExchange(KeyExchange::decode(body)?),
            PayloadType::ID_INITIATOR => Self::IdInitiator(Identification::decode(body)?),
            PayloadType::ID_RESPONDER => Self::IdResponder(Identification::decode(body)?),
            PayloadType::CERTIFICATE => Self::Certificate(Certificate::decode(body)?),
            PayloadType::CERTIFICATE_REQUEST => Self::CertificateRequest(CertificateRequest::decode(body)?),
            PayloadType::AUTHENTICATION => Self::Authentication(Authentication::decode(body)?),
            PayloadType::NONCE => Self::Nonce(Nonce::decode(body)?),
            PayloadType::NOTIFY => Self::Notify(Notify::decode(body)?),
            PayloadType::DELETE => Self::Delete(Delete::decode(body)?),
            PayloadType::VENDOR_ID => Self::VendorId(VendorId::decode(body)),
            PayloadType::TS_INITIATOR => Self::TsInitiator(TrafficSelectors::decode(body)?),
            PayloadType::TS_RESPONDER => Self::TsResponder(TrafficSelectors::decode(body)?),
            PayloadType::ENCRYPTED => Self::Encrypted(Encrypted::decode(generic.next, body)),
            PayloadType::CONFIGURATION => Self::Configuration(Configuration::decode(body)?),
            PayloadType::EAP => Self::Eap(Eap::decode(body)?),
            PayloadType::ENCRYPTED_FRAGMENT => {
                Self::EncryptedFragment(EncryptedFragment::decode(generic.next, body)?)
            }
            kind => Self::Unknown(Unknown::decode(kind, body)),
        })
    }

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::SecurityAssociation(payload) => payload.encode(writer),
            Self::KeyExchange(payload) => payload.encode(writer),
            Self::IdInitiator(payload) | Self::IdResponder(payload) => payload.encode(writer),
            Self::Certificate(payload) => payload.encode(writer),
            Self::CertificateRequest(payload) => payload.encode(writer),
            Self::Authentication(payload) => payload.encode(writer),
            Self::Nonce(payload) => payload.encode(writer),
            Self::Notify(payload) => payload.encode(writer),
            Self::Delete(payload) => payload.encode(writer),
            Self::VendorId(payload) => payload.encode(writer),
            Self::TsInitiator(payload) | Self::TsResponder(payload) => payload.encode(writer),
            Self::Encrypted(payload) => payload.encode(writer),
            Self::Configuration(payload) => payload.encode(writer),
            Self::Eap(payload) => payload.encode(writer),
            Self::EncryptedFragment(payload) => payload.encode(writer),
            Self::Unknown(payload) => payload.encode(writer),
        }
    }

    /// Returns what the generic header of this payload says comes next: for a closed payload, the
    /// first within.
    fn next(&self, following: PayloadType) -> PayloadType {
        match self {
            Self::Encrypted(payload) => payload.first,
            Self::EncryptedFragment(payload) => payload.first,
            Self::SecurityAssociation(_)
            | Self::KeyExchange(_)
            | Self::IdInitiator(_)
            | Self::IdResponder(_)
            | Self::Certificate(_)
            | Self::CertificateRequest(_)
            | Self::Authentication(_)
            | Self::Nonce(_)
            | Self::Notify(_)
            | Self::Delete(_)
            | Self::VendorId(_)
            | Self::TsInitiator(_)
            | Self::TsResponder(_)
            | Self::Configuration(_)
            | Self::Eap(_)
            | Self::Unknown(_) => following,
        }
    }
}

/// The generic header of a payload (RFC 7296 §3.2), and the payload's type, which the one before told.
#[derive(Clone, Copy)]
pub(crate) struct GenericHeader {
    pub(crate) kind: PayloadType,
    pub(crate) next: PayloadType,
    pub(crate) critical: bool,
}

impl GenericHeader {
    pub(crate) const LEN: usize = 4;
    const CRITICAL: u8 = 0x80;

    /// Reads a generic header and takes the body that it announces.
    pub(crate) fn decode<'a>(
        kind: PayloadType,
        reader: &mut Reader<'a>,
    ) -> Result<(Self, Reader<'a>), DecodeError> {
        reader.set_payload(kind);
        let found = reader.remaining();
        if found < Self::LEN {
            return Err(reader.error(DecodeErrorKind::TooShort { found, least: Self::LEN }));
        }
        let next = PayloadType(reader.u8()?);
        let critical = reader.u8()? & Self::CRITICAL != 0;
        let length = reader.u16()?;
        let body = reader.counted_part(length, Self::LEN)?;
        Ok((Self { kind, next, critical }, body))
    }

    /// Refuses an unknown payload that its sender calls critical. The bit of a known payload is
    /// ignored (RFC 7296 §2.5, §3.2).
    pub(crate) fn check_critical(&self, offset: usize) -> Result<(), DecodeError> {
        if self.critical && !self.kind.is_known() {
            return Err(DecodeError { offset, payload: self.kind, kind: DecodeErrorKind::UnknownCritical });
        }
        Ok(())
    }
}

/// Reads the payloads of a message, `first` and what follows it to the end of `octets`, which stand at
/// `offset` of the message.
pub(crate) fn decode_chain(
    first: PayloadType,
    octets: &[u8],
    offset: usize,
) -> Result<Vec<Payload>, DecodeError> {
    let mut reader = Reader::new(octets, offset, PayloadType::NONE);
    let mut payloads = Vec::new();
    let mut kind = first;
    while kind != PayloadType::NONE {
        reader.check_room(payloads.len(), limits::PAYLOADS, "payloads")?;
        let at = reader.offset();
        let (generic, mut body) = GenericHeader::decode(kind, &mut reader)?;
        generic.check_critical(at)?;
        payloads.push(Payload::decode(&generic, &mut body)?);
        body.finish()?;
        // RFC 7296, 3.1: the Encrypted payload is the last; its next payload is the first within.
        kind = if kind.is_encrypted() { PayloadType::NONE } else { generic.next };
    }
    reader.finish()?;
    Ok(payloads)
}

/// Reads the payloads within an Encrypted payload, where no further one may stand (RFC 7296 §3.1).
pub(crate) fn decode_inner_chain(
    first: PayloadType,
    octets: &[u8],
    offset: usize,
) -> Result<Vec<Payload>, DecodeError> {
    let payloads = decode_chain(first, octets, offset)?;
    match payloads.last().map(Payload::payload_type) {
        Some(payload) if payload.is_encrypted() => {
            Err(DecodeError { offset, payload, kind: DecodeErrorKind::Nested })
        }
        Some(_) | None => Ok(payloads),
    }
}

/// Writes payloads with their generic headers.
pub(crate) fn encode_chain(payloads: &[Payload], writer: &mut Writer) {
    for (index, payload) in payloads.iter().enumerate() {
        let following = payloads.get(index + 1).map_or(PayloadType::NONE, Payload::payload_type);
        writer.set_payload(payload.payload_type());
        let start = writer.len();
        writer.u8(payload.next(following).0);
        writer.u8(0);
        let length = writer.length_from(start);
        payload.encode(writer);
        writer.end_length(length);
    }
}

/// The type of a payload.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadType(pub u8);

/// Declares the known payload types, each with the words that errors name it by.
macro_rules! payload_types {
    ($($(#[$doc:meta])* $item:ident = $number:literal, $text:literal;)*) => {
        impl PayloadType {
            /// No payload; in errors, the message's header.
            pub const NONE: Self = Self(0);
            $($(#[$doc])* pub const $item: Self = Self($number);)*

            /// Tells whether this host knows the type.
            pub fn is_known(self) -> bool {
                matches!(self.0, $($number)|*)
            }

            fn words(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }
        }
    };
}

payload_types! {
    /// SA.
    SECURITY_ASSOCIATION = 33, "security association";
    /// KE.
    KEY_EXCHANGE = 34, "key exchange";
    /// IDi.
    ID_INITIATOR = 35, "initiator identification";
    /// IDr.
    ID_RESPONDER = 36, "responder identification";
    /// CERT.
    CERTIFICATE = 37, "certificate";
    /// CERTREQ.
    CERTIFICATE_REQUEST = 38, "certificate request";
    /// AUTH.
    AUTHENTICATION = 39, "authentication";
    /// Ni, Nr.
    NONCE = 40, "nonce";
    /// N.
    NOTIFY = 41, "notify";
    /// D.
    DELETE = 42, "delete";
    /// V.
    VENDOR_ID = 43, "vendor id";
    /// TSi.
    TS_INITIATOR = 44, "initiator traffic selector";
    /// TSr.
    TS_RESPONDER = 45, "responder traffic selector";
    /// SK.
    ENCRYPTED = 46, "encrypted";
    /// CP.
    CONFIGURATION = 47, "configuration";
    /// EAP.
    EAP = 48, "eap";
    /// SKF (RFC 7383).
    ENCRYPTED_FRAGMENT = 53, "encrypted fragment";
}

impl PayloadType {
    /// Tells whether other payloads are closed within: SK or SKF.
    pub fn is_encrypted(self) -> bool {
        self == Self::ENCRYPTED || self == Self::ENCRYPTED_FRAGMENT
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words() {
            Some(words) => write!(f, "{words} payload"),
            None if *self == Self::NONE => f.write_str("message"),
            None => write!(f, "payload of type {}", self.0),
        }
    }
}

impl fmt::Debug for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
