//! A packet key without any security, for tests: it notices each changed octet and keeps no secret.

use vpnhost_crypto::{CryptoError, IvKind, PacketKey, PacketLayout, PacketMut};

/// Adds a stream that depends on the IV, and a checksum over everything before it.
pub(crate) struct TestKey(pub(crate) PacketLayout);

impl TestKey {
    /// Has the shape of AES-CBC with HMAC-SHA2-256-128.
    pub(crate) fn cbc() -> Self {
        Self(PacketLayout {
            iv_len: 16,
            iv_kind: IvKind::Unpredictable,
            icv_len: 16,
            block_len: 16,
            encryption_key_len: 32,
            integrity_key_len: 32,
        })
    }

    /// Has the shape of AES-GCM-16.
    pub(crate) fn gcm() -> Self {
        Self(PacketLayout {
            iv_len: 8,
            iv_kind: IvKind::Counter,
            icv_len: 16,
            block_len: 1,
            encryption_key_len: 36,
            integrity_key_len: 0,
        })
    }

    fn parts(&self, packet: &PacketMut<'_>) -> Result<(usize, usize), CryptoError> {
        let end = packet.octets.len().checked_sub(self.0.icv_len).ok_or(CryptoError::BadLength)?;
        let start = packet.aad_len + self.0.iv_len;
        if start > end { Err(CryptoError::BadLength) } else { Ok((start, end)) }
    }

    fn stream(&self, packet: &mut PacketMut<'_>, start: usize, end: usize) {
        let seed = packet.octets[packet.aad_len..start].iter().fold(7u8, |a, &b| a.wrapping_mul(31) ^ b);
        for (index, octet) in packet.octets[start..end].iter_mut().enumerate() {
            *octet ^= seed.wrapping_add((index as u8).wrapping_mul(13));
        }
    }

    fn icv(&self, signed: &[u8]) -> Vec<u8> {
        // FNV-1a: any single change of the input changes it.
        let hash = signed.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
        hash.to_be_bytes().into_iter().cycle().take(self.0.icv_len).collect()
    }
}

impl PacketKey for TestKey {
    fn layout(&self) -> PacketLayout {
        self.0
    }

    fn seal(&mut self, packets: &mut [PacketMut<'_>]) {
        for packet in packets {
            packet.outcome = self.parts(packet).map(|(start, end)| {
                self.stream(packet, start, end);
                let icv = self.icv(&packet.octets[..end]);
                packet.octets[end..].copy_from_slice(&icv);
            });
        }
    }

    fn open(&mut self, packets: &mut [PacketMut<'_>]) {
        for packet in packets {
            packet.outcome = self.parts(packet).and_then(|(start, end)| {
                if self.icv(&packet.octets[..end]) != packet.octets[end..] {
                    return Err(CryptoError::AuthenticationFailed);
                }
                self.stream(packet, start, end);
                Ok(())
            });
        }
    }
}
