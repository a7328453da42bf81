//! NIST PKITS: every end entity of the suite that lies in `tests/vectors/pkits`, under the suite's default
//! settings. Its file's name says what must come of it; where it does not, [`UNNAMED`] does.

use std::path::Path;
use std::time::Duration;

use vpnhost_pki::{Certificate, Crl, Refusal, Revocation, Rules, Store, verify};

/// 2020-01-01, when everything of the suite is current that should be.
const NOW: Duration = Duration::from_secs(1_577_836_800);

/// End entities whose names say nothing, and whether they are valid: PKITS, sections 4.8 and 4.12.3.
const UNNAMED: &[(&str, bool)] = &[
    ("AllCertificatesNoPoliciesTest2EE", true),
    ("DifferentPoliciesTest3EE", true),
    ("DifferentPoliciesTest4EE", false),
    ("DifferentPoliciesTest5EE", false),
    ("OverlappingPoliciesTest6EE", true),
    ("DifferentPoliciesTest7EE", false),
    ("DifferentPoliciesTest8EE", false),
    ("DifferentPoliciesTest9EE", false),
    ("AllCertificatesSamePoliciesTest10EE", true),
    ("AllCertificatesanyPolicyTest11EE", true),
    ("DifferentPoliciesTest12EE", false),
    ("AllCertificatesSamePoliciesTest13EE", true),
    ("anyPolicyTest14EE", true),
    ("UserNoticeQualifierTest15EE", true),
    ("UserNoticeQualifierTest16EE", true),
    ("UserNoticeQualifierTest17EE", true),
    ("UserNoticeQualifierTest18EE", true),
    ("UserNoticeQualifierTest19EE", true),
    ("CPSPointerQualifierTest20EE", true),
    ("inhibitAnyPolicyTest3EE", true),
];

/// What is not tried, and why.
const SKIPPED: &[(&str, &str)] = &[];

/// What a refusal must be for, by a part of the name; the first that fits counts.
const REASONS: &[(&str, &[&str])] = &[
    ("nameConstraints", &["name-constraints"]),
    ("pathLenConstraint", &["path-too-long"]),
    ("nhibit", &["certificate-policy"]),
    ("Polic", &["certificate-policy"]),
    ("MappingToanyPolicy", &["certificate-policy"]),
    ("cAFalse", &["not-a-ca"]),
    ("MissingbasicConstraints", &["not-a-ca"]),
    ("keyCertSignFalse", &["not-a-ca"]),
    ("CriticalCertificateExtension", &["critical-extension"]),
    ("NameChaining", &["wrong-ca"]),
    ("notBefore", &["not-yet-valid"]),
    ("notAfter", &["expired"]),
    ("NotAfter", &["expired"]),
    ("DSASignature", &["bad-certificate-signature"]),
    ("CASignature", &["bad-certificate-signature"]),
    ("EESignature", &["bad-certificate-signature"]),
    ("Invalid", &["revoked", "revocation-unknown"]),
];

fn blocks(file: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/pkits").join(file);
    let text = std::fs::read_to_string(path).expect("it is in the repository");
    let named = text.split("\n\n").skip(1).filter_map(|block| block.split_once('\n'));
    named.map(|(name, pem)| (name.to_owned(), pem.to_owned())).collect()
}

fn certificates() -> Vec<(String, Certificate)> {
    let read = |(name, pem): (String, String)| {
        let mut all = Certificate::read_all(pem.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, all.remove(0))
    };
    blocks("certificates.pem").into_iter().map(read).collect()
}

fn crls() -> Vec<(String, Crl)> {
    let read = |(name, pem): (String, String)| {
        let mut all = Crl::read_all(pem.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, all.remove(0))
    };
    blocks("crls.pem").into_iter().map(read).collect()
}

fn store(all: &[(String, Certificate)]) -> Store {
    let anchor = all.iter().find(|(name, _)| name == "TrustAnchorRootCertificate").expect("it is there");
    let mut store = Store::new(vec![anchor.1.clone()]);
    let cas = all.iter().filter(|(name, _)| !name.ends_with("EE") && name != "TrustAnchorRootCertificate");
    store.add_intermediates(cas.map(|(_, certificate)| certificate.clone()));
    crls().into_iter().for_each(|(_, crl)| store.add_crl(crl));
    store
}

fn judge(store: &Store, certificate: &Certificate) -> Result<(), Refusal> {
    let rules = Rules { allow_legacy: true, revocation: Revocation::Strict, ..Rules::default() };
    let backend = vpnhost_rustcrypto::backend();
    verify(backend, store, std::slice::from_ref(certificate), NOW, &rules).map(drop)
}

#[test]
fn every_end_entity_is_judged_as_the_suite_says() {
    let all = certificates();
    let store = store(&all);
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, certificate) in all.iter().filter(|(name, _)| name.ends_with("EE")) {
        if let Some((_, why)) = SKIPPED.iter().find(|(skipped, _)| skipped == name) {
            println!("skipped: {name}: {why}");
            continue;
        }
        let expected = match UNNAMED.iter().find(|(unnamed, _)| unnamed == name) {
            Some((_, valid)) => *valid,
            None if name.starts_with("Valid") => true,
            None if name.starts_with("Invalid") => false,
            None => panic!("{name}: what must come of it?"),
        };
        tried += 1;
        let outcome = judge(&store, certificate);
        let told = outcome
            .as_ref()
            .map_or_else(|refusal| format!("{}: {refusal}", refusal.code()), |()| "valid".into());
        println!("{name}: {told}");
        let mut reasons = REASONS.iter().filter(|(part, _)| name.contains(part));
        let right = match &outcome {
            Ok(()) => true,
            Err(refusal) => reasons.next().is_some_and(|(_, codes)| codes.contains(&refusal.code())),
        };
        if outcome.is_ok() != expected || !right {
            wrong.push(format!("{name}: {told}"));
        }
    }
    println!("{tried} end entities tried, {} skipped", SKIPPED.len());
    assert!(tried + SKIPPED.len() >= 120, "the suite is there");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
