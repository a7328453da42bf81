//! Ni and Nr: a nonce (RFC 7296 §3.9).

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, limits};

/// The Nonce payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// The nonce: 16 to 256 octets.
    pub data: Vec<u8>,
}

impl Nonce {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let found = reader.remaining();
        if found < limits::NONCE_LEAST {
            return Err(reader.error(DecodeErrorKind::TooShort { found, least: limits::NONCE_LEAST }));
        }
        if found > limits::NONCE_MOST {
            return Err(reader.error(DecodeErrorKind::TooLong { found, most: limits::NONCE_MOST }));
        }
        Ok(Self { data: reader.rest().to_vec() })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.data);
    }
}
