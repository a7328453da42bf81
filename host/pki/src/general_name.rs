//! GeneralName (RFC 5280 §4.2.1.6), and which of them lie within a name constraint (§4.2.1.10).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::der::{Reader, SEQUENCE, Value, context, implicit, whole};
use crate::{Malformed, Name, limits};

/// A name of a certificate's subject, or a subtree of a name constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// An e-mail address.
    Email(String),
    /// A DNS name.
    Dns(String),
    /// A distinguished name.
    Directory(Name),
    /// A URI.
    Uri(String),
    /// An address of 4 or 16 octets; in a constraint with a mask of as many.
    Ip(Vec<u8>),
    /// Another kind, by its tag, and the octets.
    Other(u8, Vec<u8>),
}

impl GeneralName {
    pub(crate) fn read(value: &Value<'_>) -> Result<Self, Malformed> {
        const DNS: u8 = implicit(2);
        const EMAIL: u8 = implicit(1);
        const URI: u8 = implicit(6);
        const IP: u8 = implicit(7);
        const DIRECTORY: u8 = context(4);
        // IA5String: what is not ASCII names nobody.
        let text = || {
            let ascii = value.content.is_ascii().then(|| String::from_utf8_lossy(value.content).into_owned());
            ascii.ok_or(Malformed)
        };
        Ok(match value.tag() {
            EMAIL => Self::Email(text()?),
            DNS => Self::Dns(text()?),
            DIRECTORY => Self::Directory(Name::from_der(value.content)?),
            URI => Self::Uri(text()?),
            IP => Self::Ip(value.content.to_vec()),
            tag => Self::Other(tag, value.content.to_vec()),
        })
    }

    /// Reads names one after the other.
    pub(crate) fn read_all(content: &[u8]) -> Result<Vec<Self>, Malformed> {
        let mut reader = Reader::new(content);
        let mut names = Vec::new();
        while !reader.is_empty() {
            names.push(Self::read(&reader.next()?)?);
            if names.len() > limits::NAMES {
                return Err(Malformed);
            }
        }
        Ok(names)
    }

    /// Tells whether both are of one kind.
    pub(crate) fn same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(one, _), Self::Other(two, _)) => one == two,
            (one, two) => std::mem::discriminant(one) == std::mem::discriminant(two),
        }
    }

    /// Tells whether this name lies in the subtree; `None` if that cannot be told.
    pub(crate) fn is_within(&self, subtree: &Self) -> Option<bool> {
        match (self, subtree) {
            (Self::Directory(name), Self::Directory(base)) => Some(name.is_within(base)),
            (Self::Dns(name), Self::Dns(base)) => Some(domain_within(name, base, true)),
            (Self::Email(name), Self::Email(base)) => {
                let (local, host) = name.rsplit_once('@')?;
                Some(match base.rsplit_once('@') {
                    // RFC 5280, 7.5: the local part's case matters, the host's does not.
                    Some((base_local, base_host)) => {
                        local == base_local && host.eq_ignore_ascii_case(base_host)
                    }
                    None => domain_within(host, base, false),
                })
            }
            (Self::Uri(uri), Self::Uri(base)) => Some(domain_within(host_of(uri)?, base, false)),
            (Self::Ip(address), Self::Ip(base)) if base.len() == 2 * address.len() => {
                let (network, mask) = base.split_at(address.len());
                let mut octets = address.iter().zip(network).zip(mask);
                Some(octets.all(|((octet, network), mask)| octet & mask == network & mask))
            }
            // A mask of the other family.
            (Self::Ip(_), Self::Ip(base)) if [8, 32].contains(&base.len()) => Some(false),
            _ => None,
        }
    }

    /// Returns the address, where it is one.
    pub(crate) fn address(&self) -> Option<std::net::IpAddr> {
        let Self::Ip(octets) = self else { return None };
        let v4 = <[u8; 4]>::try_from(&octets[..]).map(|octets| Ipv4Addr::from(octets).into());
        v4.or_else(|_| <[u8; 16]>::try_from(&octets[..]).map(|octets| Ipv6Addr::from(octets).into())).ok()
    }
}

/// With its kind in front, as certificate tools show it.
impl fmt::Display for GeneralName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a peer sends reaches logs and terminals.
        let shown = |text: &str| text.replace(|letter: char| letter.is_control(), "?");
        match self {
            Self::Email(text) => write!(f, "email:{}", shown(text)),
            Self::Dns(text) => write!(f, "dns:{}", shown(text)),
            Self::Directory(name) => write!(f, "dn:{name}"),
            Self::Uri(text) => write!(f, "uri:{}", shown(text)),
            Self::Ip(octets) => match self.address() {
                Some(address) => write!(f, "ip:{address}"),
                None => write!(f, "ip:{octets:02x?}"),
            },
            Self::Other(tag, _) => write!(f, "other:{tag}"),
        }
    }
}

/// Tells whether a host lies in a domain. A DNS constraint covers the domain itself and all below; others cover
/// one host, or with a dot in front all hosts below.
fn domain_within(host: &str, base: &str, below: bool) -> bool {
    let (host, base) = (host.to_ascii_lowercase(), base.to_ascii_lowercase());
    if let Some(domain) = base.strip_prefix('.') {
        return host.strip_suffix(domain).is_some_and(|front| front.len() > 1 && front.ends_with('.'));
    }
    let under = || host.strip_suffix(&base).is_some_and(|front| front.ends_with('.'));
    host == base || (below && (base.is_empty() || under()))
}

/// Returns the host of a URI, if it is a name.
fn host_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let named = !host.is_empty() && !host.starts_with('[') && host.parse::<Ipv4Addr>().is_err();
    named.then_some(host)
}

/// The name constraints of a CA.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameConstraints {
    pub(crate) permitted: Vec<GeneralName>,
    pub(crate) excluded: Vec<GeneralName>,
}

impl NameConstraints {
    pub(crate) fn read(octets: &[u8]) -> Result<Self, Malformed> {
        let mut reader = whole(octets, SEQUENCE)?.reader();
        let mut subtrees =
            |tag| reader.optional(tag)?.map_or(Ok(Vec::new()), |value| read_subtrees(value.content));
        let constraints = Self { permitted: subtrees(context(0))?, excluded: subtrees(context(1))? };
        reader.end()?;
        Ok(constraints)
    }

    /// Tells whether a name is allowed; what cannot be compared with a constraint of its kind is not.
    pub(crate) fn allow(&self, name: &GeneralName) -> bool {
        let mut permitted = self.permitted.iter().filter(|subtree| subtree.same_kind(name)).peekable();
        let within =
            permitted.peek().is_none() || permitted.any(|subtree| name.is_within(subtree) == Some(true));
        let mut excluded = self.excluded.iter().filter(|subtree| subtree.same_kind(name));
        within && excluded.all(|subtree| name.is_within(subtree) == Some(false))
    }
}

fn read_subtrees(content: &[u8]) -> Result<Vec<GeneralName>, Malformed> {
    let mut reader = Reader::new(content);
    let mut names = Vec::new();
    while !reader.is_empty() {
        let mut subtree = reader.expect(SEQUENCE)?.reader();
        names.push(GeneralName::read(&subtree.next()?)?);
        // RFC 5280, 4.2.1.10: minimum is zero and so left out, maximum is absent.
        subtree.end()?;
        if names.len() > limits::NAMES {
            return Err(Malformed);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_lies_in_a_domain_by_whole_labels() {
        assert!(domain_within("moon.example.org", "Example.org", true));
        assert!(domain_within("example.org", "example.org", true));
        assert!(domain_within("anything", "", true));
        assert!(!domain_within("badexample.org", "example.org", true));
        assert!(!domain_within("moon.example.org", "example.org", false));
        assert!(domain_within("moon.example.org", ".example.org", false));
        assert!(!domain_within("example.org", ".example.org", false));
        assert!(!domain_within(".example.org", ".example.org", false));
    }

    #[test]
    fn addresses_lie_in_networks_of_their_family() {
        let allowed = NameConstraints {
            permitted: vec![GeneralName::Ip(vec![10, 1, 0, 0, 255, 255, 0, 0])],
            excluded: vec![],
        };
        assert!(allowed.allow(&GeneralName::Ip(vec![10, 1, 2, 3])));
        assert!(!allowed.allow(&GeneralName::Ip(vec![10, 2, 2, 3])));
        assert!(!allowed.allow(&GeneralName::Ip(vec![0; 16])));
        assert!(allowed.allow(&GeneralName::Dns("moon".into())), "of another kind");
        let excluded = NameConstraints { permitted: vec![], excluded: allowed.permitted };
        assert!(!excluded.allow(&GeneralName::Ip(vec![10, 1, 2, 3])));
        assert!(excluded.allow(&GeneralName::Ip(vec![0; 16])));
    }

    #[test]
    fn what_cannot_be_compared_is_not_allowed() {
        let constraints =
            NameConstraints { permitted: vec![], excluded: vec![GeneralName::Uri("example.org".into())] };
        assert!(!constraints.allow(&GeneralName::Uri("urn:nothing".into())));
        assert!(!constraints.allow(&GeneralName::Uri("http://10.0.0.1/".into())));
        assert!(constraints.allow(&GeneralName::Uri("http://a@moon.example.com:80/x".into())));
        let other = GeneralName::Other(0xa0, vec![1]);
        assert!(!NameConstraints { permitted: vec![other.clone()], excluded: vec![] }.allow(&other));
    }
}
