//! Curve25519 (RFC 8031).

use vpnhost_crypto::{ActiveKeyExchange, CryptoError, KeyExchangeAlgorithm, SecretBytes, SecureRandom};
use vpnhost_model::KeyExchange;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Curve25519.
pub(super) struct X25519;

impl KeyExchangeAlgorithm for X25519 {
    fn id(&self) -> KeyExchange {
        KeyExchange::X25519
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let mut octets = Zeroizing::new([0; 32]);
        random.fill(&mut *octets)?;
        let secret = StaticSecret::from(*octets);
        let public = PublicKey::from(&secret);
        Ok(Box::new(ActiveX25519 { secret, public }))
    }
}

/// A Curve25519 exchange under way.
struct ActiveX25519 {
    secret: StaticSecret,
    public: PublicKey,
}

impl ActiveKeyExchange for ActiveX25519 {
    fn public(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SecretBytes, CryptoError> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| CryptoError::BadPeerKey)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        // RFC 7748, 6.1: a point of small order gives zero.
        if !shared.was_contributory() {
            return Err(CryptoError::BadPeerKey);
        }
        Ok(SecretBytes::copy_of(shared.as_bytes()))
    }
}
