//! A path as an operator names it: `LOCAL-REMOTE`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use vpnhost_driver::PathState;

/// Both ends of a path. Neither kind of address contains a hyphen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// This host's address.
    pub(crate) local: IpAddr,
    /// The peer's.
    pub(crate) remote: IpAddr,
}

impl Ends {
    /// Returns the ends of a path that is known.
    pub(crate) fn of(path: &PathState) -> Self {
        Self { local: path.local.ip(), remote: path.remote.ip() }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.local, self.remote)
    }
}

impl FromStr for Ends {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((local, remote)) = text.split_once('-') else {
            return Err("a path is LOCAL-REMOTE, two addresses with a hyphen between them".to_owned());
        };
        let (local, remote) = (address(local)?, address(remote)?);
        if local.is_ipv4() != remote.is_ipv4() {
            return Err("one end is an IPv4 address and the other an IPv6 address".to_owned());
        }
        Ok(Self { local, remote })
    }
}

/// Reads an address; a port may stand there, as `list paths` shows it, and says nothing.
fn address(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    let bare = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    bare.ok_or_else(|| format!("{} is no IP address", if text.is_empty() { "an empty text" } else { text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_two_addresses_of_one_family_as_list_paths_shows_them() {
        for (text, shown) in [
            ("10.0.0.1-192.0.2.1", "10.0.0.1-192.0.2.1"),
            ("10.0.0.1:4500 - 192.0.2.1:4500", "10.0.0.1-192.0.2.1"),
            ("2001:db8::1-2001:db8::2", "2001:db8::1-2001:db8::2"),
            ("[2001:db8::1]:4500-[2001:db8::2]:500", "2001:db8::1-2001:db8::2"),
        ] {
            assert_eq!(text.parse::<Ends>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_told_with_what_is_wrong() {
        for (text, wrong) in [
            ("10.0.0.1", "a hyphen"),
            ("", "a hyphen"),
            ("-192.0.2.1", "an empty text is no IP address"),
            ("10.0.0.1-moon.example.org", "moon.example.org is no IP address"),
            ("10.0.0.1-192.0.2.1-1", "192.0.2.1-1 is no IP address"),
            ("10.0.0.1-2001:db8::2", "the other an IPv6 address"),
        ] {
            let error = text.parse::<Ends>().unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }
}
