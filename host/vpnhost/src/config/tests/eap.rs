//! EAP in `local` and `peer`: what is read, and what is told of mistakes.

use vpnhost_ike::config::{LocalAuth, PeerAuth};
use vpnhost_pki::Purpose;

use super::Ground;
use super::certificates::{LOCAL, PEER, ends};

const CLIENT: &str =
    "{ id = \"carol.example.org\", eap = \"mschapv2\", eap_id = \"carol\", password_file = \"password\" }";
const GATEWAY: &str =
    "{ id = \"carol.example.org\", cert = [\"carol.pem\", \"mid.pem\"], key = \"carol.key\" }";
const USERS: &str =
    "{ id = \"%any\", eap = [\"mschapv2\", \"tls\"], users_file = \"users\", ca = [\"ca.pem\"] }";

fn ground() -> Ground {
    let ground = Ground::certified();
    ground.secret("password", "lab password\n");
    ground.secret("users", "# name and password\ncarol lab password\ngröße  пароль\n");
    ground
}

fn gateway(local: &str, peer: &str) -> String {
    ends(local, peer).replace("gateway = [\"192.0.2.1\"]", "gateway = [\"%any\"]")
}

fn tls(local: &str) -> String {
    local.replace("key =", "eap = \"tls\", key =")
}

#[test]
fn a_client_has_a_password_and_wants_a_certificate() {
    let configuration = ground().good(&ends(CLIENT, PEER));
    assert!(configuration.warnings.is_empty(), "{:?}", configuration.warnings);
    let peer = &configuration.connections[0].peer;
    let LocalAuth::Eap(eap) = &peer.local_auth else { panic!("EAP proves it") };
    assert!(!eap.0.can_stand_alone());
    assert!(matches!(peer.peer_auth, PeerAuth::Certificate(_)));
    assert!(peer.secrets.by_peer.is_empty() && peer.secrets.default.is_none());
}

#[test]
fn what_is_written_alike_is_alike_and_another_password_is_another_connection() {
    let ground = ground();
    let read = || ground.good(&ends(CLIENT, PEER)).connections[0].peer.clone();
    let before = read();
    assert_eq!(before, read());
    ground.secret("password", "another\n");
    assert_ne!(before, read());
    let users = || ground.good(&gateway(GATEWAY, USERS)).connections[0].peer.clone();
    let before = users();
    assert_eq!(before, users());
    ground.secret("users", "carol lab password\n");
    assert_ne!(before, users());
}

#[test]
fn a_gateway_leads_by_users_and_cas() {
    let configuration = ground().good(&gateway(GATEWAY, USERS));
    assert!(configuration.warnings.is_empty(), "{:?}", configuration.warnings);
    let peer = &configuration.connections[0].peer;
    assert!(matches!(peer.local_auth, LocalAuth::Certificate(_)));
    let PeerAuth::Eap(eap) = &peer.peer_auth else { panic!("EAP proves it") };
    assert!(eap.0.can_stand_alone());
}

#[test]
fn eap_alone_is_written_at_both_ends() {
    let ground = ground();
    let local = GATEWAY.replace("id =", "eap_only = true, id =");
    let peer =
        &ground.good(&gateway(&local, "{ id = \"%any\", eap = \"tls\", ca = \"ca.pem\" }")).connections[0]
            .peer;
    assert!(peer.local_auth == LocalAuth::EapAlone && matches!(peer.peer_auth, PeerAuth::Eap(_)));
    let client = tls(LOCAL);
    let peer =
        &ground.good(&ends(&client, &PEER.replace("ca =", "eap_only = true, ca ="))).connections[0].peer;
    assert!(peer.peer_auth == PeerAuth::EapAlone && matches!(peer.local_auth, LocalAuth::Eap(_)));
}

#[test]
fn a_clients_certificate_need_not_be_for_its_ike_identity() {
    let client =
        tls(LOCAL).replace("id = \"carol.example.org\"", "id = \"10.0.0.5\", eap_id = \"carol.example.org\"");
    let peer = &ground().good(&ends(&client, PEER)).connections[0].peer;
    assert_eq!(peer.local_id.to_string(), "10.0.0.5");
}

#[test]
fn mistakes_with_eap_are_told_with_what_helps() {
    let ground = ground();
    ground.secret("empty", "\n");
    ground.secret("odd", "carol\n");
    ground.secret("twice", "carol a\ncarol b\n");
    ground.file("open", "secret\n", 0o644);
    let psk = "{ id = \"moon.example.org\", psk_file = \"a.psk\" }";
    let client = |from: &str, to: &str| CLIENT.replace(from, to);
    for (local, peer, what, hint) in [
        (client("mschapv2", "mschap"), PEER, "not known", "mschapv2"),
        (client("mschapv2", "md5"), PEER, "not known", "tls"),
        (client(", password_file = \"password\"", ""), PEER, "password_file", "write password_file"),
        (client("\"password\"", "\"empty\""), PEER, "no password", ""),
        (client("\"password\"", "\"open\""), PEER, "open to others", "chmod 600"),
        (client("\"password\"", "\"none\""), PEER, "no such file", ""),
        (CLIENT.to_owned(), "{ id = \"moon.example.org\" }", "proves itself by certificate", "ca ="),
        (CLIENT.to_owned(), psk, "proves itself by certificate", "ca ="),
        (CLIENT.to_owned(), "{ id = \"moon\", ca = \"ca.pem\", eap_only = true }", "mschapv2 is none", "tls"),
        (client("eap = \"mschapv2\", ", ""), PEER, "means nothing without eap", "write eap"),
        (client("mschapv2", "tls").replace("password_file", "key"), PEER, "cert", "write cert"),
        (client("eap =", "eap_idd = 1, eap ="), PEER, "unknown key", "eap_id"),
        (
            LOCAL.to_owned(),
            "{ id = \"moon\", ca = \"ca.pem\", eap_only = true }",
            "means nothing",
            "eap = \"tls\"",
        ),
        (
            LOCAL.to_owned(),
            "{ id = \"moon\", ca = \"ca.pem\", eap = \"tls\" }",
            "waits for its clients",
            "responder",
        ),
    ] {
        let told = ground.wrong(&local, peer);
        assert!(told.contains(what) && told.contains(hint), "{what}: {told}");
    }
    let users = |from: &str, to: &str| USERS.replace(from, to);
    let only = |peer: &str| (GATEWAY.replace("id =", "eap_only = true, id ="), peer.to_owned());
    for ((local, peer), what, hint) in [
        ((GATEWAY.to_owned(), users("\"users\"", "\"odd\"")), "no password behind the name", "NAME PASSWORD"),
        ((GATEWAY.to_owned(), users("\"users\"", "\"twice\"")), "has a password already", ""),
        ((GATEWAY.to_owned(), users("\"users\"", "\"empty\"")), "holds no user", "NAME PASSWORD"),
        ((GATEWAY.to_owned(), users(", users_file = \"users\"", "")), "users_file", "is missing"),
        ((GATEWAY.to_owned(), users(", ca = [\"ca.pem\"]", "")), "which clients are welcome", "ca ="),
        ((GATEWAY.to_owned(), users("eap = [\"mschapv2\", \"tls\"]", "eap = []")), "is empty", "mschapv2"),
        (("{ id = \"moon\", psk_file = \"a.psk\" }".to_owned(), users("", "")), "by certificate", "cert ="),
        (only(USERS), "has to show a certificate", "leave out"),
        (only("{ id = \"%any\", ca = \"ca.pem\" }"), "does not prove itself by EAP", "eap ="),
    ] {
        let told = ground.read(&gateway(&local, &peer)).map(|_| ()).expect_err(what).to_string();
        assert!(told.contains(what) && told.contains(hint), "{what}: {told}");
        assert!(!told.contains("lab password"), "no secret is told: {told}");
    }
}

#[test]
fn what_has_no_effect_beside_a_method_is_warned_of() {
    let peer = USERS.replace("\"mschapv2\", \"tls\"", "\"mschapv2\"");
    let warnings = ground().good(&gateway(GATEWAY, &peer)).warnings;
    assert!(warnings.iter().any(|warning| warning.what.contains("does not name tls")), "{warnings:?}");
}

/// Users have certificates of the CAs that the gateway has its own of: any of them was taken for the gateway.
#[test]
fn a_client_that_names_no_gateway_demands_a_servers_certificate() {
    let ground = ground();
    let local = "{ id = \"carol\", eap = \"mschapv2\", password_file = \"password\" }";
    let rules = |peer: &str| {
        let configuration = ground.good(&ends(local, peer));
        let PeerAuth::Certificate(trust) = &configuration.connections[0].peer.peer_auth else {
            panic!("{peer}")
        };
        let warnings: Vec<String> =
            configuration.warnings.iter().map(|warning| warning.what.clone()).collect();
        (trust.rules.purpose, trust.rules.require_eku, warnings.join("; "))
    };
    let any = |more: &str| rules(&format!("{{ id = \"%any\", ca = \"ca.pem\"{more} }}"));
    let (purpose, required, told) = any("");
    assert_eq!((purpose, required), (Purpose::Server, true));
    assert_eq!(told, "whoever has a server's certificate of these CAs may answer as the peer");
    let (purpose, required, _) = rules("{ id = \"*.example.org\", ca = \"ca.pem\" }");
    assert_eq!((purpose, required), (Purpose::Server, true));
    assert_eq!(rules("{ id = \"moon\", ca = \"ca.pem\" }"), (Purpose::IkeOrTls, false, String::new()));
    for more in [", require_eku = false", ", eku = \"ike-or-tls\""] {
        let (_, _, told) = any(more);
        assert!(told.contains("takes a user's certificate for the gateway's"), "{more}: {told}");
    }
}

/// RFC 5216, 5.3.
#[test]
fn within_eap_tls_a_server_is_a_server_and_a_client_a_client_unless_it_is_said_otherwise() {
    let ground = Ground::certified();
    let client = "{ id = \"carol.example.org\", cert = [\"carol.pem\", \"mid.pem\"], key = \"carol.key\", eap = \"tls\" }";
    let of_client = |more: &str| {
        let text = ends(client, &format!("{{ id = \"moon\", ca = \"ca.pem\"{more} }}"));
        let configuration = ground.good(&text);
        let LocalAuth::Eap(config) = &configuration.connections[0].peer.local_auth else { panic!("EAP") };
        format!("{config:?}")
    };
    assert!(of_client("").contains("purpose: Server"));
    assert!(of_client(", eku = \"ike\"").contains("purpose: Ike"));
    let local = client.replace(", eap = \"tls\"", "");
    let text = gateway(&local, "{ id = \"%any\", eap = \"tls\", ca = \"ca.pem\" }");
    let PeerAuth::Eap(config) = &ground.good(&text).connections[0].peer.peer_auth else { panic!("EAP") };
    assert!(format!("{config:?}").contains("purpose: Client"));
}
