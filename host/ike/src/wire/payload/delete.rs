//! D: SAs that are no more (RFC 7296 §3.11).

use vpnhost_model::{ChildSpi, Protocol};

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, limits};

/// The Delete payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The kind of SA; [`Protocol::IKE`] is the IKE SA that carries the payload.
    pub protocol: Protocol,
    /// The SPIs that the sender received on; none for an IKE SA.
    pub spis: Vec<ChildSpi>,
}

impl Delete {
    /// Makes the Delete of the IKE SA that carries it.
    pub fn ike() -> Self {
        Self { protocol: Protocol::IKE, spis: Vec::new() }
    }

    /// Makes the Delete of ESP SAs.
    pub fn esp(spis: Vec<ChildSpi>) -> Self {
        Self { protocol: Protocol::ESP, spis }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let protocol = Protocol(reader.u8()?);
        let at = *reader;
        let spi_size = reader.u8()?;
        let declared = usize::from(reader.u16()?);
        // RFC 7296, 3.11: zero for IKE, four for AH and ESP.
        let expected = if protocol == Protocol::IKE { 0 } else { SPI_SIZE };
        if spi_size != expected && (declared > 0 || spi_size != 0) {
            return Err(at.bad_value("spi size", spi_size));
        }
        if declared > limits::DELETE_SPIS {
            return Err(at.error(DecodeErrorKind::TooMany { what: "spis", most: limits::DELETE_SPIS }));
        }
        let found = reader.remaining() / usize::from(SPI_SIZE);
        if declared != found {
            return Err(at.error(DecodeErrorKind::Count { what: "spis", declared, found }));
        }
        let spis = (0..declared).map(|_| reader.u32().map(ChildSpi)).collect::<Result<_, _>>()?;
        Ok(Self { protocol, spis })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u8(self.protocol.0);
        writer.u8(if self.protocol == Protocol::IKE { 0 } else { SPI_SIZE });
        writer.count16(self.spis.len());
        for spi in &self.spis {
            writer.u32(spi.0);
        }
    }
}

const SPI_SIZE: u8 = 4;
