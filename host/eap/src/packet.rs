//! EAP packets (RFC 3748 §4): types, and text that the other end sent.

use vpnhost_ike::wire::payload::Eap;

use crate::limits;

/// RFC 3748 §5.1.
pub(crate) const IDENTITY: u8 = 1;
/// RFC 3748 §5.2.
pub(crate) const NOTIFICATION: u8 = 2;
/// RFC 3748 §5.3.1.
pub(crate) const NAK: u8 = 3;
/// RFC 5216.
pub(crate) const TLS: u8 = 13;
/// draft-kamath-pppext-eap-mschapv2.
pub(crate) const MSCHAPV2: u8 = 26;

/// Makes a request or response of a type.
pub(crate) fn of_type(code: u8, identifier: u8, kind: u8, rest: &[u8]) -> Eap {
    let data = [&[kind], rest].concat();
    Eap { code, identifier, data }
}

/// Makes a success or failure.
pub(crate) fn ending(code: u8, identifier: u8) -> Eap {
    Eap { code, identifier, data: Vec::new() }
}

/// Names a type for people.
pub(crate) fn name(kind: u8) -> String {
    match kind {
        TLS => "tls".to_owned(),
        MSCHAPV2 => "mschapv2".to_owned(),
        4 => "md5".to_owned(),
        6 => "gtc".to_owned(),
        21 => "ttls".to_owned(),
        25 => "peap".to_owned(),
        other => format!("type {other}"),
    }
}

/// Names several types.
pub(crate) fn names(kinds: impl IntoIterator<Item = u8>) -> String {
    let names: Vec<String> = kinds.into_iter().map(name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Makes what the other end sent fit for logs and terminals: visible characters, and not too many.
pub(crate) fn shown(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.chars().filter(|character| !character.is_control()).take(limits::TEXT).collect()
}
