//! V: a vendor's constant (RFC 7296 §3.12).

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;

/// The Vendor ID payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorId {
    /// The constant.
    pub data: Vec<u8>,
}

impl VendorId {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Self {
        Self { data: reader.rest().to_vec() }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.data);
    }
}
