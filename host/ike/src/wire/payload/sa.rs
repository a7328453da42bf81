//! SA: proposals and their transforms (RFC 7296 §3.3).

use vpnhost_model::{ChildSpi, IkeSpi, Protocol, Transform, TransformType};

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, limits};

/// The Security Association payload: an offer, or the one proposal that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityAssociation {
    /// The proposals, the preferred first; at least one.
    pub proposals: Vec<Proposal>,
}

impl SecurityAssociation {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut proposals = Vec::new();
        loop {
            reader.check_room(proposals.len(), limits::PROPOSALS, "proposals")?;
            let last = decode_last(reader, MORE_PROPOSALS)?;
            proposals.push(Proposal::decode(reader)?);
            if last {
                return Ok(Self { proposals });
            }
        }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        for (index, proposal) in self.proposals.iter().enumerate() {
            let start = writer.len();
            encode_last(index + 1 == self.proposals.len(), MORE_PROPOSALS, writer);
            proposal.encode(start, writer);
        }
    }
}

/// One proposal: of each type of its transforms the chooser takes one (RFC 7296 §3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its number: one for the first.
    pub number: u8,
    /// What it is for.
    pub protocol: Protocol,
    /// The sender's SPI; empty in IKE_SA_INIT.
    pub spi: Vec<u8>,
    /// The transforms in their order; one without any matches nothing.
    pub transforms: Vec<OfferedTransform>,
}

impl Proposal {
    const HEADER_LEN: usize = 8;

    /// Returns the SPI of ESP or AH, unless it has another size.
    pub fn child_spi(&self) -> Option<ChildSpi> {
        <[u8; 4]>::try_from(self.spi.as_slice()).ok().map(|octets| ChildSpi(u32::from_be_bytes(octets)))
    }

    /// Returns the SPI of an IKE SA, unless it has another size.
    pub fn ike_spi(&self) -> Option<IkeSpi> {
        <[u8; 8]>::try_from(self.spi.as_slice()).ok().map(IkeSpi)
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.u16()?;
        let mut body = reader.counted_part(length, 4)?;
        let number = body.u8()?;
        let protocol = Protocol(body.u8()?);
        let spi_size = usize::from(body.u8()?);
        let declared = usize::from(body.u8()?);
        let spi = body.take(spi_size)?.to_vec();
        let mut transforms = Vec::new();
        while !body.is_empty() {
            body.check_room(transforms.len(), limits::TRANSFORMS, "transforms")?;
            let at = body;
            let last = decode_last(&mut body, MORE_TRANSFORMS)?;
            transforms.push(OfferedTransform::decode(&mut body)?);
            if last != body.is_empty() {
                return Err(at.bad_value("last transform mark", u32::from(!last)));
            }
        }
        // RFC 7296, 3.3: lengths and counts must agree.
        if declared != transforms.len() {
            let kind = DecodeErrorKind::Count { what: "transforms", declared, found: transforms.len() };
            return Err(body.error(kind));
        }
        Ok(Self { number, protocol, spi, transforms })
    }

    fn encode(&self, start: usize, writer: &mut Writer) {
        let length = writer.length_from(start);
        writer.u8(self.number);
        writer.u8(self.protocol.0);
        writer.count8(self.spi.len());
        writer.count8(self.transforms.len());
        debug_assert_eq!(writer.len(), start + Self::HEADER_LEN, "the header's length is known");
        writer.bytes(&self.spi);
        for (index, transform) in self.transforms.iter().enumerate() {
            let start = writer.len();
            encode_last(index + 1 == self.transforms.len(), MORE_TRANSFORMS, writer);
            transform.encode(start, writer);
        }
        writer.end_length(length);
    }
}

/// A transform of a proposal (RFC 7296 §3.3.2), with the attributes that this host does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedTransform {
    /// What is known of it.
    pub transform: Transform,
    /// Attributes other than one Key Length.
    pub others: Vec<Attribute>,
}

impl OfferedTransform {
    /// Returns the transform unless it has an attribute that this host does not know.
    ///
    /// RFC 7296, 3.3.6: a transform with an unknown attribute is not to be chosen.
    pub fn known(&self) -> Option<Transform> {
        self.others.is_empty().then_some(self.transform)
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.u16()?;
        let mut body = reader.counted_part(length, 4)?;
        let kind = TransformType(body.u8()?);
        body.u8()?;
        let id = body.u16()?;
        let mut key_bits = None;
        let mut others = Vec::new();
        for count in 0.. {
            if body.is_empty() {
                break;
            }
            body.check_room(count, limits::TRANSFORM_ATTRIBUTES, "transform attributes")?;
            match Attribute::decode(&mut body)? {
                Attribute { kind: Attribute::KEY_LENGTH, value: AttributeValue::Short(bits) }
                    if key_bits.is_none() =>
                {
                    key_bits = Some(bits);
                }
                // A second Key Length, too (RFC 7296, 3.3: no two attributes of one type).
                other => others.push(other),
            }
        }
        Ok(Self { transform: Transform { kind, id, key_bits }, others })
    }

    fn encode(&self, start: usize, writer: &mut Writer) {
        let length = writer.length_from(start);
        writer.u8(self.transform.kind.0);
        writer.u8(0);
        writer.u16(self.transform.id);
        if let Some(bits) = self.transform.key_bits {
            Attribute { kind: Attribute::KEY_LENGTH, value: AttributeValue::Short(bits) }.encode(writer);
        }
        for attribute in &self.others {
            attribute.encode(writer);
        }
        writer.end_length(length);
    }
}

impl From<Transform> for OfferedTransform {
    fn from(transform: Transform) -> Self {
        Self { transform, others: Vec::new() }
    }
}

/// An attribute of a transform (RFC 7296 §3.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its type, 15 bits.
    pub kind: u16,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of an attribute in one of its two formats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Two octets in place of the length.
    Short(u16),
    /// A length and as many octets.
    Long(Vec<u8>),
}

impl Attribute {
    /// The Key Length attribute, in bits.
    pub const KEY_LENGTH: u16 = 14;
    const SHORT_FORMAT: u16 = 0x8000;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let head = reader.u16()?;
        let tail = reader.u16()?;
        let value = if head & Self::SHORT_FORMAT != 0 {
            AttributeValue::Short(tail)
        } else {
            AttributeValue::Long(reader.take(usize::from(tail))?.to_vec())
        };
        Ok(Self { kind: head & !Self::SHORT_FORMAT, value })
    }

    fn encode(&self, writer: &mut Writer) {
        let kind = self.kind & !Self::SHORT_FORMAT;
        match &self.value {
            AttributeValue::Short(value) => {
                writer.u16(kind | Self::SHORT_FORMAT);
                writer.u16(*value);
            }
            AttributeValue::Long(octets) => {
                writer.u16(kind);
                writer.count16(octets.len());
                writer.bytes(octets);
            }
        }
    }
}

/// What the first octet of a substructure says when more follow: ISAKMP's payload types.
const MORE_PROPOSALS: u8 = 2;
const MORE_TRANSFORMS: u8 = 3;

/// Reads whether a substructure is the last, and the reserved octet behind.
fn decode_last(reader: &mut Reader<'_>, more: u8) -> Result<bool, DecodeError> {
    let at = *reader;
    let mark = reader.u8()?;
    if mark != 0 && mark != more {
        return Err(at.bad_value("last substructure mark", mark));
    }
    reader.u8()?;
    Ok(mark == 0)
}

fn encode_last(last: bool, more: u8, writer: &mut Writer) {
    writer.u8(if last { 0 } else { more });
    writer.u8(0);
}
