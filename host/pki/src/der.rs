//! Reading DER: one value after the other, with the octets as they came.

use der::{Decode as _, Header, Reader as _, SliceReader};

use crate::Malformed;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag of a constructed `[number]`.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The tag of a primitive `[number]`.
pub(crate) const fn implicit(number: u8) -> u8 {
    0x80 | number
}

/// A value: its octets with and without tag and length.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) whole: &'a [u8],
    pub(crate) content: &'a [u8],
}

impl<'a> Value<'a> {
    pub(crate) fn tag(&self) -> u8 {
        self.whole[0]
    }

    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader(self.content)
    }
}

/// Reads values one after the other.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Demands that nothing is left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// Reads the next value.
    pub(crate) fn next(&mut self) -> Result<Value<'a>, Malformed> {
        let whole = SliceReader::new(self.0)?.tlv_bytes()?;
        let mut inside = SliceReader::new(whole)?;
        Header::decode(&mut inside)?;
        let head = usize::try_from(inside.position())?;
        self.0 = &self.0[whole.len()..];
        Ok(Value { whole, content: &whole[head..] })
    }

    /// Reads the next value, which has a tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Value<'a>, Malformed> {
        let value = self.next()?;
        if value.tag() == tag { Ok(value) } else { Err(Malformed) }
    }

    /// Reads the next value if it has a tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Value<'a>>, Malformed> {
        if self.0.first() == Some(&tag) { self.next().map(Some) } else { Ok(None) }
    }

    /// Reads a BOOLEAN that is false by default.
    pub(crate) fn flag(&mut self, tag: u8) -> Result<bool, Malformed> {
        let value = self.optional(tag)?;
        // DER has 0xff only; some write another, which means the same.
        value.map_or(Ok(false), |value| {
            if value.content.len() == 1 { Ok(value.content != [0]) } else { Err(Malformed) }
        })
    }
}

/// Reads one value of a tag and nothing behind it.
pub(crate) fn whole(octets: &[u8], tag: u8) -> Result<Value<'_>, Malformed> {
    let mut reader = Reader::new(octets);
    let value = reader.expect(tag)?;
    reader.end()?;
    Ok(value)
}

/// Reads a small number that is not negative; what is larger than fits is as good as infinite.
pub(crate) fn small(content: &[u8]) -> Result<u32, Malformed> {
    match content {
        [] => Err(Malformed),
        [first, ..] if *first >= 0x80 => Err(Malformed),
        _ if content.len() > 4 => Ok(u32::MAX),
        _ => Ok(content.iter().fold(0, |number, octet| number << 8 | u32::from(*octet))),
    }
}

/// Reads up to 16 named bits, bit 0 the highest.
pub(crate) fn bits(content: &[u8]) -> Result<u16, Malformed> {
    let (unused, octets) = content.split_first().ok_or(Malformed)?;
    if *unused > 7 || octets.len() > 2 || (octets.is_empty() && *unused != 0) {
        return Err(Malformed);
    }
    let at = |index: usize| u16::from(octets.get(index).copied().unwrap_or(0));
    Ok(at(0) << 8 | at(1))
}

/// Reads a BIT STRING of whole octets.
pub(crate) fn octets_of_bits<'a>(value: &Value<'a>) -> Result<&'a [u8], Malformed> {
    value.content.strip_prefix(&[0]).ok_or(Malformed)
}
