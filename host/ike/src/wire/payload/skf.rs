//! SKF: a fragment of what would be in SK (RFC 7383 §2.5). `extension::fragmentation` puts it together.

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, FragmentPosition, PayloadType};

/// The Encrypted Fragment payload, closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedFragment {
    /// The first payload within; none but in the first fragment.
    pub first: PayloadType,
    /// Which fragment it is.
    pub position: FragmentPosition,
    /// IV, ciphertext and ICV.
    pub data: Vec<u8>,
}

impl EncryptedFragment {
    pub(crate) fn decode(first: PayloadType, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let position = FragmentPosition::decode(reader)?;
        Ok(Self { first, position, data: reader.rest().to_vec() })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        self.position.encode(writer);
        writer.bytes(&self.data);
    }
}
