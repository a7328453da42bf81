//! Raw public keys in `local` and `peer` (RFC 7670).

use vpnhost_crypto::PrivateKey;
use vpnhost_ike::config::{LocalAuth, PeerAuth};
use vpnhost_pki::{Certificate, Credential};

use super::certificates::{LOCAL, PEER, ends};
use super::maker::Key;
use super::*;

const OWN: &str = "{ id = \"carol\", key = \"carol.key\", pubkey = \"carol.pub\" }";
const ITS: &str = "{ id = \"moon\", pubkey = [\"moon.pub\", \"carol.pub\"] }";

fn ground() -> Ground {
    let ground = Ground::certified();
    for (name, seed) in [("carol", 3), ("moon", 5)] {
        let key: PrivateKey = Key::new(seed).0;
        let credential = Credential::raw(vpnhost_rustcrypto::backend(), key, false).unwrap();
        std::fs::write(ground.dir.path().join(format!("{name}.pub")), credential.public().spki()).unwrap();
    }
    ground
}

#[test]
fn keys_alone_prove_both_ends() {
    let ground = ground();
    let configuration = ground.good(&ends(OWN, ITS));
    assert!(configuration.warnings.is_empty(), "{:?}", configuration.warnings);
    let peer = &configuration.connections[0].peer;
    let LocalAuth::Certificate(own) = &peer.local_auth else { panic!("a key proves it") };
    let none: &[Certificate] = &[];
    assert_eq!(own[0].credential().certificates(), none);
    assert_eq!(peer.local_id, Identity::Fqdn("carol".into()));
    let PeerAuth::Certificate(trust) = &peer.peer_auth else { panic!("a key is demanded") };
    assert_eq!((trust.keys.len(), trust.anchors.len()), (2, 0));
    let graded = crate::check::graded(&configuration.connections[0], vpnhost_rustcrypto::backend());
    assert_eq!(graded.policies.last().unwrap().suites, ["ed25519"]);
    // Each end in its own way.
    ground.good(&ends(OWN, PEER));
    ground.good(&ends(LOCAL, ITS));
}

#[test]
fn mistakes_with_keys_are_told_with_what_helps() {
    let ground = ground();
    for (local, peer, what, hint) in [
        (OWN.replace("carol.pub", "moon.pub"), ITS.to_owned(), "is not the key of local.pubkey", "-pubout"),
        (OWN.replace("id = \"carol\", ", ""), ITS.to_owned(), "says nothing of names", "write id"),
        (OWN.replace("pubkey", "cert = \"carol.pem\", pubkey"), ITS.to_owned(), "stands beside", ""),
        (OWN.to_owned(), ITS.replace("moon\"", "%any\""), "is one peer's", "a connection for each"),
        (OWN.to_owned(), ITS.replace("pubkey", "ca = \"ca.pem\", pubkey"), "stands beside", "leave one"),
        (OWN.to_owned(), ITS.replace("pubkey", "crl = \"x.crl\", pubkey"), "without certificates", ""),
        (OWN.to_owned(), ITS.replace("moon.pub", "carol.key"), "no public key", ""),
        (
            OWN.replace("id =", "eap = \"tls\", id ="),
            PEER.to_owned(),
            "takes a certificate or a password",
            "",
        ),
    ] {
        let told = ground.wrong(&local, &peer);
        assert!(told.contains(what) && told.contains(hint), "{what}: {told}");
    }
}
