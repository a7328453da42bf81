//! KE: a public value of a key exchange (RFC 7296 §3.4).

use vpnhost_model::KeyExchange as Method;

use crate::wire::DecodeError;
use crate::wire::reader::Reader;
use crate::wire::writer::Writer;

/// The Key Exchange payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExchange {
    /// The method: a group's number.
    pub method: Method,
    /// The public value.
    pub data: Vec<u8>,
}

impl KeyExchange {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let method = Method(reader.u16()?);
        reader.u16()?;
        Ok(Self { method, data: reader.rest().to_vec() })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u16(self.method.0);
        writer.u16(0);
        writer.bytes(&self.data);
    }
}
