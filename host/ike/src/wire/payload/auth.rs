//! AUTH: the proof of an identity (RFC 7296 §3.8).

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, numbers};

/// The Authentication payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// How the data prove it.
    pub method: AuthMethod,
    /// The authentication data.
    pub data: Vec<u8>,
}

impl Authentication {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let method = AuthMethod(reader.u8()?);
        reader.take(3)?;
        Ok(Self { method, data: reader.rest().to_vec() })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u8(self.method.0);
        writer.zeros(3);
        writer.bytes(&self.data);
    }
}

numbers! {
    /// The method of an Authentication payload.
    AuthMethod(u8) {
        /// RSASSA-PKCS1-v1_5.
        RSA_SIGNATURE = 1;
        /// A MAC under the shared key.
        SHARED_KEY = 2;
        /// DSS with SHA-1.
        DSS_SIGNATURE = 3;
        /// ECDSA with SHA-256 on P-256 (RFC 4754).
        ECDSA_SHA256_P256 = 9;
        /// ECDSA with SHA-384 on P-384.
        ECDSA_SHA384_P384 = 10;
        /// ECDSA with SHA-512 on P-521.
        ECDSA_SHA512_P521 = 11;
        /// A password (RFC 6467).
        GENERIC_SECURE_PASSWORD = 12;
        /// Nobody (RFC 7619).
        NULL = 13;
        /// A signature whose algorithm the data name (RFC 7427).
        DIGITAL_SIGNATURE = 14;
    }
}
