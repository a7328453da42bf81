//! What can be read and will not work as meant is warned of: certificates, lists, names, lifetimes, proposals.

use vpnhost_ike::config::PeerAuth;

use super::certificates::{EVER, LOCAL, PEER, carol, ends};
use super::maker::{DAY, Key, Plan, crl, extension, names};
use super::*;
use crate::grade::Grade;

fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

fn told(ground: &Ground, text: &str) -> String {
    let warnings = ground.good(text).warnings;
    warnings.iter().map(|warning| warning.what.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_revocation_list_that_no_known_ca_signed_is_warned_of() {
    let ground = Ground::certified();
    let day = (now() - DAY, now() + DAY);
    for (name, issuer, by) in
        [("good", "CN=ca", 1), ("above", "CN=mid", 2), ("forged", "CN=ca", 77), ("strange", "CN=other", 77)]
    {
        ground.list(name, &crl(issuer, &Key::new(by), day, &[9]));
    }
    let of = |name: &str| {
        told(&ground, &ends(LOCAL, &format!("{{ id = \"moon\", ca = \"ca.pem\", crl = \"{name}.crl\" }}")))
    };
    assert_eq!(of("good"), "");
    assert_eq!(of("above"), "", "a CA above this host's own certificate is known");
    assert!(of("forged").contains("of CN=ca is not signed by the CA of that name"));
    assert!(of("strange").contains("of CN=other is of no CA that is known here"));
}

#[test]
fn an_own_certificate_that_may_not_sign_or_is_a_cas_is_warned_of() {
    let ground = Ground::certified();
    let own = |plan: &Plan| {
        ground.certificate("carol", &plan.sign(&Key::new(3), &Key::new(2)));
        told(&ground, &ends(LOCAL, PEER))
    };
    assert_eq!(own(&carol()), "");
    let encrypts = carol().with(extension(0x0f, true, b"\x03\x02\x05\x20"));
    assert!(own(&encrypts).contains("of C=CH, CN=carol may not sign (key usage)"));
    let ca = Plan { valid: EVER, ..Plan::ca("C=CH, CN=carol", "CN=mid") };
    let ca = ca.with(names(&[(2, b"carol.example.org")]));
    assert!(own(&ca).contains("is a CA's"), "{}", own(&ca));
}

#[test]
fn a_peers_own_certificate_that_has_ended_or_is_anothers_is_warned_of() {
    let ground = Ground::certified();
    let peer = |id: &str, valid: (i64, i64)| {
        let plan = Plan { valid, ..Plan::end("CN=m", "CN=ca") }.with(names(&[(2, b"moon.example.org")]));
        ground.certificate("moon", &plan.sign(&Key::new(5), &Key::new(1)));
        told(&ground, &ends(LOCAL, &format!("{{ id = \"{id}\", cert = \"moon.pem\" }}")))
    };
    for id in ["moon.example.org", "CN=m", "*.example.org"] {
        assert_eq!(peer(id, EVER), "", "{id}");
    }
    assert!(peer("moon.example.org", (0, DAY)).contains("the certificate of CN=m expired"));
    assert!(peer("sun.example.org", EVER).contains("holds no certificate of sun.example.org"));
    assert!(peer("*.example.net", EVER).contains("holds no certificate of *.example.net"));
}

#[test]
fn a_users_file_without_the_user_whom_the_connection_is_for_is_warned_of() {
    let ground = Ground::certified();
    ground.secret("users", "carol lab password\ndave@lab another\n");
    let of = |id: &str| {
        let local = LOCAL.replace("id = \"carol.example.org\", ", "");
        let text = ends(&local, &format!("{{ id = \"{id}\", eap = \"mschapv2\", users_file = \"users\" }}"));
        told(&ground, &text.replace("gateway = [\"192.0.2.1\"]", "gateway = [\"%any\"]"))
    };
    for id in ["%any", "carol", "dave@lab", "*@lab"] {
        assert_eq!(of(id), "", "{id}");
    }
    assert!(of("erin").contains("has no user erin"));
    assert!(of("*.lab").contains("has no user *.lab"));
}

#[test]
fn packets_that_are_never_reached_without_extended_sequence_numbers_are_warned_of() {
    let ground = Ground::new();
    let many = "rekey_packets = 5000000000\n";
    for rekey in ["", "rekey = \"never\"\n"] {
        let text = connection("", &format!("{rekey}{many}esn = \"no\""));
        warned(&ground.good(&text), "connection.child.rekey_packets", "5000000000 packets are never reached");
    }
    assert_eq!(told(&ground, &connection("", many)), "");
    assert_eq!(told(&ground, &connection("", "rekey_packets = 4000000000\nesn = \"no\"")), "");
}

#[test]
fn integrity_beside_a_cipher_that_protects_it_is_warned_of() {
    let ground = Ground::new();
    let text = connection("", "esp = \"aes128gcm16-sha256\"");
    warned(&ground.good(&text), "connection.child.esp", "\"aes128gcm16-sha256\": sha256 has no effect");
    assert_eq!(told(&ground, &connection("", "esp = [\"aes256-sha256\", \"aes128gcm16\"]")), "");
    // In IKE it says which PRF.
    assert_eq!(told(&ground, &connection("ike = \"aes256gcm16-sha384-x25519\"", "")), "");
}

#[test]
fn a_distinguished_name_has_its_secret_in_quotes_and_is_found_however_it_is_encoded() {
    let ground = Ground::new();
    ground
        .secret("users", "\"C=CH, O=Lab, CN=carol\" a secret of carol's own\nCN=dave\tanother one of dave\n");
    let text = ends("{ id = \"moon\" }", "{ id = \"%any\", secrets_file = \"users\" }");
    let text = text.replace("gateway = [\"192.0.2.1\"]", "gateway = [\"%any\"]");
    let secrets = &ground.good(&text).connections[0].peer.secrets;
    let of =
        |text: &str| secrets.of(&vpnhost_pki::identity::parse(text).unwrap()).map(|it| it.expose().to_vec());
    assert_eq!(of("c=ch, o=LAB, cn=Carol"), Some(b"a secret of carol's own".to_vec()));
    assert_eq!(of("CN=dave"), Some(b"another one of dave".to_vec()));
    assert_eq!(of("CN=erin"), None);
    for (line, what) in [
        ("C=CH, O=Lab a secret", "a distinguished name with spaces stands in quotes"),
        ("\"C=CH, O=Lab a secret", "a quote without its end"),
        ("\"C=CH, O=Lab\"a secret", "no secret behind the identity"),
        ("C=CH/O=Lab a secret", "with slashes"),
        ("*.example.org a secret", "a group"),
        ("%any a secret", "a group"),
    ] {
        ground.secret("users", line);
        let told = ground.read(&text).map(|_| ()).expect_err(line).to_string();
        assert!(told.contains(what) && !told.contains("a secret"), "{line}: {told}");
    }
}

#[test]
fn slashes_in_a_distinguished_name_are_no_commas() {
    let ground = Ground::certified();
    let told = ground.wrong(LOCAL, "{ id = \"C=CH/O=Lab/CN=moon\", ca = \"ca.pem\" }");
    assert!(told.contains("is no identity") && told.contains("write \"C=CH, O=Lab, CN=moon\""), "{told}");
    // One mistake is one problem: the file of the secret is no other.
    let both = |id: &str| format!("{{ id = \"{id}\", psk_file = \"a.psk\" }}");
    let told = ground.wrong(&both("carol"), &both("C=CH/CN=moon"));
    assert!(!told.contains("unknown key"), "{told}");
}

#[test]
fn the_secret_of_one_peer_is_found_by_its_distinguished_name() {
    let ground = Ground::new();
    let text =
        ends("{ id = \"moon\", psk_file = \"a.psk\" }", "{ id = \"C=CH, CN=carol\", psk_file = \"a.psk\" }");
    let peer = &ground.good(&text).connections[0].peer;
    assert_eq!(peer.peer_auth, PeerAuth::SharedKey);
    assert!(peer.secrets.of(&vpnhost_pki::identity::parse("C=ch, CN=CAROL").unwrap()).is_some());
}

#[test]
fn the_keys_that_prove_the_ends_are_graded_beside_the_suites() {
    let ground = Ground::certified();
    let of = |text: &str| {
        let configuration = ground.good(text);
        crate::check::graded(&configuration.connections[0], vpnhost_rustcrypto::backend()).policies
    };
    let certified = ends(LOCAL, PEER);
    let policies = of(&certified);
    let last = policies.last().unwrap();
    assert_eq!(
        (last.sa.as_str(), last.grade, &last.suites[..]),
        ("authentication", Grade::Strong, &["ed25519".to_owned()][..])
    );
    let policies = of(&format!("[floor]\nallow_legacy = true\n{certified}"));
    assert_eq!(policies.last().unwrap().remarks[0].algorithm, "allow_legacy");
    let by_secret = of(&connection("", ""));
    assert!(by_secret.iter().all(|policy| policy.sa != "authentication"));
}
