//! Whether a certificate is an identity's (RFC 4945 §3.1, §5.1): ID payload against subject and subjectAltName.

use std::net::IpAddr;

use vpnhost_model::Identity;

use crate::{Certificate, GeneralName, Name, Refusal};

/// Demands that a certificate is an identity's.
///
/// A DNS name with a wildcard counts only where `wildcards`; it stands for one whole label, the first.
///
/// # Errors
/// [`Refusal::WrongIdentity`] names whose it is.
pub fn bind(certificate: &Certificate, identity: &Identity, wildcards: bool) -> Result<(), Refusal> {
    let names = certificate.names();
    let bound = match identity {
        Identity::DistinguishedName(der) => Name::from_der(der).is_ok_and(|name| {
            !name.is_empty() && (name == *certificate.subject() || names.contains(&GeneralName::Directory(name)))
        }),
        Identity::Fqdn(asked) => names.iter().any(|name| {
            matches!(name, GeneralName::Dns(dns) if dns.eq_ignore_ascii_case(asked) || wildcards && covers(dns, asked))
        }),
        Identity::Email(asked) => {
            let named = names.iter().any(|name| matches!(name, GeneralName::Email(_)));
            // RFC 4945, 5.1.2.1: in the subject only where there is no other.
            let mut in_subject = certificate.subject().emails().filter(|_| !named);
            in_subject.any(|email| email.eq_ignore_ascii_case(asked))
                || names.iter().any(|name| matches!(name, GeneralName::Email(email) if email.eq_ignore_ascii_case(asked)))
        }
        Identity::Ipv4(asked) => names.iter().any(|name| name.address() == Some(IpAddr::V4(*asked))),
        Identity::Ipv6(asked) => names.iter().any(|name| name.address() == Some(IpAddr::V6(*asked))),
        // RFC 7296, 3.5: octets that only the two sides understand; a certificate says nothing of them.
        Identity::KeyId(_) | Identity::Eap(_) | Identity::Other { .. } => false,
    };
    if bound {
        return Ok(());
    }
    let found: Vec<String> = identities(certificate).iter().map(ToString::to_string).collect();
    Err(Refusal::WrongIdentity { asked: identity.to_string(), found: found.join("; ") })
}

/// Returns the identities that a certificate is for, the subject first.
pub fn identities(certificate: &Certificate) -> Vec<Identity> {
    let subject = certificate.subject();
    // A name without an attribute is nobody's.
    let named = |name: &Name| (!name.is_empty()).then(|| Identity::DistinguishedName(name.der().to_vec()));
    let other = certificate.names().iter().filter_map(|name| match name {
        GeneralName::Dns(dns) => Some(Identity::Fqdn(dns.clone())),
        GeneralName::Email(email) => Some(Identity::Email(email.clone())),
        GeneralName::Directory(name) => named(name),
        GeneralName::Ip(_) => name.address().map(|address| match address {
            IpAddr::V4(address) => Identity::Ipv4(address),
            IpAddr::V6(address) => Identity::Ipv6(address),
        }),
        GeneralName::Uri(_) | GeneralName::Other(..) => None,
    });
    named(subject).into_iter().chain(other).collect()
}

/// Tells whether both name the same peer: distinguished names compare as RFC 5280 §7.1 says, whatever their encoding.
pub fn matches(one: &Identity, other: &Identity) -> bool {
    match (one, other) {
        (Identity::DistinguishedName(one), Identity::DistinguishedName(other)) => {
            one == other
                || Name::from_der(one).is_ok_and(|one| Name::from_der(other).is_ok_and(|other| one == other))
        }
        (one, other) => one.matches(other),
    }
}

/// Returns the identity by which it is found among many: one for all that [`matches()`] each other.
pub fn folded(identity: &Identity) -> Identity {
    let Identity::DistinguishedName(der) = identity else { return identity.folded() };
    let name = Name::from_der(der).ok().and_then(|name| name.folded());
    Identity::DistinguishedName(name.unwrap_or_else(|| der.clone()))
}

/// Reads distinguished names that are parted by `/` where `,` was meant, as OpenSSL once wrote them; returns what was
/// meant.
pub fn unslashed(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.strip_prefix('/').unwrap_or(text).split('/').map(str::trim).collect();
    let is_slashed = parts.len() > 1 || text.starts_with('/');
    let meant = || !text.contains("\\/") && parts.iter().all(|part| Name::parse(part).is_some());
    (is_slashed && meant()).then(|| parts.join(", "))
}

/// Reads an identity as operators write it, a distinguished name too.
pub fn parse(text: &str) -> Option<Identity> {
    Identity::parse(text).or_else(|| Some(Identity::DistinguishedName(Name::parse(text)?.der().to_vec())))
}

/// Tells whether `*.example.org` covers a name: one label more, and at least two behind the wildcard.
fn covers(pattern: &str, name: &str) -> bool {
    let (Some(domain), Some((label, rest))) = (pattern.strip_prefix("*."), name.split_once('.')) else {
        return false;
    };
    !label.is_empty() && domain.contains('.') && domain.eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_whole_label() {
        assert!(covers("*.example.org", "moon.Example.org"));
        assert!(!covers("*.example.org", "example.org"));
        assert!(!covers("*.example.org", "a.moon.example.org"));
        assert!(!covers("m*.example.org", "moon.example.org"));
        assert!(!covers("*.org", "example.org"));
        assert!(!covers("*", "moon"));
    }

    #[test]
    fn slashes_in_the_place_of_commas_are_seen() {
        let meant = Some("C=CH, O=Lab".to_owned());
        assert_eq!((unslashed("C=CH/O=Lab"), unslashed("/C=CH/O=Lab")), (meant.clone(), meant));
        for text in ["C=CH, O=a/b, CN=moon", "moon/x", "C=CH\\/O=Lab", "CN=moon"] {
            assert_eq!(unslashed(text), None, "{text}");
        }
    }

    #[test]
    fn distinguished_names_are_identities_too() {
        let identity = parse("C=CH, CN=moon").unwrap();
        assert_eq!(identity.to_string(), "C=CH, CN=moon");
        assert_eq!(parse("moon.example.org"), Some(Identity::Fqdn("moon.example.org".into())));
        assert_eq!(parse("XX=moon"), None);
    }
}
