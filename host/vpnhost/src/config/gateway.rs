//! A peer's addresses: `192.0.2.1`, `moon.example.org:4500`, `[2001:db8::1]:4500`, `%any`.

use std::net::{IpAddr, Ipv6Addr};

use super::GatewayName;
use super::value::Wrong;

/// The port of IKE (RFC 7296 §2).
const PORT: u16 = 500;

/// Reads an address or a name, with a port or without.
pub(super) fn read(text: &str) -> Result<GatewayName, Wrong> {
    let wrong = || {
        Wrong::new(format!("\"{text}\" is no address and no name of a host"))
            .hint("write it as \"192.0.2.1\", \"moon.example.org\", \"moon.example.org:4500\" or \"[2001:db8::1]:4500\"")
    };
    if text.parse::<IpAddr>().is_ok() {
        return Ok(GatewayName { host: text.to_owned(), port: PORT });
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
        host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
        let port = match port.strip_prefix(':') {
            Some(port) => number(port).ok_or_else(wrong)?,
            None if port.is_empty() => PORT,
            None => return Err(wrong()),
        };
        return Ok(GatewayName { host: host.to_owned(), port });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, number(port).ok_or_else(wrong)?),
        None => (text, PORT),
    };
    if host.parse::<IpAddr>().is_err() && !is_name(host) {
        return Err(wrong());
    }
    Ok(GatewayName { host: host.to_owned(), port })
}

fn number(port: &str) -> Option<u16> {
    port.parse().ok().filter(|&port| port != 0)
}

/// Tells whether a text can be a host's name. A last label of digits alone is a mistyped address (RFC 3696 §2).
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(fits)
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_read_with_their_ports() {
        for (text, host, port) in [
            ("192.0.2.1", "192.0.2.1", 500),
            ("192.0.2.1:4500", "192.0.2.1", 4500),
            ("2001:db8::1", "2001:db8::1", 500),
            ("[2001:db8::1]:4500", "2001:db8::1", 4500),
            ("[2001:db8::1]", "2001:db8::1", 500),
            ("moon.example.org", "moon.example.org", 500),
            ("moon.example.org.:1500", "moon.example.org.", 1500),
            ("localhost", "localhost", 500),
        ] {
            let gateway = GatewayName { host: host.to_owned(), port };
            assert_eq!(read(text), Ok(gateway), "{text}");
        }
    }

    #[test]
    fn a_mistyped_address_is_no_name() {
        for text in [
            "10.10.0.256",
            "1.2.3",
            "",
            "moon example",
            "moon:0",
            "moon:x",
            "moon:70000",
            "[::1",
            "[moon]:500",
            "-moon",
            "moon..org",
            "http://moon",
            "%anyy",
            "[::1]x",
        ] {
            let wrong = read(text).expect_err(text);
            assert!(wrong.what.contains(text), "{wrong:?}");
        }
    }
}
