//! Key exchanges by number and length only. NO SECURITY: whoever divides knows the secret.

use vpnhost_crypto::{ActiveKeyExchange, CryptoError, KeyExchangeAlgorithm, SecretBytes, SecureRandom};
use vpnhost_model::KeyExchange;

pub(crate) static LIST: &[&dyn KeyExchangeAlgorithm] = &[
    &NullExchange { id: KeyExchange::X25519, len: 32 },
    &NullExchange { id: KeyExchange::MODP_2048, len: 256 },
    &NullExchange { id: KeyExchange::MODP_1536, len: 192 },
    &NullExchange { id: KeyExchange::MODP_1024, len: 128 },
];

/// What looks like Diffie-Hellman: products of odd numbers modulo 2^64, word by word. They commute, and
/// each bit of the peer's value changes the secret, as with the real ones.
struct NullExchange {
    id: KeyExchange,
    len: usize,
}

impl KeyExchangeAlgorithm for NullExchange {
    fn id(&self) -> KeyExchange {
        self.id
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let mut octets = [0; 8];
        random.fill(&mut octets)?;
        let private = u64::from_be_bytes(octets) | 1;
        let generator = (1..=self.len as u64 / 8).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let public = generator.flat_map(|word| word.wrapping_mul(private).to_be_bytes()).collect();
        Ok(Box::new(ActiveNullExchange { private, public }))
    }
}

struct ActiveNullExchange {
    private: u64,
    public: Vec<u8>,
}

impl ActiveKeyExchange for ActiveNullExchange {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SecretBytes, CryptoError> {
        let zero = peer.iter().all(|&octet| octet == 0);
        if peer.len() != self.public.len() || zero {
            return Err(CryptoError::BadPeerKey);
        }
        let (words, _) = peer.as_chunks::<8>();
        let product = |&word: &[u8; 8]| u64::from_be_bytes(word).wrapping_mul(self.private).to_be_bytes();
        Ok(SecretBytes::new(words.iter().flat_map(product).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRandom;

    #[test]
    fn both_ends_agree_and_a_flipped_bit_parts_them() {
        for method in LIST {
            let start = || method.start(&mut SeededRandom::new(1)).unwrap();
            let (mut public, theirs) = method.respond(start().public(), &mut SeededRandom::new(2)).unwrap();
            assert!(start().complete(&public).unwrap() == theirs);
            public[31] ^= 1;
            assert!(start().complete(&public).unwrap() != theirs);
            assert!(start().complete(&public[1..]).is_err());
            public.fill(0);
            assert!(start().complete(&public).is_err());
        }
    }
}
