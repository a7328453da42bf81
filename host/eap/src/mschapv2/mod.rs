//! EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02): a password, proved by both ends, and a key.

pub(crate) mod client;
pub(crate) mod crypt;
pub(crate) mod server;

use vpnhost_ike::EapFailure;

const CHALLENGE: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;

/// The method's name for people.
pub(crate) const NAME: &str = "mschapv2";

/// Makes a packet: operation, identifier, the length of all of it, and the rest.
fn packet(operation: u8, identifier: u8, rest: &[u8]) -> Vec<u8> {
    // Bounded by the names and messages that are made here.
    let length = u16::try_from(4 + rest.len()).unwrap_or(u16::MAX);
    [&[operation, identifier], &length.to_be_bytes()[..], rest].concat()
}

/// Reads a packet of four octets and more: operation, identifier and the rest.
fn read(octets: &[u8]) -> Result<(u8, u8, &[u8]), EapFailure> {
    let [operation, identifier, high, low, rest @ ..] = octets else {
        return Err(EapFailure::Malformed("an MSCHAPv2 packet of less than four octets"));
    };
    if usize::from(u16::from_be_bytes([*high, *low])) != octets.len() {
        return Err(EapFailure::Malformed("an MSCHAPv2 packet whose length is another than it says"));
    }
    Ok((*operation, *identifier, rest))
}
