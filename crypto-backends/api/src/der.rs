//! The little DER that keys and signatures need: reading is the crate `der`'s, writing is this.

use ::der::{Decode as _, Error, Reader, SliceReader, Tag, TagNumber, Tagged as _, asn1::AnyRef};

use crate::SecretBytes;

/// Tags as they are written.
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: &[u8] = &[0x05, 0x00];
pub(crate) const SEQUENCE: u8 = 0x30;

/// Writes a value whose content is the concatenation of `parts`.
pub(crate) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    // All at once: a buffer that grew would leave a copy of a secret behind.
    let mut out = Vec::with_capacity(len + 2 + size_of::<usize>());
    out.push(tag);
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(_) | Err(_) => {
            let octets = len.to_be_bytes();
            let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
            // As many octets as a length has, which are eight at most.
            out.push(0x80 | (octets.len() - zeros) as u8);
            out.extend_from_slice(&octets[zeros..]);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// Writes a secret value.
pub(crate) fn secret(tag: u8, parts: &[&[u8]]) -> SecretBytes {
    SecretBytes::new(value(tag, parts))
}

/// Writes an unsigned number.
pub(crate) fn unsigned(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|&&octet| octet == 0).count();
    let digits = &big_endian[zeros..];
    let pad: &[u8] = if digits.first().is_none_or(|&first| first >= 0x80) { &[0] } else { &[] };
    value(INTEGER, &[pad, digits])
}

/// Reads one value and nothing behind it.
pub(crate) fn whole(octets: &[u8]) -> Result<AnyRef<'_>, Error> {
    AnyRef::from_der(octets)
}

/// Returns a reader of what is in a value of a tag.
pub(crate) fn inside<'a>(any: AnyRef<'a>, tag: Tag) -> Result<SliceReader<'a>, Error> {
    if any.tag() == tag {
        SliceReader::new(any.value())
    } else {
        Err(any.tag().unexpected_error(Some(tag)).into())
    }
}

/// Returns a reader of a SEQUENCE that is all there is.
pub(crate) fn sequence(octets: &[u8]) -> Result<SliceReader<'_>, Error> {
    inside(whole(octets)?, Tag::Sequence)
}

/// Reads the next value of any kind.
pub(crate) fn next<'a>(reader: &mut SliceReader<'a>) -> Result<AnyRef<'a>, Error> {
    AnyRef::decode(reader)
}

/// Reads the next value, which has a tag.
pub(crate) fn expect<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Result<&'a [u8], Error> {
    let any = next(reader)?;
    if any.tag() == tag { Ok(any.value()) } else { Err(any.tag().unexpected_error(Some(tag)).into()) }
}

/// Reads the next value, an unsigned number, without leading zeros.
pub(crate) fn read_unsigned<'a>(reader: &mut SliceReader<'a>) -> Result<&'a [u8], Error> {
    Ok(::der::asn1::UintRef::decode(reader)?.as_bytes())
}

/// Reads the next value, a BIT STRING of whole octets.
pub(crate) fn read_bits<'a>(reader: &mut SliceReader<'a>) -> Result<&'a [u8], Error> {
    let bits = ::der::asn1::BitStringRef::decode(reader)?;
    bits.as_bytes().ok_or_else(|| Tag::BitString.value_error().into())
}

/// The tag of an explicit `[number]`.
pub(crate) fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// Demands that nothing is left.
pub(crate) fn end(reader: &SliceReader<'_>) -> Result<(), Error> {
    if reader.is_finished() { Ok(()) } else { Err(Tag::Sequence.length_error().into()) }
}
