//! CERTREQ: whose certificates the sender trusts (RFC 7296 §3.7).

use crate::wire::DecodeError;
use crate::wire::payload::CertificateEncoding;
use crate::wire::reader::Reader;
use crate::wire::writer::Writer;

/// The Certificate Request payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The kind of certificate asked for.
    pub encoding: CertificateEncoding,
    /// The certification authority field: for X.509, SHA-1 hashes of trusted public keys.
    pub authorities: Vec<u8>,
}

impl CertificateRequest {
    /// The octets of one hash.
    pub const HASH_LEN: usize = 20;

    /// Returns the hashes of the authorities' public keys; an incomplete one at the end is left out.
    pub fn hashes(&self) -> impl Iterator<Item = &[u8]> {
        self.authorities.chunks_exact(Self::HASH_LEN)
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let encoding = CertificateEncoding(reader.u8()?);
        Ok(Self { encoding, authorities: reader.rest().to_vec() })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u8(self.encoding.0);
        writer.bytes(&self.authorities);
    }
}
