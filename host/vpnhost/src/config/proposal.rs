//! Proposals in strongSwan's syntax, held against the floor and the bound of a menu.

use vpnhost_model::{Encryption, EspSuite, Integrity, KeyExchange, Prf, ProposalError, Suite};

use super::Proposals;
use super::document::Section;
use super::item::{Item, quoted};
use super::value::Wrong;
use crate::roles::nearest;

/// What is offered for an IKE SA unless the operator says otherwise.
pub(super) const IKE: [&str; 3] =
    ["aes256gcm16-prfsha384-x25519", "aes128gcm16-prfsha256-x25519", "aes256-sha256-x25519-modp2048"];
/// What is offered for a Child SA unless the operator says otherwise.
pub(super) const ESP: [&str; 3] = ["aes128gcm16", "aes256gcm16", "aes256-sha256"];

/// What tokens there are, for suggestions.
const TOKENS: [&str; 54] = [
    "aes128",
    "aes192",
    "aes256",
    "aes128gcm16",
    "aes192gcm16",
    "aes256gcm16",
    "aes128gcm12",
    "aes192gcm12",
    "aes256gcm12",
    "aes128gcm8",
    "aes192gcm8",
    "aes256gcm8",
    "aes128ccm16",
    "aes192ccm16",
    "aes256ccm16",
    "aes128ccm12",
    "aes192ccm12",
    "aes256ccm12",
    "aes128ccm8",
    "aes192ccm8",
    "aes256ccm8",
    "aes128ctr",
    "aes192ctr",
    "aes256ctr",
    "chacha20poly1305",
    "3des",
    "null",
    "sha1",
    "sha256",
    "sha384",
    "sha512",
    "aesxcbc",
    "aescmac",
    "prfaesxcbc",
    "prfaescmac",
    "prfsha1",
    "prfsha256",
    "prfsha384",
    "prfsha512",
    "modp1024",
    "modp1536",
    "modp2048",
    "modp3072",
    "modp4096",
    "modp6144",
    "modp8192",
    "ecp256",
    "ecp384",
    "ecp521",
    "x25519",
    "curve25519",
    "x448",
    "esn",
    "noesn",
];
/// Integrity algorithms, which a PRF follows from in IKE.
const INTEGRITY: [&str; 6] = ["sha1", "sha256", "sha384", "sha512", "aesxcbc", "aescmac"];
/// What needs `allow_legacy`.
const LEGACY: [&str; 5] = ["3des", "sha1", "prfsha1", "modp1024", "modp1536"];

/// Reads a list of proposals; the built-in ones where the operator wrote none.
pub(super) fn read(
    section: &Section<'_>,
    key: &'static str,
    built_in: &[&str],
    allow_legacy: bool,
    parse: impl Fn(&str) -> Result<Vec<Suite>, ProposalError>,
) -> Vec<Proposals> {
    let Some(item) = section.item(key) else {
        let place = section.place();
        let known = |text: &&str| Proposals {
            place: place.clone(),
            text: (*text).to_owned(),
            suites: parse(text).expect("the built-in proposals are sound"),
        };
        return built_in.iter().map(known).collect();
    };
    let items = item.list();
    if items.is_empty() {
        item.error(Wrong::new("is empty").hint(format!("write {key} = [{}]", quoted(built_in))));
    }
    let proposals: Vec<Proposals> = items.iter().filter_map(|item| one(item, allow_legacy, &parse)).collect();
    let mut suites: Vec<Suite> = Vec::new();
    for (own, item) in proposals.iter().zip(&items) {
        let before = suites.len();
        for suite in &own.suites {
            if !suites.contains(suite) {
                suites.push(*suite);
            }
        }
        // Where one could not be read, the two lists do not go together; there is an error then anyway.
        if suites.len() == before && proposals.len() == items.len() {
            item.warn(Wrong::new(format!("\"{}\" says nothing that does not stand before it", own.text)));
        }
    }
    let most = vpnhost_policy::limits::SUITES;
    if suites.len() > most {
        let wrong = Wrong::new(format!("means {} suites, {most} are the most", suites.len()));
        item.error(wrong.hint("fewer alternatives in a proposal; each combination is a suite"));
    }
    proposals
}

fn one(
    item: &Item<'_>,
    allow_legacy: bool,
    parse: &impl Fn(&str) -> Result<Vec<Suite>, ProposalError>,
) -> Option<Proposals> {
    let text = item.text()?;
    let suites = parse(text).map_err(|error| item.error(unknown(text, &error))).ok()?;
    let mut fits = true;
    if let Some(never) = suites.iter().find_map(never_offered) {
        fits = false;
        item.error(Wrong::new(format!("\"{text}\": {never} is never offered: it protects nothing")));
    }
    if suites.iter().any(Suite::is_legacy) {
        let old: Vec<&str> = text.split('-').filter(|token| LEGACY.contains(token)).collect();
        let old = if old.is_empty() { "it".to_owned() } else { old.join(", ") };
        if allow_legacy {
            item.warn(Wrong::new(format!(
                "\"{text}\": {old} can be broken; only for a peer that has nothing else"
            )));
        } else {
            fits = false;
            item.error(
                Wrong::new(format!("\"{text}\": {old} is below the floor"))
                    .hint("leave it out, or write allow_legacy = true in [floor]"),
            );
        }
    }
    if suites
        .iter()
        .any(|suite| matches!(suite, Suite::Esp(esp) if esp.packet.encryption == Encryption::NULL))
    {
        item.warn(Wrong::new(format!(
            "\"{text}\": null encrypts nothing; everybody on the way reads the traffic"
        )));
    }
    let needs_none =
        |suite: &Suite| matches!(suite, Suite::Esp(esp) if esp.packet.integrity == Integrity::NONE);
    if let Some(integrity) = text.split('-').find(|token| INTEGRITY.contains(token))
        && suites.iter().all(needs_none)
    {
        item.warn(
            Wrong::new(format!(
                "\"{text}\": {integrity} has no effect: its ciphers protect integrity themselves"
            ))
            .hint("leave it out, or name a cipher that needs it, such as aes256"),
        );
    }
    if suites
        .iter()
        .any(|suite| matches!(suite, Suite::Ike(ike) if ike.key_exchange == KeyExchange::MODP_8192))
    {
        // RFC 7383, 2.5: only messages with an SK payload are fragmented.
        let what = "modp8192: IKE_SA_INIT comes close to 1500 octets and cannot be sent in fragments of IKE";
        item.warn(Wrong::new(format!("\"{text}\": {what}")).hint("ecp384 is as strong and small"));
    }
    fits.then(|| Proposals { place: item.place(), text: text.to_owned(), suites })
}

fn unknown(text: &str, error: &ProposalError) -> Wrong {
    if text.split('-').any(|token| ["md5", "prfmd5", "md5_128"].contains(&token)) {
        let wrong = Wrong::new(format!("\"{text}\": MD5 is never offered (RFC 8247, 2.2 and 2.3)"));
        return wrong.hint("write sha256 in its place; a peer that has nothing better is worth replacing");
    }
    let wrong = Wrong::new(error.to_string());
    let stranger = text.split('-').find(|token| !TOKENS.contains(token) && error.to_string().contains(token));
    match stranger.and_then(|token| nearest(token, TOKENS)) {
        Some(near) => wrong.hint(format!("did you mean \"{near}\"?")),
        None => wrong
            .hint("such as \"aes256-sha256-modp2048\" for IKE, \"aes128gcm16\" or \"aes256-sha256\" for ESP"),
    }
}

/// Names what is refused even with `allow_legacy`: DES, MD5, group 1, and an IKE SA that is not encrypted.
fn never_offered(suite: &Suite) -> Option<&'static str> {
    let (packet, prf, group) = match suite {
        Suite::Ike(ike) => (ike.packet, Some(ike.prf), ike.key_exchange),
        Suite::Esp(EspSuite { packet, key_exchange, .. }) => (*packet, None, *key_exchange),
    };
    if packet.encryption == Encryption::DES {
        return Some("des");
    }
    if packet.encryption == Encryption::NULL && (prf.is_some() || packet.integrity == Integrity::NONE) {
        return Some("null");
    }
    if prf == Some(Prf::HMAC_MD5) {
        return Some("prfmd5");
    }
    (group == KeyExchange::MODP_768).then_some("modp768")
}
