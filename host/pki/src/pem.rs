//! Files: PEM with any number of blocks, or one value in DER.

use vpnhost_crypto::PublicKey;

use crate::{FileError, Malformed, limits};

/// Reads all public keys of a file: SubjectPublicKeyInfo, PEM or DER.
///
/// # Errors
/// [`FileError`] names the key that cannot be read.
pub fn read_public_keys(file: &[u8]) -> Result<Vec<PublicKey>, FileError> {
    read_all(file, "public key", &["PUBLIC KEY"], |der| PublicKey::from_spki(der).map_err(|_| Malformed))
}

/// Reads all blocks of some labels, or the whole file as DER.
pub(crate) fn read_all<T>(
    file: &[u8],
    what: &'static str,
    labels: &[&str],
    read: fn(&[u8]) -> Result<T, Malformed>,
) -> Result<Vec<T>, FileError> {
    const BEGIN: &str = "-----BEGIN ";
    if file.len() > limits::FILE_OCTETS {
        return Err(FileError::TooLarge { limit: limits::FILE_OCTETS });
    }
    let text = std::str::from_utf8(file).ok().filter(|text| text.contains(BEGIN));
    let Some(text) = text else {
        return read(file).map(|one| vec![one]).map_err(|Malformed| FileError::Empty { what });
    };
    let mut all = Vec::new();
    for (at, _) in text.match_indices(BEGIN) {
        let block = &text[at..];
        let label = block[BEGIN.len()..].split("-----").next().unwrap_or_default();
        if !labels.contains(&label) {
            continue;
        }
        let end = format!("-----END {label}-----");
        let whole = block.find(&end).map(|end_at| &block.as_bytes()[..end_at + end.len()]);
        let octets = whole.and_then(|whole| pem_rfc7468::decode_vec(whole).ok());
        let one = octets.and_then(|(_, octets)| read(&octets).ok());
        all.push(one.ok_or(FileError::Unreadable { what, number: all.len() + 1 })?);
    }
    if all.is_empty() { Err(FileError::Empty { what }) } else { Ok(all) }
}
