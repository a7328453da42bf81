//! SK: other payloads, encrypted and authenticated (RFC 7296 §3.14). `wire::protected` opens it.

use crate::wire::PayloadType;
use crate::wire::reader::Reader;
use crate::wire::writer::Writer;

/// The Encrypted payload, closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// The first payload within.
    pub first: PayloadType,
    /// IV, ciphertext and ICV.
    pub data: Vec<u8>,
}

impl Encrypted {
    pub(crate) fn decode(first: PayloadType, reader: &mut Reader<'_>) -> Self {
        Self { first, data: reader.rest().to_vec() }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.data);
    }
}
