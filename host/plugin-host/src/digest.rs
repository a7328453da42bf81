//! SHA-256, by which components, tables and files of this host are known.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256 as Hasher};
use vpnhost_policy::Sha256;

use crate::limits;

/// Returns the digest of a file that may be a component.
///
/// # Errors
/// A file that cannot be read; one that is larger than any component has the digest of its beginning.
pub fn digest_of_file(path: &Path) -> io::Result<Sha256> {
    let mut octets = Vec::new();
    File::open(path)?.take(limits::FILE_OCTETS + 1).read_to_end(&mut octets)?;
    Ok(of(&octets))
}

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
