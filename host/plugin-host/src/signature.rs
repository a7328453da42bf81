//! Who signed a component: detached signatures of minisign, `FILE.wasm.minisig` beside `FILE.wasm`.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use minisign_verify::{PublicKey, Signature};

use crate::guest::printable;
use crate::{LoadError, limits};

/// The eight octets that name a key, and where they stand in it and in its signatures.
const KEY_ID: std::ops::Range<usize> = 2..10;
/// Octets of a public key: the algorithm, the key's name, the key.
const PUBLIC_KEY_LEN: usize = 42;
/// Octets of a signature: the algorithm, the key's name, the signature.
const SIGNATURE_LEN: usize = 74;

/// A key's name, written as minisign writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A public key whose signatures are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginKey {
    id: KeyId,
    key: PublicKey,
}

impl PluginKey {
    /// Reads a key: its base64 text, or what minisign writes into a file, with a comment before it. `None` if it is
    /// neither.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        let mut octets = [0; PUBLIC_KEY_LEN];
        let octets = Base64::decode(text, &mut octets).ok()?;
        let key = PublicKey::from_base64(text).ok()?;
        Some(Self { id: id_in(octets)?, key })
    }

    /// Returns its name.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

/// Who signed a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The key's name.
    pub key: KeyId,
    /// What was signed beside the component.
    pub comment: String,
    /// Whether the signature was checked by a key that is believed; otherwise it is only what the file says.
    pub verified: bool,
}

/// Checks a component's signature against the keys that are believed; without any it only reads it.
///
/// # Errors
/// With keys: a component that none of them signed.
pub(crate) fn check(path: &Path, octets: &[u8], keys: &[PluginKey]) -> Result<Option<Signer>, LoadError> {
    let file = place(path);
    let text = match read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let ids = keys.iter().map(PluginKey::id).collect::<Vec<_>>();
            return match ids[..] {
                [] => Ok(None),
                _ => Err(LoadError::Unsigned { path: path.to_owned(), file, keys: ids }),
            };
        }
        Err(_) if keys.is_empty() => return Ok(None),
        Err(source) => return Err(LoadError::SignatureRead { path: file, source }),
    };
    let unreadable = || LoadError::SignatureForm { path: file.clone() };
    let signature = match Signature::decode(&text) {
        Ok(signature) => signature,
        // Who asks for no signature is not kept from a plugin by what lies beside it.
        Err(_) if keys.is_empty() => return Ok(None),
        Err(_) => return Err(unreadable()),
    };
    let signed_by = text.lines().nth(1).and_then(|line| {
        let mut octets = [0; SIGNATURE_LEN];
        id_in(Base64::decode(line.trim(), &mut octets).ok()?)
    });
    let key = signed_by.ok_or_else(unreadable)?;
    let comment = printable(signature.trusted_comment(), vpnhost_policy::limits::TEXT_OCTETS);
    if keys.is_empty() {
        return Ok(Some(Signer { key, comment, verified: false }));
    }
    let Some(believed) = keys.iter().find(|it| it.id == key) else {
        let keys = keys.iter().map(PluginKey::id).collect();
        return Err(LoadError::ForeignSigner { path: path.to_owned(), key, keys });
    };
    // The older form signs the octets themselves, not their digest; minisign has not written it since 2017.
    believed
        .key
        .verify(octets, &signature, false)
        .map_err(|_| LoadError::SignatureWrong { path: path.to_owned(), key })?;
    Ok(Some(Signer { key, comment, verified: true }))
}

fn place(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".minisig");
    name.into()
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limits::SIGNATURE_OCTETS).read_to_string(&mut text)?;
    Ok(text)
}

fn id_in(octets: &[u8]) -> Option<KeyId> {
    Some(KeyId(u64::from_le_bytes(octets.get(KEY_ID)?.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of minisign 0.11 itself: `minisign -G -W`, then `minisign -S -m a.wasm -t "sticky 0.1.0"` of the octets `a component`.
    const KEY: &str = "\
        untrusted comment: minisign public key 301F47A0E2B0CF8E\n\
        RWSOz7DioEcfMHd939beOkP/3awy6P9f6nRtybXhKiAJRKgCp7W9DfIl\n\
";
    const SIGNATURE: &str = "\
        untrusted comment: signature from minisign secret key\n\
        RUSOz7DioEcfMK8thF0+lOxfb7lEnu9H7pbXaVW96RugDlULJE0j6KJ/IWTsDT5hOcAYQHXOtSc6+DU0wskcFhujnSjh8/JSFgU=\n\
        trusted comment: sticky 0.1.0\n\
        RCD6NfKqN5Do79OYru0LGW4d/1oQH6WkdCNzl4fJow1Pt2lYbdOoHiRcmUU1deBoojpGewnC/QjAtpOMSdkfAA==\n\
";

    #[test]
    fn what_the_tool_itself_signed_is_believed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.wasm");
        std::fs::write(place(&file), SIGNATURE).unwrap();
        let keys = [PluginKey::parse(KEY).unwrap()];
        let signer = check(&file, b"a component", &keys).unwrap().unwrap();
        assert_eq!(
            (signer.key, signer.comment.as_str(), signer.verified),
            (keys[0].id(), "sticky 0.1.0", true)
        );
        let other = check(&file, b"a componenT", &keys);
        assert!(matches!(other, Err(LoadError::SignatureWrong { .. })), "{other:?}");
    }
}
