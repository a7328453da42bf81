//! A backend of glass: the null backend, but every packet key is the same one. Whoever wants can open and seal
//! anything, so that tests reach what stands behind a valid ICV.

use vpnhost_crypto::{
    CryptoBackend, CryptoError, HashAlgorithm, KeyExchangeAlgorithm, PacketAlgorithm, PacketKey,
    PacketLayout, PacketMut, PrfAlgorithm,
};
use vpnhost_ike::wire::{Envelope, Header};
use vpnhost_model::{Encryption, Integrity, PacketId};

/// Returns the backend of glass.
pub fn backend() -> &'static dyn CryptoBackend {
    &Glass
}

struct Glass;

impl CryptoBackend for Glass {
    fn name(&self) -> &str {
        "glass"
    }

    fn version(&self) -> &str {
        vpnhost_null::backend().version()
    }

    fn packet(&self) -> &'static [&'static dyn PacketAlgorithm] {
        &[&GlassGcm]
    }

    fn prf(&self) -> &'static [&'static dyn PrfAlgorithm] {
        vpnhost_null::backend().prf()
    }

    fn hash(&self) -> &'static [&'static dyn HashAlgorithm] {
        vpnhost_null::backend().hash()
    }

    fn key_exchange(&self) -> &'static [&'static dyn KeyExchangeAlgorithm] {
        vpnhost_null::backend().key_exchange()
    }
}

/// What looks like AES-128-GCM.
struct GlassGcm;

impl PacketAlgorithm for GlassGcm {
    fn id(&self) -> PacketId {
        PacketId { encryption: Encryption::AES_GCM_16, key_bits: 128, integrity: Integrity::NONE }
    }

    fn layout(&self) -> PacketLayout {
        key().layout()
    }

    fn key(&self, encryption: &[u8], integrity: &[u8]) -> Result<Box<dyn PacketKey>, CryptoError> {
        let layout = self.layout();
        let wanted = (layout.encryption_key_len, layout.integrity_key_len);
        if (encryption.len(), integrity.len()) == wanted { Ok(key()) } else { Err(CryptoError::BadLength) }
    }
}

/// Returns the one key.
pub fn key() -> Box<dyn PacketKey> {
    let protection = vpnhost_null::backend().find_packet(GlassGcm.id()).expect("null has AES-GCM");
    let layout = protection.layout();
    protection.key(&vec![0; layout.encryption_key_len], &[]).expect("the lengths are its own")
}

/// The generic header of an Encrypted payload.
const SK_HEADER: usize = 4;
/// The IV of AES-GCM.
const IV: usize = 8;
/// Its ICV.
const ICV: usize = 16;

/// Opens an IKE message, and returns the type of its first inner payload and all of them.
pub fn open(message: &[u8]) -> Option<(u8, Vec<u8>)> {
    let envelope = Envelope::find(message).ok()??;
    let mut octets = message.to_vec();
    let content = envelope.open(&mut octets, &mut *key()).ok()?.content().to_vec();
    // The Encrypted payload stands last, and its next payload is its first inner one.
    let first = *message.get(message.len().checked_sub(ICV + 1 + content.len() + IV + SK_HEADER)?)?;
    Some((first, content))
}

/// Seals anything into the one Encrypted payload of a message with the header of another.
pub fn seal(header: &[u8; Header::LEN], first: u8, content: &[u8]) -> Vec<u8> {
    let payload_len = SK_HEADER + IV + content.len() + 1 + ICV;
    let mut octets = header.to_vec();
    octets[16] = 46;
    octets[24..28].copy_from_slice(&((Header::LEN + payload_len) as u32).to_be_bytes());
    octets.extend([first, 0]);
    octets.extend((payload_len as u16).to_be_bytes());
    octets.extend([0x67; IV]);
    octets.extend(content);
    octets.extend([0; 1 + ICV]);
    key().seal(&mut [PacketMut::new(&mut octets, Header::LEN + SK_HEADER)]);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_opened_by_anybody() {
        let mut header = [0; Header::LEN];
        header[..20].copy_from_slice(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0x20, 37, 8]);
        // A Notify of nothing.
        let content = [0, 0, 0, 8, 0, 0, 0x40, 0];
        assert_eq!(open(&seal(&header, 41, &content)), Some((41, content.to_vec())));
    }
}
