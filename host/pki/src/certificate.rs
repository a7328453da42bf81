//! Certificates (RFC 5280 §4.1), kept as they came: what is signed is never encoded anew.

use std::fmt;
use std::sync::Arc;

use vpnhost_crypto::{CryptoBackend, CryptoError, Hash, KeyError, PublicKey};

use crate::der::{INTEGER, Reader, SEQUENCE, context, implicit, small, whole};
use crate::extension::{Extensions, KeyUse};
use crate::name::oid;
use crate::signed::Signed;
use crate::{GeneralName, Malformed, Name, Refusal, limits, time};

/// A certificate. A copy is cheap.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

pub(crate) struct Inner {
    signed: Signed,
    pub(crate) version: u32,
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Name,
    pub(crate) subject: Name,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) spki: Vec<u8>,
    pub(crate) extensions: Extensions,
}

impl Certificate {
    /// Reads a certificate's DER.
    ///
    /// # Errors
    /// [`Malformed`] if it is not one, or too large.
    pub fn from_der(octets: &[u8]) -> Result<Self, Malformed> {
        let (signed, mut fields) = Signed::read(octets, limits::CERTIFICATE_OCTETS)?;
        let version = match fields.optional(context(0))? {
            Some(version) => small(whole(version.content, INTEGER)?.content)? + 1,
            None => 1,
        };
        let serial = fields.expect(INTEGER)?.content.to_vec();
        signed.same_algorithm(&mut fields)?;
        if !(1..=3).contains(&version) {
            return Err(Malformed);
        }
        let issuer = Name::from_der(fields.expect(SEQUENCE)?.whole)?;
        let mut validity = fields.expect(SEQUENCE)?.reader();
        let (not_before, not_after) = (time::read(&validity.next()?)?, time::read(&validity.next()?)?);
        validity.end()?;
        let subject = Name::from_der(fields.expect(SEQUENCE)?.whole)?;
        let spki = fields.expect(SEQUENCE)?.whole.to_vec();
        // Unique identifiers, which nobody uses.
        fields.optional(implicit(1))?;
        fields.optional(implicit(2))?;
        let extensions = match fields.optional(context(3))? {
            Some(list) if version == 3 => Extensions::read(list.content, &issuer)?,
            Some(_) => return Err(Malformed),
            None => Extensions::default(),
        };
        fields.end()?;
        Ok(Self(Arc::new(Inner {
            signed,
            version,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            spki,
            extensions,
        })))
    }

    /// Returns the certificate as it came, for a CERT payload.
    pub fn der(&self) -> &[u8] {
        self.0.signed.der()
    }

    /// Returns whose it is.
    pub fn subject(&self) -> &Name {
        &self.0.subject
    }

    /// Returns who issued it.
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// Returns the subject's other names.
    pub fn names(&self) -> &[GeneralName] {
        &self.0.extensions.names
    }

    /// Returns what its key is for, as dotted numbers: the extended key usage; none where it does not say.
    pub fn purposes(&self) -> impl Iterator<Item = String> {
        self.0.extensions.extended_key_usage.iter().flatten().map(|purpose| oid(purpose))
    }

    /// Returns the serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.0.serial
    }

    /// Demands that a moment, in seconds since 1970, is within its validity.
    ///
    /// # Errors
    /// [`Refusal::Expired`] or [`Refusal::NotYetValid`].
    pub fn check_validity(&self, now: i64) -> Result<(), Refusal> {
        let (from, to) = self.validity();
        let subject = || self.subject().to_string();
        if now < from {
            return Err(Refusal::NotYetValid { subject: subject(), left: from - now });
        }
        if now > to {
            return Err(Refusal::Expired { subject: subject(), ago: now - to });
        }
        Ok(())
    }

    /// Returns the first and the last second of its validity, since 1970.
    pub fn validity(&self) -> (i64, i64) {
        (self.0.not_before, self.0.not_after)
    }

    /// Returns its public key. One of DSA may lack the parameters, which the issuer's key then has.
    ///
    /// # Errors
    /// [`KeyError`] says why the key cannot be used.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_spki(&self.0.spki)
    }

    /// Returns the SubjectPublicKeyInfo as it came.
    pub fn spki(&self) -> &[u8] {
        &self.0.spki
    }

    /// Returns the SHA-1 of the SubjectPublicKeyInfo, by which a CERTREQ payload names a CA (RFC 7296 §3.7).
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] if no backend has SHA-1.
    pub fn key_hash(&self, crypto: &dyn CryptoBackend) -> Result<[u8; 20], CryptoError> {
        let sha1 = crypto.find_hash(Hash::SHA1).ok_or(CryptoError::Unsupported)?;
        let mut digest = [0; 20];
        sha1.hash(&[&self.0.spki], &mut digest)?;
        Ok(digest)
    }

    /// Returns the SHA-256 of the certificate, its fingerprint for people.
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] if no backend has SHA-256.
    pub fn fingerprint(&self, crypto: &dyn CryptoBackend) -> Result<[u8; 32], CryptoError> {
        let sha256 = crypto.find_hash(Hash::SHA2_256).ok_or(CryptoError::Unsupported)?;
        let mut digest = [0; 32];
        sha256.hash(&[self.der()], &mut digest)?;
        Ok(digest)
    }

    /// Tells whether subject and issuer are the same.
    pub fn is_self_issued(&self) -> bool {
        self.0.subject == self.0.issuer
    }

    /// Tells whether it may issue others.
    pub fn is_ca(&self) -> bool {
        self.0.extensions.is_ca
    }

    /// Tells whether its key may sign what is no certificate, such as AUTH (RFC 4945 §5.1.3.2).
    pub fn may_sign(&self) -> bool {
        let may = |purpose| self.0.extensions.allow(purpose);
        may(KeyUse::DigitalSignature) || may(KeyUse::NonRepudiation)
    }

    /// Returns where its revocation lists can be fetched by HTTP.
    pub fn crl_urls(&self) -> impl Iterator<Item = &str> {
        let names = self.0.extensions.points.iter().flat_map(|point| point.names.iter().flatten());
        let uris =
            names.filter_map(|name| if let GeneralName::Uri(uri) = name { Some(uri.as_str()) } else { None });
        uris.filter(|uri| uri.starts_with("http://"))
    }

    /// Returns what its issuer has signed.
    pub(crate) fn signed(&self) -> (&[u8], &[u8], &[u8]) {
        self.0.signed.parts()
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Reads all certificates of a file, PEM or DER.
    ///
    /// # Errors
    /// [`crate::FileError`] names the certificate that cannot be read.
    pub fn read_all(file: &[u8]) -> Result<Vec<Self>, crate::FileError> {
        crate::pem::read_all(file, "certificate", &["CERTIFICATE", "X509 CERTIFICATE"], Self::from_der)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der() == other.der()
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.0.subject)
    }
}

/// Counts what is read, so that a reader which is used elsewhere too stays within its bound.
pub(crate) fn count(reader: &Reader<'_>, so_far: usize, bound: usize) -> Result<bool, Malformed> {
    if reader.is_empty() {
        Ok(false)
    } else if so_far < bound {
        Ok(true)
    } else {
        Err(Malformed)
    }
}
