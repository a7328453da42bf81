//! Certificates of `local` and `peer`: this host's own with its key, whom the peer must be certified by, and what
//! certificates are judged by.

use std::path::PathBuf;
use std::sync::Arc;

use vpnhost_crypto::PrivateKey;
use vpnhost_ike::config::{OwnCertificate, PeerIdentity, Trust};
use vpnhost_model::Identity;
use vpnhost_pki::{
    Certificate, Credential, Crl, FileError, Purpose, Revocation, Rules, identity, read_public_keys,
};

use super::connection::Context;
use super::document::Section;
use super::item::Item;
use super::odd::{warn_of_list, warn_of_signer, warn_of_time, warn_of_use};
use super::secret::{self, Directories};
use super::value::Wrong;
use crate::{exit, limits};

/// What a peer's certificate is judged by, and where revocation lists are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    pub(super) trust: Arc<Trust>,
    pub(super) crls: Vec<(String, Crl)>,
    pub(super) crl_urls: Vec<String>,
    /// Whether the operator says what certificates must be for.
    is_purpose_written: bool,
}

/// Tells whether a side names certificates.
pub(super) fn is_named(section: &Section<'_>, keys: &[&'static str]) -> bool {
    // Each is asked for, so that all of them count as known.
    keys.iter().filter(|key| section.item(key).is_some()).count() > 0
}

/// Reads this host's certificates and keys: each key finds its own among the certificates, and the others stand
/// between it and a CA.
pub(super) fn own(
    local: &Section<'_>,
    directories: &Directories,
    allow_legacy: bool,
) -> Option<Vec<Arc<OwnCertificate>>> {
    let certificates = files(local, "cert", directories, Certificate::read_all);
    let keys = local.required("key", "\"carol.key\"");
    let (item, certificates) = (local.item("cert")?, certificates?);
    let mut all = Vec::new();
    for key in keys?.list() {
        let private = private_key(&key, directories)?;
        let credential = pair(&certificates, &private, allow_legacy);
        let credential = credential.map_err(|error| key_problem(&error));
        all.push(Arc::new(OwnCertificate::new(key.take(credential)?)));
    }
    for own in all.iter().filter_map(|own| own.credential().certificates().first()) {
        warn_of_time(&item, own);
        warn_of_use(&item, own);
    }
    Some(all).filter(|all| !all.is_empty())
}

/// Reads this host's private keys, whose public keys the peer has in a file (RFC 7670).
pub(super) fn own_raw(local: &Section<'_>, context: &Context<'_>) -> Option<Vec<Arc<OwnCertificate>>> {
    let known = files(local, "pubkey", context.directories, read_public_keys)?;
    let mut all = Vec::new();
    for item in local.required("key", "\"carol.key\"")?.list() {
        let private = private_key(&item, context.directories)?;
        let credential = Credential::raw(vpnhost_rustcrypto::backend(), private, context.allow_legacy);
        let credential = item.take(credential.map_err(|error| key_problem(&error)))?;
        if !known.contains(credential.public()) {
            item.error(
                Wrong::new("is not the key of local.pubkey").hint("openssl pkey -in KEY -pubout -out PUBKEY"),
            );
            return None;
        }
        all.push(Arc::new(OwnCertificate::new(credential)));
    }
    Some(all).filter(|all| !all.is_empty())
}

/// Reads a peer's public keys, which are trusted as they are.
pub(super) fn raw_keys(peer: &Section<'_>, context: &Context<'_>) -> Option<Judgement> {
    let item = peer.item("pubkey")?;
    let keys = files(peer, "pubkey", context.directories, read_public_keys)?;
    let admitted = keys.iter().try_for_each(|key| key.kind().admit(context.allow_legacy));
    item.take(admitted.map_err(|error| key_problem(&FileError::Key(error))))?;
    if peer.text("id").is_some_and(|text| text == "%any" || text.contains('*')) {
        let wrong = Wrong::new("is one peer's: a key says nothing of names");
        item.error(wrong.hint("name the peer in id, and write a connection for each"));
        return None;
    }
    let rules = Rules { allow_legacy: context.allow_legacy, ..Rules::default() };
    let trust = Arc::new(Trust { anchors: Vec::new(), known: Vec::new(), keys, rules });
    Some(Judgement { trust, crls: Vec::new(), crl_urls: Vec::new(), is_purpose_written: false })
}

/// Reads a private key out of a file that nobody else may read.
fn private_key(item: &Item<'_>, directories: &Directories) -> Option<PrivateKey> {
    let octets = secret::octets(item, directories, limits::KEY_OCTETS)?;
    let key = PrivateKey::read(octets.expose());
    item.take(key.map_err(|error| {
        Wrong::new(format!("holds no private key that can be used: {error}"))
            .hint("PEM with PKCS#8, PKCS#1 or SEC1, not encrypted: openssl pkey -in OLD -out NEW")
    }))
}

/// Puts a key, its certificate and those above it together.
fn pair(all: &[Certificate], key: &PrivateKey, allow_legacy: bool) -> Result<Credential, FileError> {
    let crypto = vpnhost_rustcrypto::backend();
    let mut failed = FileError::Empty { what: "certificate" };
    for own in all {
        let mut chain = vec![own.clone()];
        // RFC 7296, 3.6: the CA at the end is what the peer trusts, and need not be sent.
        while let Some(above) = chain.last().and_then(|last| issuer(all, last))
            && !chain.contains(above)
        {
            chain.push(above.clone());
        }
        match Credential::new(crypto, chain, key.clone(), allow_legacy) {
            Ok(credential) => return Ok(credential),
            Err(error) => {
                // The first certificate is the one that was meant.
                if failed == (FileError::Empty { what: "certificate" }) {
                    failed = error;
                }
            }
        }
    }
    Err(failed)
}

fn issuer<'a>(all: &'a [Certificate], of: &Certificate) -> Option<&'a Certificate> {
    all.iter().find(|above| above.subject() == of.issuer() && !above.is_self_issued())
}

fn key_problem(error: &FileError) -> Wrong {
    let wrong = Wrong::new(error.to_string());
    match error {
        FileError::KeyMismatch { .. } => wrong.hint("name the key that the certificate was made for"),
        FileError::Key(_) => wrong.hint("make a new key, or write allow_legacy = true below [floor]"),
        FileError::TooLarge { .. }
        | FileError::Empty { .. }
        | FileError::Unreadable { .. }
        | FileError::NoBackend => wrong,
    }
}

/// Returns who this host is: as it is written, which the certificate must say too, or as the certificate says.
pub(super) fn local_id(
    local: &Section<'_>,
    own: &[Arc<OwnCertificate>],
    read: impl FnOnce(&str) -> Result<Identity, Wrong>,
) -> Option<Identity> {
    let first = own.first()?.credential().certificates().first()?;
    let Some(item) = local.item("id") else {
        return identity::identities(first).into_iter().next();
    };
    let id = item.read(read)?;
    let of_all = own.iter().filter_map(|own| own.credential().certificates().first());
    for certificate in of_all {
        if identity::bind(certificate, &id, false).is_err() {
            let names: Vec<String> =
                identity::identities(certificate).iter().map(ToString::to_string).collect();
            let wrong = Wrong::new(format!("the certificate of {} is not for {}", certificate.subject(), id));
            item.error(wrong.hint(format!("it is for {}", names.join("; "))));
            return None;
        }
    }
    Some(id)
}

/// Reads what a peer's certificate is judged by.
pub(super) fn judgement(
    peer: &Section<'_>,
    context: &Context<'_>,
    host: &[Arc<OwnCertificate>],
    is_unnamed_gateway: bool,
) -> Option<Judgement> {
    let (directories, allow_legacy) = (context.directories, context.allow_legacy);
    let cas = match peer.item("ca") {
        Some(_) => files(peer, "ca", directories, Certificate::read_all)?,
        None => Vec::new(),
    };
    let own = match peer.item("cert") {
        Some(_) => files(peer, "cert", directories, Certificate::read_all)?,
        None => Vec::new(),
    };
    if let Some(item) = peer.item("ca") {
        cas.iter().for_each(|ca| warn_of_time(&item, ca));
        if cas.is_empty() {
            item.error(Wrong::new("names no CA: every certificate would be refused"));
        }
        if let Some(other) = cas.iter().find(|ca| !ca.is_ca() && !ca.is_self_issued()) {
            item.warn(
                Wrong::new(format!(
                    "{} is no CA: only its own certificate is trusted by it",
                    other.subject()
                ))
                .hint("a peer's own certificate stands in cert"),
            );
        }
    }
    let words = [("off", Revocation::Off), ("soft", Revocation::Soft), ("strict", Revocation::Strict)];
    let revocation = peer.word("revocation", &words, Revocation::Soft);
    let above = host.iter().flat_map(|own| own.credential().certificates().iter().skip(1));
    let authorities: Vec<&Certificate> = cas.iter().chain(&own).chain(above).collect();
    let (crls, crl_urls) = revocation_lists(peer, directories, &authorities)?;
    if let (Some(item), Revocation::Strict, true, true) =
        (peer.item("revocation"), revocation, crls.is_empty(), crl_urls.is_empty())
    {
        item.warn(
            Wrong::new("every certificate is refused: there is no revocation list")
                .hint("write crl = [\"ca.crl\"], or a URL with http://"),
        );
    }
    // Whoever has the gateway's own certificate and no CA needs no more.
    let names_many = !cas.is_empty() || own.iter().any(Certificate::is_ca);
    let (purpose, require_eku) = purpose(peer, is_unnamed_gateway && names_many);
    let wildcards = peer.flag("wildcards", false);
    let rules = Rules { allow_legacy, revocation, require_eku, purpose, wildcards };
    let anchors = [cas, own.clone()].concat();
    let is_purpose_written = peer.item("eku").is_some();
    let trust = Arc::new(Trust { anchors, known: own, keys: Vec::new(), rules });
    Some(Judgement { trust, crls, crl_urls, is_purpose_written })
}

/// Reads what certificates must be for. Users of a gateway have certificates of the same CAs as it has: where nobody is
/// named, and this host is such a user, the purpose tells the two apart (RFC 5216 §5.3).
fn purpose(peer: &Section<'_>, is_unnamed_gateway: bool) -> (Purpose, bool) {
    let words = [
        ("ike-or-tls", Purpose::IkeOrTls),
        ("ike", Purpose::Ike),
        ("server", Purpose::Server),
        ("client", Purpose::Client),
    ];
    let usual = if is_unnamed_gateway { Purpose::Server } else { Purpose::IkeOrTls };
    let purpose = peer.word("eku", &words, usual);
    (purpose, peer.flag("require_eku", is_unnamed_gateway && purpose == Purpose::Server))
}

impl Judgement {
    /// Returns what certificates within EAP-TLS are judged by (RFC 5216 §5.3), unless the operator says otherwise.
    pub(super) fn within_tls(&self, purpose: Purpose) -> Arc<Trust> {
        let rules = Rules { purpose, ..self.trust.rules };
        if self.is_purpose_written {
            return Arc::clone(&self.trust);
        }
        Arc::new(Trust { rules, ..(*self.trust).clone() })
    }

    /// Warns of peers' own certificates that have ended, or are none of the peer that is expected.
    pub(super) fn warn_of_pinned(&self, peer: &Section<'_>, expected: &PeerIdentity) {
        let Some(item) = peer.item("cert") else { return };
        // A CA's helps to find a path, and with `ca` the peer may show another.
        let pinned: Vec<&Certificate> = self.trust.known.iter().filter(|it| !it.is_ca()).collect();
        pinned.iter().for_each(|certificate| warn_of_time(&item, certificate));
        let is_of = |certificate: &Certificate| match expected.exact() {
            Some(id) => identity::bind(certificate, id, self.trust.rules.wildcards).is_ok(),
            None => identity::identities(certificate).iter().any(|id| expected.admits(id)),
        };
        let is_alone = peer.item("ca").is_none() && !pinned.is_empty();
        if is_alone && !pinned.iter().any(|certificate| is_of(certificate)) {
            let names = pinned.iter().flat_map(|certificate| identity::identities(certificate));
            let names: Vec<String> = names.map(|id| id.to_string()).collect();
            let wrong = Wrong::new(format!("holds no certificate of {expected}: the peer would be refused"));
            item.warn(wrong.hint(format!("it is for {}", names.join("; "))));
        }
    }

    /// Tells whether only a server's certificate is taken.
    pub(super) fn demands_server(&self) -> bool {
        self.trust.rules.purpose == Purpose::Server && self.trust.rules.require_eku
    }
}

/// Lists with the files that they stand in, and the URLs of others.
type Lists = (Vec<(String, Crl)>, Vec<String>);

/// Reads revocation lists out of files; those with a URL are fetched by the daemon.
fn revocation_lists(
    peer: &Section<'_>,
    directories: &Directories,
    authorities: &[&Certificate],
) -> Option<Lists> {
    let (mut crls, mut urls) = (Vec::new(), Vec::new());
    for item in peer.item("crl").map(|item| item.list()).unwrap_or_default() {
        let text = item.text()?;
        if let Some(rest) = text.strip_prefix("http://") {
            let host = rest.split(['/', ':']).next().unwrap_or_default();
            if host.is_empty() || !rest.bytes().all(|octet| octet.is_ascii_graphic()) {
                item.error(Wrong::new(format!("\"{text}\" is no URL")).hint("write http://HOST/PATH"));
                return None;
            }
            urls.push(text.to_owned());
        } else if text.contains("://") {
            item.error(
                Wrong::new("is fetched by http:// only: a list is signed, and needs no TLS")
                    .hint("write the URL with http://, or the name of a file"),
            );
            return None;
        } else {
            let lists = item.take(read(&directories.resolve(text), Crl::read_all))?;
            for list in &lists {
                warn_of_list(&item, list);
                warn_of_signer(&item, list, authorities);
            }
            crls.extend(lists.into_iter().map(|list| (text.to_owned(), list)));
        }
    }
    Some((crls, urls))
}

/// Reads every file of a key.
fn files<T>(
    section: &Section<'_>,
    key: &'static str,
    directories: &Directories,
    parse: fn(&[u8]) -> Result<Vec<T>, FileError>,
) -> Option<Vec<T>> {
    let item = section.required(key, "\"carol.pem\"")?;
    let mut all = Vec::new();
    for item in item.list() {
        all.extend(item.take(read(&directories.resolve(item.text()?), parse))?);
    }
    Some(all)
}

fn read<T>(file: &PathBuf, parse: fn(&[u8]) -> Result<Vec<T>, FileError>) -> Result<Vec<T>, Wrong> {
    let shown = file.display();
    let failed =
        |error: std::io::Error| Wrong::new(format!("{shown} cannot be read: {}", exit::plain(&error)));
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Wrong::new(format!("{shown} is no file")));
    }
    if usize::try_from(metadata.len()).is_ok_and(|length| length > vpnhost_pki::limits::FILE_OCTETS) {
        return Err(Wrong::new(format!(
            "{shown}: {}",
            FileError::TooLarge { limit: vpnhost_pki::limits::FILE_OCTETS }
        )));
    }
    let octets = std::fs::read(file).map_err(failed)?;
    parse(&octets).map_err(|error| Wrong::new(format!("{shown}: {error}")))
}
