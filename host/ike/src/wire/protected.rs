//! Seals payloads into a message and opens them, in place (RFC 7296 §3.14, RFC 5282, RFC 7383 §2.5).
//!
//! Everything from the header to the IV is authenticated with the content, so it is what an AEAD calls
//! additional data. Which key a message wants, and whether it is a replay, is unknown here.

use vpnhost_crypto::{CryptoError, PacketKey, PacketLayout, PacketMut};

use crate::wire::payload::{self, GenericHeader};
use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, Header, Message, Payload, PayloadType, limits};

/// Writes the IV of a message: a counter or random octets, as [`PacketLayout::iv_kind`] asks.
pub type IvSource<'a> = dyn FnMut(&mut [u8]) -> Result<(), CryptoError> + 'a;

/// What a protected message looks like from outside, before its ICV is checked: nothing in it is to
/// be believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The header.
    pub header: Header,
    /// The first payload within.
    pub first: PayloadType,
    /// Which fragment the message is, if it is one.
    pub fragment: Option<FragmentPosition>,
    iv_at: usize,
}

impl Envelope {
    /// Looks for the Encrypted or Encrypted Fragment payload of a datagram; `None` is a message in
    /// clear. Other payloads before it are skipped, not read.
    ///
    /// # Errors
    /// The header or the chain of payloads is malformed.
    pub fn find(datagram: &[u8]) -> Result<Option<Self>, DecodeError> {
        let header = Message::decode_header(datagram)?;
        let mut reader = Reader::new(&datagram[Header::LEN..], Header::LEN, PayloadType::NONE);
        let mut kind = header.next_payload;
        let mut count = 0;
        while kind != PayloadType::NONE {
            reader.check_room(count, limits::PAYLOADS, "payloads")?;
            count += 1;
            let (generic, mut body) = GenericHeader::decode(kind, &mut reader)?;
            if kind.is_encrypted() {
                let fragmented = kind == PayloadType::ENCRYPTED_FRAGMENT;
                let fragment = fragmented.then(|| FragmentPosition::decode(&mut body)).transpose()?;
                // RFC 7296, 3.14: nothing follows the Encrypted payload.
                reader.finish()?;
                return Ok(Some(Self { header, first: generic.next, fragment, iv_at: body.offset() }));
            }
            kind = generic.next;
        }
        reader.finish()?;
        Ok(None)
    }

    /// Checks the ICV of the datagram that this was found in, then decrypts it in place.
    ///
    /// # Errors
    /// [`OpenError::Padding`] alone comes from the owner of the key; whatever else came from anybody
    /// and is to be dropped.
    pub fn open<'a>(self, datagram: &'a mut [u8], key: &mut dyn PacketKey) -> Result<Opened<'a>, OpenError> {
        let PacketLayout { iv_len, icv_len, block_len, .. } = key.layout();
        let content_at = self.iv_at + iv_len;
        let found = datagram.len().saturating_sub(self.iv_at);
        // At least the pad length is encrypted, and the ciphertext comes in whole blocks.
        let least = iv_len + block_len.max(1) + icv_len;
        if found < least {
            return Err(self.malformed(DecodeErrorKind::TooShort { found, least }).into());
        }
        let text_len = found - iv_len - icv_len;
        if !text_len.is_multiple_of(block_len.max(1)) {
            let value = u32::try_from(text_len).unwrap_or(u32::MAX);
            return Err(self.malformed(DecodeErrorKind::Value { field: "ciphertext length", value }).into());
        }
        let mut packet = [PacketMut::new(datagram, self.iv_at)];
        key.open(&mut packet);
        let [PacketMut { outcome, .. }] = packet;
        outcome?;
        let text = &datagram[content_at..content_at + text_len];
        let pad_len = text.last().copied().map_or(0, usize::from);
        let content_len =
            text_len.checked_sub(1 + pad_len).ok_or(OpenError::Padding { pad_len, text_len })?;
        Ok(Opened { envelope: self, datagram, content: content_at..content_at + content_len })
    }

    fn malformed(&self, kind: DecodeErrorKind) -> DecodeError {
        let payload = match self.fragment {
            Some(_) => PayloadType::ENCRYPTED_FRAGMENT,
            None => PayloadType::ENCRYPTED,
        };
        DecodeError { offset: self.iv_at, payload, kind }
    }
}

/// A protected message whose ICV was right.
#[derive(Clone, Debug)]
pub struct Opened<'a> {
    /// What it looked like from outside; now it can be believed.
    pub envelope: Envelope,
    datagram: &'a [u8],
    content: std::ops::Range<usize>,
}

impl Opened<'_> {
    /// Returns the decrypted content without its padding: payloads, or a piece of them.
    pub fn content(&self) -> &[u8] {
        &self.datagram[self.content.clone()]
    }

    /// Reads the payloads within, under the message's header. Payloads in clear beside the Encrypted
    /// payload are left out: no exchange that this host speaks has any.
    ///
    /// # Errors
    /// The content is malformed, or a payload within or beside it is critical and unknown.
    pub fn message(&self) -> Result<Message, DecodeError> {
        self.check_outer()?;
        let Envelope { header, first, .. } = self.envelope;
        let payloads = payload::decode_inner_chain(first, self.content(), self.content.start)?;
        Ok(Message { header, payloads })
    }

    /// Refuses critical payloads of unknown type in clear.
    pub(crate) fn check_outer(&self) -> Result<(), DecodeError> {
        let mut reader = Reader::new(&self.datagram[Header::LEN..], Header::LEN, PayloadType::NONE);
        let mut kind = self.envelope.header.next_payload;
        while !kind.is_encrypted() {
            let offset = reader.offset();
            let (generic, _) = GenericHeader::decode(kind, &mut reader)?;
            generic.check_critical(offset)?;
            kind = generic.next;
        }
        Ok(())
    }
}

/// Opens the Encrypted or Encrypted Fragment payload of a datagram in place.
///
/// # Errors
/// As [`Envelope::find`] and [`Envelope::open`]; [`OpenError::Unprotected`] if there is none.
pub fn open_message<'a>(datagram: &'a mut [u8], key: &mut dyn PacketKey) -> Result<Opened<'a>, OpenError> {
    let envelope = Envelope::find(datagram)?.ok_or(OpenError::Unprotected)?;
    envelope.open(datagram, key)
}

/// Seals payloads into one message. The header's next payload and length are filled in.
///
/// # Errors
/// The payloads do not fit, or the key or the source of IVs fails.
pub fn seal_message(
    header: &Header,
    payloads: &[Payload],
    key: &mut dyn PacketKey,
    iv: &mut IvSource<'_>,
) -> Result<Vec<u8>, SealError> {
    let octets = encode_content(payloads)?;
    seal_content(header, Content { first: first_of(payloads), fragment: None, octets: &octets }, key, iv)
}

pub(crate) fn encode_content(payloads: &[Payload]) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::default();
    payload::encode_chain(payloads, &mut writer);
    writer.finish()
}

pub(crate) fn first_of(payloads: &[Payload]) -> PayloadType {
    payloads.first().map_or(PayloadType::NONE, Payload::payload_type)
}

/// What goes into an Encrypted payload, or into a fragment of one.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) first: PayloadType,
    pub(crate) fragment: Option<FragmentPosition>,
    pub(crate) octets: &'a [u8],
}

impl Content<'_> {
    fn payload_type(&self) -> PayloadType {
        self.fragment.map_or(PayloadType::ENCRYPTED, |_| PayloadType::ENCRYPTED_FRAGMENT)
    }
}

/// Returns the octets of a message before the IV.
pub(crate) fn overhead_before_iv(fragmented: bool) -> usize {
    Header::LEN + GenericHeader::LEN + if fragmented { FragmentPosition::LEN } else { 0 }
}

/// Returns the octets of a message with a content of so many octets.
pub(crate) fn sealed_len(layout: PacketLayout, fragmented: bool, content_len: usize) -> usize {
    let text_len = (content_len + 1).next_multiple_of(layout.block_len.max(1));
    overhead_before_iv(fragmented) + layout.iv_len + text_len + layout.icv_len
}

pub(crate) fn seal_content(
    header: &Header,
    content: Content<'_>,
    key: &mut dyn PacketKey,
    iv: &mut IvSource<'_>,
) -> Result<Vec<u8>, SealError> {
    let layout = key.layout();
    let fragmented = content.fragment.is_some();
    let total = sealed_len(layout, fragmented, content.octets.len());
    let mut writer = Writer::default();
    writer.set_payload(content.payload_type());
    let length = u32::try_from(total).unwrap_or(u32::MAX);
    Header { next_payload: content.payload_type(), length, ..*header }.encode(&mut writer);
    writer.u8(content.first.0);
    writer.u8(0);
    writer.count16(total - Header::LEN);
    if let Some(position) = content.fragment {
        position.encode(&mut writer);
    }
    let iv_at = writer.len();
    writer.zeros(layout.iv_len);
    writer.bytes(content.octets);
    let pad_len = total - layout.icv_len - writer.len() - 1;
    writer.zeros(pad_len);
    writer.count8(pad_len);
    writer.zeros(layout.icv_len);
    let mut octets = writer.finish()?;
    iv(&mut octets[iv_at..iv_at + layout.iv_len])?;
    let mut packet = [PacketMut::new(&mut octets, iv_at)];
    key.seal(&mut packet);
    let [PacketMut { outcome, .. }] = packet;
    outcome?;
    Ok(octets)
}

/// Which fragment of how many (RFC 7383 §2.5): both start at one, and the number is at most the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentPosition {
    /// The fragment's number.
    pub number: u16,
    /// How many there are.
    pub total: u16,
}

impl FragmentPosition {
    pub(crate) const LEN: usize = 4;

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = *reader;
        let (number, total) = (reader.u16()?, reader.u16()?);
        // RFC 7383, 2.6: neither is zero; the number is not above the total.
        if number == 0 || number > total {
            return Err(at.bad_value("fragment number", number));
        }
        Ok(Self { number, total })
    }

    pub(crate) fn encode(self, writer: &mut Writer) {
        writer.u16(self.number);
        writer.u16(self.total);
    }
}

/// A protected message that cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is malformed outside of what is protected.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It is not protected at all.
    #[error("message without an encrypted payload")]
    Unprotected,
    /// Its ICV is wrong, or the backend failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// Its ICV is right and its padding is longer than it: the peer's fault.
    #[error("encrypted payload: pad length {pad_len} in {text_len} octets of text")]
    Padding {
        /// What the last octet says.
        pad_len: usize,
        /// How much there is.
        text_len: usize,
    },
}

impl OpenError {
    /// Tells whether the message came from the owner of the key.
    pub fn is_authentic(&self) -> bool {
        matches!(self, Self::Padding { .. })
    }
}

/// A message that cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Its payloads do not fit.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The backend or the source of IVs failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// It cannot be cut into fragments of this size.
    #[error("{content_len} octets do not fit into {most} fragments of {max_message} octets")]
    Fragments {
        /// The octets of its content.
        content_len: usize,
        /// The largest number of fragments.
        most: u16,
        /// The octets of a datagram.
        max_message: usize,
    },
}
