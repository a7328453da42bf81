//! Writes octets in order and fills in the lengths afterwards.

use crate::wire::{EncodeError, PayloadType, limits};

/// A message under construction. The first thing that does not fit is remembered and told at the end,
/// so that payloads write without asking.
#[derive(Default)]
pub(crate) struct Writer {
    octets: Vec<u8>,
    payload: PayloadType,
    error: Option<EncodeError>,
}

/// A length field of two octets to be filled in, and where what it measures begins.
pub(crate) struct LengthMark {
    field: usize,
    start: usize,
}

impl Writer {
    /// Attributes what follows to a payload.
    pub(crate) fn set_payload(&mut self, payload: PayloadType) {
        self.payload = payload;
    }

    pub(crate) fn len(&self) -> usize {
        self.octets.len()
    }

    pub(crate) fn bytes(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        self.octets.resize(self.octets.len() + count, 0);
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.octets.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes a count or length of one octet.
    pub(crate) fn count8(&mut self, count: usize) {
        let fitting = u8::try_from(count).unwrap_or_else(|_| {
            self.fail(count, usize::from(u8::MAX));
            u8::MAX
        });
        self.u8(fitting);
    }

    /// Writes a count or length of two octets.
    pub(crate) fn count16(&mut self, count: usize) {
        let fitting = self.fitting16(count);
        self.u16(fitting);
    }

    /// Leaves room for a length field that counts from `start`.
    pub(crate) fn length_from(&mut self, start: usize) -> LengthMark {
        let field = self.octets.len();
        self.u16(0);
        LengthMark { field, start }
    }

    /// Fills in a length field with what was written since its start.
    pub(crate) fn end_length(&mut self, mark: LengthMark) {
        let length = self.fitting16(self.octets.len() - mark.start);
        self.octets[mark.field..mark.field + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// Replaces octets already written.
    pub(crate) fn patch(&mut self, at: usize, octets: &[u8]) {
        self.octets[at..at + octets.len()].copy_from_slice(octets);
    }

    /// Returns the octets.
    ///
    /// # Errors
    /// Tells the first thing that did not fit.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        if self.octets.len() > limits::MESSAGE {
            self.payload = PayloadType::NONE;
            self.fail(self.octets.len(), limits::MESSAGE);
        }
        self.error.map_or(Ok(self.octets), Err)
    }

    fn fitting16(&mut self, count: usize) -> u16 {
        u16::try_from(count).unwrap_or_else(|_| {
            self.fail(count, usize::from(u16::MAX));
            u16::MAX
        })
    }

    fn fail(&mut self, found: usize, most: usize) {
        self.error.get_or_insert(EncodeError { payload: self.payload, found, most });
    }
}
