//! What a crypto backend is: lists of algorithms, and keys made by algorithms.
//!
//! A backend is a [`CryptoBackend`]: a name and a few lists. Negotiation walks the lists; an algorithm
//! that is not in a list does not exist. [`Layered`] takes each algorithm from the first backend
//! that has it. Keys are objects made by algorithms, used by one thread, and zeroized when dropped.
//! Randomness is no backend's: whoever owns a machine hands it a [`SecureRandom`].

mod aead;
mod algorithm_identifier;
mod backend;
mod der;
mod dss;
mod encryption;
mod error;
mod hash;
mod integrity;
mod key_exchange;
mod layered;
mod limits;
mod packet;
mod prf;
mod private_key;
mod protection;
mod public_key;
mod random;
mod secret;
mod signature;

pub use aead::{AEAD_IV_LEN, AeadAad, AeadParts};
pub use backend::CryptoBackend;
pub use dss::{dss_to_der, dss_to_raw};
pub use encryption::{EncryptionAlgorithm, EncryptionKey};
pub use error::CryptoError;
pub use hash::{Hash, HashAlgorithm};
pub use integrity::{IntegrityAlgorithm, IntegrityKey};
pub use key_exchange::{ActiveKeyExchange, KeyExchangeAlgorithm};
pub use layered::Layered;
pub use packet::{IvKind, PacketAlgorithm, PacketKey, PacketLayout, PacketMut};
pub use prf::{PrfAlgorithm, PrfKey, prf_plus};
pub use private_key::PrivateKey;
pub use protection::{EncryptThenMac, Protection};
pub use public_key::{KeyError, KeyKind, PublicKey};
pub use random::{DrawnRandom, SecureRandom};
pub use secret::{SecretBytes, wipe_stack};
pub use signature::{Scheme, Signature, SignatureAlgorithm, SigningKey};
