//! What is sealed can be opened, by nobody else and never otherwise.

use proptest::prelude::*;
use vpnhost_crypto::{CryptoError, PacketAlgorithm, PacketKey, PacketMut};
use vpnhost_model::IkeSuite;

use super::{arbitrary, header};
use crate::wire::test_key::TestKey;
use crate::wire::{Envelope, Message, OpenError, Payload, PayloadType, open_message, payload, seal_message};

fn iv(octets: &mut [u8]) -> Result<(), CryptoError> {
    octets.fill(0x5a);
    Ok(())
}

fn keys() -> [TestKey; 2] {
    [TestKey::cbc(), TestKey::gcm()]
}

fn seal(payloads: &[Payload], key: &mut TestKey) -> Vec<u8> {
    seal_message(&header(), payloads, key, &mut iv).unwrap()
}

proptest! {
    #[test]
    fn a_sealed_message_opens_to_its_payloads(payloads in arbitrary::payloads()) {
        for mut key in keys() {
            let mut sealed = seal(&payloads, &mut key);
            let outer = Message::decode(&sealed).unwrap();
            prop_assert_eq!(outer.payloads.len(), 1, "closed, it is one payload");
            let opened = open_message(&mut sealed, &mut key).unwrap();
            prop_assert_eq!(opened.message().unwrap().payloads, payloads.clone());
        }
    }

    #[test]
    fn any_changed_bit_is_noticed(payloads in arbitrary::payloads(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        for mut key in keys() {
            let mut sealed = seal(&payloads, &mut key);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            // Reserved bits are ignored by the decoder, but the ICV covers them.
            prop_assert!(open_message(&mut sealed, &mut key).is_err());
        }
    }

    #[test]
    fn a_truncated_message_never_opens(payloads in arbitrary::payloads(), at in any::<prop::sample::Index>()) {
        for mut key in keys() {
            let mut sealed = seal(&payloads, &mut key);
            sealed.truncate(at.index(sealed.len()));
            if sealed.len() >= 32 {
                super::fit_length(&mut sealed);
                let length = u16::try_from(sealed.len() - 28).unwrap();
                sealed[30..32].copy_from_slice(&length.to_be_bytes());
            }
            prop_assert!(open_message(&mut sealed, &mut key).is_err());
        }
    }
}

#[test]
fn a_real_backend_seals_and_opens_every_suite() {
    for text in [
        "aes128-sha256-modp2048",
        "aes256-sha512-modp2048",
        "3des-sha256-modp2048",
        "aes256gcm16-prfsha384-x25519",
    ] {
        let id = IkeSuite::parse_all(text).unwrap()[0].packet;
        let algorithm = vpnhost_rustcrypto::backend().find_packet(id).unwrap();
        let layout = algorithm.layout();
        let keys = (vec![1; layout.encryption_key_len], vec![2; layout.integrity_key_len]);
        let mut key = algorithm.key(&keys.0, &keys.1).unwrap();
        let payloads = [Payload::VendorId(payload::VendorId { data: b"vpnhost".to_vec() })];
        let sealed = seal_message(&header(), &payloads, &mut *key, &mut iv).unwrap();
        assert!(!sealed.windows(7).any(|octets| octets == b"vpnhost"), "{text}: in clear");
        let opened = open_message(&mut sealed.clone(), &mut *key).unwrap().message().unwrap();
        assert_eq!(opened.payloads, payloads, "{text}");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 0x01;
            assert!(open_message(&mut changed, &mut *key).is_err(), "{text}: octet {at}");
        }
    }
}

#[test]
fn an_empty_message_is_one_block_or_one_octet_long() {
    let [mut cbc, mut gcm] = keys();
    assert_eq!(seal(&[], &mut cbc).len(), 28 + 4 + 16 + 16 + 16);
    assert_eq!(seal(&[], &mut gcm).len(), 28 + 4 + 8 + 1 + 16);
    let mut sealed = seal(&[], &mut gcm);
    let opened = open_message(&mut sealed, &mut gcm).unwrap();
    assert_eq!(opened.message().unwrap().payloads, []);
}

#[test]
fn a_longer_padding_than_needed_is_accepted_and_a_longer_than_the_text_is_the_peers_fault() {
    // RFC 7296, 3.14: the recipient accepts any length that results in proper alignment.
    for (pad_len, expected) in [(15, Ok(())), (31, Ok(())), (32, Err(true)), (255, Err(true))] {
        let mut key = TestKey::cbc();
        let mut octets = raw_sealed(&mut key, 32, pad_len);
        let outcome = open_message(&mut octets, &mut key).map(|opened| opened.content().len());
        assert_eq!(outcome.map(|_| ()).map_err(|error| error.is_authentic()), expected, "{pad_len}");
    }
}

#[test]
fn text_that_is_no_whole_number_of_blocks_is_refused_before_the_key_is_used() {
    for text_len in [0, 1, 15, 17] {
        let mut key = TestKey::cbc();
        let mut octets = raw_sealed(&mut key, text_len, 0);
        assert!(matches!(open_message(&mut octets, &mut key), Err(OpenError::Malformed(_))), "{text_len}");
    }
}

#[test]
fn a_message_in_clear_has_no_envelope() {
    let mut octets = Message { header: header(), payloads: Vec::new() }.encode().unwrap();
    assert_eq!(Envelope::find(&octets), Ok(None));
    assert_eq!(open_message(&mut octets, &mut TestKey::cbc()).unwrap_err(), OpenError::Unprotected);
}

#[test]
fn an_encrypted_payload_within_another_is_refused() {
    let inner = payload::Encrypted { first: PayloadType::NONE, data: vec![0; 48] };
    let mut key = TestKey::gcm();
    let mut sealed = seal(&[Payload::Encrypted(inner)], &mut key);
    let error = open_message(&mut sealed, &mut key).unwrap().message().unwrap_err();
    assert_eq!(error.to_string(), "encrypted payload at octet 40: stands within an encrypted payload");
}

#[test]
fn payloads_in_clear_beside_the_encrypted_one_are_left_out_unless_critical() {
    for (critical, accepted) in [(0, true), (0x80, false)] {
        let mut key = TestKey::gcm();
        let encrypted = payload::Encrypted { first: PayloadType::NONE, data: vec![0; 25] };
        let outer = payload::Unknown { kind: PayloadType(200), data: vec![1, 2, 3] };
        let payloads = vec![Payload::Unknown(outer), Payload::Encrypted(encrypted)];
        let mut octets = Message { header: header(), payloads }.encode().unwrap();
        octets[29] = critical;
        let mut packet = [PacketMut::new(&mut octets, 28 + 7 + 4)];
        key.seal(&mut packet);
        let opened = open_message(&mut octets, &mut key).unwrap();
        assert_eq!(opened.message().is_ok(), accepted);
    }
}

/// A message whose text is zeros and a pad length.
fn raw_sealed(key: &mut TestKey, text_len: usize, pad_len: u8) -> Vec<u8> {
    let mut data = vec![0; 16 + text_len + 16];
    if text_len > 0 {
        data[16 + text_len - 1] = pad_len;
    }
    let encrypted = Payload::Encrypted(payload::Encrypted { first: PayloadType::NONE, data });
    let mut octets = Message { header: header(), payloads: vec![encrypted] }.encode().unwrap();
    let mut packet = [PacketMut::new(&mut octets, 32)];
    key.seal(&mut packet);
    octets
}
