//! The header of every IKE message (RFC 7296 §3.1).

use vpnhost_model::IkeSpi;

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, PayloadType, limits, numbers};

/// The header of an IKE message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The SPI of the IKE SA's original initiator.
    pub spi_i: IkeSpi,
    /// The SPI of its original responder; zero in the first message.
    pub spi_r: IkeSpi,
    /// The type of the first payload. Encoding a message fills it in.
    pub next_payload: PayloadType,
    /// The version of the protocol.
    pub version: Version,
    /// The exchange.
    pub exchange: ExchangeType,
    /// The flags.
    pub flags: Flags,
    /// The Message ID.
    pub message_id: u32,
    /// The octets of the message with this header. Encoding a message fills it in.
    pub length: u32,
}

impl Header {
    /// Its octets.
    pub const LEN: usize = 28;

    /// Makes the header of a message that is yet to be encoded.
    pub fn new(spis: (IkeSpi, IkeSpi), exchange: ExchangeType, flags: Flags, message_id: u32) -> Self {
        Self {
            spi_i: spis.0,
            spi_r: spis.1,
            next_payload: PayloadType::NONE,
            version: Version::IKEV2,
            exchange,
            flags,
            message_id,
            length: 0,
        }
    }

    /// Reads the header of a datagram and checks that its length is the datagram's.
    ///
    /// Any version is accepted, so that another major version can be answered with
    /// INVALID_MAJOR_VERSION (RFC 7296 §2.5).
    ///
    /// # Errors
    /// The datagram is shorter than a header, longer than [`limits::MESSAGE`], or not as long as its
    /// length field says.
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(datagram, 0, PayloadType::NONE);
        let found = datagram.len();
        if found < Self::LEN {
            return Err(reader.error(DecodeErrorKind::TooShort { found, least: Self::LEN }));
        }
        if found > limits::MESSAGE {
            return Err(reader.error(DecodeErrorKind::TooLong { found, most: limits::MESSAGE }));
        }
        let header = Self {
            spi_i: IkeSpi(reader.array()?),
            spi_r: IkeSpi(reader.array()?),
            next_payload: PayloadType(reader.u8()?),
            version: Version(reader.u8()?),
            exchange: ExchangeType(reader.u8()?),
            flags: Flags::from_octet(reader.u8()?),
            message_id: reader.u32()?,
            length: { reader }.u32()?,
        };
        if usize::try_from(header.length) != Ok(found) {
            let declared = usize::try_from(header.length).unwrap_or(usize::MAX);
            return Err(reader.error(DecodeErrorKind::Length { declared, found }));
        }
        Ok(header)
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.spi_i.0);
        writer.bytes(&self.spi_r.0);
        writer.u8(self.next_payload.0);
        writer.u8(self.version.0);
        writer.u8(self.exchange.0);
        writer.u8(self.flags.to_octet());
        writer.u32(self.message_id);
        writer.u32(self.length);
    }

    /// Where the version stands.
    pub(crate) const VERSION_AT: usize = 17;
    /// Where the length field stands.
    pub(crate) const LENGTH_AT: usize = 24;
}

/// The version octet: the major version in its upper half, the minor in its lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u8);

impl Version {
    /// 2.0.
    pub const IKEV2: Self = Self(0x20);

    /// Returns the major version.
    pub fn major(self) -> u8 {
        self.0 >> 4
    }

    /// Returns the minor version, which receivers ignore.
    pub fn minor(self) -> u8 {
        self.0 & 0x0f
    }
}

numbers! {
    /// The type of an exchange.
    ExchangeType(u8) {
        /// The first of an IKE SA.
        IKE_SA_INIT = 34;
        /// The second: authentication and the first Child SA.
        IKE_AUTH = 35;
        /// A further Child SA, or rekeying.
        CREATE_CHILD_SA = 36;
        /// Deletes, errors, liveness.
        INFORMATIONAL = 37;
        /// RFC 5723.
        IKE_SESSION_RESUME = 38;
        /// RFC 9242.
        IKE_INTERMEDIATE = 43;
        /// RFC 9370.
        IKE_FOLLOWUP_KE = 44;
    }
}

/// The flags of a header; the other bits are ignored and sent as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The sender is the original initiator of the IKE SA.
    pub initiator: bool,
    /// The sender can speak a higher major version; IKEv2 ignores it and sends it cleared.
    pub version: bool,
    /// The message is a response.
    pub response: bool,
}

impl Flags {
    const INITIATOR: u8 = 0x08;
    const VERSION: u8 = 0x10;
    const RESPONSE: u8 = 0x20;

    fn from_octet(octet: u8) -> Self {
        Self {
            initiator: octet & Self::INITIATOR != 0,
            version: octet & Self::VERSION != 0,
            response: octet & Self::RESPONSE != 0,
        }
    }

    fn to_octet(self) -> u8 {
        let bit = |set, bit| if set { bit } else { 0 };
        bit(self.initiator, Self::INITIATOR)
            | bit(self.version, Self::VERSION)
            | bit(self.response, Self::RESPONSE)
    }
}
