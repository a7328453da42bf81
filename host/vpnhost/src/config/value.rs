//! Values as operators write them: durations, sizes, names, addresses, prefixes.

use std::net::IpAddr;
use std::time::Duration;

use crate::limits;

/// What is wrong with a value, and what may be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Reads `200ms`, `4h`, `1h30m`; `never` is `None`.
pub(super) fn interval(text: &str) -> Result<Option<Duration>, Wrong> {
    if text == "never" { Ok(None) } else { duration(text).map(Some) }
}

/// Reads `200ms`, `4h`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || {
        Wrong::new(format!("\"{text}\" is no duration"))
            .hint("write it as \"200ms\", \"30s\", \"10m\", \"4h\" or \"1d\"")
    };
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis: u64 = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = Duration::from_millis(number.checked_mul(millis).ok_or_else(wrong)?);
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = after;
    }
    if text.trim().is_empty() {
        return Err(wrong());
    }
    if total > limits::LONGEST_INTERVAL {
        return Err(Wrong::new(format!("\"{text}\" is too long")).hint("for \"not at all\" write \"never\""));
    }
    Ok(total)
}

/// Writes a duration as an operator would.
pub(crate) fn written(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}

/// Reads `16MiB`, `1GB`, `65536`.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let wrong =
        || Wrong::new(format!("\"{text}\" is no size")).hint("write it as \"16MiB\", \"10GB\" or 65536");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// Reads the name of a connection, child, plugin or pool: it stands in commands, addresses and logs.
pub(super) fn name(text: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    if text.is_empty() || text.starts_with('-') || !text.chars().all(fits) {
        return Err(Wrong::new(format!("\"{text}\" is no name"))
            .hint("use letters, digits, and . _ - @ +, without spaces"));
    }
    if text.len() > limits::NAME_OCTETS {
        return Err(Wrong::new(format!("\"{text}\" is longer than {} characters", limits::NAME_OCTETS)));
    }
    Ok(text.to_owned())
}

/// Reads the name of an interface.
pub(super) fn interface(text: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_graphic() && !"/:%".contains(c);
    let is_name = !text.is_empty() && text != "." && text != ".." && text.chars().all(fits);
    if !is_name || text.len() > limits::INTERFACE_OCTETS {
        return Err(Wrong::new(format!("\"{text}\" is no name of an interface")).hint(format!(
            "at most {} characters, without spaces, \"/\" and \":\"",
            limits::INTERFACE_OCTETS
        )));
    }
    Ok(text.to_owned())
}

/// Reads an IP address.
pub(super) fn address(text: &str) -> Result<IpAddr, Wrong> {
    text.parse().map_err(|_| {
        let wrong = Wrong::new(format!("\"{text}\" is no IP address"));
        if text.parse::<std::net::SocketAddr>().is_ok() {
            wrong.hint("write it without the port")
        } else {
            wrong
        }
    })
}

/// Reads `10.0.0.0/8`; a lone address is a prefix of full length.
pub(super) fn prefix(text: &str) -> Result<(IpAddr, u8), Wrong> {
    let wrong = || {
        Wrong::new(format!("\"{text}\" is no prefix")).hint("write it as \"10.20.0.0/24\" or \"fd20::/64\"")
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(length) => length
            .trim()
            .parse()
            .ok()
            .filter(|&length| length <= most)
            .ok_or_else(|| Wrong::new(format!("\"{text}\" is no prefix: its length is 0 to {most}")))?,
    };
    Ok((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, millis) in [
            ("200ms", 200),
            ("20s", 20_000),
            ("10m", 600_000),
            ("10min", 600_000),
            ("4h", 14_400_000),
            ("1d", 86_400_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", " ", "4", "h", "4 hours", "-1s", "1.5h", "99999999999999999999s", "9999999999999d", "never"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(interval("never"), Ok(None));
        assert_eq!(interval("1s"), Ok(Some(Duration::from_secs(1))));
    }

    #[test]
    fn a_duration_is_written_in_its_largest_whole_unit() {
        for text in ["200ms", "90s", "20s", "10m", "4h", "2d", "0ms"] {
            assert_eq!(written(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, octets) in
            [("16MiB", 16 << 20), ("65536", 65_536), ("1 GB", 1_000_000_000), ("3KiB", 3072)]
        {
            assert_eq!(size(text), Ok(octets), "{text}");
        }
        for text in ["", "MiB", "16 mib", "-1", "99999999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_fit_for_commands_and_logs() {
        assert!(name("corp-1.example@x+y").is_ok());
        for text in ["", "-x", "a b", "a/b", "ä", "a\n"] {
            assert!(name(text).is_err(), "{text:?}");
        }
        assert!(interface("vpn0").is_ok());
        for text in ["", "averyverylongname", "a/b", "a b", ".."] {
            assert!(interface(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn prefixes_have_a_length_that_fits() {
        assert_eq!(prefix("10.0.0.0/8"), Ok(("10.0.0.0".parse().unwrap(), 8)));
        assert_eq!(prefix("fd20::1"), Ok(("fd20::1".parse().unwrap(), 128)));
        for text in ["10.20.0.0/33", "::/129", "10.0.0/8", "x", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(prefix(text).is_err(), "{text}");
        }
    }
}
