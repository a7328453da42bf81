//! A real key, always the same: nobody who only mutates octets can forge its ICV.

use vpnhost_crypto::{PacketAlgorithm, PacketKey};
use vpnhost_model::{Encryption, Integrity, PacketId};

/// Makes an AES-128-GCM key.
pub(crate) fn fixed_key() -> Box<dyn PacketKey> {
    let id = PacketId { encryption: Encryption::AES_GCM_16, key_bits: 128, integrity: Integrity::NONE };
    let algorithm = vpnhost_rustcrypto::backend().find_packet(id).expect("RustCrypto has AES-GCM");
    algorithm.key(&[7; 20], &[]).expect("16 octets of key and 4 of salt")
}
