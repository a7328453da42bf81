//! Key exchange methods: Curve25519 (RFC 8031).

use aws_lc_rs::agreement::{PrivateKey, PublicKey, UnparsedPublicKey, X25519, agree};
use vpnhost_crypto::{ActiveKeyExchange, CryptoError, KeyExchangeAlgorithm, SecretBytes, SecureRandom};
use vpnhost_model::KeyExchange;
use zeroize::Zeroizing;

pub(crate) static LIST: &[&dyn KeyExchangeAlgorithm] = &[&Curve25519];

/// Curve25519.
struct Curve25519;

impl KeyExchangeAlgorithm for Curve25519 {
    fn id(&self) -> KeyExchange {
        KeyExchange::X25519
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let mut octets = Zeroizing::new([0; 32]);
        random.fill(&mut *octets)?;
        let private = PrivateKey::from_private_key(&X25519, &*octets).map_err(|_| CryptoError::Backend)?;
        let public = private.compute_public_key().map_err(|_| CryptoError::Backend)?;
        Ok(Box::new(Active { private, public }))
    }
}

/// An exchange under way; the library zeroizes the private value.
struct Active {
    private: PrivateKey,
    public: PublicKey,
}

impl ActiveKeyExchange for Active {
    fn public(&self) -> &[u8] {
        self.public.as_ref()
    }

    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SecretBytes, CryptoError> {
        // RFC 7748, 6.1: a point of small order gives zero, which the library refuses.
        let peer = UnparsedPublicKey::new(&X25519, peer);
        agree(&self.private, peer, CryptoError::BadPeerKey, |secret| Ok(SecretBytes::copy_of(secret)))
    }
}
