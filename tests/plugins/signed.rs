//! Signed components: who signed what, and what is refused where keys are named.

use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::{Signer as _, SigningKey};
use tempfile::TempDir;
use vpnhost_plugin_host::{Limits, LoadError, PluginKey, PluginSpec, WasmPolicy, inspect};

use crate::{component, engine};

/// A key pair of minisign, made of one octet.
struct Pair {
    id: [u8; 8],
    key: SigningKey,
}

impl Pair {
    fn new(seed: u8) -> Self {
        Self { id: [seed; 8], key: SigningKey::from_bytes(&[seed; 32]) }
    }

    fn public(&self) -> PluginKey {
        let octets = [&b"Ed"[..], &self.id, self.key.verifying_key().as_bytes()].concat();
        PluginKey::parse(&Base64::encode_string(&octets)).unwrap()
    }

    /// Writes a signature as minisign does: of the file's BLAKE2b-512, then of that and the comment.
    fn sign(&self, file: &Path, comment: &str) {
        let octets = std::fs::read(file).unwrap();
        let signature = self.key.sign(&Blake2b512::digest(octets)).to_bytes();
        let whole = self.key.sign(&[&signature[..], comment.as_bytes()].concat()).to_bytes();
        let first = Base64::encode_string(&[&b"ED"[..], &self.id, &signature].concat());
        let second = Base64::encode_string(&whole);
        let text = format!("untrusted comment: any\n{first}\ntrusted comment: {comment}\n{second}\n");
        std::fs::write(signature_of(file), text).unwrap();
    }
}

fn signature_of(file: &Path) -> PathBuf {
    file.with_added_extension("minisig")
}

/// A component of which nothing but the test knows.
fn ground() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("template.wasm");
    std::fs::copy(component("template"), &file).unwrap();
    (dir, file)
}

fn load(file: &Path, keys: &[&Pair]) -> Result<WasmPolicy, LoadError> {
    let keys = keys.iter().map(|pair| pair.public()).collect();
    WasmPolicy::load(&engine(), PluginSpec { keys, ..PluginSpec::new(file) })
}

#[test]
fn where_keys_are_named_only_what_one_of_them_signed_is_loaded() {
    let (_dir, file) = ground();
    let (ours, theirs, other) = (Pair::new(1), Pair::new(2), Pair::new(3));
    assert!(load(&file, &[]).unwrap().signer().is_none());
    let text = load(&file, &[&ours, &theirs]).unwrap_err().to_string();
    assert!(text.contains("is not signed: there is no"), "{text}");
    assert!(text.contains("template.wasm.minisig"), "{text}");
    assert!(text.contains("takes 0101010101010101, 0202020202020202 only"), "{text}");
    theirs.sign(&file, "for the road");
    let plugin = load(&file, &[&ours, &theirs]).unwrap();
    let signer = plugin.signer().unwrap();
    assert_eq!(
        (signer.key.to_string(), signer.comment.as_str()),
        ("0202020202020202".into(), "for the road")
    );
    other.sign(&file, "for the road");
    let text = load(&file, &[&ours, &theirs]).unwrap_err().to_string();
    assert!(
        text.contains("is signed by the key 0303030303030303, and [host] plugin_keys takes 01"),
        "{text}"
    );
}

#[test]
fn a_component_a_comment_or_a_signature_that_was_changed_is_refused() {
    let (_dir, file) = ground();
    let ours = Pair::new(1);
    ours.sign(&file, "version 1");
    load(&file, &[&ours]).unwrap();
    let signature = std::fs::read_to_string(signature_of(&file)).unwrap();
    std::fs::write(signature_of(&file), signature.replace("version 1", "version 2")).unwrap();
    assert!(matches!(load(&file, &[&ours]).unwrap_err(), LoadError::SignatureWrong { .. }));
    for (octets, expected) in [("", "no signature"), ("a\nb\nc\nd\n", "no signature")] {
        std::fs::write(signature_of(&file), octets).unwrap();
        assert!(load(&file, &[&ours]).unwrap_err().to_string().contains(expected));
    }
    std::fs::write(signature_of(&file), signature).unwrap();
    let mut octets = std::fs::read(&file).unwrap();
    // A custom section that says nothing: still a component, but another file.
    octets.extend([0, 2, 1, b'x']);
    std::fs::write(&file, octets).unwrap();
    let text = load(&file, &[&ours]).unwrap_err().to_string();
    assert!(text.ends_with("is not what the key 0101010101010101 signed"), "{text}");
    load(&file, &[]).expect("whoever names no keys takes what is there");
}

#[test]
fn a_key_that_bears_anothers_name_is_not_that_one() {
    let (_dir, file) = ground();
    let (ours, forged) = (Pair::new(1), Pair { id: [1; 8], ..Pair::new(2) });
    forged.sign(&file, "");
    assert!(matches!(load(&file, &[&ours]).unwrap_err(), LoadError::SignatureWrong { .. }));
}

#[test]
fn an_inspection_shows_who_signed_and_whether_that_was_checked() {
    let (_dir, file) = ground();
    let ours = Pair::new(1);
    let signer = |keys: &[PluginKey]| inspect(&engine(), &file, Limits::default(), keys).unwrap().signer;
    assert!(signer(&[]).is_none());
    ours.sign(&file, "by hand");
    let shown = signer(&[]).unwrap();
    assert_eq!((shown.key.to_string().as_str(), shown.verified), ("0101010101010101", false));
    assert!(signer(&[ours.public()]).unwrap().verified);
}

/// The key and signature of minisign's own documentation, which its tool made.
#[test]
fn a_key_of_the_tools_own_is_read_from_its_text_and_from_its_file() {
    let text = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let key = PluginKey::parse(text).unwrap();
    assert_eq!(key.id().to_string(), "E7620F1842B4E81F");
    assert_eq!(PluginKey::parse(&format!("untrusted comment: a key\n{text}\n")), Some(key));
    for wrong in ["", "RWQf6LRC", "users.pub", &text.replace("RWQ", "AAA"), &format!("{text}AAAA")] {
        assert_eq!(PluginKey::parse(wrong), None, "{wrong}");
    }
}
