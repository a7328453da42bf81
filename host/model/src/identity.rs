//! Identities of peers (RFC 7296 §3.5).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::distinguished_name;

/// Who a peer says it is: the ID payload's type and data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// ID_IPV4_ADDR.
    Ipv4(Ipv4Addr),
    /// ID_FQDN: `moon.example.org`.
    Fqdn(String),
    /// ID_RFC822_ADDR: `carol@example.org`.
    Email(String),
    /// ID_IPV6_ADDR.
    Ipv6(Ipv6Addr),
    /// ID_DER_ASN1_DN: a distinguished name in DER.
    DistinguishedName(Vec<u8>),
    /// ID_KEY_ID: octets that both sides understand.
    KeyId(Vec<u8>),
    /// A user's name that an EAP method has proved (RFC 7296 §2.16). No ID payload brings one.
    Eap(String),
    /// A type without a name here; its number and data survive.
    Other {
        /// The ID type's number.
        kind: u8,
        /// The identification data.
        data: Vec<u8>,
    },
}

impl Identity {
    /// The number that stands for an EAP identity where numbers are needed; RFC 7296 §3.5 leaves it to private use.
    pub const EAP: u8 = 206;

    /// Reads an ID payload's type and data; data that do not fit the type become `Other`.
    pub fn from_wire(kind: u8, data: &[u8]) -> Self {
        let other = || Self::Other { kind, data: data.to_vec() };
        match kind {
            1 => <[u8; 4]>::try_from(data).map_or_else(|_| other(), |a| Self::Ipv4(a.into())),
            2 => text(data).map_or_else(other, Self::Fqdn),
            3 => text(data).map_or_else(other, Self::Email),
            5 => <[u8; 16]>::try_from(data).map_or_else(|_| other(), |a| Self::Ipv6(a.into())),
            9 => Self::DistinguishedName(data.to_vec()),
            11 => Self::KeyId(data.to_vec()),
            _ => other(),
        }
    }

    /// Returns the ID type's number and the identification data.
    pub fn to_wire(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Ipv4(address) => (1, address.octets().to_vec()),
            Self::Fqdn(name) => (2, name.clone().into_bytes()),
            Self::Email(name) => (3, name.clone().into_bytes()),
            Self::Ipv6(address) => (5, address.octets().to_vec()),
            Self::DistinguishedName(der) => (9, der.clone()),
            Self::KeyId(octets) => (11, octets.clone()),
            Self::Eap(name) => (Self::EAP, name.clone().into_bytes()),
            Self::Other { kind, data } => (*kind, data.clone()),
        }
    }

    /// Reads an identity as an operator writes it: an address, `keyid:HEX`, `user@host` or a name.
    ///
    /// Returns `None` for an empty text, for octets that are no hexadecimal digits, and for what
    /// looks like a distinguished name (`C=CH, O=...`), which certificates bring.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Ipv4(address));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Ipv6(address));
        }
        if let Some(digits) = text.strip_prefix("keyid:") {
            return octets_of_hex(digits).map(Self::KeyId);
        }
        if text.is_empty() || text.contains('=') || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        Some(match text.strip_prefix('@') {
            Some(name) => Self::Fqdn(name.to_owned()),
            None if text.contains('@') => Self::Email(text.to_owned()),
            None => Self::Fqdn(text.to_owned()),
        })
    }

    /// Returns the identity by which it is found among many: names in small letters.
    pub fn folded(&self) -> Self {
        match self {
            Self::Fqdn(name) => Self::Fqdn(name.to_ascii_lowercase()),
            Self::Email(name) => Self::Email(name.to_ascii_lowercase()),
            Self::Ipv4(_)
            | Self::Ipv6(_)
            | Self::DistinguishedName(_)
            | Self::KeyId(_)
            | Self::Eap(_)
            | Self::Other { .. } => self.clone(),
        }
    }

    /// Tells whether both name the same peer: names compare without regard to ASCII case.
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fqdn(a), Self::Fqdn(b)) | (Self::Email(a), Self::Email(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => write!(f, "{address}"),
            Self::Ipv6(address) => write!(f, "{address}"),
            Self::Fqdn(name) | Self::Email(name) | Self::Eap(name) => write!(f, "{name}"),
            Self::DistinguishedName(der) => match distinguished_name::text(der) {
                Some(text) => f.write_str(&text),
                None => hex(f, "dn:", der),
            },
            Self::KeyId(octets) => hex(f, "keyid:", octets),
            Self::Other { kind, data } => {
                write!(f, "id-type-{kind}:")?;
                hex(f, "", data)
            }
        }
    }
}

/// Text of visible ASCII: what a peer sends reaches logs and terminals.
fn text(data: &[u8]) -> Option<String> {
    let visible = !data.is_empty() && data.iter().all(u8::is_ascii_graphic);
    visible.then(|| String::from_utf8_lossy(data).into_owned())
}

fn hex(f: &mut fmt::Formatter<'_>, prefix: &str, octets: &[u8]) -> fmt::Result {
    write!(f, "{prefix}")?;
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

fn octets_of_hex(digits: &str) -> Option<Vec<u8>> {
    let whole = !digits.is_empty() && digits.len().is_multiple_of(2) && digits.is_ascii();
    if !whole {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_strongswan_reads_it() {
        assert_eq!(Identity::parse("carol.lab"), Some(Identity::Fqdn("carol.lab".into())));
        assert_eq!(Identity::parse("carol@lab"), Some(Identity::Email("carol@lab".into())));
        assert_eq!(Identity::parse("@carol"), Some(Identity::Fqdn("carol".into())));
        assert_eq!(Identity::parse("10.0.0.1"), Some(Identity::Ipv4(Ipv4Addr::new(10, 0, 0, 1))));
        assert_eq!(Identity::parse("keyid:0aff"), Some(Identity::KeyId(vec![0x0a, 0xff])));
        assert_eq!(Identity::parse("C=CH, O=lab"), None);
        assert_eq!(Identity::parse("keyid:xy"), None);
    }

    #[test]
    fn wire_form_comes_back() {
        for (kind, data) in
            [(1, &b"\x0a\0\0\x01"[..]), (2, b"moon"), (3, b"a@b"), (9, b"\x30\0"), (11, b"\0"), (42, b"x")]
        {
            assert_eq!(Identity::from_wire(kind, data).to_wire(), (kind, data.to_vec()));
        }
    }

    #[test]
    fn control_characters_never_become_text() {
        assert_eq!(
            Identity::from_wire(2, b"a\x1b[2J"),
            Identity::Other { kind: 2, data: b"a\x1b[2J".to_vec() }
        );
    }
}
