//! Extensions of certificates (RFC 5280 §4.2).

use crate::der::{
    self, BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, context, implicit, whole,
};
use crate::general_name::{GeneralName, NameConstraints};
use crate::name::oid;
use crate::{Malformed, Name, limits};

/// anyPolicy.
pub(crate) const ANY_POLICY: &[u8] = b"\x55\x1d\x20\x00";
/// All reasons of a revocation (RFC 5280 §5.3.1): bits 1 to 8.
pub(crate) const ALL_REASONS: u16 = 0x7f80;

/// A policy of the issuer, and what it is called below.
pub(crate) type Mapping = (Vec<u8>, Vec<u8>);

/// The bit of a purpose in the key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyUse {
    DigitalSignature = 0,
    NonRepudiation = 1,
    CertSign = 5,
    CrlSign = 6,
}

/// Where a list is that says whether a certificate is revoked.
#[derive(Clone, Debug, Default)]
pub(crate) struct DistributionPoint {
    /// Its names; one below the issuer's stands here as a whole.
    pub(crate) names: Option<Vec<GeneralName>>,
    /// Which reasons the list has.
    pub(crate) reasons: Option<u16>,
    /// Who makes it, unless the certificate's issuer does.
    pub(crate) issuers: Vec<Name>,
}

/// What the extensions of a certificate say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) is_ca: bool,
    pub(crate) path_len: Option<u32>,
    pub(crate) key_usage: Option<u16>,
    pub(crate) extended_key_usage: Option<Vec<Vec<u8>>>,
    pub(crate) names: Vec<GeneralName>,
    pub(crate) policies: Option<Vec<Vec<u8>>>,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) require_explicit: Option<u32>,
    pub(crate) inhibit_mapping: Option<u32>,
    pub(crate) inhibit_any: Option<u32>,
    pub(crate) constraints: Option<NameConstraints>,
    pub(crate) points: Vec<DistributionPoint>,
    pub(crate) subject_key: Option<Vec<u8>>,
    pub(crate) authority_key: Option<Vec<u8>>,
    /// A critical extension that nothing here knows.
    pub(crate) unknown: Option<String>,
}

/// Splits a list of extensions: name, critical, content of the OCTET STRING.
pub(crate) fn each<'a>(
    octets: &'a [u8],
    mut take: impl FnMut(&'a [u8], bool, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = whole(octets, SEQUENCE)?.reader();
    let mut seen: Vec<&[u8]> = Vec::new();
    while !reader.is_empty() {
        let mut extension = reader.expect(SEQUENCE)?.reader();
        let name = extension.expect(OID)?.content;
        let critical = extension.flag(BOOLEAN)?;
        let value = extension.expect(OCTET_STRING)?.content;
        extension.end()?;
        if seen.contains(&name) || seen.len() >= limits::EXTENSIONS {
            return Err(Malformed);
        }
        seen.push(name);
        take(name, critical, value)?;
    }
    Ok(())
}

impl Extensions {
    pub(crate) fn read(octets: &[u8], issuer: &Name) -> Result<Self, Malformed> {
        let mut extensions = Self::default();
        each(octets, |name, critical, value| extensions.take(name, critical, value, issuer))?;
        Ok(extensions)
    }

    /// Tells whether the key may be used so; without the extension it may.
    pub(crate) fn allow(&self, purpose: KeyUse) -> bool {
        self.key_usage.is_none_or(|bits| bits & (0x8000 >> purpose as u16) != 0)
    }

    fn take(&mut self, name: &[u8], critical: bool, value: &[u8], issuer: &Name) -> Result<(), Malformed> {
        match name {
            b"\x55\x1d\x0e" => self.subject_key = Some(whole(value, OCTET_STRING)?.content.to_vec()),
            b"\x55\x1d\x0f" => self.key_usage = Some(der::bits(whole(value, BIT_STRING)?.content)?),
            b"\x55\x1d\x11" => self.names = GeneralName::read_all(whole(value, SEQUENCE)?.content)?,
            b"\x55\x1d\x13" => {
                let mut reader = whole(value, SEQUENCE)?.reader();
                self.is_ca = reader.flag(BOOLEAN)?;
                self.path_len = reader.optional(INTEGER)?.map(|n| der::small(n.content)).transpose()?;
                reader.end()?;
            }
            b"\x55\x1d\x1e" => self.constraints = Some(NameConstraints::read(value)?),
            b"\x55\x1d\x1f" => self.points = read_points(whole(value, SEQUENCE)?.content, issuer)?,
            b"\x55\x1d\x20" => self.policies = Some(read_policies(value)?),
            b"\x55\x1d\x21" => self.mappings = read_mappings(value)?,
            b"\x55\x1d\x23" => {
                let mut reader = whole(value, SEQUENCE)?.reader();
                self.authority_key = reader.optional(implicit(0))?.map(|key| key.content.to_vec());
            }
            b"\x55\x1d\x24" => {
                let mut reader = whole(value, SEQUENCE)?.reader();
                let mut skip = |tag| reader.optional(tag)?.map(|n| der::small(n.content)).transpose();
                (self.require_explicit, self.inhibit_mapping) = (skip(implicit(0))?, skip(implicit(1))?);
                reader.end()?;
            }
            b"\x55\x1d\x25" => self.extended_key_usage = Some(read_oids(value)?),
            b"\x55\x1d\x36" => self.inhibit_any = Some(der::small(whole(value, INTEGER)?.content)?),
            _ if critical => self.unknown = Some(oid(name)),
            _ => {}
        }
        Ok(())
    }
}

fn read_oids(octets: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut reader = whole(octets, SEQUENCE)?.reader();
    let mut oids = Vec::new();
    while !reader.is_empty() && oids.len() < limits::NAMES {
        oids.push(reader.expect(OID)?.content.to_vec());
    }
    reader.end()?;
    Ok(oids)
}

/// Reads certificatePolicies; what qualifies them says nothing to a machine.
fn read_policies(octets: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut reader = whole(octets, SEQUENCE)?.reader();
    let mut policies: Vec<Vec<u8>> = Vec::new();
    while !reader.is_empty() && policies.len() < limits::NAMES {
        let policy = reader.expect(SEQUENCE)?.reader().expect(OID)?.content.to_vec();
        if policies.contains(&policy) {
            return Err(Malformed);
        }
        policies.push(policy);
    }
    reader.end()?;
    Ok(policies)
}

fn read_mappings(octets: &[u8]) -> Result<Vec<Mapping>, Malformed> {
    let mut reader = whole(octets, SEQUENCE)?.reader();
    let mut mappings = Vec::new();
    while !reader.is_empty() && mappings.len() < limits::NAMES {
        let mut pair = reader.expect(SEQUENCE)?.reader();
        mappings.push((pair.expect(OID)?.content.to_vec(), pair.expect(OID)?.content.to_vec()));
        pair.end()?;
    }
    reader.end()?;
    Ok(mappings)
}

fn read_points(content: &[u8], issuer: &Name) -> Result<Vec<DistributionPoint>, Malformed> {
    let mut reader = Reader::new(content);
    let mut points = Vec::new();
    while !reader.is_empty() && points.len() < limits::NAMES {
        let mut point = reader.expect(SEQUENCE)?.reader();
        let name = point.optional(context(0))?;
        let reasons = point.optional(implicit(1))?.map(|bits| der::bits(bits.content)).transpose()?;
        let issuers =
            point.optional(context(2))?.map_or(Ok(Vec::new()), |v| GeneralName::read_all(v.content))?;
        point.end()?;
        let issuers: Vec<Name> = issuers.into_iter().filter_map(directory).collect();
        // RFC 5280, 4.2.1.13: a relative name goes on where its maker's ends.
        let base = issuers.first().unwrap_or(issuer);
        let names = name.map(|name| read_point_name(name.content, base)).transpose()?;
        points.push(DistributionPoint { names, reasons: reasons.map(|bits| bits & ALL_REASONS), issuers });
    }
    reader.end()?;
    Ok(points)
}

/// Reads a DistributionPointName.
pub(crate) fn read_point_name(octets: &[u8], base: &Name) -> Result<Vec<GeneralName>, Malformed> {
    let mut reader = Reader::new(octets);
    let name = reader.next()?;
    reader.end()?;
    if name.tag() == context(0) {
        GeneralName::read_all(name.content)
    } else if name.tag() == context(1) {
        let mut whole = base.clone();
        whole.add_relative(name.content)?;
        Ok(vec![GeneralName::Directory(whole)])
    } else {
        Err(Malformed)
    }
}

/// Takes a distinguished name out.
pub(crate) fn directory(name: GeneralName) -> Option<Name> {
    if let GeneralName::Directory(name) = name { Some(name) } else { None }
}
