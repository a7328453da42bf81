//! SHA-256, by which components, tables and files of this host are known.

use sha2::{Digest as _, Sha256 as Hasher};
use vpnhost_policy::Sha256;

/// Returns the digest of octets.
pub(crate) fn of(octets: &[u8]) -> Sha256 {
    Sha256(Hasher::digest(octets).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example of one block.
    #[test]
    fn the_digest_is_the_standards() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b"abc").to_string(), expected);
    }
}
