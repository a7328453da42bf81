//! CERT: a certificate or what leads to one (RFC 7296 §3.6).

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, numbers};

/// The Certificate payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What the data are.
    pub encoding: CertificateEncoding,
    /// The certificate data.
    pub data: Vec<u8>,
}

impl Certificate {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let encoding = CertificateEncoding(reader.u8()?);
        Ok(Self { encoding, data: reader.rest().to_vec() })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u8(self.encoding.0);
        writer.bytes(&self.data);
    }
}

numbers! {
    /// The encoding of a certificate.
    CertificateEncoding(u8) {
        /// An X.509 certificate for signatures, in DER.
        X509_SIGNATURE = 4;
        /// A certificate revocation list.
        REVOCATION_LIST = 7;
        /// The SHA-1 hash of a certificate, and the URL where it is.
        HASH_AND_URL = 12;
        /// The same of a bundle.
        HASH_AND_URL_BUNDLE = 13;
        /// A raw public key (RFC 7670).
        RAW_PUBLIC_KEY = 15;
    }
}
