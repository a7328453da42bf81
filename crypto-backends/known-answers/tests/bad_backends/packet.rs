//! Packet protections that are almost right.

use vpnhost_crypto::{CryptoError, IvKind, PacketAlgorithm, PacketKey, PacketLayout, PacketMut};
use vpnhost_known_answers::{Algorithm, Fault};
use vpnhost_model::{Encryption, Integrity, PacketId};

use crate::{loses, spoilt::Spoilt};

const GCM: PacketId =
    PacketId { encryption: Encryption::AES_GCM_16, key_bits: 256, integrity: Integrity::NONE };
const PAIR: PacketId =
    PacketId { encryption: Encryption::AES_CBC, key_bits: 128, integrity: Integrity::HMAC_SHA2_256_128 };

type Hand = fn(&mut dyn PacketKey, &mut [PacketMut<'_>]);

/// A good protection whose calls pass through other hands.
struct SpoiltPacket {
    id: PacketId,
    layout: fn(&mut PacketLayout),
    cut_key: fn(&[u8]) -> &[u8],
    seal: Hand,
    open: Hand,
}

const GOOD: SpoiltPacket = SpoiltPacket {
    id: GCM,
    layout: |_| (),
    cut_key: |key| key,
    seal: |key, packets| key.seal(packets),
    open: |key, packets| key.open(packets),
};

struct SpoiltKey {
    inner: Box<dyn PacketKey>,
    layout: PacketLayout,
    seal: Hand,
    open: Hand,
}

impl SpoiltPacket {
    fn good(&self) -> impl PacketAlgorithm {
        vpnhost_rustcrypto::backend().find_packet(self.id).expect("rustcrypto has it")
    }
}

impl PacketAlgorithm for SpoiltPacket {
    fn id(&self) -> PacketId {
        self.id
    }

    fn layout(&self) -> PacketLayout {
        let mut layout = self.good().layout();
        (self.layout)(&mut layout);
        layout
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        let inner = self.good().key((self.cut_key)(encryption), integrity)?;
        Ok(Box::new(SpoiltKey { inner, layout: self.layout(), seal: self.seal, open: self.open }))
    }
}

impl PacketKey for SpoiltKey {
    fn layout(&self) -> PacketLayout {
        self.layout
    }

    fn seal(&mut self, packets: &mut [PacketMut<'_>]) {
        (self.seal)(self.inner.as_mut(), packets);
    }

    fn open(&mut self, packets: &mut [PacketMut<'_>]) {
        (self.open)(self.inner.as_mut(), packets);
    }
}

fn leaked(packet: SpoiltPacket) -> &'static dyn PacketAlgorithm {
    Box::leak(Box::new(packet))
}

fn packet_loses(packet: SpoiltPacket, why: Fault) {
    let lost = Algorithm::Packet(packet.id);
    loses(Spoilt { packet: vec![leaked(packet)], ..Spoilt::default() }, lost, why);
}

/// Seals, and writes another tag.
pub(crate) fn with_a_wrong_tag() -> &'static dyn PacketAlgorithm {
    leaked(SpoiltPacket { seal: wrong_tag, ..GOOD })
}

fn wrong_tag(key: &mut dyn PacketKey, packets: &mut [PacketMut<'_>]) {
    key.seal(packets);
    for packet in packets.iter_mut() {
        if let Some(last) = packet.octets.last_mut() {
            *last ^= 1;
        }
    }
}

#[test]
fn a_wrong_tag_is_noticed() {
    packet_loses(SpoiltPacket { seal: wrong_tag, ..GOOD }, Fault::Differs("sealed packet"));
}

#[test]
fn a_forged_icv_that_is_accepted_is_noticed() {
    let open: Hand = |key, packets| {
        key.open(packets);
        for packet in packets.iter_mut() {
            packet.outcome = packet.outcome.or_else(|error| match error {
                CryptoError::AuthenticationFailed => Ok(()),
                CryptoError::BadPeerKey
                | CryptoError::BadKey
                | CryptoError::BadLength
                | CryptoError::Unsupported
                | CryptoError::Backend => Err(error),
            });
        }
    };
    packet_loses(SpoiltPacket { open, ..GOOD }, Fault::ForgeryAccepted("IV"));
}

#[test]
fn an_icv_of_which_a_part_is_compared_is_noticed() {
    // The right last octet is put in place before the comparison.
    let open: Hand = |key, packets| {
        for packet in packets.iter_mut() {
            let before = packet.octets.to_vec();
            for last in 0..=u8::MAX {
                packet.octets.copy_from_slice(&before);
                if let Some(octet) = packet.octets.last_mut() {
                    *octet = last;
                }
                key.open(std::slice::from_mut(packet));
                if packet.outcome != Err(CryptoError::AuthenticationFailed) {
                    break;
                }
            }
        }
    };
    packet_loses(SpoiltPacket { open, ..GOOD }, Fault::ForgeryAccepted("ICV"));
}

#[test]
fn other_lengths_are_noticed() {
    let layout = |layout: &mut PacketLayout| layout.icv_len = 12;
    packet_loses(SpoiltPacket { layout, ..GOOD }, Fault::Layout);
    let layout = |layout: &mut PacketLayout| layout.iv_len = 16;
    packet_loses(SpoiltPacket { layout, ..GOOD }, Fault::Layout);
    let layout = |layout: &mut PacketLayout| layout.block_len = 0;
    packet_loses(SpoiltPacket { layout, ..GOOD }, Fault::Layout);
    let cut_key: fn(&[u8]) -> &[u8] = |key| key.get(..36).unwrap_or(key);
    packet_loses(SpoiltPacket { cut_key, ..GOOD }, Fault::LengthAccepted("a key"));
}

#[test]
fn a_cbc_mode_whose_iv_could_be_foreseen_is_noticed() {
    let layout = |layout: &mut PacketLayout| layout.iv_kind = IvKind::Counter;
    packet_loses(SpoiltPacket { id: PAIR, layout, ..GOOD }, Fault::Layout);
}

#[test]
fn a_fused_pair_is_held_against_its_own_answers() {
    packet_loses(SpoiltPacket { id: PAIR, seal: wrong_tag, ..GOOD }, Fault::Differs("sealed packet"));
}

#[test]
fn a_forgotten_extended_sequence_number_is_noticed() {
    packet_loses(
        SpoiltPacket {
            seal: |key, packets| {
                packets.iter_mut().for_each(|packet| packet.esn_high = None);
                key.seal(packets);
            },
            open: |key, packets| {
                packets.iter_mut().for_each(|packet| packet.esn_high = None);
                key.open(packets);
            },
            ..GOOD
        },
        Fault::ForgeryAccepted("sequence number"),
    );
}

#[test]
fn outcomes_that_are_mixed_up_are_noticed() {
    // All fail if one does.
    let open: Hand = |key, packets| {
        key.open(packets);
        if let Some(failed) = packets.iter().map(|packet| packet.outcome).find(Result::is_err) {
            packets.iter_mut().for_each(|packet| packet.outcome = failed);
        }
    };
    packet_loses(SpoiltPacket { open, ..GOOD }, Fault::Batch);
    // Only the first is sealed.
    let seal: Hand = |key, packets| {
        let first = packets.len().min(1);
        key.seal(&mut packets[..first]);
        packets.iter_mut().skip(1).for_each(|packet| packet.outcome = Ok(()));
    };
    packet_loses(SpoiltPacket { seal, ..GOOD }, Fault::Batch);
}

#[test]
fn an_outcome_that_is_not_written_is_noticed() {
    let open: Hand = |key, packets| {
        let before: Vec<_> = packets.iter().map(|packet| packet.outcome).collect();
        key.open(packets);
        packets.iter_mut().zip(before).for_each(|(packet, outcome)| packet.outcome = outcome);
    };
    packet_loses(SpoiltPacket { open, ..GOOD }, Fault::Failed("opening", CryptoError::Backend));
}

#[test]
fn a_panic_costs_the_algorithm_and_not_the_process() {
    let open: Hand = |key, packets| {
        for packet in packets.iter() {
            // As careless code does: the ICV is taken for granted.
            let _icv = &packet.octets[packet.octets.len() - 16..];
        }
        key.open(packets);
    };
    packet_loses(SpoiltPacket { open, ..GOOD }, Fault::Panicked);
}

#[test]
fn a_short_packet_that_is_written_to_is_noticed() {
    let seal: Hand = |key, packets| {
        key.seal(packets);
        for packet in packets.iter_mut().filter(|packet| packet.outcome.is_err()) {
            if let Some(first) = packet.octets.first_mut() {
                *first ^= 1;
            }
        }
    };
    packet_loses(SpoiltPacket { seal, ..GOOD }, Fault::Differs("packet that was refused"));
}
