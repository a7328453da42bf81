//! `vpnhost keygen FILE`: a random pre-shared key.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;
use vpnhost_crypto::SecretBytes;

use crate::cli::{Global, Keygen};
use crate::exit::{self, Failure, Outcome};

/// Octets of a key: as strong as the strongest suite.
const OCTETS: usize = 32;

/// Writes a random key as text to a file that only its owner may read.
pub(crate) fn run(options: &Keygen, global: &Global) -> Outcome {
    write(&options.file, options.force)?;
    let file = options.file.display();
    if global.json {
        return exit::print(format_args!("{}\n", json!({ "file": options.file, "bits": OCTETS * 8 })));
    }
    exit::print(format_args!("{file}: {} random bits; copy it to the peer on a safe way\n", OCTETS * 8))
}

fn write(path: &Path, force: bool) -> Outcome {
    let shown = path.display();
    let failed = |error: std::io::Error| {
        let failure = Failure::failed(format!("cannot write {shown}")).because(exit::plain(&error));
        if error.kind() == ErrorKind::AlreadyExists {
            return failure.hint("--force replaces it; whoever shares it is then locked out");
        }
        failure
    };
    let mut key = SecretBytes::new(vec![0; OCTETS]);
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(key.expose_mut()))
        .map_err(|error| Failure::failed("cannot draw random octets").because(exit::plain(&error)))?;
    let text = SecretBytes::new(base64(key.expose()));
    if force {
        // An open file keeps its mode: the new key must not land in one that others may read.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.expose()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Writes octets in base64 (RFC 4648 §4) with a line feed behind.
fn base64(octets: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(octets.len().div_ceil(3) * 4 + 1);
    for chunk in octets.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 0x3f;
            text.push(if digit <= chunk.len() { DIGITS[value as usize] } else { b'=' });
        }
    }
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (octets, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(octets.as_bytes()), format!("{text}\n").into_bytes());
        }
    }

    #[test]
    fn a_key_is_the_owners_alone_and_never_overwritten_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.psk");
        write(&path, false).unwrap();
        let first = std::fs::read(&path).unwrap();
        assert_eq!(first.len(), 45);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = write(&path, false).unwrap_err().to_string();
        assert!(refused.contains("cannot write") && refused.contains("--force"), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, true).unwrap();
        assert_ne!(std::fs::read(&path).unwrap(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
