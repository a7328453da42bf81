//! IDi and IDr: who a side says it is (RFC 7296 §3.5).

use vpnhost_model::Identity;

use crate::wire::DecodeError;
use crate::wire::reader::Reader;
use crate::wire::writer::Writer;

/// An Identification payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identification {
    /// The identity.
    pub identity: Identity,
    /// The reserved octets as they came: AUTH covers them (RFC 7296 §2.15).
    pub reserved: [u8; 3],
}

impl Identification {
    /// Makes the payload of this host's own identity.
    pub fn new(identity: Identity) -> Self {
        Self { identity, reserved: [0; 3] }
    }

    /// Returns the octets behind the generic header, which AUTH covers: "RestOfInitIDPayload"
    /// (RFC 7296 §2.15).
    pub fn signed_octets(&self) -> Vec<u8> {
        let (kind, data) = self.identity.to_wire();
        let [a, b, c] = self.reserved;
        let mut octets = vec![kind, a, b, c];
        octets.extend(data);
        octets
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.u8()?;
        let reserved = reader.array()?;
        Ok(Self { identity: Identity::from_wire(kind, reader.rest()), reserved })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.signed_octets());
    }
}
