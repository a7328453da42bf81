//! Reassembly against a model of RFC 7383 §2.6 that keeps whole sets and knows nothing of ciphers.

use std::collections::BTreeMap;

use vpnhost_crypto::CryptoError;
use vpnhost_ike::extension::fragmentation::{Reassembly, seal_fragments};
use vpnhost_ike::wire::payload::VendorId;
use vpnhost_ike::wire::{Envelope, ExchangeType, Flags, Header, Payload};
use vpnhost_model::IkeSpi;

use super::key::fixed_key;

/// Cuts two messages, each in two ways, then delivers fragments in the order that the data say, some of
/// them damaged. Three octets are one step: what, which, and where it is damaged.
pub fn fragments(data: &[u8]) {
    let Some((&[len_high, len_low, first_cut, second_cut], steps)) = data.split_first_chunk::<4>() else {
        return;
    };
    let len = usize::from(u16::from_be_bytes([len_high, len_low]) % 4096);
    let sets: Vec<Cut> = [1, 2].into_iter().flat_map(|id| cuts(id, len, first_cut, second_cut)).collect();
    let mut reassembly = Reassembly::default();
    let mut model = Model::default();
    for &[what, which, place] in steps.as_chunks().0 {
        if what == u8::MAX {
            reassembly.clear();
            model = Model::default();
            continue;
        }
        let cut = &sets[usize::from(what) % sets.len()];
        let index = usize::from(which) % cut.datagrams.len();
        let damaged = what & 0x40 != 0;
        deliver(cut, index, damaged.then_some(place), &mut reassembly, &mut model);
    }
}

/// Cuts one message in two ways. RFC 7383, 2.5.2: a sender that cuts anew must change the total, so two
/// cuts of one total are one.
fn cuts(message_id: u32, len: usize, first_cut: u8, second_cut: u8) -> Vec<Cut> {
    let mut cuts = vec![Cut::new(message_id, len, 96 + usize::from(first_cut))];
    let second = Cut::new(message_id, len, 96 + usize::from(second_cut));
    if second.datagrams.len() != cuts[0].datagrams.len() {
        cuts.push(second);
    }
    cuts
}

fn deliver(cut: &Cut, index: usize, damage: Option<u8>, reassembly: &mut Reassembly, model: &mut Model) {
    let mut datagram = cut.datagrams[index].clone();
    if let Some(place) = damage {
        let at = usize::from(place) % datagram.len();
        datagram[at] ^= 1 << (place % 8);
    }
    let outcome = match Envelope::find(&datagram) {
        Ok(Some(envelope)) => reassembly.accept(envelope, &mut datagram, &mut *fixed_key()),
        Ok(None) | Err(_) => return,
    };
    let total = cut.datagrams.len();
    let expected = if damage.is_some() || total < 2 {
        Expected::Dropped
    } else {
        model.take(cut.message_id, total, index)
    };
    match (outcome, expected) {
        (Err(_), Expected::Dropped) | (Ok(None), Expected::Stored) => {}
        (Ok(Some(whole)), Expected::Whole) => {
            let message = whole.message().expect("a whole message has whole payloads");
            assert_eq!(message.payloads, cut.payloads, "the payloads changed");
            assert_eq!(message.header.message_id, cut.message_id);
        }
        (outcome, expected) => panic!("{outcome:?} where the model says {expected:?}"),
    }
    assert_eq!(reassembly.is_empty(), model.seen.is_empty());
}

/// A message and its datagrams.
struct Cut {
    message_id: u32,
    payloads: Vec<Payload>,
    datagrams: Vec<Vec<u8>>,
}

impl Cut {
    fn new(message_id: u32, len: usize, max_message: usize) -> Self {
        let spis = (IkeSpi([1; 8]), IkeSpi([2; 8]));
        let header = Header::new(spis, ExchangeType::IKE_AUTH, Flags::default(), message_id);
        let data = (0..len).map(|index| (index % 251) as u8).collect();
        let payloads = vec![Payload::VendorId(VendorId { data })];
        let mut counter = 0u64;
        let mut iv = |octets: &mut [u8]| {
            counter += 1;
            octets.copy_from_slice(&counter.to_be_bytes());
            Ok::<(), CryptoError>(())
        };
        let datagrams = seal_fragments(&header, &payloads, &mut *fixed_key(), &mut iv, max_message)
            .expect("160 fragments of 96 octets hold 4096");
        assert!(datagrams.iter().all(|datagram| datagram.len() <= max_message), "larger than asked for");
        Self { message_id, payloads, datagrams }
    }
}

#[derive(Debug)]
enum Expected {
    Dropped,
    Stored,
    Whole,
}

/// Which fragments of which message are there.
#[derive(Default)]
struct Model {
    message_id: u32,
    total: usize,
    seen: BTreeMap<usize, ()>,
}

impl Model {
    fn take(&mut self, message_id: u32, total: usize, index: usize) -> Expected {
        let same = !self.seen.is_empty() && self.message_id == message_id;
        if same && (total < self.total || total == self.total && self.seen.contains_key(&index)) {
            return Expected::Dropped;
        }
        if !same || total > self.total {
            self.seen.clear();
        }
        (self.message_id, self.total) = (message_id, total);
        self.seen.insert(index, ());
        if self.seen.len() < total {
            return Expected::Stored;
        }
        self.seen.clear();
        Expected::Whole
    }
}
