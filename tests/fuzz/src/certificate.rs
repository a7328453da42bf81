//! Certificates and revocation lists: whatever their octets, a judgement comes out, the same each time, in bounded
//! time.

use std::time::Duration;

use vpnhost_pki::{Certificate, Crl, Name, Revocation, Rules, Store, identity, verify};

/// When the seeds are current: 2020-01-01.
const NOW: Duration = Duration::from_secs(1_577_836_800);

/// Takes values of DER one behind the other: the first certificate is the trust anchor, the last the peer's, those
/// between help; lists are lists.
pub fn certificate(data: &[u8]) {
    let (mut certificates, mut crls) = (Vec::new(), Vec::new());
    for value in values(data) {
        match Certificate::from_der(value) {
            Ok(certificate) => {
                assert_eq!(certificate.der(), value, "kept as it came");
                certificates.push(certificate);
            }
            Err(_) => crls.extend(Crl::from_der(value)),
        }
    }
    if certificates.is_empty() {
        return;
    }
    let mut store = Store::new(vec![certificates.remove(0)]);
    certificates.reverse();
    crls.into_iter().for_each(|crl| store.add_crl(crl));
    for revocation in [Revocation::Off, Revocation::Strict] {
        let rules = Rules { allow_legacy: true, revocation, wildcards: true, ..Rules::default() };
        let judge = || verify(vpnhost_rustcrypto::backend(), &store, &certificates, NOW, &rules);
        let outcome = judge().map(|verified| verified.not_after);
        assert_eq!(outcome, judge().map(|verified| verified.not_after), "another judgement");
        if let Err(refusal) = outcome {
            assert!(!refusal.code().is_empty() && !refusal.to_string().is_empty());
        }
    }
    certificates.iter().for_each(bind);
}

/// A certificate is its own identities', and what is shown of a name has no control characters.
fn bind(certificate: &Certificate) {
    for own in identity::identities(certificate) {
        let emails_differ = matches!(own, vpnhost_model::Identity::Email(_));
        let bound = identity::bind(certificate, &own, false).is_ok();
        assert!(bound || emails_differ, "{}", own.to_string());
    }
    let text = certificate.subject().to_string();
    assert!(!text.chars().any(char::is_control));
    if let Some(name) = Name::parse(&text) {
        assert_eq!(Name::from_der(name.der()).as_ref(), Ok(&name));
    }
}

/// Splits at the lengths that values of up to 64 KiB state.
fn values(mut data: &[u8]) -> Vec<&[u8]> {
    let mut values = Vec::new();
    while let [_, 0x82, high, low, ..] = data {
        let end = data.len().min(4 + usize::from(u16::from_be_bytes([*high, *low])));
        let (value, rest) = data.split_at(end);
        values.push(value);
        data = rest;
    }
    values
}
