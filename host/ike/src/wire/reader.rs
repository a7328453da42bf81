//! Reads octets in order; every error knows its offset and its payload.

use crate::wire::{DecodeError, DecodeErrorKind, PayloadType};

/// What is left to read of a message or of a part of it.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
    payload: PayloadType,
}

impl<'a> Reader<'a> {
    /// Reads `octets`, whose first stands at `offset` of the message.
    pub(crate) fn new(octets: &'a [u8], offset: usize, payload: PayloadType) -> Self {
        Self { rest: octets, offset, payload }
    }

    /// Attributes what follows to another payload.
    pub(crate) fn set_payload(&mut self, payload: PayloadType) {
        self.payload = payload;
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// Takes the next `count` octets.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.error(DecodeErrorKind::TooShort { found: self.rest.len(), least: count }));
        };
        self.rest = rest;
        self.offset += count;
        Ok(taken)
    }

    /// Takes the next `count` octets as a reader of their own.
    pub(crate) fn part(&mut self, count: usize) -> Result<Self, DecodeError> {
        let offset = self.offset;
        Ok(Self { rest: self.take(count)?, offset, payload: self.payload })
    }

    /// Takes all that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.offset += self.rest.len();
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[octet]| octet)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes a substructure whose length field, `declared`, counts the `header` octets already read.
    pub(crate) fn counted_part(&mut self, declared: u16, header: usize) -> Result<Self, DecodeError> {
        let declared = usize::from(declared);
        let body = declared.checked_sub(header).filter(|&body| body <= self.remaining());
        let Some(body) = body else {
            let found = self.remaining() + header;
            return Err(self.error(DecodeErrorKind::Length { declared, found }));
        };
        self.part(body)
    }

    /// Refuses anything left over.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.error(DecodeErrorKind::TooLong { found: self.rest.len(), most: 0 }))
    }

    /// Makes an error of what stands next.
    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { offset: self.offset, payload: self.payload, kind }
    }

    /// Makes an error of a field that cannot have this value.
    pub(crate) fn bad_value(&self, field: &'static str, value: impl Into<u32>) -> DecodeError {
        self.error(DecodeErrorKind::Value { field, value: value.into() })
    }

    /// Refuses one more of something than `most`.
    pub(crate) fn check_room(&self, have: usize, most: usize, what: &'static str) -> Result<(), DecodeError> {
        if have < most { Ok(()) } else { Err(self.error(DecodeErrorKind::TooMany { what, most })) }
    }
}
