//! Fragments come back together in any order, and whatever else arrives changes nothing.

use proptest::prelude::*;
use vpnhost_model::IkeSpi;

use super::*;
use crate::wire::test_key::TestKey;
use crate::wire::{ExchangeType, Flags, payload};

fn iv(octets: &mut [u8]) -> Result<(), CryptoError> {
    octets.fill(0x33);
    Ok(())
}

fn header(message_id: u32) -> Header {
    Header::new((IkeSpi([1; 8]), IkeSpi([2; 8])), ExchangeType::IKE_AUTH, Flags::default(), message_id)
}

fn certificate(len: usize) -> Vec<Payload> {
    let data = (0..len).map(|i| i as u8).collect();
    vec![Payload::Certificate(payload::Certificate {
        encoding: payload::CertificateEncoding::X509_SIGNATURE,
        data,
    })]
}

fn fragments(message_id: u32, payloads: &[Payload], max_message: usize) -> Vec<Vec<u8>> {
    seal_fragments(&header(message_id), payloads, &mut TestKey::cbc(), &mut iv, max_message).unwrap()
}

fn feed(reassembly: &mut Reassembly, fragment: &[u8]) -> Result<Option<Reassembled>, FragmentError> {
    let mut datagram = fragment.to_vec();
    let envelope = Envelope::find(&datagram).map_err(OpenError::from)?.ok_or(FragmentError::NotAFragment)?;
    reassembly.accept(envelope, &mut datagram, &mut TestKey::cbc())
}

proptest! {
    #[test]
    fn fragments_in_any_order_and_repeated_make_the_message(
        payloads in crate::wire::tests::payloads(),
        max_message in 120..600usize,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        key in prop::sample::select(vec![true, false]),
    ) {
        let mut key = if key { TestKey::cbc() } else { TestKey::gcm() };
        let sealed = seal_fragments(&header(3), &payloads, &mut key, &mut iv, max_message).unwrap();
        prop_assert!(sealed.iter().all(|datagram| datagram.len() <= max_message));
        if sealed.len() == 1 {
            prop_assert_eq!(Envelope::find(&sealed[0]).unwrap().unwrap().fragment, None);
            return Ok(());
        }
        let mut reassembly = Reassembly::default();
        let all = order.iter().map(|index| index.index(sealed.len())).chain(0..sealed.len());
        let mut seen = std::collections::BTreeSet::new();
        for number in all {
            let mut datagram = sealed[number].clone();
            let envelope = Envelope::find(&datagram).unwrap().unwrap();
            let accepted = reassembly.accept(envelope, &mut datagram, &mut key);
            if !seen.insert(number) {
                let number = u16::try_from(number + 1).unwrap();
                prop_assert_eq!(accepted, Err(FragmentError::Duplicate { number }));
            } else if seen.len() < sealed.len() {
                prop_assert_eq!(accepted, Ok(None));
            } else {
                let whole = accepted.unwrap().expect("the last one completes it");
                prop_assert_eq!(whole.message().unwrap().payloads, payloads);
                prop_assert!(reassembly.is_empty());
                return Ok(());
            }
        }
        prop_assert!(false, "it was never completed");
    }
}

#[test]
fn only_the_first_fragment_names_the_first_payload() {
    let sealed = fragments(1, &certificate(900), 400);
    let firsts: Vec<u8> = sealed.iter().map(|f| Envelope::find(f).unwrap().unwrap().first.0).collect();
    assert_eq!(firsts, [37, 0, 0]);
}

#[test]
fn a_forged_fragment_is_not_stored() {
    let sealed = fragments(1, &certificate(900), 400);
    let mut reassembly = Reassembly::default();
    let mut forged = sealed[0].clone();
    *forged.last_mut().unwrap() ^= 1;
    let wrong = FragmentError::Open(OpenError::Crypto(CryptoError::AuthenticationFailed));
    assert_eq!(feed(&mut reassembly, &forged), Err(wrong));
    assert!(reassembly.is_empty());
    // Neither does a forged one that claims a larger total discard what is there.
    feed(&mut reassembly, &sealed[0]).unwrap();
    let mut forged = sealed[1].clone();
    forged[35] = 100;
    assert_eq!(feed(&mut reassembly, &forged), Err(wrong));
    feed(&mut reassembly, &sealed[1]).unwrap();
    assert!(feed(&mut reassembly, &sealed[2]).unwrap().is_some());
}

#[test]
fn a_larger_total_starts_over_and_a_smaller_is_dropped() {
    let (few, many) = (fragments(1, &certificate(900), 400), fragments(1, &certificate(900), 300));
    assert!(many.len() > few.len());
    let mut reassembly = Reassembly::default();
    feed(&mut reassembly, &few[0]).unwrap();
    feed(&mut reassembly, &few[1]).unwrap();
    feed(&mut reassembly, &many[1]).unwrap();
    let current = u16::try_from(many.len()).unwrap();
    assert_eq!(feed(&mut reassembly, &few[2]), Err(FragmentError::Stale { total: 3, current }));
    assert_eq!(feed(&mut reassembly, &many[0]), Ok(None));
    let whole = many[2..].iter().filter_map(|fragment| feed(&mut reassembly, fragment).unwrap()).next();
    assert_eq!(whole.unwrap().message().unwrap().payloads, certificate(900));
}

#[test]
fn another_message_id_starts_over() {
    let (first, second) = (fragments(1, &certificate(900), 400), fragments(2, &certificate(900), 400));
    let mut reassembly = Reassembly::default();
    feed(&mut reassembly, &first[0]).unwrap();
    feed(&mut reassembly, &second[1]).unwrap();
    assert_eq!(reassembly.message_id(), Some(2));
    assert_eq!(feed(&mut reassembly, &second[2]), Ok(None));
    assert!(feed(&mut reassembly, &second[0]).unwrap().is_some());
}

#[test]
fn fragments_beyond_the_limits_are_refused() {
    let header = header(1);
    let mut key = TestKey::gcm();
    let mut seal = |number, total, octets: &[u8]| {
        let fragment = Some(FragmentPosition { number, total });
        let content = Content { first: PayloadType::CERTIFICATE, fragment, octets };
        protected::seal_content(&header, content, &mut key, &mut iv).unwrap()
    };
    let feed = |reassembly: &mut Reassembly, mut datagram: Vec<u8>| {
        let envelope = Envelope::find(&datagram).unwrap().unwrap();
        reassembly.accept(envelope, &mut datagram, &mut TestKey::gcm())
    };
    let mut reassembly = Reassembly::default();
    let total = limits::FRAGMENTS + 1;
    assert_eq!(feed(&mut reassembly, seal(1, total, &[])), Err(FragmentError::TooMany { total }));
    let large = vec![0; 40_000];
    assert_eq!(feed(&mut reassembly, seal(1, 3, &large)), Ok(None));
    assert_eq!(feed(&mut reassembly, seal(2, 3, &large)), Err(FragmentError::TooLarge));
    assert!(reassembly.is_empty());
    // RFC 7383, 2.5.3: a fragment may be empty.
    assert_eq!(feed(&mut reassembly, seal(1, 2, &[])), Ok(None));
    assert!(feed(&mut reassembly, seal(2, 2, &[])).unwrap().is_some());
}

#[test]
fn a_message_that_needs_too_many_fragments_is_not_cut() {
    let cut = |max_message| {
        seal_fragments(&header(1), &certificate(60_000), &mut TestKey::cbc(), &mut iv, max_message)
            .map(|f| f.len())
    };
    assert!(cut(1_200).is_ok());
    for max_message in [0, 60, 84, 100, 200] {
        assert!(matches!(cut(max_message), Err(SealError::Fragments { .. })), "{max_message}");
    }
}

#[test]
fn a_whole_message_is_no_fragment() {
    let sealed = fragments(1, &certificate(100), 1_200);
    assert_eq!(sealed.len(), 1);
    assert_eq!(feed(&mut Reassembly::default(), &sealed[0]), Err(FragmentError::NotAFragment));
}
