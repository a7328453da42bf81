//! A whole message: the header and the chain of payloads (RFC 7296 §3.1, §3.2).

use crate::wire::payload::{
    self, Authentication, Configuration, Eap, Identification, KeyExchange, Nonce, Notify, NotifyType,
    SecurityAssociation, TrafficSelectors,
};
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, Header, Payload, PayloadType, Version};

/// A message as it stands on the wire, or, with the same header, the content of its Encrypted payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The header.
    pub header: Header,
    /// The payloads in their order.
    pub payloads: Vec<Payload>,
}

impl Message {
    /// Reads a datagram. An Encrypted payload stays closed.
    ///
    /// # Errors
    /// Tells what is wrong with the first octets that are.
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        let header = Self::decode_header(datagram)?;
        let payloads = payload::decode_chain(header.next_payload, &datagram[Header::LEN..], Header::LEN)?;
        Ok(Self { header, payloads })
    }

    /// Reads the header and refuses another major version (RFC 7296 §2.5).
    pub(crate) fn decode_header(datagram: &[u8]) -> Result<Header, DecodeError> {
        let header = Header::decode(datagram)?;
        let major = header.version.major();
        if major != Version::IKEV2.major() {
            let kind = DecodeErrorKind::MajorVersion(major);
            return Err(DecodeError { offset: Header::VERSION_AT, payload: PayloadType::NONE, kind });
        }
        Ok(header)
    }

    /// Writes the message; the header's next payload and length come from the payloads.
    ///
    /// # Errors
    /// Names the payload that does not fit.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut writer = Writer::default();
        let next_payload = self.payloads.first().map_or(PayloadType::NONE, Payload::payload_type);
        Header { next_payload, ..self.header }.encode(&mut writer);
        payload::encode_chain(&self.payloads, &mut writer);
        let length = u32::try_from(writer.len()).unwrap_or(u32::MAX);
        writer.patch(Header::LENGTH_AT, &length.to_be_bytes());
        writer.finish()
    }

    /// Returns the first Notify of a type.
    pub fn notify(&self, kind: NotifyType) -> Option<&Notify> {
        self.notifies().find(|notify| notify.kind == kind)
    }

    /// Returns every Notify in order.
    pub fn notifies(&self) -> impl Iterator<Item = &Notify> {
        self.payloads
            .iter()
            .filter_map(|payload| if let Payload::Notify(notify) = payload { Some(notify) } else { None })
    }

    /// Returns the first Notify that reports an error.
    pub fn error_notify(&self) -> Option<&Notify> {
        self.notifies().find(|notify| notify.kind.is_error())
    }

    /// Returns how often a payload type occurs.
    pub fn count(&self, kind: PayloadType) -> usize {
        self.payloads.iter().filter(|payload| payload.payload_type() == kind).count()
    }
}

/// Declares a method of [`Message`] that returns the first payload of a kind.
macro_rules! first_of {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $type:ty;)*) => {
        impl Message {
            $($(#[$doc])*
            pub fn $name(&self) -> Option<&$type> {
                self.payloads.iter().find_map(
                    |payload| if let Payload::$variant(found) = payload { Some(found) } else { None },
                )
            })*
        }
    };
}

first_of! {
    /// Returns the Security Association payload.
    security_association: SecurityAssociation -> SecurityAssociation;
    /// Returns the Key Exchange payload.
    key_exchange: KeyExchange -> KeyExchange;
    /// Returns the Nonce payload.
    nonce: Nonce -> Nonce;
    /// Returns the initiator's Identification payload.
    id_initiator: IdInitiator -> Identification;
    /// Returns the responder's Identification payload.
    id_responder: IdResponder -> Identification;
    /// Returns the Authentication payload.
    authentication: Authentication -> Authentication;
    /// Returns the EAP payload.
    eap: Eap -> Eap;
    /// Returns the initiator's Traffic Selector payload.
    ts_initiator: TsInitiator -> TrafficSelectors;
    /// Returns the responder's Traffic Selector payload.
    ts_responder: TsResponder -> TrafficSelectors;
    /// Returns the Configuration payload.
    configuration: Configuration -> Configuration;
}
