//! `[[connection]]`.

use std::collections::BTreeSet;

use vpnhost_driver::{ConnectionRouting, Leak};
use vpnhost_ike::config::{
    ChildConfig, ChildFailure, Childless, EncapsulationPolicy, PeerConfig, RequestAddress, ReturnRoutability,
    SelectorConfig, Start, Timing, Uniqueness,
};
use vpnhost_model::{IkeSuite, Suite};

use super::document::Section;
use super::item::Item;
use super::peer::{self, Peers};
use super::secret::Directories;
use super::value::{self, Wrong};
use super::{Connection, GatewayName, Pool, child, gateway, lifetime, proposal};
use crate::limits;

/// What every connection is read with.
pub(super) struct Context<'a> {
    pub(super) directories: &'a Directories,
    pub(super) pools: &'a [Pool],
    pub(super) allow_legacy: bool,
}

/// Reads every `[[connection]]`; returns them, the interfaces that cost money, and those that roam.
pub(super) fn read(whole: &Section<'_>, context: &Context<'_>) -> (Vec<Connection>, [BTreeSet<String>; 2]) {
    let mut connections: Vec<Connection> = Vec::new();
    let mut marked: [BTreeSet<String>; 2] = Default::default();
    let sections = whole.sections("connection");
    for section in &sections {
        let connection = one(section, context);
        let interface = |item: &Item<'_>, text: &str| item.take(value::interface(text));
        for (marked, key) in marked.iter_mut().zip(["metered", "roaming"]) {
            marked.extend(section.each(key, interface).unwrap_or_default());
        }
        section.finish();
        let Some(connection) = connection else { continue };
        if connections.iter().any(|other| other.peer.name == connection.peer.name) {
            let name = &connection.peer.name;
            section.report("name", Wrong::new(format!("another connection is named \"{name}\"")));
        }
        connections.push(connection);
    }
    if sections.is_empty() && whole.item("connection").is_none() {
        whole.warn(
            "connection",
            Wrong::new("there is none: nothing would be done").hint("write [[connection]]"),
        );
    }
    (connections, marked)
}

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Initiator,
    Responder,
    Either,
}

fn one(section: &Section<'_>, context: &Context<'_>) -> Option<Connection> {
    let name = section.required("name", "\"corp\"").and_then(|item| item.read(value::name));
    let (gateways, any) = gateways(section);
    let role = role(section, gateways.is_empty());
    if role != Role::Responder && gateways.is_empty() && (any || section.item("gateway").is_none()) {
        let wrong = Wrong::new("is missing: whoever begins must know where the peer is");
        section.report("gateway", wrong.hint("write gateway = [\"192.0.2.1\"], or role = \"responder\""));
    }
    let childless = childless(section);
    let (children, child_proposals) = child::read(section, context.allow_legacy, childless);
    let parse = |text: &str| Ok(IkeSuite::parse_all(text)?.into_iter().map(Suite::Ike).collect());
    let mut proposals = proposal::read(section, "ike", &proposal::IKE, context.allow_legacy, parse);
    let ike = proposals.iter().flat_map(|own| &own.suites).filter_map(ike).collect();
    proposals.extend(child_proposals);
    let peers = peer::read(section, context, role);
    let request_address = request_address(section, role, &children);
    let timing = timing(section);
    lifetime::warn(section, &timing, &children);
    if let Some(peers) = &peers {
        lifetime::warn_of_certificates(section, &peers.local_auth);
    }
    let judgement = peers.as_ref().and_then(|peers| peers.judgement.as_ref());
    let connection = Connection {
        gateways,
        any,
        routing: routing(section),
        proposals,
        crls: judgement.map_or_else(Vec::new, |judgement| judgement.crls.clone()),
        crl_urls: judgement.map_or_else(Vec::new, |judgement| judgement.crl_urls.clone()),
        takes_legacy: context.allow_legacy,
        trusted: judgement.map_or_else(Vec::new, |judgement| judgement.trust.anchors.clone()),
        own: peers.as_ref().map_or_else(Vec::new, |peers| peers.own.clone()),
        peer: with_peers(
            peers.as_ref(),
            PeerConfig {
                name: name.clone().unwrap_or_default(),
                initiate: role != Role::Responder,
                respond: role != Role::Initiator,
                gateways: Vec::new(),
                local_id: vpnhost_model::Identity::Fqdn(String::new()),
                peer_id: vpnhost_ike::config::PeerIdentity::Any,
                local_auth: vpnhost_ike::config::LocalAuth::SharedKey,
                peer_auth: vpnhost_ike::config::PeerAuth::SharedKey,
                secrets: vpnhost_ike::config::Secrets::default(),
                ike,
                children,
                start: start(section, role),
                request_address,
                pools: pools(section, role, context.pools),
                encapsulation: encapsulation(section),
                mobike: section.flag("mobike", true),
                return_routability: return_routability(section),
                timing,
                unique: unique(section, role),
                on_child_failed: on_child_failed(section),
                childless,
                sha1_auth: sha1_auth(section, context),
            },
        ),
    };
    (name.is_some() && peers.is_some()).then_some(connection)
}

/// Writes who the two ends are into a connection; without that it is not returned at all.
fn with_peers(peers: Option<&Peers>, config: PeerConfig) -> PeerConfig {
    let Some(Peers { local_id, peer_id, local_auth, peer_auth, secrets, own: _, judgement: _ }) =
        peers.cloned()
    else {
        return config;
    };
    PeerConfig { local_id, peer_id, local_auth, peer_auth, secrets, ..config }
}

fn ike(suite: &Suite) -> Option<IkeSuite> {
    match suite {
        Suite::Ike(suite) => Some(*suite),
        Suite::Esp(_) => None,
    }
}

fn gateways(section: &Section<'_>) -> (Vec<GatewayName>, bool) {
    let Some(item) = section.item("gateway") else { return (Vec::new(), true) };
    let mut gateways = Vec::new();
    let mut any = false;
    for item in item.list() {
        match item.text() {
            Some("%any") => any = true,
            Some(text) => gateways.extend(item.take(gateway::read(text))),
            None => {}
        }
    }
    if any && item.list().len() > 1 {
        item.error(
            Wrong::new("\"%any\" beside addresses means the addresses are of no account")
                .hint("keep one of the two"),
        );
    }
    if item.list().is_empty() {
        item.error(
            Wrong::new("is empty").hint("write gateway = [\"192.0.2.1\"], or [\"%any\"] for a responder"),
        );
    }
    (gateways, any)
}

/// Without a word, whoever knows the peer's address begins, and nobody else may.
fn role(section: &Section<'_>, without_address: bool) -> Role {
    let default = if without_address { Role::Responder } else { Role::Initiator };
    let words = [("initiator", Role::Initiator), ("responder", Role::Responder), ("either", Role::Either)];
    section.word("role", &words, default)
}

fn start(section: &Section<'_>, role: Role) -> Start {
    let item = section.item("start");
    let words = [("up", Start::Up), ("on-traffic", Start::OnTraffic), ("manual", Start::Manual)];
    let start = item.as_ref().and_then(|item| item.word(&words));
    if role != Role::Responder {
        return start.unwrap_or(Start::Up);
    }
    if let (Some(item), Some(Start::Up | Start::OnTraffic)) = (item, start) {
        item.warn(
            Wrong::new("has no effect: a responder waits for its peer").hint("role = \"either\" begins too"),
        );
    }
    Start::Manual
}

/// One word asks for the families that the children carry.
fn request_address(section: &Section<'_>, role: Role, children: &[ChildConfig]) -> RequestAddress {
    let Some(item) = section.item("request_address") else { return RequestAddress::default() };
    if item.flag() != Some(true) {
        return RequestAddress::default();
    }
    if role == Role::Responder {
        item.warn(Wrong::new("has no effect: a responder gives addresses, from [[pool]]"));
        return RequestAddress::default();
    }
    let remote = children.iter().flat_map(|child| &child.remote);
    let carries = |v6: bool| {
        remote.clone().any(|selector| match selector {
            SelectorConfig::Fixed(selector) => selector.start.is_ipv6() == v6,
            SelectorConfig::Dynamic => false,
        })
    };
    match (carries(false), carries(true)) {
        (false, false) => RequestAddress { v4: true, v6: true },
        (v4, v6) => RequestAddress { v4, v6 },
    }
}

fn pools(section: &Section<'_>, role: Role, known: &[Pool]) -> Vec<String> {
    let Some(item) = section.item("pools") else { return Vec::new() };
    if role == Role::Initiator {
        item.warn(Wrong::new("has no effect: an initiator gives no addresses"));
    }
    if item.list().is_empty() {
        item.error(Wrong::new("is empty").hint("leave it out for every pool"));
    }
    let names = known.iter().map(|pool| pool.config.name.as_str());
    let read = |item: &Item<'_>, name: &str| {
        if names.clone().any(|known| known == name) {
            return Some(name.to_owned());
        }
        let wrong = Wrong::new(format!("there is no pool \"{name}\""));
        item.error(match crate::roles::nearest(name, names.clone()) {
            Some(near) => wrong.hint(format!("did you mean \"{near}\"?")),
            None => wrong.hint(format!("write [[pool]] with name = \"{name}\"")),
        });
        None
    };
    section.each("pools", read).unwrap_or_default()
}

fn routing(section: &Section<'_>) -> ConnectionRouting {
    let leak = section.word("leak", &[("block", Leak::Block), ("allow", Leak::Allow)], Leak::Block);
    if let (Some(item), Leak::Allow) = (section.item("leak"), leak) {
        item.warn(
            Wrong::new("what the tunnel protects goes out in clear while it is down")
                .hint("write leak = \"block\", or leave it out"),
        );
    }
    ConnectionRouting {
        leak,
        allow_other_family: section.word("other_family", &[("block", false), ("allow", true)], false),
    }
}

/// How many IKE SAs a peer may have, in the words of swanctl's `unique`.
fn unique(section: &Section<'_>, role: Role) -> Uniqueness {
    let words = [
        ("no", Uniqueness::No),
        ("replace", Uniqueness::Replace),
        ("keep", Uniqueness::Keep),
        ("never", Uniqueness::Never),
    ];
    let unique = section.word("unique", &words, Uniqueness::No);
    if let (Some(item), Role::Initiator) = (section.item("unique"), role) {
        item.warn(Wrong::new("has no effect: whoever answers a peer counts its IKE SAs"));
    }
    unique
}

/// Whether AUTH payloads may be made with SHA-1, for old peers: one that needs it takes no other connection along.
fn sha1_auth(section: &Section<'_>, context: &Context<'_>) -> bool {
    let asked = section.flag("sha1_auth", false);
    if let (true, false, Some(item)) = (asked, context.allow_legacy, section.item("sha1_auth")) {
        item.error(
            Wrong::new("needs allow_legacy = true below [floor]")
                .hint("peers that know RFC 7427 need no SHA-1: leave it out"),
        );
    }
    asked && context.allow_legacy
}

/// Whether IKE SAs come up without a Child SA, in the words of swanctl's `childless`.
fn childless(section: &Section<'_>) -> Childless {
    let words = [
        ("allow", Childless::Allow),
        ("prefer", Childless::Prefer),
        ("force", Childless::Force),
        ("never", Childless::Never),
    ];
    section.word("childless", &words, Childless::Allow)
}

/// What becomes of an IKE SA whose Child SA could not be had.
fn on_child_failed(section: &Section<'_>) -> ChildFailure {
    let words =
        [("retry", ChildFailure::Retry), ("keep", ChildFailure::Keep), ("close", ChildFailure::Close)];
    section.word("on_child_failed", &words, ChildFailure::Retry)
}

fn encapsulation(section: &Section<'_>) -> EncapsulationPolicy {
    let words = [
        ("always", EncapsulationPolicy::Always),
        ("auto", EncapsulationPolicy::Auto),
        ("forbid-nat", EncapsulationPolicy::ForbidNat),
    ];
    section.word("encapsulation", &words, EncapsulationPolicy::Always)
}

/// Whether, and when, a peer has to show that it is reachable where it moved to.
fn return_routability(section: &Section<'_>) -> ReturnRoutability {
    let words = [
        ("before", ReturnRoutability::Before),
        ("after", ReturnRoutability::After),
        ("never", ReturnRoutability::Never),
    ];
    if let Some(item) = section.item("return_routability")
        && !section.flag("mobike", true)
    {
        item.warn(Wrong::new("has no effect: with mobike = false no peer moves"));
    }
    section.word("return_routability", &words, ReturnRoutability::Before)
}

fn timing(section: &Section<'_>) -> Timing {
    let native = Timing::default();
    let least = limits::SHORTEST_INTERVAL;
    let retransmit = section.section("retransmit");
    let factor = retransmit.item("factor").and_then(|item| item.number(limits::RETRANSMIT_FACTOR));
    let tries = i64::from(native.retransmit_tries);
    let timing = Timing {
        liveness_idle: section.interval("dpd", least, native.liveness_idle),
        keepalive: section.interval("keepalive", least, native.keepalive),
        rekey_ike: section.interval("rekey", least, native.rekey_ike),
        reauth: section.interval("reauth", least, native.reauth),
        suspect: section.interval("suspect", limits::SUSPECT, native.suspect),
        max_outage: section.duration("max_outage", limits::MAX_OUTAGE, native.max_outage),
        retransmit_first: retransmit.duration("first", limits::RETRANSMIT_FIRST, native.retransmit_first),
        retransmit_factor_percent: factor.map_or(native.retransmit_factor_percent, percent),
        retransmit_tries: u16::try_from(retransmit.integer("tries", limits::RETRANSMIT_TRIES, tries))
            .unwrap_or(native.retransmit_tries),
        ..native
    };
    retransmit.finish();
    if let Some(item) = section.item("dpd")
        && timing.liveness_idle.is_zero()
    {
        item.warn(Wrong::new("a peer that is gone is not noticed").hint("write dpd = \"30s\""));
    }
    if let Some(item) = section.item("rekey")
        && timing.rekey_ike.is_zero()
    {
        item.warn(Wrong::new("the IKE SA's keys are never renewed").hint("write rekey = \"4h\""));
    }
    timing
}

fn percent(factor: f64) -> u16 {
    // The bounds keep it far below what fits.
    (factor * 100.0).round() as u16
}
