//! EAP in `local` and `peer`: this host as a client, with a password or a certificate; or as the gateway that leads it.

use std::sync::Arc;

use vpnhost_eap::{ClientMethod, ClientSetup, PasswordHash, ServerMethod, ServerSetup, TlsPeer, Users};
use vpnhost_ike::EapConfig;
use vpnhost_ike::config::{LocalAuth, OwnCertificate, PeerAuth, PeerIdentity};
use vpnhost_pki::{Purpose, identity};

use super::certificate::Judgement;
use super::connection::Role;
use super::document::Section;
use super::item::Item;
use super::secret::{self, Directories};
use super::value::Wrong;
use crate::limits;

/// A method's name as operators write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    MsChapV2,
    Tls,
}

const METHODS: [(&str, Method); 2] = [("mschapv2", Method::MsChapV2), ("tls", Method::Tls)];

/// What the two ends have besides EAP.
pub(super) struct Means<'a> {
    pub(super) own: Option<&'a [Arc<OwnCertificate>]>,
    pub(super) judgement: Option<&'a Judgement>,
    pub(super) peer_id: Option<&'a PeerIdentity>,
    pub(super) directories: &'a Directories,
    pub(super) role: Role,
}

/// Tells whether EAP has to do with how a side proves itself.
pub(super) fn is_named(section: &Section<'_>) -> bool {
    // Each is asked for, so that both count as known.
    let named = section.item("eap").is_some();
    section.flag("eap_only", false) || named
}

/// Tells of keys that mean nothing without EAP.
pub(super) fn refuse_stray(local: &Section<'_>, peer: &Section<'_>) {
    let stray = |section: &Section<'_>, keys: &[&'static str], without: &str| {
        let items = keys.iter().filter_map(|key| section.item(key));
        for item in items.filter(|_| section.item("eap").is_none()) {
            item.error(
                Wrong::new(format!("means nothing without {without}")).hint(format!("write {without} too")),
            );
        }
    };
    stray(local, &["eap_id", "aaa_id", "password_file"], "eap = \"mschapv2\" or \"tls\"");
    stray(peer, &["users_file", "ask_eap_id"], "eap = [\"mschapv2\"]");
}

/// Reads how this host proves itself: as a client, or by what it leads alone.
pub(super) fn local_auth(local: &Section<'_>, peer: &Section<'_>, means: &Means<'_>) -> Option<LocalAuth> {
    let Some(item) = local.item("eap") else { return alone_as_gateway(local, peer) };
    if let Some(only) = local.item("eap_only").filter(|_| local.flag("eap_only", false)) {
        only.error(Wrong::new("is a gateway's").hint("a client that wants no certificate says so in peer"));
        return None;
    }
    if means.role != Role::Initiator {
        item.error(
            Wrong::new("is a client's, and clients begin")
                .hint("write role = \"initiator\"; a gateway has eap in peer"),
        );
        return None;
    }
    if means.judgement.is_none() && !peer.flag("eap_only", false) {
        let wrong = Wrong::new("is missing: a gateway that leads EAP proves itself by certificate");
        peer.report("ca", wrong.hint("write ca = [\"ca.pem\"]"));
        return None;
    }
    let method = match item.word(&METHODS)? {
        Method::MsChapV2 => password(local, peer, means)?,
        Method::Tls => certificate(local, peer, means)?,
    };
    let identity = eap_id(local, means)?;
    let method = match method {
        ClientMethod::MsChapV2 { password, .. } => {
            ClientMethod::MsChapV2 { user: identity.clone(), password }
        }
        tls @ ClientMethod::Tls { .. } => tls,
    };
    Some(LocalAuth::Eap(EapConfig(Arc::new(ClientSetup { identity, method }))))
}

fn alone_as_gateway(local: &Section<'_>, peer: &Section<'_>) -> Option<LocalAuth> {
    if peer.item("eap").is_some() {
        return Some(LocalAuth::EapAlone);
    }
    let wrong = Wrong::new("means nothing where the peer does not prove itself by EAP");
    local.item("eap_only")?.error(wrong.hint("write peer = { …, eap = [\"tls\"], ca = [\"ca.pem\"] }"));
    None
}

/// Reads the name that EAP is told: this host's identity, unless another is written.
fn eap_id(local: &Section<'_>, means: &Means<'_>) -> Option<String> {
    let first = |own: &[Arc<OwnCertificate>]| {
        let certificate = own.first()?.credential().certificates().first()?;
        identity::identities(certificate).first().map(ToString::to_string)
    };
    let item = local.item("eap_id").or_else(|| local.item("id"));
    let Some(item) = item else { return means.own.and_then(first) };
    item.read(|text| match text.len() {
        0 => Err(Wrong::new("is empty")),
        length if length > vpnhost_eap::limits::TEXT => {
            Err(Wrong::new(format!("is longer than {} octets", vpnhost_eap::limits::TEXT)))
        }
        _ => Ok(text.to_owned()),
    })
}

fn password(local: &Section<'_>, peer: &Section<'_>, means: &Means<'_>) -> Option<ClientMethod> {
    for item in ["cert", "key", "aaa_id"].into_iter().filter_map(|key| local.item(key)) {
        item.error(Wrong::new("stands beside a password").hint("write eap = \"tls\", or leave it out"));
    }
    if let Some(item) = peer.item("eap_only").filter(|_| peer.flag("eap_only", false)) {
        item.error(
            Wrong::new("needs a method that proves both ends and that nobody can guess: mschapv2 is none")
                .hint("write eap = \"tls\", or ca = [\"ca.pem\"] for the gateway's certificate"),
        );
        return None;
    }
    let item = local.required("password_file", "\"carol.password\"")?;
    let password = hash(&item, &secret::octets(&item, means.directories, limits::SECRET_OCTETS)?)?;
    Some(ClientMethod::MsChapV2 { user: String::new(), password })
}

/// Hashes a password: the octets of a file but for a last line feed.
fn hash(item: &Item<'_>, octets: &vpnhost_crypto::SecretBytes) -> Option<PasswordHash> {
    let octets = octets.expose();
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    let octets = octets.strip_suffix(b"\r").unwrap_or(octets);
    if octets.trim_ascii().len() < octets.len() {
        item.warn(
            Wrong::new("holds a password with spaces at its ends")
                .hint("a gateway's users_file cannot hold such a one"),
        );
    }
    item.take(hashed(octets))
}

fn hashed(octets: &[u8]) -> Result<PasswordHash, Wrong> {
    let text = std::str::from_utf8(octets).map_err(|_| Wrong::new("holds a password that is no UTF-8"))?;
    let length = text.encode_utf16().count();
    if length == 0 {
        return Err(Wrong::new("holds no password"));
    }
    if length > vpnhost_eap::limits::PASSWORD {
        let most = vpnhost_eap::limits::PASSWORD;
        return Err(Wrong::new(format!("holds a password of more than {most} characters")));
    }
    Ok(PasswordHash::of(text))
}

fn certificate(local: &Section<'_>, peer: &Section<'_>, means: &Means<'_>) -> Option<ClientMethod> {
    if let Some(item) = local.item("password_file") {
        item.error(Wrong::new("stands beside a certificate").hint("write eap = \"mschapv2\""));
    }
    let Some(credential) = means.own.and_then(|own| own.first()).cloned() else {
        local.report(
            "cert",
            Wrong::new("is missing: EAP-TLS shows a certificate")
                .hint("write cert = \"carol.pem\" and key = \"carol.key\""),
        );
        return None;
    };
    let Some(judgement) = means.judgement.filter(|it| it.trust.keys.is_empty()) else {
        let wrong = Wrong::new("is missing: nothing would say which server is the right one");
        peer.report("ca", wrong.hint("write ca = [\"ca.pem\"]"));
        return None;
    };
    let server = match (local.item("aaa_id"), means.peer_id) {
        (Some(item), _) => Some(item.read(super::peer::identity)?),
        (None, peer) => peer.and_then(PeerIdentity::exact).cloned(),
    };
    let server = TlsPeer { trust: judgement.within_tls(Purpose::Server), identity: server };
    Some(ClientMethod::Tls { credential, server })
}

/// Reads how a peer proves itself to a gateway, or by what it leads alone.
pub(super) fn peer_auth(local: &Section<'_>, peer: &Section<'_>, means: &Means<'_>) -> Option<PeerAuth> {
    let Some(item) = peer.item("eap") else { return alone_as_client(local, peer) };
    if means.role != Role::Responder {
        item.error(
            Wrong::new("is a gateway's, which waits for its clients")
                .hint("write role = \"responder\"; a client has eap in local"),
        );
        return None;
    }
    let alone = local.flag("eap_only", false);
    if means.own.is_none() && !alone {
        let wrong = Wrong::new("is missing: a gateway that leads EAP proves itself by certificate");
        local.report("cert", wrong.hint("write cert = \"moon.pem\" and key = \"moon.key\""));
        return None;
    }
    let words: Vec<Method> =
        item.list().iter().map(|item| item.word(&METHODS)).collect::<Option<Vec<_>>>()?;
    if words.is_empty() {
        item.error(Wrong::new("is empty").hint("write eap = [\"mschapv2\"]"));
        return None;
    }
    if let Some(item) = peer.item("pubkey") {
        item.error(Wrong::new("proves nobody beside eap").hint("leave one of them out"));
    }
    for (key, method) in [("users_file", Method::MsChapV2), ("ca", Method::Tls), ("cert", Method::Tls)] {
        if let Some(stray) = peer.item(key).filter(|_| !words.contains(&method)) {
            let name = METHODS.iter().find(|(_, known)| *known == method).map_or("", |(name, _)| name);
            stray.warn(Wrong::new(format!("has no effect: eap does not name {name}")));
        }
    }
    if alone && words.contains(&Method::MsChapV2) {
        let wrong = Wrong::new("with mschapv2 a gateway has to show a certificate");
        item.error(wrong.hint("leave out local.eap_only, or mschapv2"));
        return None;
    }
    let asks_identity = peer.flag("ask_eap_id", false);
    let methods = words.iter().map(|word| server_method(*word, local, peer, means));
    let methods = methods.collect::<Option<Vec<_>>>()?;
    Some(PeerAuth::Eap(EapConfig(Arc::new(ServerSetup { methods, asks_identity }))))
}

fn alone_as_client(local: &Section<'_>, peer: &Section<'_>) -> Option<PeerAuth> {
    if local.item("eap").is_some() {
        return Some(PeerAuth::EapAlone);
    }
    let wrong = Wrong::new("means nothing where this host does not prove itself by EAP");
    peer.item("eap_only")?.error(wrong.hint("write local = { …, eap = \"tls\" }"));
    None
}

fn server_method(
    method: Method,
    local: &Section<'_>,
    peer: &Section<'_>,
    means: &Means<'_>,
) -> Option<ServerMethod> {
    match method {
        Method::MsChapV2 => {
            let item = peer.required("users_file", "\"users\", a file with NAME PASSWORD, one a line")?;
            let users = users(&item, means.directories)?;
            if let Some(expected) = means.peer_id
                && !users.names().any(|name| expected.admits_user(name))
            {
                let wrong = Wrong::new(format!(
                    "has no user {expected}, for whom the connection is: nobody comes in by it"
                ));
                item.warn(
                    wrong.hint("peer.id is the user's name in this file, a pattern of them, or \"%any\""),
                );
            }
            Some(ServerMethod::MsChapV2(Arc::new(users)))
        }
        Method::Tls => {
            let certified = means.own.filter(|_| local.item("pubkey").is_none());
            let Some(credential) = certified.and_then(|own| own.first()).cloned() else {
                let wrong = Wrong::new("is missing: EAP-TLS shows a certificate");
                local.report("cert", wrong.hint("write cert = \"moon.pem\" and key = \"moon.key\""));
                return None;
            };
            let Some(judgement) = means.judgement.filter(|it| it.trust.keys.is_empty()) else {
                let wrong = Wrong::new("is missing: nothing would say which clients are welcome");
                peer.report("ca", wrong.hint("write ca = [\"ca.pem\"]"));
                return None;
            };
            Some(ServerMethod::Tls { credential, clients: judgement.within_tls(Purpose::Client) })
        }
    }
}

/// Reads a file of users: a name and its password a line; the password goes to the line's end.
fn users(item: &Item<'_>, directories: &Directories) -> Option<Users> {
    let mut users = Users::default();
    let complete = secret::each_line(item, directories, "NAME PASSWORD", &mut |line| {
        let end = line.iter().position(u8::is_ascii_whitespace).ok_or("no password behind the name")?;
        let (name, password) = line.split_at(end);
        let name = std::str::from_utf8(name).map_err(|_| "a name that is no UTF-8")?;
        if name.len() > vpnhost_eap::limits::TEXT {
            return Err("a name that is too long".into());
        }
        let password = hashed(password.trim_ascii()).map_err(|wrong| wrong.what)?;
        if users.insert(name.to_owned(), password) {
            return Err(format!("{name} has a password already"));
        }
        Ok(None)
    })?;
    if users.is_empty() && complete {
        item.error(Wrong::new("holds no user").hint("write: NAME PASSWORD, one a line"));
    }
    (complete && !users.is_empty()).then_some(users)
}
