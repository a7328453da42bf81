//! EAP: a message of an EAP method (RFC 7296 §3.16, RFC 3748 §4).

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind};

/// The EAP payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eap {
    /// Request, response, success or failure.
    pub code: u8,
    /// The identifier that pairs responses with requests.
    pub identifier: u8,
    /// Type and type data; nothing in success and failure.
    pub data: Vec<u8>,
}

impl Eap {
    /// The code of a request.
    pub const REQUEST: u8 = 1;
    /// The code of a response.
    pub const RESPONSE: u8 = 2;
    /// The code of success.
    pub const SUCCESS: u8 = 3;
    /// The code of failure.
    pub const FAILURE: u8 = 4;

    const HEADER_LEN: usize = 4;

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = *reader;
        let code = reader.u8()?;
        let identifier = reader.u8()?;
        let length = reader.u16()?;
        let data = reader.counted_part(length, Self::HEADER_LEN)?.rest().to_vec();
        match code {
            Self::REQUEST | Self::RESPONSE if data.is_empty() => {
                Err(at.error(DecodeErrorKind::TooShort {
                    found: Self::HEADER_LEN,
                    least: Self::HEADER_LEN + 1,
                }))
            }
            Self::SUCCESS | Self::FAILURE if !data.is_empty() => {
                let found = Self::HEADER_LEN + data.len();
                Err(at.error(DecodeErrorKind::TooLong { found, most: Self::HEADER_LEN }))
            }
            _ => Ok(Self { code, identifier, data }),
        }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        let start = writer.len();
        writer.u8(self.code);
        writer.u8(self.identifier);
        let length = writer.length_from(start);
        writer.bytes(&self.data);
        writer.end_length(length);
    }
}
