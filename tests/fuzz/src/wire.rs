//! The decoder: what it accepts it writes back in a stable form; what it refuses has its place.

use vpnhost_ike::wire::{Envelope, Header, Message};

use super::key::fixed_key;

/// Decodes a datagram as it is, and again with the version and the length that its header should have,
/// so that mutations come past the header.
pub fn wire(data: &[u8]) {
    decode(data);
    if data.len() >= Header::LEN {
        let mut fitted = data.to_vec();
        fitted[17] = 0x20;
        let length = u32::try_from(fitted.len()).unwrap_or(u32::MAX);
        fitted[24..28].copy_from_slice(&length.to_be_bytes());
        decode(&fitted);
    }
}

fn decode(datagram: &[u8]) {
    let envelope = Envelope::find(datagram);
    match Message::decode(datagram) {
        Ok(message) => {
            let written = message.encode().expect("what was read can be written");
            let again = Message::decode(&written).expect("what was written can be read");
            assert_eq!(again.payloads, message.payloads, "the payloads changed");
            assert_eq!(again.encode().as_ref(), Ok(&written), "the octets changed");
            let closed = message.payloads.last().is_some_and(|payload| payload.payload_type().is_encrypted());
            let found = envelope.expect("a whole message has a whole chain").is_some();
            assert_eq!(found, closed, "an envelope is where the Encrypted payload is");
        }
        Err(error) => assert!(error.offset <= datagram.len(), "outside: {error}"),
    }
    if let Ok(Some(envelope)) = envelope {
        let mut copy = datagram.to_vec();
        assert!(envelope.open(&mut copy, &mut *fixed_key()).is_err(), "an ICV was forged");
    }
}
