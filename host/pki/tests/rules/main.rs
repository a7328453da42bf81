//! Each rule by certificates made for it: what is refused has its own code, and what is near it is not refused.

mod maker;

use std::time::Duration;

use maker::{DAY, Key, NOW, Plan, crl, extension, names, purposes};
use vpnhost_model::Identity;
use vpnhost_pki::{
    Certificate, Credential, Crl, Purpose, Refusal, Revocation, Rules, Store, Verified, identity, verify,
    verify_for,
};

const ROOT: &str = "CN=Root";
const SUB: &str = "CN=Sub CA";
const MOON: &str = "C=CH, O=Example, CN=moon";

/// A root, a CA below it, and a peer below this.
struct World {
    root: Key,
    sub: Key,
    peer: Key,
    anchor: Certificate,
}

impl World {
    fn new() -> Self {
        let (root, sub, peer) = (Key::new(1), Key::new(2), Key::new(3));
        let anchor = Plan::ca(ROOT, ROOT).sign(&root, &root);
        Self { root, sub, peer, anchor }
    }

    fn store(&self) -> Store {
        Store::new(vec![self.anchor.clone()])
    }

    fn sub_ca(&self) -> Certificate {
        Plan::ca(SUB, ROOT).sign(&self.sub, &self.root)
    }

    fn moon(&self, change: impl FnOnce(Plan) -> Plan) -> Certificate {
        change(Plan::end(MOON, SUB)).sign(&self.peer, &self.sub)
    }

    fn judge(&self, certificates: &[Certificate]) -> Result<Verified, Refusal> {
        judge(&self.store(), certificates, &Rules::default())
    }
}

fn judge(store: &Store, certificates: &[Certificate], rules: &Rules) -> Result<Verified, Refusal> {
    verify(vpnhost_rustcrypto::backend(), store, certificates, Duration::from_secs(NOW as u64), rules)
}

fn code(outcome: Result<Verified, Refusal>) -> &'static str {
    outcome.map_or_else(|refusal| refusal.code(), |_| "valid")
}

#[test]
fn a_chain_through_an_intermediate_is_found_whatever_else_the_peer_sends() {
    let world = World::new();
    let (moon, sub) = (world.moon(|plan| plan), world.sub_ca());
    let stray = Plan::ca("CN=Stray", "CN=Nobody").sign(&world.sub, &world.sub);
    let verified = world.judge(&[moon.clone(), stray, sub.clone()]).unwrap();
    assert_eq!(verified.path, [world.anchor.clone(), sub.clone(), moon.clone()]);
    assert_eq!(verified.not_after, NOW + 30 * DAY);
    assert_eq!(code(world.judge(std::slice::from_ref(&moon))), "wrong-ca", "the one between is not there");
    let mut store = world.store();
    store.add_intermediates([sub]);
    assert_eq!(code(judge(&store, &[moon], &Rules::default())), "valid", "the host knows it");
    assert_eq!(code(world.judge(&[])), "no-certificate");
}

#[test]
fn several_anchors_may_bear_one_name() {
    let world = World::new();
    let other = Plan::ca(ROOT, ROOT).sign(&world.peer, &world.peer);
    let chain = [world.moon(|plan| plan), world.sub_ca()];
    let store = Store::new(vec![other.clone(), world.anchor.clone()]);
    assert_eq!(code(judge(&store, &chain, &Rules::default())), "valid");
    assert_eq!(code(judge(&Store::new(vec![other]), &chain, &Rules::default())), "bad-certificate-signature");
    assert_eq!(code(judge(&Store::default(), &chain, &Rules::default())), "wrong-ca");
}

#[test]
fn a_certificate_that_is_trusted_as_it_is_needs_no_ca() {
    let world = World::new();
    let moon = world.moon(|plan| plan);
    let store = Store::new(vec![moon.clone()]);
    assert_eq!(code(judge(&store, &[moon], &Rules::default())), "valid");
    let expired = world.moon(|plan| Plan { valid: (0, NOW - 1), ..plan });
    let store = Store::new(vec![expired.clone()]);
    assert_eq!(code(judge(&store, &[expired], &Rules::default())), "expired");
}

#[test]
fn a_peer_that_is_trusted_as_it_is_makes_nobody_else_trusted() {
    let world = World::new();
    let moon = world.moon(|plan| plan);
    let sun = Plan::end("CN=sun", MOON).sign(&world.sub, &world.peer);
    assert_eq!(code(judge(&Store::new(vec![moon]), &[sun], &Rules::default())), "not-a-ca");
}

#[test]
fn validity_has_two_ends_and_both_are_told() {
    let world = World::new();
    let judge = |valid| world.judge(&[world.moon(|plan| Plan { valid, ..plan }), world.sub_ca()]);
    assert_eq!(code(judge((NOW, NOW))), "valid");
    let expired = judge((NOW - DAY, NOW - 3 * 3600)).unwrap_err();
    assert_eq!(expired.to_string(), "the certificate of C=CH, O=Example, CN=moon expired 3 h ago");
    let early = judge((NOW + 300, NOW + DAY)).unwrap_err();
    assert_eq!(
        early.to_string(),
        "the certificate of C=CH, O=Example, CN=moon becomes valid in 5 min; is this host's clock right?"
    );
    assert_eq!((expired.code(), early.code()), ("expired", "not-yet-valid"));
}

#[test]
fn who_is_no_ca_issues_nothing() {
    let world = World::new();
    let sub = Plan::end(SUB, ROOT).sign(&world.sub, &world.root);
    assert_eq!(code(world.judge(&[world.moon(|plan| plan), sub])), "not-a-ca");
    let sub =
        Plan::ca(SUB, ROOT).with(extension(0x0f, true, b"\x03\x02\x01\x02")).sign(&world.sub, &world.root);
    assert_eq!(code(world.judge(&[world.moon(|plan| plan), sub])), "not-a-ca", "cRLSign is not keyCertSign");
    let sub = Plan::end(SUB, ROOT).with(extension(0x13, true, b"\x30\x06\x01\x01\xff\x02\x01\x00"));
    let deep = Plan::ca("CN=Deep", SUB).sign(&world.peer, &world.sub);
    let leaf = Plan::end(MOON, "CN=Deep").sign(&world.peer, &world.peer);
    assert_eq!(code(world.judge(&[leaf, deep, sub.sign(&world.sub, &world.root)])), "path-too-long");
}

#[test]
fn a_forged_signature_and_a_critical_extension_are_refused() {
    let world = World::new();
    let forged = Plan::end(MOON, SUB).sign(&world.peer, &world.root);
    assert_eq!(code(world.judge(&[forged, world.sub_ca()])), "bad-certificate-signature");
    let critical = world.moon(|plan| plan.with(extension(0x63, true, b"\x05\x00")));
    assert_eq!(code(world.judge(&[critical, world.sub_ca()])), "critical-extension");
    let other = world.moon(|plan| plan.with(extension(0x63, false, b"\x05\x00")));
    assert_eq!(code(world.judge(&[other, world.sub_ca()])), "valid");
}

#[test]
fn key_usage_and_extended_key_usage_are_as_rfc_4945_says() {
    let world = World::new();
    let judge = |extensions: Vec<Vec<u8>>, rules: Rules| {
        let moon = world.moon(|plan| Plan { extensions, ..plan });
        code(judge(&world.store(), &[moon, world.sub_ca()], &rules))
    };
    let default = Rules::default();
    let usage = |bits| extension(0x0f, true, &[3, 2, 0, bits]);
    assert_eq!(judge(vec![usage(0x80)], default), "valid");
    assert_eq!(judge(vec![usage(0x40)], default), "valid", "nonRepudiation");
    assert_eq!(judge(vec![usage(0x20)], default), "key-usage", "keyEncipherment");
    let (required, no_tls) =
        (Rules { require_eku: true, ..default }, Rules { purpose: Purpose::Ike, ..default });
    assert_eq!(judge(vec![], required), "missing-eku");
    assert_eq!(judge(vec![purposes(&[17])], required), "valid");
    assert_eq!(judge(vec![purposes(&[1])], default), "valid");
    assert_eq!(judge(vec![purposes(&[1])], no_tls), "missing-eku");
    assert_eq!(judge(vec![purposes(&[1, 17])], no_tls), "valid");
    assert_eq!(judge(vec![purposes(&[4])], default), "missing-eku", "e-mail protection");
    let any = extension(0x25, false, b"\x30\x06\x06\x04\x55\x1d\x25\x00");
    assert_eq!(judge(vec![any], no_tls), "valid");
}

#[test]
fn a_server_is_told_from_a_client_by_its_extended_key_usage() {
    let world = World::new();
    let judge = |extensions: Vec<Vec<u8>>, purpose, require_eku| {
        let moon = world.moon(|plan| Plan { extensions, ..plan });
        let rules = Rules { purpose, require_eku, ..Rules::default() };
        code(judge(&world.store(), &[moon, world.sub_ca()], &rules))
    };
    let any = || extension(0x25, false, b"\x30\x06\x06\x04\x55\x1d\x25\x00");
    for (own, other, purpose) in [(1, 2, Purpose::Server), (2, 1, Purpose::Client)] {
        for require_eku in [false, true] {
            assert_eq!(judge(vec![purposes(&[own])], purpose, require_eku), "valid");
            assert_eq!(judge(vec![purposes(&[1, 2])], purpose, require_eku), "valid");
            assert_eq!(judge(vec![purposes(&[other])], purpose, require_eku), "missing-eku");
            assert_eq!(judge(vec![purposes(&[17])], purpose, require_eku), "missing-eku", "ipsecIKE");
        }
        assert_eq!(judge(vec![], purpose, false), "valid");
        assert_eq!(judge(vec![], purpose, true), "missing-eku");
        assert_eq!(judge(vec![any()], purpose, false), "valid");
        assert_eq!(judge(vec![any()], purpose, true), "missing-eku", "users may have such ones");
    }
}

#[test]
fn a_certificate_is_for_the_identities_that_stand_in_it() {
    let world = World::new();
    let moon = world.moon(|plan| {
        plan.with(names(&[
            (2, b"moon.example.org"),
            (2, b"*.example.net"),
            (1, b"carol@Example.org"),
            (7, &[192, 0, 2, 1]),
            (7, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ]))
    });
    let judge = |text: &str, wildcards| {
        let asked = identity::parse(text).unwrap();
        let chain = [moon.clone(), world.sub_ca()];
        let now = Duration::from_secs(NOW as u64);
        let rules = Rules { wildcards, ..Rules::default() };
        code(verify_for(vpnhost_rustcrypto::backend(), &world.store(), (&chain, &asked), now, &rules))
    };
    for good in
        ["MOON.example.org", "carol@example.org", "192.0.2.1", "2001:db8::1", "c=ch, o=example, cn=MOON"]
    {
        assert_eq!(judge(good, false), "valid", "{good}");
    }
    for bad in
        ["moon", "sun.example.org", "192.0.2.2", "2001:db8::2", "CN=moon", "keyid:0102", "dave@example.org"]
    {
        assert_eq!(judge(bad, true), "wrong-identity", "{bad}");
    }
    assert_eq!(judge("sun.example.net", false), "wrong-identity");
    assert_eq!(judge("sun.example.net", true), "valid");
    assert_eq!(judge("a.sun.example.net", true), "wrong-identity");
    let refusal = identity::bind(&moon, &Identity::Fqdn("sun".into()), false).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the certificate is not for sun, but for C=CH, O=Example, CN=moon; moon.example.org; *.example.net; \
         carol@Example.org; 192.0.2.1; 2001:db8::1"
    );
}

#[test]
fn a_name_without_an_attribute_is_no_identity() {
    let world = World::new();
    let moon = world.moon(|plan| plan.with(names(&[(0x24, b"\x30\x00"), (2, b"moon.example.org")])));
    let identities = identity::identities(&moon);
    assert_eq!(
        identities.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["C=CH, O=Example, CN=moon", "moon.example.org"]
    );
    for own in identities {
        assert_eq!(identity::bind(&moon, &own, false), Ok(()));
    }
}

#[test]
fn revocation_is_strict_soft_or_off() {
    let world = World::new();
    let chain = [world.moon(|plan| plan), world.sub_ca()];
    let day = (NOW - DAY, NOW + DAY);
    let judge = |lists: &[vpnhost_pki::Crl], revocation| {
        let mut store = world.store();
        lists.iter().for_each(|list| store.add_crl(list.clone()));
        code(judge(&store, &chain, &Rules { revocation, ..Rules::default() }))
    };
    let (root, clean) = (crl(ROOT, &world.root, day, &[]), crl(SUB, &world.sub, day, &[8]));
    let revoked = crl(SUB, &world.sub, day, &[6, 7]);
    let stale = crl(SUB, &world.sub, (NOW - 2 * DAY, NOW - DAY), &[]);
    let forged = crl(SUB, &world.root, day, &[7]);
    // What an old list revokes stays revoked, until a newer one says otherwise.
    let [old, old_forged, early] = [(&world.sub, -2), (&world.root, -2), (&world.sub, 1)]
        .map(|(by, days)| crl(SUB, by, (NOW + days * DAY, NOW + (days + 1) * DAY), &[7]));
    use Revocation::{Off, Soft, Strict};
    for (lists, outcomes) in [
        (vec![], ["valid", "valid", "revocation-unknown"]),
        (vec![root.clone(), clean.clone()], ["valid", "valid", "valid"]),
        (vec![root.clone(), revoked.clone()], ["valid", "revoked", "revoked"]),
        (vec![revoked], ["valid", "revoked", "revocation-unknown"]),
        (vec![root.clone(), stale], ["valid", "valid", "revocation-unknown"]),
        (vec![root.clone(), forged.clone()], ["valid", "valid", "revocation-unknown"]),
        (vec![root.clone(), old.clone()], ["valid", "revoked", "revoked"]),
        (vec![root.clone(), old, clean.clone()], ["valid", "valid", "valid"]),
        (vec![root.clone(), old_forged], ["valid", "valid", "revocation-unknown"]),
        (vec![root.clone(), early], ["valid", "valid", "revocation-unknown"]),
        (vec![root, forged, clean.clone()], ["valid", "valid", "valid"]),
        (vec![crl(ROOT, &world.root, day, &[3]), clean], ["valid", "revoked", "revoked"]),
    ] {
        assert_eq!([Off, Soft, Strict].map(|policy| judge(&lists, policy)), outcomes);
    }
}

#[test]
fn why_no_list_counts_is_told_by_the_nearest() {
    let world = World::new();
    let chain = [world.moon(|plan| plan), world.sub_ca()];
    let day = (NOW - DAY, NOW + DAY);
    let root = crl(ROOT, &world.root, day, &[]);
    let list = |by: &Key, valid| crl(SUB, by, valid, &[]);
    let stale = list(&world.sub, (NOW - 4 * DAY, NOW - 3 * DAY));
    let early = list(&world.sub, (NOW + 600, NOW + DAY));
    let forged = list(&world.root, day);
    for (lists, why) in [
        (vec![], "there is none of CN=Root, neither out of a file nor fetched"),
        (vec![root.clone()], "there is none of CN=Sub CA, neither out of a file nor fetched"),
        (vec![root.clone(), forged.clone()], "that of CN=Sub CA is not signed by it"),
        (vec![root.clone(), early], "that of CN=Sub CA counts only in 10 min"),
        (
            vec![root.clone(), list(&world.sub, (NOW - 99 * DAY, NOW - 30 * DAY)), stale.clone()],
            "that of CN=Sub CA counts no longer, as a newer one was due 3 days ago",
        ),
        (vec![root, forged, stale], "that of CN=Sub CA counts no longer, as a newer one was due 3 days ago"),
    ] {
        let mut store = world.store();
        lists.into_iter().for_each(|list| store.add_crl(list));
        let rules = Rules { revocation: Revocation::Strict, ..Rules::default() };
        let refusal = judge(&store, &chain, &rules).unwrap_err();
        assert!(refusal.to_string().ends_with(why), "{refusal}");
    }
}

#[test]
fn a_fetched_list_takes_the_place_of_an_older_one_and_of_no_other() {
    let world = World::new();
    let renew = |there: &[Crl], fetched: &Crl| {
        let backend = vpnhost_rustcrypto::backend();
        vpnhost_pki::renew(backend, &[world.sub_ca()], there, vec![fetched.clone()])
    };
    let list = |by: &Key, from: i64, serials: &[u8]| crl(SUB, by, (from, NOW + DAY), serials);
    let good = list(&world.sub, NOW - DAY, &[7]);
    let there = renew(&[], &good);
    assert_eq!(there, std::slice::from_ref(&good));
    let newer = list(&world.sub, NOW, &[7, 8]);
    assert_eq!(renew(&there, &newer), [newer]);
    let older = list(&world.sub, NOW - 2 * DAY, &[]);
    assert_eq!(renew(&there, &older), there, "an old one from whoever stands between");
    // One of his own making stands beside, and only the last.
    let forged = list(&world.root, NOW, &[]);
    let beside = renew(&there, &forged);
    assert_eq!(beside, [good.clone(), forged]);
    let another = list(&world.root, NOW + 1, &[]);
    assert_eq!(renew(&beside, &another), [good, another]);
}

#[test]
fn a_mesh_of_cas_ends_in_time() {
    let world = World::new();
    // Every CA bears the same name, and each key signed each other: paths without end.
    let keys: Vec<Key> = (10..18).map(Key::new).collect();
    let mesh = keys.iter().flat_map(|key| keys.iter().map(move |by| Plan::ca(SUB, SUB).sign(key, by)));
    let mut store = world.store();
    store.add_intermediates(mesh);
    let moon = world.moon(|plan| plan);
    let outcome = judge(&store, &[moon], &Rules::default());
    assert!(["wrong-ca", "too-many-paths"].contains(&code(outcome)));
}

#[test]
fn a_credential_is_a_key_with_its_own_certificate() {
    let world = World::new();
    let backend = vpnhost_rustcrypto::backend();
    let chain = vec![world.moon(|plan| plan), world.sub_ca()];
    let credential = Credential::new(backend, chain.clone(), Key::new(3).0, false).unwrap();
    assert_eq!(credential.certificates(), chain);
    let wrong = Credential::new(backend, chain, Key::new(4).0, false).unwrap_err();
    assert!(wrong.to_string().contains("does not belong to the certificate of C=CH"), "{wrong}");
    let asked = world.store().key_hashes(backend).unwrap();
    assert_eq!(asked.len(), 20);
    let anchors = [world.anchor.clone()];
    assert!(credential.answers(backend, &asked, &anchors));
    assert!(credential.answers(backend, &[], &anchors), "any CA will do");
    assert!(credential.answers(backend, &world.sub_ca().key_hash(backend).unwrap(), &[]));
    assert!(!credential.answers(backend, &[1; 20], &anchors));
}
