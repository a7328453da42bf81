//! Patterns of identities, by which an operator names a group of peers. What a peer says of itself is never one.

use std::fmt;

use vpnhost_model::Identity;

use crate::Name;

/// A group of peers by their identities.
///
/// strongSwan takes the same patterns for the same peers, and `*lab` for names that only end so, which is none here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*.example.org`: the names below a domain, however deep, not the domain itself. Holds `.example.org`.
    Hosts(String),
    /// `*@example.org`: the users of one domain, not of those below. Holds `@example.org`.
    Users(String),
    /// `C=CH, O=Example, CN=*`: names of the same attributes in the same order, of which those with `*` may have any
    /// one value.
    Name(Name),
}

impl Pattern {
    /// Reads a pattern as operators write it.
    ///
    /// Returns `None` where `*` is another part of a name than these: the first label, all before `@`, a whole value.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('=') {
            return Name::parse(text).filter(Name::is_pattern).map(Self::Name);
        }
        let rest = text.strip_prefix('*')?;
        let domain = rest.get(1..)?;
        let is_domain = !domain.starts_with('.') && domain.bytes().all(|octet| octet.is_ascii_graphic());
        if domain.is_empty() || !is_domain || domain.contains(['*', '@']) {
            return None;
        }
        match rest.as_bytes()[0] {
            b'.' => Some(Self::Hosts(rest.to_ascii_lowercase())),
            b'@' => Some(Self::Users(rest.to_ascii_lowercase())),
            _ => None,
        }
    }

    /// Tells whether an identity is one of the group. One with `*` in it names nobody.
    pub fn matches(&self, identity: &Identity) -> bool {
        match (self, identity) {
            (Self::Hosts(domain), Identity::Fqdn(name)) => {
                let below = before(name, domain);
                below
                    .is_some_and(|below| !below.is_empty() && !below.starts_with('.') && !below.contains('*'))
            }
            (Self::Users(domain), Identity::Email(name)) => {
                let user = before(name, domain);
                user.is_some_and(|user| !user.is_empty() && !user.contains(['*', '@']))
            }
            (Self::Name(pattern), Identity::DistinguishedName(der)) => {
                Name::from_der(der).is_ok_and(|name| name.fits(pattern))
            }
            _ => false,
        }
    }

    /// Returns how closely it tells who is meant: among patterns of one kind, the longer one, or of distinguished names
    /// the one with more values, is the closer.
    pub fn closeness(&self) -> usize {
        match self {
            Self::Hosts(domain) | Self::Users(domain) => domain.len(),
            Self::Name(name) => name.fixed(),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(domain) | Self::Users(domain) => write!(f, "*{domain}"),
            Self::Name(name) => write!(f, "{name}"),
        }
    }
}

/// Returns what stands before an end, whose letters are small.
fn before<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let (before, rest) = text.split_at_checked(text.len().checked_sub(end.len())?)?;
    rest.eq_ignore_ascii_case(end).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity;

    fn matches(pattern: &str, text: &str) -> bool {
        let identity = identity::parse(text).expect("an identity");
        Pattern::parse(pattern).expect("a pattern").matches(&identity)
    }

    #[test]
    fn a_pattern_of_hosts_is_for_all_names_below_a_domain_by_whole_labels() {
        assert!(matches("*.example.org", "moon.Example.org"));
        assert!(matches("*.Example.org", "a.moon.example.org"));
        assert!(!matches("*.example.org", "example.org"));
        assert!(!matches("*.example.org", "badexample.org"));
        assert!(!matches("*.example.org", "moon@example.org"));
        assert!(!matches("*.example.org", "moon.example.org.evil.com"));
        assert!(!Pattern::parse("*.lab").unwrap().matches(&Identity::Fqdn("..lab".into())));
    }

    #[test]
    fn a_pattern_of_users_is_for_one_domain() {
        assert!(matches("*@example.org", "carol@EXAMPLE.org"));
        assert!(!matches("*@example.org", "carol@sub.example.org"));
        assert!(!matches("*@example.org", "carol.example.org"));
        assert!(!Pattern::parse("*@lab").unwrap().matches(&Identity::Email("a@b@lab".into())));
        assert!(!Pattern::parse("*@lab").unwrap().matches(&Identity::Email("@lab".into())));
    }

    #[test]
    fn in_a_distinguished_name_an_asterisk_is_any_one_value_of_that_attribute() {
        let pattern = "C=CH, O=Lab, CN=*";
        assert!(matches(pattern, "C=ch, O=lab, CN=carol"));
        assert!(!matches(pattern, "C=CH, O=Other, CN=carol"));
        assert!(!matches(pattern, "C=CH, O=Lab"));
        assert!(!matches(pattern, "C=CH, O=Lab, OU=x, CN=carol"));
        assert!(!matches(pattern, "C=CH, CN=carol, O=Lab"), "in another order");
        assert!(!matches(pattern, "C=CH, O=Lab, E=carol@lab"), "of another kind");
        assert!(matches("O=*, CN=*", "O=a, CN=b"));
    }

    #[test]
    fn whoever_calls_itself_a_pattern_is_nobody() {
        for (pattern, identity) in [("*.lab", "*.lab"), ("*@lab", "*@lab"), ("O=Lab, CN=*", "O=Lab, CN=*")] {
            assert!(!matches(pattern, identity), "{pattern}");
        }
        let several = Name::several(&[("CN", "a"), ("O", "b")]);
        let identity = Identity::DistinguishedName(several.der().to_vec());
        assert!(!Pattern::parse("CN=*").unwrap().matches(&identity), "one value, not two");
    }

    #[test]
    fn an_asterisk_elsewhere_is_no_pattern() {
        for text in [
            "*", "*.", "*@", "*lab", "m*.lab", "*.*.lab", "moon.*", "a*@lab", "*@*.lab", "CN=m*", "CN=*.lab",
            "CN=a",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_longer_pattern_is_the_closer() {
        let closeness = |text: &str| Pattern::parse(text).unwrap().closeness();
        assert!(closeness("*.a.lab") > closeness("*.lab"));
        assert!(closeness("O=Lab, CN=*") > closeness("O=*, CN=*"));
        for text in ["*.a.lab", "*@lab", "O=Lab, CN=*"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
    }
}
