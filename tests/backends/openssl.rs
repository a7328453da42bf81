//! The `openssl` command as the other side: DSA signed by one is verified by the other, and the files of keys
//! that it writes are read.

use std::path::{Path, PathBuf};
use std::process::Command;

use vpnhost_crypto::{
    CryptoBackend, Hash, KeyError, KeyKind, PrivateKey, PublicKey, Scheme, Signature, SigningKey,
};
use vpnhost_null::SeededRandom;

use crate::shelf::{layered, rustcrypto};

/// A directory of one test, and the command in it.
struct Openssl(PathBuf);

impl Openssl {
    /// `None` where there is no such command, which is told.
    fn new(test: &str) -> Option<Self> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        std::fs::create_dir_all(&directory).expect("the build's own directory");
        let there =
            Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
        if !there {
            println!("skipped: there is no openssl command");
        }
        there.then_some(Self(directory))
    }

    fn write(&self, name: &str, octets: &[u8]) {
        std::fs::write(self.0.join(name), octets).expect("the build's own directory");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).expect("the command wrote it")
    }

    fn try_run(&self, arguments: &str) -> bool {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(&self.0);
        command.output().is_ok_and(|output| output.status.success())
    }

    fn run(&self, arguments: &str) {
        assert!(self.try_run(arguments), "openssl {arguments}");
    }
}

/// The keys of the repository, one for each size.
fn dsa_keys() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/keys/dsa.pem");
    let text = std::fs::read_to_string(path).expect("it is in the repository");
    text.split("\n\n").skip(1).map(str::to_owned).collect()
}

fn load(key: &PrivateKey, id: Signature) -> Box<dyn SigningKey> {
    let backend: &dyn CryptoBackend = rustcrypto();
    backend.find_signature(id, key.kind()).expect("it is there").load(key).expect("a good key")
}

#[test]
fn dsa_agrees_with_openssl_in_both_directions() {
    let Some(openssl) = Openssl::new("dsa") else { return };
    let message = b"what is signed";
    openssl.write("message", message);
    let mut kinds = Vec::new();
    for pem in dsa_keys() {
        openssl.write("key.pem", pem.as_bytes());
        openssl.run("pkey -in key.pem -pubout -out public.pem");
        openssl.run("pkey -in key.pem -pubout -outform DER -out public.der");
        let public = PublicKey::from_spki(&openssl.read("public.der")).unwrap();
        let private = PrivateKey::read(pem.as_bytes()).unwrap();
        assert_eq!(private.kind(), public.kind());
        for hash in [Hash::SHA1, Hash::SHA2_256, Hash::SHA2_384, Hash::SHA2_512] {
            let id = Signature::new(Scheme::Dsa, hash);
            let loaded = load(&private, id);
            assert_eq!(loaded.public(), &public, "y comes from x");
            openssl.run(&format!("dgst -{hash} -sign key.pem -out signature message"));
            let theirs = openssl.read("signature");
            assert_eq!(rustcrypto().verify_signature(id, &public, &[message], &theirs), Ok(()), "{id}");
            assert!(rustcrypto().verify_signature(id, &public, &[b"another"], &theirs).is_err());
            let ours = loaded.sign(&[&message[..4], &message[4..]], &mut SeededRandom::new(1)).unwrap();
            openssl.write("signature", &ours);
            let verify = format!("dgst -{hash} -verify public.pem -signature signature");
            openssl.run(&format!("{verify} message"));
            assert!(!openssl.try_run(&format!("{verify} key.pem")), "openssl refuses another text");
        }
        kinds.push(private.kind().to_string());
    }
    assert_eq!(kinds, ["dsa-1024-160", "dsa-2048-224", "dsa-2048-256", "dsa-3072-256"]);
}

#[test]
fn every_form_of_a_private_key_is_read_as_the_same_key() {
    let Some(openssl) = Openssl::new("forms") else { return };
    openssl.write("dsa.pem", dsa_keys()[0].as_bytes());
    openssl.run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem");
    openssl.run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out short.pem");
    openssl.run("genpkey -algorithm ED25519 -out ed25519.pem");
    let curves = [("p256", "prime256v1"), ("p384", "secp384r1"), ("p521", "secp521r1"), ("k1", "secp256k1")];
    for (name, curve) in curves {
        // Without -noout, so that EC PARAMETERS stand in front of the key.
        openssl.run(&format!("ecparam -name {curve} -genkey -out {name}.pem"));
    }
    for (name, scheme, hash) in [
        ("rsa", Scheme::RsaPss, Hash::SHA2_256),
        ("short", Scheme::RsaPkcs1, Hash::SHA2_256),
        ("ed25519", Scheme::Ed25519, Hash::IDENTITY),
        ("p256", Scheme::EcdsaP256, Hash::SHA2_256),
        ("p384", Scheme::EcdsaP384, Hash::SHA2_384),
        ("p521", Scheme::EcdsaP521, Hash::SHA2_512),
        ("dsa", Scheme::Dsa, Hash::SHA1),
    ] {
        let id = Signature::new(scheme, hash);
        openssl.run(&format!("pkey -in {name}.pem -pubout -outform DER -out public.der"));
        let public = PublicKey::from_spki(&openssl.read("public.der")).unwrap();
        openssl.run(&format!("pkey -in {name}.pem -out pkcs8.pem"));
        openssl.run(&format!("pkey -in {name}.pem -outform DER -out pkcs8.der"));
        openssl.run(&format!("pkcs8 -topk8 -in {name}.pem -passout pass:x -out encrypted.pem"));
        openssl.run(&format!("pkcs8 -topk8 -in {name}.pem -passout pass:x -outform DER -out encrypted.der"));
        let mut forms = vec![format!("{name}.pem"), "pkcs8.pem".to_owned(), "pkcs8.der".to_owned()];
        if scheme != Scheme::Ed25519 {
            openssl.run(&format!("pkey -in {name}.pem -traditional -out old.pem"));
            openssl.run(&format!("pkey -in {name}.pem -traditional -outform DER -out old.der"));
            openssl.run(&format!("pkey -in {name}.pem -traditional -aes128 -passout pass:x -out locked.pem"));
            forms.extend(["old.pem".to_owned(), "old.der".to_owned()]);
            assert_eq!(PrivateKey::read(&openssl.read("locked.pem")).unwrap_err(), KeyError::Encrypted);
        }
        for form in forms {
            let private =
                PrivateKey::read(&openssl.read(&form)).unwrap_or_else(|error| panic!("{form}: {error}"));
            for backend in [rustcrypto(), layered()] {
                let algorithm = backend.find_signature(id, private.kind()).expect("it is there");
                let loaded =
                    algorithm.load(&private).unwrap_or_else(|error| panic!("{name}: {form}: {error}"));
                assert_eq!(loaded.public(), &public, "{form}");
                let made = loaded.sign(&[b"text"], &mut SeededRandom::new(1)).unwrap();
                assert_eq!(
                    backend.verify_signature(id, &public, &[b"text"], &made),
                    Ok(()),
                    "{name}: {form}"
                );
            }
        }
        for form in ["encrypted.pem", "encrypted.der"] {
            assert_eq!(
                PrivateKey::read(&openssl.read(form)).unwrap_err(),
                KeyError::Encrypted,
                "{name}: {form}"
            );
        }
    }
    assert_eq!(PrivateKey::read(&openssl.read("k1.pem")).unwrap_err(), KeyError::UnsupportedKind);
    assert_eq!(PrivateKey::read(&openssl.read("public.der")).unwrap_err(), KeyError::Unreadable);
    assert_eq!(PrivateKey::read(b"-----BEGIN CERTIFICATE-----\n").unwrap_err(), KeyError::Unreadable);
}

#[test]
fn weak_keys_are_refused_and_shorter_ones_need_leave() {
    let rsa = |bits| KeyKind::Rsa { bits };
    for (kind, with, without) in [
        (rsa(512), false, false),
        (rsa(1023), false, false),
        (rsa(1024), true, false),
        (rsa(2047), true, false),
        (rsa(2048), true, true),
        (rsa(8192), true, true),
        (rsa(8193), false, false),
        (KeyKind::Dsa { p_bits: 1024, q_bits: 160 }, true, false),
        (KeyKind::Dsa { p_bits: 3072, q_bits: 256 }, true, false),
        (KeyKind::Dsa { p_bits: 1024, q_bits: 256 }, false, false),
        (KeyKind::Dsa { p_bits: 512, q_bits: 160 }, false, false),
        (KeyKind::Ed25519, true, true),
    ] {
        assert_eq!((kind.admit(true).is_ok(), kind.admit(false).is_ok()), (with, without), "{kind}");
    }
}
