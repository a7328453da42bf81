//! No length makes a backend panic or write: keys, IVs, packets, ICVs and public values of every length.

use vpnhost_crypto::{CryptoBackend, CryptoError, PacketAlgorithm, PacketKey, PacketMut};
use vpnhost_null::SeededRandom;

use crate::shelf::{protections, rustcrypto};

const LONGEST: usize = 140;

fn backends() -> [&'static dyn CryptoBackend; 3] {
    [rustcrypto(), vpnhost_aws_lc::backend(), vpnhost_null::backend()]
}

#[test]
fn a_packet_key_has_one_length() {
    for protection in backends().iter().flat_map(|&backend| protections(backend)) {
        let layout = protection.layout();
        for len in 0..LONGEST {
            let key = vec![1; len];
            let right = vec![1; layout.encryption_key_len];
            let encryption = protection.key(&key, &vec![2; layout.integrity_key_len]).is_ok();
            assert_eq!(encryption, len == layout.encryption_key_len, "{}", protection.id());
            let integrity = protection.key(&right, &key).is_ok();
            assert_eq!(integrity, len == layout.integrity_key_len, "{}", protection.id());
        }
    }
}

#[test]
fn a_packet_of_no_length_panics() {
    for protection in backends().iter().flat_map(|&backend| protections(backend)) {
        let layout = protection.layout();
        let mut key = protection
            .key(&vec![1; layout.encryption_key_len], &vec![2; layout.integrity_key_len])
            .expect("its length");
        for len in 0..LONGEST {
            for aad_len in (0..LONGEST).step_by(7).chain([8, 12, 28, usize::MAX - 7, usize::MAX]) {
                for esn_high in [None, Some(7)] {
                    let fits =
                        aad_len.checked_add(layout.iv_len + layout.icv_len).is_some_and(|min| len >= min);
                    try_both(key.as_mut(), len, aad_len, esn_high, fits);
                }
            }
        }
    }
}

/// A packet that does not fit is refused both ways, and left as it was; one that fits does not panic.
fn try_both(key: &mut dyn PacketKey, len: usize, aad_len: usize, esn_high: Option<u32>, fits: bool) {
    for call in [PacketKey::seal, PacketKey::open] {
        let mut octets = vec![5; len];
        let mut packets = [PacketMut { octets: &mut octets, aad_len, esn_high, outcome: Ok(()) }];
        call(key, &mut packets);
        if !fits {
            assert_eq!(packets[0].outcome, Err(CryptoError::BadLength), "{len} octets, {aad_len} of AAD");
            assert!(octets.iter().all(|&octet| octet == 5));
        }
    }
}

#[test]
fn lone_ciphers_refuse_other_lengths() {
    for cipher in backends().iter().flat_map(|backend| backend.encryption()) {
        let mut key = cipher.key(&vec![1; cipher.key_len()]).expect("its length");
        for len in 0..LONGEST {
            assert_eq!(cipher.key(&vec![1; len]).is_ok(), len == cipher.key_len());
            let mut text = vec![3; 2 * cipher.block_len()];
            let good = len == cipher.iv_len();
            assert_eq!(key.encrypt(&vec![2; len], &mut text).is_ok(), good);
            assert_eq!(key.decrypt(&vec![2; len], &mut text).is_ok(), good);
            let mut text = vec![3; len];
            let whole = len.is_multiple_of(cipher.block_len());
            assert_eq!(key.encrypt(&vec![2; cipher.iv_len()], &mut text).is_ok(), whole);
            assert_eq!(key.decrypt(&vec![2; cipher.iv_len()], &mut text).is_ok(), whole);
            assert!(text.iter().all(|&octet| octet == 3), "there and back, or nowhere");
        }
    }
}

#[test]
fn lone_integrity_algorithms_and_hashes_refuse_other_lengths() {
    for integrity in backends().iter().flat_map(|backend| backend.integrity()) {
        let mut key = integrity.key(&vec![1; integrity.key_len()]).expect("its length");
        for len in 0..LONGEST {
            assert_eq!(integrity.key(&vec![1; len]).is_ok(), len == integrity.key_len());
            let mut icv = vec![0; len];
            let good = len == integrity.icv_len();
            assert_eq!(key.sign(&[&[1]], &mut icv).is_ok(), good);
            assert_eq!(key.verify(&[&[1]], &icv).is_ok(), good, "a front of an ICV is none");
        }
    }
    for hash in backends().iter().flat_map(|backend| backend.hash()) {
        for len in 0..LONGEST {
            assert_eq!(hash.hash(&[], &mut vec![0; len]).is_ok(), len == hash.output_len());
        }
    }
}

#[test]
fn prf_keys_and_texts_have_any_length() {
    for prf in backends().iter().flat_map(|backend| backend.prf()) {
        for len in 0..LONGEST {
            let key = prf.key(&vec![1; len]).expect("any length");
            let output = key.compute(&[&vec![2; len], &[]]).expect("any length");
            assert_eq!(output.len(), prf.output_len());
        }
    }
}

#[test]
fn public_values_have_one_length() {
    for method in [rustcrypto(), vpnhost_aws_lc::backend()].iter().flat_map(|backend| backend.key_exchange())
    {
        let start = || method.start(&mut SeededRandom::new(1)).expect("octets enough");
        let right = start().public().len();
        for len in [0, 1, 31, 33, right - 1, right + 1, 2 * right, 65_535] {
            let outcome = start().complete(&vec![9; len]);
            assert!(matches!(outcome, Err(CryptoError::BadPeerKey)), "{}: {len} octets", method.id());
        }
    }
}
