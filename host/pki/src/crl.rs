//! Revocation lists (RFC 5280 §5), kept as they came.

use std::sync::Arc;

use crate::der::{ENUMERATED, INTEGER, SEQUENCE, context, implicit, small, whole};
use crate::extension::{ALL_REASONS, directory, each, read_point_name};
use crate::signed::Signed;
use crate::{Certificate, GeneralName, Malformed, Name, limits, time};

/// A revocation list. A copy is cheap.
#[derive(Clone)]
pub struct Crl(Arc<Inner>);

struct Inner {
    signed: Signed,
    issuer: Name,
    this_update: i64,
    next_update: Option<i64>,
    entries: Vec<Entry>,
    number: Option<Vec<u8>>,
    /// The number of the list that this one only adds to.
    base: Option<Vec<u8>>,
    scope: Scope,
    unknown_critical: bool,
}

/// One revoked certificate.
struct Entry {
    serial: Vec<u8>,
    /// Whose certificate, where it is not the list's issuer's.
    issuer: Option<Arc<Name>>,
    reason: u8,
}

/// Which certificates a list speaks of: issuingDistributionPoint (§5.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) names: Option<Vec<GeneralName>>,
    pub(crate) only_user: bool,
    pub(crate) only_ca: bool,
    pub(crate) only_attribute: bool,
    pub(crate) reasons: Option<u16>,
    pub(crate) indirect: bool,
}

/// What a list says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Unlisted,
    /// Taken off the list again; only lists that add to another say so.
    Removed,
    Revoked(u8),
}

const REMOVE_FROM_CRL: u8 = 8;

/// Returns the words of a reason (§5.3.1).
pub(crate) fn reason_text(reason: u8) -> &'static str {
    match reason {
        1 => "key compromise",
        2 => "CA compromise",
        3 => "affiliation changed",
        4 => "superseded",
        5 => "cessation of operation",
        6 => "on hold",
        9 => "privilege withdrawn",
        10 => "attribute authority compromise",
        _ => "no reason given",
    }
}

impl Crl {
    /// Reads a list's DER.
    ///
    /// # Errors
    /// [`Malformed`] if it is not one, or too large.
    pub fn from_der(octets: &[u8]) -> Result<Self, Malformed> {
        let (signed, mut fields) = Signed::read(octets, limits::CRL_OCTETS)?;
        let version = fields.optional(INTEGER)?.map_or(Ok(0), |version| small(version.content))?;
        signed.same_algorithm(&mut fields)?;
        if version > 1 {
            return Err(Malformed);
        }
        let issuer = Name::from_der(fields.expect(SEQUENCE)?.whole)?;
        let this_update = time::read(&fields.next()?)?;
        let next_update = [0x17, 0x18].iter().find_map(|tag| fields.optional(*tag).transpose());
        let next_update = next_update.transpose()?.map(|value| time::read(&value)).transpose()?;
        let mut inner = Inner {
            signed,
            issuer,
            this_update,
            next_update,
            entries: Vec::new(),
            number: None,
            base: None,
            scope: Scope::default(),
            unknown_critical: false,
        };
        if let Some(list) = fields.optional(SEQUENCE)? {
            inner.read_entries(list.content)?;
        }
        if let Some(extensions) = fields.optional(context(0))? {
            each(extensions.content, |name, critical, value| inner.take(name, critical, value))?;
        }
        fields.end()?;
        Ok(Self(Arc::new(inner)))
    }

    /// Reads all lists of a file, PEM or DER.
    ///
    /// # Errors
    /// [`crate::FileError`] names the list that cannot be read.
    pub fn read_all(file: &[u8]) -> Result<Vec<Self>, crate::FileError> {
        crate::pem::read_all(file, "revocation list", &["X509 CRL"], Self::from_der)
    }

    /// Returns the list as it came.
    pub fn der(&self) -> &[u8] {
        self.0.signed.der()
    }

    /// Returns who made the list.
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// Returns when it was made, and when there will be a newer one, in seconds since 1970.
    pub fn validity(&self) -> (i64, Option<i64>) {
        (self.0.this_update, self.0.next_update)
    }

    /// Returns how many certificates are on it.
    pub fn entries(&self) -> usize {
        self.0.entries.len()
    }

    pub(crate) fn is_current(&self, now: i64) -> bool {
        // RFC 5280, 5.1.2.5: nextUpdate must be there; without it nobody knows when the list is old.
        self.0.this_update <= now && self.0.next_update.is_some_and(|next| now <= next)
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.0.unknown_critical
    }

    pub(crate) fn is_delta(&self) -> bool {
        self.0.base.is_some()
    }

    /// Tells whether this list adds to `whole` (§5.2.4).
    pub(crate) fn adds_to(&self, whole: &Self) -> bool {
        let (Some(base), Some(complete), Some(own)) = (&self.0.base, &whole.0.number, &self.0.number) else {
            return false;
        };
        let same = self.0.issuer == whole.0.issuer && self.0.scope == whole.0.scope;
        same && number(base) <= number(complete) && number(own) >= number(complete)
    }

    /// Tells whether two lists speak of the same certificates, so that the newer one counts.
    pub(crate) fn is_same_kind(&self, other: &Self) -> bool {
        let kind = |it: &Self| (it.is_delta(), it.0.unknown_critical);
        self.0.issuer == other.0.issuer && self.0.scope == other.0.scope && kind(self) == kind(other)
    }

    /// Tells whether this list takes the place of another of its kind (§5.2.3: numbers rise).
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        self.is_same_kind(other) && self.age() > other.age()
    }

    fn age(&self) -> (Option<(usize, &[u8])>, i64) {
        (self.0.number.as_deref().map(number), self.0.this_update)
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.0.scope
    }

    pub(crate) fn status(&self, certificate: &Certificate) -> Status {
        let mut listed_for = &self.0.issuer;
        let mut status = Status::Unlisted;
        for entry in &self.0.entries {
            if let Some(issuer) = &entry.issuer {
                listed_for = issuer;
            }
            if entry.serial == certificate.serial() && listed_for == certificate.issuer() {
                status = if entry.reason == REMOVE_FROM_CRL {
                    Status::Removed
                } else {
                    Status::Revoked(entry.reason)
                };
            }
        }
        status
    }

    pub(crate) fn signed(&self) -> (&[u8], &[u8], &[u8]) {
        self.0.signed.parts()
    }
}

impl PartialEq for Crl {
    fn eq(&self, other: &Self) -> bool {
        self.0.signed.der() == other.0.signed.der()
    }
}

impl Eq for Crl {}

impl std::fmt::Debug for Crl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crl({}, {} entries)", self.0.issuer, self.0.entries.len())
    }
}

impl Inner {
    fn read_entries(&mut self, content: &[u8]) -> Result<(), Malformed> {
        let mut reader = crate::der::Reader::new(content);
        while crate::certificate::count(&reader, self.entries.len(), limits::CRL_ENTRIES)? {
            let mut fields = reader.expect(SEQUENCE)?.reader();
            let serial = fields.expect(INTEGER)?.content.to_vec();
            time::read(&fields.next()?)?;
            let mut entry = Entry { serial, issuer: None, reason: 0 };
            if let Some(extensions) = fields.optional(SEQUENCE)? {
                let unknown = &mut self.unknown_critical;
                each(extensions.whole, |name, critical, value| {
                    match name {
                        b"\x55\x1d\x15" => {
                            entry.reason = whole(value, ENUMERATED)?.content.first().copied().unwrap_or(0)
                        }
                        b"\x55\x1d\x1d" => {
                            let names = GeneralName::read_all(whole(value, SEQUENCE)?.content)?;
                            let name = names.into_iter().find_map(directory).map(Arc::new);
                            entry.issuer = Some(name.ok_or(Malformed)?);
                        }
                        _ => *unknown |= critical,
                    }
                    Ok(())
                })?;
            }
            fields.end()?;
            self.entries.push(entry);
        }
        Ok(())
    }

    fn take(&mut self, name: &[u8], critical: bool, value: &[u8]) -> Result<(), Malformed> {
        match name {
            b"\x55\x1d\x14" => self.number = Some(whole(value, INTEGER)?.content.to_vec()),
            b"\x55\x1d\x1b" => self.base = Some(whole(value, INTEGER)?.content.to_vec()),
            b"\x55\x1d\x1c" => {
                let mut reader = whole(value, SEQUENCE)?.reader();
                let names = reader.optional(context(0))?;
                self.scope = Scope {
                    names: names.map(|name| read_point_name(name.content, &self.issuer)).transpose()?,
                    only_user: reader.flag(implicit(1))?,
                    only_ca: reader.flag(implicit(2))?,
                    reasons: reader
                        .optional(implicit(3))?
                        .map(|bits| crate::der::bits(bits.content))
                        .transpose()?,
                    indirect: reader.flag(implicit(4))?,
                    only_attribute: reader.flag(implicit(5))?,
                };
                self.scope.reasons = self.scope.reasons.map(|bits| bits & ALL_REASONS);
                reader.end()?;
            }
            _ => self.unknown_critical |= critical,
        }
        Ok(())
    }
}

/// A number without leading zeros compares by its length first.
fn number(content: &[u8]) -> (usize, &[u8]) {
    let zeros = content.iter().take_while(|&&octet| octet == 0).count();
    (content.len() - zeros, &content[zeros..])
}
