//! What it takes to seal a packet here: measured, for nothing else tells whether this machine has hardware for an algorithm.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vpnhost_crypto::{CryptoBackend, PacketAlgorithm, PacketMut};
use vpnhost_model::PacketId;

use crate::limits;

/// Octets of text of the packet that is sealed: a full one, and a multiple of every block.
const TEXT: usize = 1408;
/// Octets in front of the IV: SPI and sequence number.
const AAD: usize = 8;
/// The least of so many rounds counts: what disturbs a round makes it longer.
const ROUNDS: u32 = 6;
/// Packets of a round, sealed at once.
const PACKETS: u32 = 8;

/// Measures packet protections, in nanoseconds a packet. What comes after [`limits::COST_TIME`] is left out.
pub(crate) fn measure(
    crypto: &dyn CryptoBackend,
    packets: impl IntoIterator<Item = PacketId>,
) -> BTreeMap<PacketId, u32> {
    let begun = Instant::now();
    let mut costs = BTreeMap::new();
    for packet in packets {
        if begun.elapsed() > limits::COST_TIME {
            break;
        }
        if let Some(cost) = cost(crypto, packet) {
            costs.insert(packet, cost);
        }
    }
    costs
}

fn cost(crypto: &dyn CryptoBackend, packet: PacketId) -> Option<u32> {
    let algorithm = crypto.find_packet(packet)?;
    let layout = algorithm.layout();
    // Keys that protect nothing.
    let (encryption, integrity) =
        (vec![0x5a; layout.encryption_key_len], vec![0xa5; layout.integrity_key_len]);
    let mut key = algorithm.key(&encryption, &integrity).ok()?;
    let len = AAD + layout.iv_len + TEXT + layout.icv_len;
    let mut octets = vec![0; len * usize::try_from(PACKETS).ok()?];
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        let mut packets: Vec<PacketMut<'_>> =
            octets.chunks_exact_mut(len).map(|packet| PacketMut::new(packet, AAD)).collect();
        let begun = Instant::now();
        key.seal(&mut packets);
        least = least.min(begun.elapsed());
        if packets.iter().any(|packet| packet.outcome.is_err()) {
            return None;
        }
    }
    u32::try_from((least / PACKETS).as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use vpnhost_model::EspSuite;

    use super::*;

    #[test]
    fn what_costs_more_is_seen_to_cost_more_and_what_is_not_there_costs_nothing() {
        let crypto = vpnhost_rustcrypto::backend();
        let packet =
            |text: &str| EspSuite::parse_all(text, &[vpnhost_model::Sequence::SHORT]).unwrap()[0].packet;
        let (cheap, dear) = (packet("aes128gcm16"), packet("3des-sha1"));
        let unknown = PacketId { key_bits: 7, ..cheap };
        let costs = measure(crypto, [cheap, dear, unknown]);
        assert_eq!(costs.keys().copied().collect::<Vec<_>>().len(), 2);
        assert!(costs[&cheap] > 0 && costs[&dear] > costs[&cheap], "{costs:?}");
    }
}
