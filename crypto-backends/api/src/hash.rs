//! Hashes, which NAT detection, cookies and signatures need.

use std::fmt;

use crate::CryptoError;

/// A hash by its number in the IANA registry "IKEv2 Hash Algorithms" (RFC 7427).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub u16);

impl Hash {
    /// SHA-1; NAT detection has no other (RFC 7296 §2.23).
    pub const SHA1: Self = Self(1);
    /// SHA2-256.
    pub const SHA2_256: Self = Self(2);
    /// SHA2-384.
    pub const SHA2_384: Self = Self(3);
    /// SHA2-512.
    pub const SHA2_512: Self = Self(4);
    /// No hash: the message itself goes to a scheme that hashes (RFC 8420); no backend lists it.
    pub const IDENTITY: Self = Self(5);
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SHA1 => f.write_str("sha1"),
            Self::SHA2_256 => f.write_str("sha256"),
            Self::SHA2_384 => f.write_str("sha384"),
            Self::SHA2_512 => f.write_str("sha512"),
            Self::IDENTITY => f.write_str("identity"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

/// A hash algorithm of a backend.
pub trait HashAlgorithm: Send + Sync {
    /// Returns its number.
    fn id(&self) -> Hash;

    /// Returns the length of a digest in octets, 64 at most.
    fn output_len(&self) -> usize;

    /// Hashes the concatenation of `parts` into `out`.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] unless `out` is exactly a digest long.
    fn hash(&self, parts: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoError>;
}
