//! Payloads of types that this host does not know; they survive (RFC 7296 §2.5).

use crate::wire::PayloadType;
use crate::wire::reader::Reader;
use crate::wire::writer::Writer;

/// A payload of an unknown type that is not critical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its type.
    pub kind: PayloadType,
    /// Its body.
    pub data: Vec<u8>,
}

impl Unknown {
    pub(crate) fn decode(kind: PayloadType, reader: &mut Reader<'_>) -> Self {
        Self { kind, data: reader.rest().to_vec() }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.data);
    }
}
