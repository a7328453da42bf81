//! Certificates in `local` and `peer`: what is read, and what is told of mistakes.

use vpnhost_ike::config::{LocalAuth, PeerAuth, PeerIdentity};
use vpnhost_model::Identity;
use vpnhost_pki::{Certificate, Pattern, Purpose, Revocation};

use super::maker::{DAY, Key, NOW, Plan, crl, names};
use super::{Ground, Problem};

/// From 1970 into the next century.
pub(super) const EVER: (i64, i64) = (0, 8 * NOW / 3);

impl Ground {
    /// Writes a certificate as `NAME.pem`.
    pub(super) fn certificate(&self, name: &str, certificate: &Certificate) {
        std::fs::write(self.dir.path().join(format!("{name}.pem")), certificate.der()).unwrap();
    }

    /// Writes a revocation list as `NAME.crl`.
    pub(super) fn list(&self, name: &str, list: &vpnhost_pki::Crl) {
        std::fs::write(self.dir.path().join(format!("{name}.crl")), list.der()).unwrap();
    }

    /// A CA, an intermediate CA, and carol's certificate and key.
    pub(super) fn certified() -> Self {
        let ground = Self::new();
        let ca = |plan: Plan| Plan { valid: EVER, ..plan };
        ground.certificate("ca", &ca(Plan::ca("CN=ca", "CN=ca")).sign(&Key::new(1), &Key::new(1)));
        ground.certificate("mid", &ca(Plan::ca("CN=mid", "CN=ca")).sign(&Key::new(2), &Key::new(1)));
        ground.certificate("carol", &carol().sign(&Key::new(3), &Key::new(2)));
        for (name, seed) in [("carol.key", 3), ("other.key", 4)] {
            let path = ground.dir.path().join(name);
            std::fs::write(&path, Key::new(seed).0.pkcs8()).unwrap();
            let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, only_owner).unwrap();
        }
        ground
    }

    /// Returns what is wrong with a file that has these two ends.
    pub(super) fn wrong(&self, local: &str, peer: &str) -> String {
        self.read(&ends(local, peer)).map(|_| ()).expect_err("it is wrong").to_string()
    }
}

pub(super) fn carol() -> Plan {
    let names = names(&[(2, b"carol.example.org"), (2, b"*.example.org")]);
    Plan { valid: EVER, ..Plan::end("C=CH, CN=carol", "CN=mid") }.with(names)
}

pub(super) fn ends(local: &str, peer: &str) -> String {
    format!(
        "[[connection]]\nname = \"corp\"\ngateway = [\"192.0.2.1\"]\nlocal = {local}\npeer = {peer}\n\
         [[connection.child]]\nname = \"net\"\nremote_ts = [\"10.20.0.0/24\"]\n"
    )
}

pub(super) const LOCAL: &str =
    "{ id = \"carol.example.org\", cert = [\"carol.pem\", \"mid.pem\", \"ca.pem\"], key = \"carol.key\" }";
pub(super) const PEER: &str = "{ id = \"moon.example.org\", ca = [\"ca.pem\"] }";

#[test]
fn a_certificate_its_chain_and_its_key_are_read() {
    let peer = &Ground::certified().good(&ends(LOCAL, PEER)).connections[0].peer;
    let LocalAuth::Certificate(own) = &peer.local_auth else { panic!("a certificate proves it") };
    let subjects: Vec<String> =
        own[0].credential().certificates().iter().map(|own| own.subject().to_string()).collect();
    assert_eq!(subjects, ["C=CH, CN=carol", "CN=mid"], "the CA itself is not sent");
    let PeerAuth::Certificate(trust) = &peer.peer_auth else { panic!("a certificate proves it") };
    assert_eq!((trust.anchors.len(), trust.rules.revocation), (1, Revocation::Soft));
    assert!(!trust.rules.require_eku && !trust.rules.wildcards);
    assert!(peer.secrets.by_peer.is_empty() && peer.secrets.default.is_none());
}

#[test]
fn without_an_id_the_subject_says_who_this_host_is() {
    let local = "{ cert = [\"carol.pem\", \"mid.pem\"], key = \"carol.key\" }";
    let peer = &Ground::certified().good(&ends(local, PEER)).connections[0].peer;
    assert!(matches!(peer.local_id, Identity::DistinguishedName(_)));
    assert_eq!(peer.local_id.to_string(), "C=CH, CN=carol");
}

#[test]
fn each_side_may_prove_itself_in_its_own_way() {
    let ground = Ground::certified();
    let secret = "{ id = \"moon.example.org\", psk_file = \"a.psk\" }";
    let peer = &ground.good(&ends(LOCAL, secret)).connections[0].peer;
    assert!(peer.local_auth != LocalAuth::SharedKey && peer.peer_auth == PeerAuth::SharedKey);
    assert_eq!(peer.secrets.by_peer.len(), 1);
    let local = "{ id = \"carol\", psk_file = \"a.psk\" }";
    let peer = &ground.good(&ends(local, PEER)).connections[0].peer;
    assert!(peer.local_auth == LocalAuth::SharedKey && peer.peer_auth != PeerAuth::SharedKey);
    assert_eq!(peer.secrets.by_peer.len(), 1);
}

#[test]
fn what_is_demanded_of_certificates_is_read() {
    let peer = "{ id = \"moon\", ca = \"ca.pem\", revocation = \"strict\", crl = [\"http://ca/x.crl\"], \
                require_eku = true, eku = \"ike\", wildcards = true }";
    let configuration = Ground::certified().good(&ends(LOCAL, peer));
    let connection = &configuration.connections[0];
    let PeerAuth::Certificate(trust) = &connection.peer.peer_auth else { panic!("a certificate proves it") };
    assert_eq!(trust.rules.revocation, Revocation::Strict);
    assert!(trust.rules.require_eku && trust.rules.wildcards);
    assert_eq!(trust.rules.purpose, Purpose::Ike);
    assert_eq!(connection.crl_urls, ["http://ca/x.crl"]);
}

#[test]
fn mistakes_with_certificates_are_told_with_what_helps() {
    let ground = Ground::certified();
    let local = |rest: &str| format!("{{ id = \"carol.example.org\", cert = [\"carol.pem\"], {rest} }}");
    for (local, peer, what, hint) in [
        (
            local("key = \"other.key\""),
            PEER,
            "does not belong to the certificate of C=CH, CN=carol",
            "made for",
        ),
        (local("key = \"no.key\""), PEER, "no such file", ""),
        (local("key = \"carol.pem\""), PEER, "open to others", "chmod 600"),
        (local("psk_file = \"a.psk\""), PEER, "connection.local.key", "write key"),
        (local("key = \"carol.key\", psk_file = \"a.psk\""), PEER, "beside a certificate", "leave one"),
        (LOCAL.replace("carol.example.org", "mallory"), PEER, "is not for mallory", "carol.example.org"),
        (LOCAL.replace("carol.pem", "a.psk"), PEER, "no certificate in it", ""),
        (LOCAL.to_owned(), "{ id = \"moon\", ca = \"x.pem\" }", "no such file", ""),
        (
            LOCAL.to_owned(),
            "{ id = \"moon\", ca = \"ca.pem\", crl = \"https://x\" }",
            "http:// only",
            "http://",
        ),
        (
            LOCAL.to_owned(),
            "{ id = \"moon\", ca = \"ca.pem\", crl = \"http://:80/x\" }",
            "is no URL",
            "http://HOST",
        ),
        (
            LOCAL.to_owned(),
            "{ id = \"moon\", psk_file = \"a.psk\", crl = \"x\" }",
            "without certificates",
            "ca =",
        ),
    ] {
        let told = ground.wrong(&local, peer);
        assert!(told.contains(what) && told.contains(hint), "{what}: {told}");
    }
}

#[test]
fn a_certificate_that_ended_is_warned_of() {
    let ground = Ground::certified();
    let old = Plan { valid: (DAY, 9 * DAY), ..carol() };
    ground.certificate("carol", &old.sign(&Key::new(3), &Key::new(2)));
    let warnings = ground.good(&ends(LOCAL, PEER)).warnings;
    assert!(warnings.iter().any(|warning| warning.what.contains("expired")), "{warnings:?}");
}

#[test]
fn a_certificate_that_ends_before_the_next_re_authentication_is_warned_of() {
    let ground = Ground::certified();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let brief = Plan { valid: (now - DAY, now + 20 * DAY + 60), ..carol() };
    ground.certificate("carol", &brief.sign(&Key::new(3), &Key::new(2)));
    for (reauth, warned) in [("30d", true), ("10d", false), ("never", false)] {
        let text = ends(LOCAL, PEER).replacen("local =", &format!("reauth = \"{reauth}\"\nlocal ="), 1);
        let warnings = ground.good(&text).warnings;
        let told = |it: &Problem| it.what.contains("ends in 480 h, before the next re-authentication (30d)");
        assert_eq!(warnings.iter().any(told), warned, "{reauth}: {warnings:?}");
    }
}

#[test]
fn a_revocation_list_that_counts_no_longer_is_warned_of() {
    let ground = Ground::certified();
    let lists = include_bytes!("../../../../../tests/vectors/pkits/crls.pem");
    ground.file("old.crl", std::str::from_utf8(lists).unwrap(), 0o644);
    let peer = "{ id = \"moon\", ca = \"ca.pem\", crl = \"old.crl\" }";
    let warnings = ground.good(&ends(LOCAL, peer)).warnings;
    let told = |warning: &&Problem| warning.what.contains("a newer one was due");
    assert!(warnings.iter().find(told).is_some(), "{warnings:?}");
}

#[test]
fn thousands_of_short_secrets_are_one_warning() {
    let ground = Ground::new();
    let lines: Vec<String> = (0..5_000).map(|number| format!("user{number}@example.org short")).collect();
    ground.secret("users", &lines.join("\n"));
    let text = ends("{ id = \"moon\" }", "{ id = \"%any\", secrets_file = \"users\" }");
    let warnings = ground.good(&text.replace("\"192.0.2.1\"", "\"%any\"")).warnings;
    let short: Vec<_> = warnings.iter().filter(|it| it.what.contains("shorter than")).collect();
    assert!(short.len() == 1 && short[0].what.ends_with("so are 4999 further lines"), "{short:?}");
}

#[test]
fn ten_thousand_secrets_are_read_and_found() {
    let ground = Ground::new();
    let lines: Vec<String> = (0..10_000)
        .map(|number| format!("User{number}@Example.org a secret of user {number}, long enough"))
        .collect();
    ground.secret("users", &lines.join("\n"));
    let begun = std::time::Instant::now();
    let text = ends("{ id = \"moon\" }", "{ id = \"%any\", secrets_file = \"users\" }");
    let text = text.replace("gateway = [\"192.0.2.1\"]", "gateway = [\"%any\"]");
    let peer = &ground.good(&text).connections[0].peer;
    let user = Identity::parse("user9999@example.org").unwrap();
    assert!(peer.secrets.of(&user).is_some());
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "it is found by an index");
}

#[test]
fn a_pattern_names_a_group_and_a_secret_of_a_group_is_warned_of() {
    let ground = Ground::certified();
    let group = |peer: &str| ground.good(&ends(LOCAL, peer).replace("\"192.0.2.1\"", "\"%any\""));
    for pattern in ["*.example.org", "*@example.org", "C=CH, CN=*"] {
        let configuration = group(&format!("{{ id = \"{pattern}\", ca = [\"ca.pem\"] }}"));
        let expected = PeerIdentity::Like(Pattern::parse(pattern).unwrap());
        assert_eq!(configuration.connections[0].peer.peer_id, expected);
        assert!(configuration.warnings.is_empty(), "{:?}", configuration.warnings);
    }
    let own = "{ id = \"moon\", psk_file = \"a.psk\" }";
    let text = ends(own, "{ id = \"*.lab\", psk_file = \"a.psk\" }").replace("\"192.0.2.1\"", "\"%any\"");
    let configuration = ground.good(&text);
    assert!(configuration.connections[0].peer.secrets.default.is_some());
    let [warning] = &configuration.warnings[..] else { panic!("one warning expected") };
    assert!(warning.what.contains("each of *.lab can pose as any other"), "{warning:?}");
}

#[test]
fn sha_1_is_for_connections_that_ask_for_it_above_the_floor() {
    let ground = Ground::certified();
    let asking = ends(LOCAL, PEER).replacen("\nlocal", "\nsha1_auth = true\nlocal", 1);
    let text = ground.read(&asking).map(|_| ()).expect_err("the floor forbids it").to_string();
    assert!(text.contains("connection.sha1_auth: needs allow_legacy"), "{text}");
    let of = |text: &str| {
        ground.good(&format!("[floor]\nallow_legacy = true\n{text}")).connections[0].peer.sha1_auth
    };
    assert!(of(&asking));
    assert!(!of(&ends(LOCAL, PEER)));
}

/// What `list certs` tells beside the certificates of peers.
#[tokio::test]
async fn own_certificates_cas_and_lists_are_told_with_where_they_come_from() {
    let ground = Ground::certified();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let list = |by: u8| crl("CN=ca", &Key::new(by), (now - 600, now + DAY), &[9, 10]);
    ground.list("ca", &list(1));
    ground.list("forged", &list(77));
    // Nobody listens there.
    let peer = "{ id = \"moon\", ca = \"ca.pem\", crl = [\"ca.crl\", \"forged.crl\", \"http://127.0.0.1:1/x.crl\"] }";
    let configuration = ground.good(&ends(LOCAL, peer));
    let mut lists = crate::lists::Lists::default();
    let crypto = vpnhost_rustcrypto::backend();
    lists.fetch(&configuration, crypto).await;
    let certs = crate::certs::of(&configuration.connections, &lists, crypto);
    let [own] = &certs.own[..] else { panic!("{certs:?}") };
    assert_eq!((own.subject.as_str(), own.issuer.as_str()), ("C=CH, CN=carol", "CN=mid"));
    assert_eq!((&own.connections, own.key.as_str()), (&vec!["corp".to_owned()], "ed25519"));
    assert_eq!(own.names, ["carol.example.org", "*.example.org"]);
    assert_eq!(certs.cas.iter().map(|ca| ca.subject.as_str()).collect::<Vec<_>>(), ["CN=ca"]);
    let [good, forged, absent] = &certs.crls[..] else { panic!("{certs:?}") };
    assert_eq!((good.source.as_str(), good.signed_by_known_ca, good.revoked), ("ca.crl", true, 2));
    assert!(good.age_secs.is_some_and(|age| (600..700).contains(&age)), "{good:?}");
    assert!(good.next_update_in_secs.is_some_and(|left| left > 80_000) && good.error.is_none());
    assert!(!forged.signed_by_known_ca);
    assert_eq!((&absent.issuer, absent.fetched_secs), (&None, None));
    assert!(absent.error.as_ref().is_some_and(|why| why.contains("refused")), "{absent:?}");
    let text = crate::certs::text(&certs);
    for part in ["C=CH, CN=carol", "CN=ca (signed by no CA known here)", "never: connection refused"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
