//! `local` and `peer` of a connection: who the two ends are, and the secrets that prove it.

use std::sync::Arc;

use vpnhost_ike::config::{LocalAuth, OwnCertificate, PeerAuth, PeerIdentity, Secrets};
use vpnhost_model::Identity;
use vpnhost_pki::Pattern;

use super::certificate::{self, Judgement};
use super::connection::{Context, Role};
use super::document::Section;
use super::eap::{self, Means};
use super::item::Item;
use super::secret::{self, Directories};
use super::value::Wrong;

/// Who the two ends are.
#[derive(Clone)]
pub(super) struct Peers {
    pub(super) local_id: Identity,
    pub(super) peer_id: PeerIdentity,
    pub(super) local_auth: LocalAuth,
    pub(super) peer_auth: PeerAuth,
    pub(super) secrets: Secrets,
    /// This host's certificates.
    pub(super) own: Vec<Arc<OwnCertificate>>,
    /// Revocation lists of files, and the URLs of others.
    pub(super) judgement: Option<Judgement>,
}

/// Reads both tables.
pub(super) fn read(connection: &Section<'_>, context: &Context<'_>, role: Role) -> Option<Peers> {
    for key in ["local", "peer"] {
        connection.required(key, "{ id = \"carol@example.org\", psk_file = \"carol.psk\" }");
    }
    let (local, peer) = (connection.section("local"), connection.section("peer"));
    if !local.is_written() || !peer.is_written() {
        return None;
    }
    let responds_only = role == Role::Responder;
    let own = own(&local, context)?;
    let is_client = local.item("eap").is_some();
    let judgement = judgement(&peer, context, (is_client, own.as_deref().unwrap_or_default()))?;
    let peer_id = peer_id(&peer, responds_only, judgement.as_ref());
    if let (true, Some(judgement), Some(expected)) = (is_client, &judgement, &peer_id) {
        warn_of_users(&peer, judgement, expected);
    }
    if let (Some(judgement), Some(expected)) = (&judgement, &peer_id) {
        judgement.warn_of_pinned(&peer, expected);
    }
    eap::refuse_stray(&local, &peer);
    let means = Means {
        own: own.as_deref(),
        judgement: judgement.as_ref(),
        peer_id: peer_id.as_ref(),
        directories: context.directories,
        role,
    };
    let local_auth = local_auth(&local, &peer, &means)?;
    let peer_auth = peer_auth(&local, &peer, &means)?;
    let local_id = local_id(&local, own.as_deref(), &local_auth);
    if let (Some(local_id), Some(PeerIdentity::Is(peer_id))) = (&local_id, &peer_id)
        && local_id.matches(peer_id)
    {
        peer.warn("id", Wrong::new("both ends have the same identity").hint("each should have its own"));
    }
    for section in [&local, &peer] {
        refuse_others(section);
    }
    let by_secret = local_auth == LocalAuth::SharedKey || peer_auth == PeerAuth::SharedKey;
    if by_secret && peer_id.is_none() {
        // Nothing is read for nobody; the keys are known all the same.
        for section in [&local, &peer] {
            certificate::is_named(section, &["psk_file", "secrets_file"]);
        }
    }
    let secrets = if by_secret {
        peer_id.as_ref().and_then(|peer_id| secrets(&local, &peer, peer_id, context.directories))
    } else {
        Some(Secrets::default())
    };
    let count =
        secrets.as_ref().map_or(0, |secrets| secrets.by_peer.len() + usize::from(secrets.default.is_some()));
    if !responds_only && peer_id.as_ref().is_some_and(|peer| peer.exact().is_none()) && count > 1 {
        let wrong = Wrong::new("whoever begins must know which of several secrets is the peer's");
        peer.report("id", wrong.hint("name the peer that is meant, or write role = \"responder\""));
    }
    local.finish();
    peer.finish();
    Some(Peers {
        local_id: local_id?,
        peer_id: peer_id?,
        local_auth,
        peer_auth,
        secrets: secrets?,
        own: own.unwrap_or_default(),
        judgement,
    })
}

/// Reads who this host is: as it is written, which a certificate must say too, or as the certificate says.
fn local_id(local: &Section<'_>, own: Option<&[Arc<OwnCertificate>]>, auth: &LocalAuth) -> Option<Identity> {
    // A key alone says nothing of names.
    match own.filter(|_| local.item("pubkey").is_none()) {
        // EAP-TLS binds its certificate to EAP's identity, not to IKE's.
        Some(own) if matches!(auth, LocalAuth::Eap(_)) && local.item("id").is_none() => {
            certificate::local_id(local, own, identity)
        }
        Some(own) if matches!(auth, LocalAuth::Certificate(_) | LocalAuth::EapAlone) => {
            certificate::local_id(local, own, identity)
        }
        Some(_) | None => local.required("id", "\"carol@example.org\"").and_then(|item| item.read(identity)),
    }
}

pub(super) fn identity(text: &str) -> Result<Identity, Wrong> {
    let wrong = Wrong::new(format!("\"{text}\" is no identity"));
    if text.contains('*') {
        return Err(wrong.hint("a pattern stands only for peers, in peer.id"));
    }
    // As swanctl.conf has them: here the form says what it is.
    let kinds = ["fqdn", "dns", "email", "rfc822", "userfqdn", "ipv4", "ipv6", "asn1dn", "dn"];
    if let Some((kind, rest)) = text.split_once(':')
        && kinds.contains(&kind)
    {
        return Err(wrong.hint(format!("write \"{rest}\": its form says what it is")));
    }
    if let Some(meant) = vpnhost_pki::identity::unslashed(text) {
        return Err(wrong.hint(format!("write \"{meant}\": slashes part nothing in a distinguished name")));
    }
    vpnhost_pki::identity::parse(text).ok_or_else(|| {
        if text.contains('=') {
            wrong.hint("write a distinguished name as C=CH, O=Example, CN=moon")
        } else {
            wrong.hint("write a name, user@host, an IP address, keyid:HEX, or a distinguished name")
        }
    })
}

/// Reads who the peer must be, or of which group.
fn expected(text: &str) -> Result<PeerIdentity, Wrong> {
    if !text.contains('*') {
        return identity(text).map(PeerIdentity::Is);
    }
    Pattern::parse(text).map(PeerIdentity::Like).ok_or_else(|| {
        let wrong = Wrong::new(format!("\"{text}\" is no pattern of identities"));
        wrong.hint(
            "write *.example.org, *@example.org, or a distinguished name with values of *: O=Example, CN=*",
        )
    })
}

fn peer_id(peer: &Section<'_>, responds_only: bool, judgement: Option<&Judgement>) -> Option<PeerIdentity> {
    let item = peer.required("id", "\"moon.example.org\"")?;
    if item.text()? != "%any" {
        return item.read(expected);
    }
    if !responds_only {
        let who = match judgement {
            Some(judgement) if judgement.demands_server() => {
                "whoever has a server's certificate of these CAs"
            }
            Some(_) => "whoever has a certificate of these CAs",
            None => "whoever knows the secret",
        };
        item.warn(Wrong::new(format!("{who} may answer as the peer")).hint("name the peer that is meant"));
    }
    Some(PeerIdentity::Any)
}

/// Warns where a user's certificate passes for the gateway's.
fn warn_of_users(peer: &Section<'_>, judgement: &Judgement, expected: &PeerIdentity) {
    if peer.item("ca").is_some() && expected.exact().is_none() && !judgement.demands_server() {
        let wrong = Wrong::new("takes a user's certificate for the gateway's, as nobody is named");
        peer.warn(
            if peer.item("eku").is_some() { "eku" } else { "require_eku" },
            wrong.hint("name the gateway in id, or leave out eku and require_eku"),
        );
    }
}

/// Reads this host's certificates, if it has any.
#[allow(clippy::option_option, reason = "none there, and none that can be read, are two things")]
fn own(local: &Section<'_>, context: &Context<'_>) -> Option<Option<Vec<Arc<OwnCertificate>>>> {
    if let Some(item) = local.item("pubkey") {
        refuse_both(local, &["psk_file", "cert"]);
        if let Some(eap) = local.item("eap") {
            eap.error(Wrong::new("takes a certificate or a password").hint("leave pubkey out"));
        }
        let own = certificate::own_raw(local, context);
        if local.item("id").is_none() {
            item.error(Wrong::new("says nothing of names").hint("write id = \"carol.example.org\""));
            return None;
        }
        return own.map(Some);
    }
    if !certificate::is_named(local, &["cert", "key"]) {
        return Some(None);
    }
    refuse_both(local, &["psk_file"]);
    let own = certificate::own(local, context.directories, context.allow_legacy);
    if own.is_none() {
        // The other keys are known all the same.
        local.item("id");
    }
    own.map(Some)
}

/// Reads what the peer's certificate is judged by, if it is to show one.
#[allow(clippy::option_option, reason = "none there, and none that can be read, are two things")]
fn judgement(
    peer: &Section<'_>,
    context: &Context<'_>,
    (is_client, own): (bool, &[Arc<OwnCertificate>]),
) -> Option<Option<Judgement>> {
    if certificate::is_named(peer, &["ca", "cert"]) {
        refuse_both(peer, &["psk_file", "secrets_file", "pubkey"]);
        let is_group = |text: &str| text == "%any" || text.contains('*');
        let is_unnamed_gateway = is_client && peer.text("id").is_some_and(is_group);
        return certificate::judgement(peer, context, own, is_unnamed_gateway).map(Some);
    }
    let raw = match peer.item("pubkey") {
        Some(_) => {
            refuse_both(peer, &["psk_file", "secrets_file"]);
            Some(certificate::raw_keys(peer, context)?)
        }
        None => None,
    };
    let with_trust = ["crl", "revocation", "require_eku", "eku", "wildcards"];
    if let Some(item) = with_trust.iter().find_map(|key| peer.item(key)) {
        item.error(Wrong::new("means nothing without certificates").hint("write ca = [\"ca.pem\"]"));
    }
    Some(raw)
}

/// Decides how this host proves itself.
fn local_auth(local: &Section<'_>, peer: &Section<'_>, means: &Means<'_>) -> Option<LocalAuth> {
    if eap::is_named(local) {
        return eap::local_auth(local, peer, means);
    }
    Some(means.own.map_or(LocalAuth::SharedKey, |own| LocalAuth::Certificate(own.to_vec())))
}

/// Decides how the peer has to.
fn peer_auth(local: &Section<'_>, peer: &Section<'_>, means: &Means<'_>) -> Option<PeerAuth> {
    if eap::is_named(peer) {
        return eap::peer_auth(local, peer, means);
    }
    let trust = means.judgement.map(|judgement| judgement.trust.clone());
    Some(trust.map_or(PeerAuth::SharedKey, PeerAuth::Certificate))
}

/// One side proves itself in one way; a responder takes another connection for another way.
fn refuse_both(section: &Section<'_>, keys: &[&'static str]) {
    for item in keys.iter().filter_map(|key| section.item(key)) {
        item.error(Wrong::new("stands beside a certificate").hint("leave one of them out"));
    }
}

/// The way follows from the other keys; who writes it has to mean the same.
fn refuse_others(section: &Section<'_>) {
    if let Some(item) = section.item("auth") {
        match item.text() {
            Some("psk" | "pubkey") | None => {}
            Some("eap") if section.item("eap").is_some() => {}
            Some("eap") => {
                item.error(Wrong::new("names no method").hint("write eap = \"mschapv2\" or eap = \"tls\""))
            }
            Some(other) => item.error(
                Wrong::new(format!("\"{other}\" is not in this version"))
                    .hint("write \"psk\", \"pubkey\" or \"eap\""),
            ),
        }
    }
}

/// In IKEv2 each end proves itself with the shared secret; this host takes the same one both ways.
fn secrets(
    local: &Section<'_>,
    peer: &Section<'_>,
    peer_id: &PeerIdentity,
    directories: &Directories,
) -> Option<Secrets> {
    let (own_item, its_item) = (local.item("psk_file"), peer.item("psk_file"));
    let many_item = peer.item("secrets_file");
    let read = |item: Option<&Item<'_>>| item.map(|item| secret::one(item, directories));
    let own = read(own_item.as_ref());
    let is_same =
        own_item.as_ref().and_then(Item::text).is_some_and(|text| peer.text("psk_file") == Some(text));
    let its = if is_same { own.clone() } else { read(its_item.as_ref()) };
    let many = many_item.as_ref().map(|item| secret::many(item, directories));
    if let (Some(item), Some(Some(own)), Some(Some(its))) = (&its_item, &own, &its)
        && own != its
    {
        item.error(
            Wrong::new("holds another secret than local.psk_file; one secret serves both ways")
                .hint("name the same file in both"),
        );
        return None;
    }
    if let (Some(item), Some(_)) = (&own_item, &many) {
        item.warn(Wrong::new("has no effect beside secrets_file: each peer's own secret serves both ways"));
    }
    let mut secrets = Secrets::default();
    match (many, its, own) {
        (None, None, None) => {
            let wrong = Wrong::new("is missing: nothing would prove who the ends are");
            peer.report("psk_file", wrong.hint("write psk_file = \"NAME.psk\"; vpnhost keygen makes one"));
            return None;
        }
        (Some(many), its, _) => {
            secrets.by_peer = many?;
            secrets.default = match its {
                Some(its) => Some(its?),
                None => None,
            };
        }
        (None, its, own) => {
            let secret = its.or(own)??;
            match peer_id {
                PeerIdentity::Is(identity) => {
                    drop(secrets.by_peer.insert(vpnhost_pki::identity::folded(identity), secret));
                }
                PeerIdentity::Like(_) | PeerIdentity::Any => secrets.default = Some(secret),
            }
        }
    }
    if let (PeerIdentity::Like(group), Some(_), Some(item)) =
        (peer_id, &secrets.default, its_item.as_ref().or(own_item.as_ref()))
    {
        // strongSwan takes it, and who wants to know a group's members apart cannot see it from outside.
        item.warn(
            Wrong::new(format!(
                "each of {group} can pose as any other, and as this host: all know one secret"
            ))
            .hint("give each its own: secrets_file = \"peers.psk\"; or certificates: ca = [\"ca.pem\"]"),
        );
    }
    is_usable(&secrets, peer_id, many_item.as_ref()).then_some(secrets)
}

fn is_usable(secrets: &Secrets, peer_id: &PeerIdentity, many: Option<&Item<'_>>) -> bool {
    let is_there = secrets.default.is_some() || secrets.by_peer.keys().any(|known| peer_id.admits(known));
    if let (false, Some(item)) = (is_there, many) {
        item.error(
            Wrong::new(format!("holds no secret of {peer_id}"))
                .hint("add it, or write peer = { id = \"%any\", … }"),
        );
    }
    is_there
}
