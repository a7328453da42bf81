//! Distinguished names as people read and write them: `C=CH, O=Example, CN=moon`, in the order of the encoding.
//!
//! Only for eyes: whether two names are the same (RFC 5280 §7.1) is not to be seen from their texts.

use std::fmt::Write as _;

/// BER tags of the string types of X.520.
pub mod tag {
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// TeletexString.
    pub const TELETEX_STRING: u8 = 0x14;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UniversalString.
    pub const UNIVERSAL_STRING: u8 = 0x1c;
    /// BMPString.
    pub const BMP_STRING: u8 = 0x1e;
}

/// The type of an e-mail address.
pub const EMAIL: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01";

/// Attribute types by the content of their object identifier, and the letters that people write.
pub const LETTERS: &[(&str, &[u8])] = &[
    ("CN", b"\x55\x04\x03"),
    ("C", b"\x55\x04\x06"),
    ("O", b"\x55\x04\x0a"),
    ("OU", b"\x55\x04\x0b"),
    ("L", b"\x55\x04\x07"),
    ("ST", b"\x55\x04\x08"),
    ("S", b"\x55\x04\x08"),
    ("SN", b"\x55\x04\x04"),
    ("GN", b"\x55\x04\x2a"),
    ("T", b"\x55\x04\x0c"),
    ("serialNumber", b"\x55\x04\x05"),
    ("street", b"\x55\x04\x09"),
    ("E", EMAIL),
    ("emailAddress", EMAIL),
    ("DC", b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"),
    ("UID", b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01"),
];

/// The most attributes that are shown.
const ATTRIBUTES: usize = 64;

const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// Returns the text of a name in DER; `None` for what is none.
pub fn text(der: &[u8]) -> Option<String> {
    let (SEQUENCE, names, []) = value(der)? else { return None };
    let (mut names, mut text, mut shown) = (names, String::new(), 0);
    while !names.is_empty() {
        let (SET, mut attributes, rest) = value(names)? else { return None };
        while !attributes.is_empty() {
            let (SEQUENCE, attribute, rest) = value(attributes)? else { return None };
            let (OID, kind, content) = value(attribute)? else { return None };
            let (tag, content, []) = value(content)? else { return None };
            write_attribute(&mut text, kind, &string(tag, content).unwrap_or_else(|| hex(content)));
            attributes = rest;
            shown += 1;
        }
        if shown > ATTRIBUTES {
            return None;
        }
        names = rest;
    }
    (shown > 0).then_some(text)
}

/// Appends an attribute: the content of its type's object identifier, and its text. What a peer sends reaches logs and
/// terminals: no control character does.
pub fn write_attribute(text: &mut String, kind: &[u8], value: &str) {
    text.push_str(if text.is_empty() { "" } else { ", " });
    match LETTERS.iter().find(|(_, oid)| *oid == kind) {
        Some((letters, _)) => text.push_str(letters),
        None => text.push_str(&dotted(kind).unwrap_or_else(|| hex(kind))),
    }
    text.push('=');
    for c in value.chars() {
        match c {
            ',' | '\\' => text.extend(['\\', c]),
            _ if c.is_control() => text.push('?'),
            _ => text.push(c),
        }
    }
}

/// Decodes the string types of X.520.
pub fn string(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING => {
            String::from_utf8(content.to_vec()).ok()
        }
        tag::TELETEX_STRING => Some(content.iter().map(|octet| char::from(*octet)).collect()),
        tag::BMP_STRING => {
            let (pairs, rest) = content.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty())
        }
        tag::UNIVERSAL_STRING => {
            let (units, rest) = content.as_chunks::<4>();
            let text = units.iter().map(|unit| char::from_u32(u32::from_be_bytes(*unit))).collect();
            if rest.is_empty() { text } else { None }
        }
        _ => None,
    }
}

/// Shows the content of an object identifier with dots; `None` for one that is cut off or has a number beyond 64 bits.
pub fn dotted(content: &[u8]) -> Option<String> {
    let (mut text, mut number, mut whole) = (String::new(), 0u64, false);
    for octet in content {
        number = number.checked_mul(0x80)? | u64::from(octet & 0x7f);
        whole = octet & 0x80 == 0;
        if whole {
            if text.is_empty() {
                // The first two numbers stand in one.
                let first = (number / 40).min(2);
                let _ = write!(text, "{first}.{}", number - first * 40);
            } else {
                let _ = write!(text, ".{number}");
            }
            number = 0;
        }
    }
    whole.then_some(text)
}

/// Reads a value: its tag, its content, and what is behind it.
fn value(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = octets.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first().map(|(&length, rest)| (usize::from(length), rest))?,
        0x82 => {
            rest.split_first_chunk::<2>().map(|(length, rest)| (u16::from_be_bytes(*length).into(), rest))?
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOON: &[u8] = b"\x30\x1c\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02CH\
        \x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x04mo,n";

    #[test]
    fn a_name_is_shown_as_people_write_it() {
        assert_eq!(text(MOON).as_deref(), Some("C=CH, CN=mo\\,n"));
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_no_name() {
        assert!((0..MOON.len()).all(|length| text(&MOON[..length]).is_none()));
        assert_eq!(text(&[MOON, b"\0"].concat()), None);
        assert_eq!(text(b"\x30\x00"), None);
    }

    #[test]
    fn object_identifiers_have_dots() {
        assert_eq!(dotted(b"\x55\x04\x03").as_deref(), Some("2.5.4.3"));
        assert_eq!(dotted(EMAIL).as_deref(), Some("1.2.840.113549.1.9.1"));
        assert_eq!(dotted(b"\x88\x37\x03").as_deref(), Some("2.999.3"));
        assert_eq!(dotted(b"\x55\x84"), None);
        assert_eq!(dotted(&[0xff; 12]), None);
    }
}
