//! Traffic selectors as strongSwan writes them: `10.20.0.0/24[tcp/80]`, `dynamic`.

use std::net::IpAddr;

use vpnhost_ike::config::SelectorConfig;
use vpnhost_model::TrafficSelector;

use super::value::{self, Wrong};

const PROTOCOLS: [(&str, u8); 10] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("sctp", 132),
];

/// A selector, and what is odd about its text.
pub(super) struct Read {
    pub(super) selector: SelectorConfig,
    pub(super) odd: Option<Wrong>,
}

/// Reads a selector.
pub(super) fn read(text: &str) -> Result<Read, Wrong> {
    let (addresses, upper) = match text.split_once('[') {
        Some((addresses, rest)) => {
            let inner = rest.strip_suffix(']').ok_or_else(|| wrong(text))?;
            (addresses.trim(), Some(inner))
        }
        None => (text.trim(), None),
    };
    if addresses == "dynamic" {
        return match upper {
            None => Ok(Read { selector: SelectorConfig::Dynamic, odd: None }),
            Some(_) => Err(Wrong::new(format!(
                "\"{text}\": protocols and ports of a dynamic selector are not in this version"
            ))),
        };
    }
    let (range, odd) = range(addresses)?;
    let selector = match upper {
        Some(upper) => upper_layer(range, upper).ok_or_else(|| wrong(text))?,
        None => range,
    };
    Ok(Read { selector: SelectorConfig::Fixed(selector), odd })
}

fn wrong(text: &str) -> Wrong {
    Wrong::new(format!("\"{text}\" is no traffic selector"))
        .hint("write it as \"10.20.0.0/24\", \"10.20.0.7[tcp/443]\", \"10.0.0.1-10.0.0.9\" or \"dynamic\"")
}

/// Reads a prefix, an address, or a range of addresses.
fn range(text: &str) -> Result<(TrafficSelector, Option<Wrong>), Wrong> {
    if let Some((start, end)) = text.split_once('-') {
        let parsed = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| wrong(text));
        let selector = TrafficSelector { end: parsed(end)?, ..TrafficSelector::host(parsed(start)?) };
        return match selector.is_valid() {
            true => Ok((selector, None)),
            false => Err(Wrong::new(format!("\"{text}\" is no range: its end comes before its start"))),
        };
    }
    if !text.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':') {
        return Err(wrong(text));
    }
    let (address, length) = value::prefix(text)?;
    let selector = TrafficSelector::prefix(address, length).ok_or_else(|| wrong(text))?;
    let odd = (selector.start != address)
        .then(|| Wrong::new(format!("\"{text}\" has bits behind its length; taken as {selector}")));
    Ok((selector, odd))
}

/// Reads `tcp`, `tcp/80`, `17/1000-2000`, `/53`, `udp/opaque`; an ICMP "port" is a type with every code.
fn upper_layer(range: TrafficSelector, text: &str) -> Option<TrafficSelector> {
    let (protocol, port) = match text.split_once('/') {
        Some((protocol, port)) => (protocol.trim(), Some(port.trim())),
        None => (text.trim(), None),
    };
    let named = PROTOCOLS.iter().find(|(name, _)| *name == protocol).map(|(_, number)| *number);
    let protocol = match protocol {
        "" | "any" => 0,
        other => named.or_else(|| other.parse().ok())?,
    };
    let is_icmp = matches!(protocol, 1 | 58);
    let (start_port, end_port) = match port {
        None | Some("any") => (0, u16::MAX),
        Some("opaque") => (u16::MAX, 0),
        // RFC 7296, 3.13.1: the type is the most significant octet of the port, the code the least.
        Some(port) if is_icmp => {
            let kind = u16::from(port.parse::<u8>().ok()?);
            (kind << 8, kind << 8 | 0xff)
        }
        Some(port) => {
            let (start, end) = port.split_once('-').unwrap_or((port, port));
            let (start, end) = (start.parse().ok()?, end.parse().ok()?);
            (start <= end).then_some((start, end))?
        }
    };
    Some(TrafficSelector { protocol, start_port, end_port, ..range })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_strongswan_writes_them() {
        for (text, shown) in [
            ("10.20.0.0/24", "10.20.0.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd20::/64", "fd20::/64"),
            ("10.20.0.7", "10.20.0.7/32"),
            ("10.20.0.7/32[tcp/80]", "10.20.0.7/32[6/80]"),
            ("10.20.0.0/24[udp]", "10.20.0.0/24[17]"),
            ("10.20.0.0/24[17/1000-2000]", "10.20.0.0/24[17/1000-2000]"),
            ("10.20.0.0/24[/53]", "10.20.0.0/24[0/53]"),
            ("10.20.0.0/24[icmp/8]", "10.20.0.0/24[1/2048-2303]"),
            ("10.0.0.1-10.0.0.6", "10.0.0.1-10.0.0.6"),
        ] {
            let SelectorConfig::Fixed(selector) =
                read(text).unwrap_or_else(|e| panic!("{text}: {e:?}")).selector
            else {
                panic!("{text} is dynamic")
            };
            assert_eq!(selector.to_string(), shown, "{text}");
        }
        assert_eq!(read("dynamic").unwrap().selector, SelectorConfig::Dynamic);
    }

    #[test]
    fn what_is_no_selector_is_told() {
        for text in [
            "10.20.0.0/33",
            "",
            "net",
            "10.0.0.9-10.0.0.1",
            "10.0.0.1-::1",
            "10.0.0.0/8[tcp",
            "10.0.0.0/8[tcp/90-80]",
            "10.0.0.0/8[foo]",
            "10.0.0.0/8[tcp/70000]",
            "dynamic[tcp/80]",
            "10.0.0.0/8[icmp/300]",
        ] {
            let wrong = read(text).map(|read| read.selector).expect_err(text);
            assert!(wrong.what.contains(text.split('[').next().unwrap()), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn bits_behind_the_length_are_odd() {
        assert!(read("10.20.0.1/24").unwrap().odd.is_some_and(|odd| odd.what.contains("10.20.0.0/24")));
        assert!(read("10.20.0.0/24").unwrap().odd.is_none());
    }
}
