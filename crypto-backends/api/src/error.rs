//! The one error of cryptography: opaque on purpose, so that nothing can be learned from it.

/// An operation of a backend failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// An ICV, MAC or signature is wrong: the one expected failure.
    #[error("authentication failed")]
    AuthenticationFailed,
    /// The peer's public value is refused (RFC 6989).
    #[error("the peer's key exchange data are refused")]
    BadPeerKey,
    /// A key, IV or buffer has a length that the algorithm does not take.
    #[error("an input has the wrong length")]
    BadLength,
    /// A public or private key is of another kind than the algorithm's, too weak, or broken.
    #[error("the key is refused")]
    BadKey,
    /// No backend has the algorithm.
    #[error("no backend has the algorithm")]
    Unsupported,
    /// The library underneath failed, or randomness ran out.
    #[error("the crypto backend failed")]
    Backend,
}
