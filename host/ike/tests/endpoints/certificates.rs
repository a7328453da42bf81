//! Certificates: every method of signing, chains, what is refused and by which code, and what ends an IKE SA later.

use std::sync::Arc;
use std::time::Duration;

use vpnhost_crypto::{PrivateKey, SecretBytes};
use vpnhost_ike::{
    CloseReason, Command, EndpointConfig, Event, LocalAuth, OwnCertificate, PeerAuth, PeerConfig,
    PeerIdentity, Start, Trust,
};
use vpnhost_model::Identity;
use vpnhost_pki::{Certificate, Credential, Rules, identity};
use vpnhost_policy::{Answer, CredentialChoice, Question, QuestionKind};

use crate::maker::{DAY, Key, NOW, Plan, crl, extension, names, purposes};
use crate::pump::*;

const ROOT: u8 = 1;
pub(crate) const MIDDLE: u8 = 2;

fn root() -> Certificate {
    Plan::ca("CN=root", "CN=root").sign(&Key::new(ROOT), &Key::new(ROOT))
}

/// What the certificate of `name` below the intermediate CA is made of.
pub(crate) fn plan(name: &'static str, subject: &'static str) -> Plan {
    Plan::end(subject, "CN=middle").with(names(&[(2, name.as_bytes())]))
}

pub(crate) fn own(plan: &Plan, key: &Key) -> LocalAuth {
    own_below(&Plan::ca("CN=middle", "CN=root"), plan, key)
}

/// The same below another intermediate CA.
pub(crate) fn own_below(middle: &Plan, plan: &Plan, key: &Key) -> LocalAuth {
    let middle = middle.sign(&Key::new(MIDDLE), &Key::new(ROOT));
    let chain = vec![plan.sign(key, &Key::new(MIDDLE)), middle];
    let credential = Credential::new(vpnhost_rustcrypto::backend(), chain, key.0.clone(), true);
    LocalAuth::Certificate(vec![Arc::new(OwnCertificate::new(credential.expect("they belong together")))])
}

pub(crate) fn trusting(anchors: Vec<Certificate>, rules: Rules) -> PeerAuth {
    PeerAuth::Certificate(Arc::new(Trust { anchors, known: Vec::new(), keys: Vec::new(), rules }))
}

/// `A` and `B` with certificates over given keys below an intermediate CA.
fn certified(a_key: &Key, b_key: &Key, rules: Rules) -> (PeerConfig, PeerConfig) {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.secrets.default = None;
    a.local_auth = own(&plan("a.lab", "CN=a"), a_key);
    a.peer_auth = trusting(vec![root()], rules);
    let b = PeerConfig { local_auth: own(&plan("b.lab", "CN=b"), b_key), ..responder(&a) };
    (a, b)
}

pub(crate) fn ed25519() -> (PeerConfig, PeerConfig) {
    certified(&Key::new(10), &Key::new(11), Rules::default())
}

fn up(a: PeerConfig, b: PeerConfig) -> Pump {
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump
}

/// Returns the code by which a side refused the other.
fn code(pump: &Pump, side: usize) -> Option<&'static str> {
    pump.sides[side].events.iter().find_map(|event| match event {
        Event::IkeSaClosed { reason: CloseReason::AuthenticationFailed(failure), .. } => Some(failure.code()),
        _ => None,
    })
}

fn method(a: PeerConfig, b: PeerConfig) -> u8 {
    let mut pump = Pump::new(config(a), config(b));
    use vpnhost_policy::{Question, QuestionKind, QuestionSet};
    let mut delegated = QuestionSet::EMPTY;
    delegated.insert(QuestionKind::AuthorizePeer);
    pump.sides[B].endpoint.delegate(delegated);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_millis(100));
    let (id, question) = pump.sides[B].questions.pop().expect("B asks whether A may come in");
    let Question::AuthorizePeer(claim) = question else { panic!("another question") };
    let answer = vpnhost_policy::Answer::AuthorizePeer(vpnhost_policy::Authorization::allow());
    let now = pump.now;
    pump.sides[B].endpoint.handle_answer(now, id, Some(answer));
    pump.settle();
    pump.assert_connected(1);
    assert_eq!(claim.certificate.expect("A showed one").subject, "CN=a");
    claim.auth_method
}

fn file(name: &str) -> Key {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/keys/");
    let text = std::fs::read(format!("{directory}{name}.pem")).expect("a key");
    Key::of(PrivateKey::read(&text).expect("a key"))
}

#[test]
fn ed25519_below_an_intermediate_ca_connects() {
    let (a, b) = ed25519();
    let pump = up(a, b);
    pump.assert_connected(1);
    let facts = pump.ike_sa(B).certificate.expect("A proved itself with a certificate");
    assert_eq!(
        (facts.subject.as_str(), facts.issuer.as_str(), facts.ca.as_str()),
        ("CN=a", "CN=middle", "CN=root")
    );
    assert_eq!((facts.serial.as_str(), facts.not_after), ("07", NOW + 30 * DAY));
    assert!(pump.ike_sa(A).certificate.is_some());
    assert_eq!(
        (pump.sides[A].sent.len(), pump.sides[B].sent.len()),
        (2, 2),
        "no message more than with a secret"
    );
}

#[test]
fn every_kind_of_key_signs_as_rfc_7427_has_it() {
    let rules = Rules { allow_legacy: true, ..Rules::default() };
    for key in ["rsa", "p256", "p384", "p521", "dsa"] {
        let (a, b) = certified(&file(key), &file(key), rules);
        assert_eq!(method(a, b), 14, "{key}");
    }
}

#[test]
fn whoever_does_not_know_rfc_7427_gets_the_older_methods() {
    let rules = Rules { allow_legacy: true, ..Rules::default() };
    for (key, number) in [("rsa", 1), ("dsa", 3), ("p256", 9), ("p384", 10), ("p521", 11)] {
        let (a, b) = certified(&file(key), &file(key), rules);
        let old = |config: vpnhost_ike::EndpointConfig| vpnhost_ike::EndpointConfig {
            signature_hashes: false,
            ..config
        };
        let mut pump = Pump::new(old(config(a)), config(b));
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        pump.assert_connected(1);
        assert_eq!(pump.ike_sa(B).auth_method.map(|method| method.0), Some(number), "{key}");
    }
}

#[test]
fn each_refusal_has_its_own_code() {
    let rules = Rules::default();
    let refused = |a_auth: LocalAuth, change: &dyn Fn(&mut PeerConfig)| {
        let (mut a, mut b) = ed25519();
        a.local_auth = a_auth;
        change(&mut b);
        let pump = up(a, b);
        pump.assert_empty(B);
        let told = |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::RefusedByPeer { notify, .. }, .. } if notify == "AUTHENTICATION_FAILED");
        assert!(pump.saw(A, told), "{:?}", pump.sides[A].events);
        code(&pump, B).expect("B refused it")
    };
    let key = Key::new(10);
    let good = || plan("a.lab", "CN=a");
    let same = |_: &mut PeerConfig| {};
    let stranger = Plan::ca("CN=stranger", "CN=stranger").sign(&Key::new(9), &Key::new(9));
    assert_eq!(
        refused(own(&good(), &key), &|b| b.peer_auth = trusting(vec![stranger.clone()], rules)),
        "wrong-ca"
    );
    let below = |valid| own_below(&Plan { valid, ..Plan::ca("CN=middle", "CN=root") }, &good(), &key);
    assert_eq!(refused(below((NOW - 9 * DAY, NOW - DAY)), &same), "expired");
    assert_eq!(refused(below((NOW + DAY, NOW + 9 * DAY)), &same), "not-yet-valid");
    assert_eq!(refused(own(&plan("mallory.lab", "CN=a"), &key), &same), "wrong-identity");
    let demanding = Rules { require_eku: true, ..rules };
    assert_eq!(
        refused(own(&good(), &key), &|b| b.peer_auth = trusting(vec![root()], demanding)),
        "missing-eku"
    );
    assert_eq!(refused(own(&good().with(purposes(&[3])), &key), &same), "missing-eku");
    let encrypts = good().with(extension(0x0f, true, b"\x03\x02\x05\x20"));
    assert_eq!(refused(own(&encrypts, &key), &same), "key-usage");
    let strict = Rules { revocation: vpnhost_pki::Revocation::Strict, ..rules };
    assert_eq!(
        refused(own(&good(), &key), &|b| b.peer_auth = trusting(vec![root()], strict)),
        "revocation-unknown"
    );
    assert_eq!(refused(own(&good(), &key), &|b| b.peer_auth = PeerAuth::SharedKey), "auth-method");
}

#[test]
fn whose_own_certificate_is_out_of_time_says_so_and_an_initiator_begins_nothing() {
    let cases = [
        ((NOW - 9 * DAY, NOW - DAY), "own-certificate-expired"),
        ((NOW + DAY, NOW + 9 * DAY), "own-certificate-not-yet-valid"),
    ];
    for (valid, expected) in cases {
        let (mut a, b) = ed25519();
        a.local_auth = own(&Plan { valid, ..plan("a.lab", "CN=a") }, &Key::new(10));
        let pump = up(a, b);
        assert_eq!(code(&pump, A), Some(expected));
        assert_eq!(code(&pump, B), None);
        assert!(pump.sides[A].sent.is_empty());
        let (a, mut b) = ed25519();
        b.local_auth = own(&Plan { valid, ..plan("b.lab", "CN=b") }, &Key::new(11));
        let pump = up(a, b);
        assert_eq!(code(&pump, B), Some(expected));
        assert_eq!(code(&pump, A), expected.strip_prefix("own-certificate-"), "both ends know the cause");
    }
}

#[test]
fn of_several_certificates_one_that_is_within_its_validity_is_shown() {
    let (mut a, b) = ed25519();
    let LocalAuth::Certificate(good) = &mut a.local_auth else { panic!("it has one") };
    let ended = Plan { valid: (NOW - 9 * DAY, NOW - DAY), ..plan("a.lab", "CN=a") };
    let LocalAuth::Certificate(old) = own(&ended, &Key::new(10)) else { panic!("it has one") };
    good.splice(0..0, old);
    up(a, b).assert_connected(1);
}

#[test]
fn an_initiator_whose_certificate_is_not_valid_yet_tries_again_when_it_may_be() {
    let (mut a, b) = ed25519();
    let early = Plan { valid: (NOW + 60, NOW + 9 * DAY), ..plan("a.lab", "CN=a") };
    (a.local_auth, a.start) = (own(&early, &Key::new(10)), Start::Up);
    let mut pump = Pump::new(config(a), config(b));
    pump.run_for(Duration::from_secs(30));
    assert_eq!(code(&pump, A), Some("own-certificate-not-yet-valid"));
    pump.run_for(Duration::from_secs(200));
    pump.assert_connected(1);
}

#[test]
fn a_ca_that_came_and_is_not_trusted_is_not_called_missing() {
    let (mut a, mut b) = ed25519();
    let stranger = Plan::ca("CN=stranger", "CN=stranger").sign(&Key::new(9), &Key::new(9));
    b.peer_auth = trusting(vec![stranger], Rules::default());
    let LocalAuth::Certificate(own) = &a.local_auth else { panic!("it has one") };
    let mut chain = own[0].credential().certificates().to_vec();
    chain.push(root());
    let credential = Credential::new(vpnhost_rustcrypto::backend(), chain, Key::new(10).0, true).unwrap();
    a.local_auth = LocalAuth::Certificate(vec![Arc::new(OwnCertificate::new(credential))]);
    let pump = up(a, b);
    let told = |event: &Event| {
        matches!(event, Event::IkeSaClosed { reason, .. } if reason.in_full().ends_with(
            "the certificate of CN=a leads to no trusted CA: CN=root, at its top, is not trusted here"
        ))
    };
    assert!(pump.saw(B, told), "{:?}", pump.sides[B].events);
}

#[test]
fn the_ca_that_is_missing_is_the_issuer_of_the_topmost_certificate_that_came() {
    let (a, mut b) = ed25519();
    let stranger = Plan::ca("CN=stranger", "CN=stranger").sign(&Key::new(9), &Key::new(9));
    b.peer_auth = trusting(vec![stranger], Rules::default());
    let pump = up(a, b);
    let told = |event: &Event| {
        matches!(event, Event::IkeSaClosed { reason, .. } if reason.in_full().ends_with(
            "the certificate of CN=a leads to no trusted CA: that of CN=root is missing, which is above CN=middle"
        ))
    };
    assert!(pump.saw(B, told), "{:?}", pump.sides[B].events);
}

#[test]
fn distinguished_names_are_text_in_what_is_told_of_a_refusal() {
    let (mut a, mut b) = ed25519();
    a.local_id = identity::parse("C=CH, O=Lab, CN=a").unwrap();
    b.peer_id = PeerIdentity::Is(identity::parse("C=CH, O=Lab, CN=c").unwrap());
    let pump = up(a, b);
    for side in [A, B] {
        let told = |event: &Event| {
            let Event::IkeSaClosed { reason, .. } = event else { return false };
            let text = reason.in_full();
            text.contains("C=CH, O=Lab, CN=a") && !text.contains("dn:")
        };
        assert!(pump.saw(side, told), "{:?}", pump.sides[side].events);
    }
}

#[test]
fn a_revoked_certificate_is_refused() {
    let (a, b) = ed25519();
    let mut b = config(b);
    b.crls = vec![crl("CN=middle", &Key::new(MIDDLE), (NOW - DAY, NOW + DAY), &[7])];
    let mut pump = Pump::new(config(a), b);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    assert_eq!(code(&pump, B), Some("revoked"));
}

#[test]
fn legacy_signatures_need_leave_on_both_sides() {
    let rules = Rules { allow_legacy: true, ..Rules::default() };
    let (a, b) = certified(&file("dsa"), &Key::new(11), rules);
    let (mut strict_a, mut strict_b) = (config(a), config(b));
    strict_a.allow_legacy = false;
    strict_b.allow_legacy = false;
    let mut pump = Pump::new(strict_a, strict_b);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    assert_eq!(code(&pump, A), Some("no-common-signature"));
}

/// Wherever the floor let in one old peer, every RSA key signed with SHA-1 for whoever did not know RFC 7427.
#[test]
fn sha_1_signs_only_for_connections_that_say_so() {
    let rules = Rules { allow_legacy: true, ..Rules::default() };
    let meet = |a_sha1: bool, b_sha1: bool| {
        let (a, b) = certified(&file("rsa"), &file("rsa"), rules);
        let (a, b) = (PeerConfig { sha1_auth: a_sha1, ..a }, PeerConfig { sha1_auth: b_sha1, ..b });
        let old = |peer| EndpointConfig { signature_hashes: false, ..config(peer) };
        let mut pump = Pump::new(old(a), old(b));
        pump.command(A, Command::Initiate("b".into()));
        pump.settle();
        pump
    };
    meet(true, true).assert_connected(1);
    // One that says nothing signs with SHA-256, which is no legacy, and takes nothing else.
    meet(false, false).assert_connected(1);
    meet(false, true).assert_empty(A);
    let pump = meet(true, false);
    assert_eq!(code(&pump, B), Some("signature-algorithm"));
}

#[test]
fn an_initiator_refuses_a_responder_and_says_so() {
    let (a, mut b) = ed25519();
    b.local_auth = own(&plan("mallory.lab", "CN=b"), &Key::new(11));
    let mut pump = up(a, b);
    assert_eq!(code(&pump, A), Some("wrong-identity"));
    pump.run_for(Duration::from_secs(60));
    pump.assert_empty(A);
    pump.assert_empty(B);
}

#[test]
fn one_side_may_have_a_secret_and_the_other_a_certificate() {
    let secret = SecretBytes::new(b"a secret that both know".to_vec());
    let (mut a, mut b) = ed25519();
    a.local_auth = LocalAuth::SharedKey;
    b.peer_auth = PeerAuth::SharedKey;
    a.secrets.default = Some(secret.clone());
    b.secrets.default = Some(secret);
    let pump = up(a, b);
    pump.assert_connected(1);
    assert!(pump.ike_sa(A).certificate.is_some() && pump.ike_sa(B).certificate.is_none());
}

#[test]
fn the_responder_takes_the_connection_that_wants_what_the_peer_brings() {
    let (a, b) = ed25519();
    let by_secret = PeerConfig {
        name: "secret".into(),
        local_auth: LocalAuth::SharedKey,
        peer_auth: PeerAuth::SharedKey,
        ..b.clone()
    };
    let mut both = config(by_secret);
    both.connections.push(Arc::new(b));
    let mut pump = Pump::new(config(a), both);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(B).connection.as_deref(), Some("a"));
}

#[test]
fn a_claim_tells_what_a_policy_may_want_to_know_of_a_certificate() {
    let (mut a, b) = ed25519();
    let more = names(&[(2, b"a.lab"), (1, b"a@example.org"), (7, &[192, 0, 2, 1]), (6, b"urn:\x1b[2J")]);
    let certificate = Plan::end("CN=a", "CN=middle").with(more).with(purposes(&[17, 2]));
    a.local_auth = own(&certificate, &Key::new(10));
    let mut pump = Pump::new(config(a.clone()), config(b));
    pump.sides[B].endpoint.delegate([QuestionKind::AuthorizePeer].into_iter().collect());
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_millis(100));
    let Some((_, Question::AuthorizePeer(claim))) = pump.sides[B].questions.pop() else { panic!("no claim") };
    let told = claim.certificate.expect("A showed one");
    assert_eq!(
        (told.subject.as_str(), told.issuer.as_str(), told.ca.as_str()),
        ("CN=a", "CN=middle", "CN=root")
    );
    assert_eq!(told.names, ["dns:a.lab", "email:a@example.org", "ip:192.0.2.1", "uri:urn:?[2J"]);
    assert_eq!(told.purposes, ["1.3.6.1.5.5.7.3.17", "1.3.6.1.5.5.7.3.2"]);
    assert_eq!((told.serial.as_str(), told.expires_unix_secs), ("07", NOW + 30 * DAY));
    let LocalAuth::Certificate(own) = &a.local_auth else { panic!("it has one") };
    let crypto = vpnhost_rustcrypto::backend();
    let digest = own[0].credential().certificates()[0].fingerprint(crypto).unwrap();
    assert_eq!(told.sha256, digest.iter().map(|octet| format!("{octet:02x}")).collect::<String>());
    assert_eq!(told.sha256.len(), 64);
}

#[test]
fn of_several_certificates_a_policy_may_choose_another_than_the_requested_one() {
    for (index, subject) in [(1, "CN=a"), (0, "CN=a too"), (2, "CN=a")] {
        let (mut a, b) = ed25519();
        let too = Plan::end("CN=a too", "CN=middle").with(names(&[(2, b"a.lab")]));
        let LocalAuth::Certificate(second) = own(&too, &Key::new(12)) else { panic!("it has one") };
        let LocalAuth::Certificate(own) = &mut a.local_auth else { panic!("it has one") };
        own.splice(0..0, second);
        let mut pump = Pump::new(config(a), config(b));
        pump.sides[A].endpoint.delegate([QuestionKind::ChooseCredential].into_iter().collect());
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_millis(150));
        let (id, question) = pump.sides[A].questions.pop().expect("A asks which to show");
        let Question::ChooseCredential(menu) = question else { panic!("another question") };
        let told: Vec<_> = menu.credentials.iter().map(|it| (it.subject.as_str(), it.is_requested)).collect();
        assert_eq!((told, menu.requested), (vec![("CN=a too", true), ("CN=a", true)], true));
        assert!(menu.credentials.iter().all(|it| it.sha256.len() == 64 && it.expires_unix_secs.is_some()));
        let choice = CredentialChoice { index, why: Some("newer".into()) };
        let now = pump.now;
        pump.sides[A].endpoint.handle_answer(now, id, Some(Answer::ChooseCredential(choice)));
        pump.settle();
        pump.assert_connected(1);
        // Off the menu is no answer: the first that is requested.
        let expected = if index == 2 { "CN=a too" } else { subject };
        assert_eq!(pump.ike_sa(B).certificate.unwrap().subject, expected);
    }
}

#[test]
fn of_several_certificates_the_requested_ca_chooses() {
    let (mut a, b) = ed25519();
    let other_ca = Plan::ca("CN=other", "CN=other").sign(&Key::new(8), &Key::new(8));
    let other = Plan::end("CN=a", "CN=other").with(names(&[(2, b"a.lab")])).sign(&Key::new(12), &Key::new(8));
    let chain = vec![other, other_ca];
    let credential = Credential::new(vpnhost_rustcrypto::backend(), chain, Key::new(12).0, true).unwrap();
    let LocalAuth::Certificate(own) = &mut a.local_auth else { panic!("it has one") };
    own.insert(0, Arc::new(OwnCertificate::new(credential)));
    let pump = up(a, b);
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(B).certificate.unwrap().ca, "CN=root");
}

#[test]
fn a_peer_is_known_by_its_distinguished_name() {
    let (mut a, mut b) = ed25519();
    let name = |text: &str| identity::parse(text).expect("a name");
    a.local_id = name("CN=a");
    b.peer_id = PeerIdentity::Is(name("cn=A"));
    let pump = up(a, b);
    pump.assert_connected(1);
    assert!(matches!(pump.ike_sa(B).peer_id, Some(Identity::DistinguishedName(_))));
}

#[test]
fn a_peer_that_sends_no_certificate_is_known_beforehand() {
    let (a, mut b) = ed25519();
    let known = plan("a.lab", "CN=a").sign(&Key::new(10), &Key::new(MIDDLE));
    b.peer_auth = PeerAuth::Certificate(Arc::new(Trust {
        anchors: vec![known.clone()],
        known: vec![known],
        keys: Vec::new(),
        rules: Rules::default(),
    }));
    up(a, b).assert_connected(1);
}

#[test]
fn the_end_of_a_certificate_ends_the_ike_sa_with_a_delete() {
    let (mut a, b) = ed25519();
    let short = Plan { valid: (NOW - DAY, NOW + 600), ..plan("a.lab", "CN=a") };
    a.local_auth = own(&short, &Key::new(10));
    let mut pump = up(a, b);
    pump.assert_connected(1);
    pump.run_for(Duration::from_secs(590));
    pump.assert_connected(1);
    pump.run_for(Duration::from_secs(30));
    let ended = |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::CertificateEnded(refusal), .. } if refusal.code() == "expired");
    assert!(pump.saw(B, ended), "{:?}", pump.sides[B].events);
    let deleted =
        |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::DeletedByPeer, .. });
    assert!(pump.saw(A, deleted), "{:?}", pump.sides[A].events);
}

#[test]
fn a_later_revocation_ends_the_ike_sa_with_a_delete_after_a_rekey_too() {
    for rekey in [false, true] {
        let (a, b) = ed25519();
        let mut pump = up(a, b);
        if rekey {
            let id = pump.ike_sa(A).id;
            pump.command(A, Command::RekeyIkeSa(id));
            pump.settle();
        }
        let good = crl("CN=middle", &Key::new(MIDDLE), (NOW - DAY, NOW + DAY), &[9]);
        pump.command(B, Command::UseCrls(vec![good]));
        pump.settle();
        pump.assert_connected(1);
        let bad = crl("CN=middle", &Key::new(MIDDLE), (NOW, NOW + DAY), &[7]);
        pump.command(B, Command::UseCrls(vec![bad]));
        pump.settle();
        let ended = |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::CertificateEnded(refusal), .. } if refusal.code() == "revoked");
        assert!(pump.saw(B, ended), "{:?}", pump.sides[B].events);
        pump.assert_empty(B);
    }
}

#[test]
fn a_signature_by_another_key_is_told_from_a_bad_certificate() {
    let (a, b) = ed25519();
    let LocalAuth::Certificate(own) = &a.local_auth else { panic!("it has one") };
    // The certificate of A, as a thief would send it who has not the key.
    let mut chain = own[0].credential().certificates().to_vec();
    let thief = plan("a.lab", "CN=a").sign(&Key::new(66), &Key::new(66));
    chain[0] = thief;
    let credential = Credential::new(vpnhost_rustcrypto::backend(), chain, Key::new(66).0, true).unwrap();
    let a = PeerConfig {
        local_auth: LocalAuth::Certificate(vec![Arc::new(OwnCertificate::new(credential))]),
        ..a
    };
    let pump = up(a, b);
    assert_eq!(code(&pump, B), Some("bad-certificate-signature"));
}

#[test]
fn a_job_in_between_changes_nothing() {
    let (a, b) = ed25519();
    let mut pump = Pump::new(config(a), config(b));
    for side in [A, B] {
        pump.sides[side].hold_jobs = true;
    }
    pump.command(A, Command::Initiate("b".into()));
    for _ in 0..12 {
        pump.settle();
        pump.run_jobs(A);
        pump.run_jobs(B);
    }
    pump.settle();
    pump.assert_connected(1);
}

/// RFC 7670: no certificate, and no message more.
#[test]
fn raw_public_keys_prove_whoever_is_known_by_them() {
    let key = |seed: u8| Key::new(seed);
    let own = |key: &Key| {
        let credential = Credential::raw(vpnhost_rustcrypto::backend(), key.0.clone(), false).unwrap();
        Arc::new(OwnCertificate::new(credential))
    };
    let knowing = |keys: &[&Key]| {
        let keys = keys.iter().map(|key| own(key).credential().public().clone()).collect();
        let (anchors, known) = (Vec::new(), Vec::new());
        PeerAuth::Certificate(Arc::new(Trust { anchors, known, keys, rules: Rules::default() }))
    };
    let meet = |a_key: &Key, known: &[&Key]| {
        let (a, b) = ed25519();
        let a = PeerConfig {
            local_auth: LocalAuth::Certificate(vec![own(a_key)]),
            peer_auth: knowing(&[&key(21)]),
            ..a
        };
        let local_auth = LocalAuth::Certificate(vec![own(&key(21))]);
        up(a, PeerConfig { local_auth, peer_auth: knowing(known), ..b })
    };
    // The second is the next one of a peer that changes its key.
    let pump = meet(&key(20), &[&key(22), &key(20)]);
    pump.assert_connected(1);
    assert!(pump.ike_sa(B).certificate.is_none());
    assert_eq!(pump.ike_sa(B).auth_method.map(|method| method.0), Some(14));
    assert_eq!(code(&meet(&key(23), &[&key(20)]), B), Some("wrong-signature"));
    // A certificate of whomever is no key.
    let (a, b) = ed25519();
    let pump = up(a, PeerConfig { peer_auth: knowing(&[&key(20)]), ..b });
    assert_eq!(code(&pump, B), Some("wrong-signature"));
}
