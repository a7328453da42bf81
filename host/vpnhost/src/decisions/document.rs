//! One decision as a JSON document: names as in WIT, algorithms as IANA numbers, identities both for people
//! and as they are on the wire.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};
use vpnhost_model::{Identity, Role, TrafficSelector, Transform};
use vpnhost_policy::{
    AddressFacts, AddressMenu, AdvertisementMenu, Answer, Attribute, Authorization, Bounds, CredentialFacts,
    CredentialMenu, Decision, ImportCall, ImportValue, LifetimeMenu, Lifetimes, MaintenanceBounds,
    MaintenancePlan, OfferedSuite, OtherSa, Outcome, PathFacts, PathMenu, PeerCertificate, PeerClaim,
    PeerEap, PoolFacts, Power, ProposalMenu, Question, SelectorMenu, Situation, Step,
};

/// Returns the document of a decision.
pub(super) fn of(unix: Duration, question: &Question, decision: &Decision) -> Value {
    json!({
        "unix_ms": u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        "question": question.kind().name(),
        "connection": question.connection(),
        "asked": asked(question),
        "answer": decision.answer.as_ref().map(answer),
        "why": decision.answer.as_ref().and_then(Answer::why),
        "by": decision.decided_by,
        "trace": decision.trace.iter().map(step).collect::<Vec<_>>(),
    })
}

fn asked(question: &Question) -> Value {
    match question {
        Question::RankProposals(menu) => proposals(menu),
        Question::AuthorizePeer(claim) => peer(claim),
        Question::NarrowSelectors(menu) => traffic(menu),
        Question::RankPaths(menu) => paths(menu),
        Question::PlanMaintenance(situation) => maintenance(situation),
        Question::AssignAddresses(menu) => addresses(menu),
        Question::ChooseCredential(menu) => credentials(menu),
        Question::AdvertiseAddresses(menu) => advertisement(menu),
        Question::PlanLifetimes(menu) => child_lifetimes(menu),
    }
}

fn proposals(menu: &ProposalMenu) -> Value {
    json!({
        "role": role(menu.role),
        "protocol": menu.protocol.0,
        "peer": {
            "remote": menu.peer.remote.to_string(),
            "local": menu.peer.local.to_string(),
            "behind_nat": menu.peer.behind_nat,
            "peer_behind_nat": menu.peer.peer_behind_nat,
        },
        "peer_id": menu.peer_id.as_ref().map(identity),
        "labels": attributes(&menu.labels),
        "suites": menu.suites.iter().map(suite).collect::<Vec<_>>(),
        "not_offered": menu.not_offered.iter().map(suite).collect::<Vec<_>>(),
        "hints": attributes(&menu.hints),
    })
}

fn suite(suite: &OfferedSuite) -> Value {
    json!({
        "transforms": transforms(&suite.transforms),
        "strength": suite.strength.0,
        "backend": suite.backend,
        "overhead_octets": suite.overhead_octets,
        "packet_ns": suite.packet_ns,
        "key_share_present": suite.key_share_present,
        "hints": attributes(&suite.hints),
    })
}

fn transforms(transforms: &[Transform]) -> Vec<Value> {
    let transform = |it: &Transform| json!({ "kind": it.kind.0, "id": it.id, "key_bits": it.key_bits });
    transforms.iter().map(transform).collect()
}

fn peer(claim: &PeerClaim) -> Value {
    json!({
        "role": role(claim.role),
        "local_id": identity(&claim.local_id),
        "peer_id": identity(&claim.peer_id),
        "auth_method": claim.auth_method,
        "certificate": claim.certificate.as_ref().map(certificate),
        "eap": claim.eap.as_ref().map(eap),
        "suite": transforms(&claim.suite),
        "strength": claim.strength.0,
        "local": claim.local.to_string(),
        "remote": claim.remote.to_string(),
        "peer_behind_nat": claim.peer_behind_nat,
        "unix_secs": claim.unix_secs,
        "utc_offset_secs": claim.utc_offset_secs,
        "other_sas": claim.other_sas,
        "others": claim.others.iter().map(other).collect::<Vec<_>>(),
        "initial_contact": claim.initial_contact,
        "hints": attributes(&claim.hints),
    })
}

fn certificate(certificate: &PeerCertificate) -> Value {
    json!({
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "ca": certificate.ca,
        "names": certificate.names,
        "serial": certificate.serial,
        "sha256": certificate.sha256,
        "purposes": certificate.purposes,
        "key": certificate.key,
        "expires_unix_secs": certificate.expires_unix_secs,
        "hints": attributes(&certificate.hints),
    })
}

fn eap(eap: &PeerEap) -> Value {
    json!({ "identity": eap.identity, "method": eap.method, "claimed_id": identity(&eap.claimed_id) })
}

fn other(other: &OtherSa) -> Value {
    json!({
        "connection": other.connection,
        "remote": other.remote.to_string(),
        "up_secs": other.up_secs,
    })
}

fn traffic(menu: &SelectorMenu) -> Value {
    json!({
        "child": menu.child,
        "role": role(menu.role),
        "peer_id": identity(&menu.peer_id),
        "labels": attributes(&menu.labels),
        "unix_secs": menu.unix_secs,
        "rekeys": menu.rekeys,
        "offered_local": selectors(&menu.offered_local),
        "offered_remote": selectors(&menu.offered_remote),
        "local": selectors(&menu.local),
        "remote": selectors(&menu.remote),
        "hints": attributes(&menu.hints),
    })
}

fn paths(menu: &PathMenu) -> Value {
    let path = |path: &PathFacts| {
        json!({
            "local": path.local.to_string(),
            "remote": path.remote.to_string(),
            "interface": path.interface,
            "kind": path.kind.0,
            "metered": path.metered,
            "roaming": path.roaming,
            "mtu": path.mtu,
            "standing": path.standing.0,
            "rtt_us": path.rtt_us,
            "loss_permille": path.loss_permille,
            "age_ms": path.age_ms,
            "up_ms": path.up_ms,
            "flaps": path.flaps,
            "outages": path.outages,
            "outage_ms": path.outage_ms,
            "hints": attributes(&path.hints),
        })
    };
    json!({
        "cause": menu.cause.0,
        "current": menu.current,
        "paths": menu.paths.iter().map(path).collect::<Vec<_>>(),
        "since_move_ms": menu.since_move_ms,
        "moves": menu.moves,
        "power": power(menu.power),
        "hints": attributes(&menu.hints),
    })
}

fn maintenance(situation: &Situation) -> Value {
    json!({
        "cause": situation.cause.0,
        "role": role(situation.role),
        "local_behind_nat": situation.local_behind_nat,
        "peer_behind_nat": situation.peer_behind_nat,
        "labels": attributes(&situation.labels),
        "interface": situation.interface,
        "kind": situation.kind.0,
        "metered": situation.metered,
        "rtt_us": situation.rtt_us,
        "loss_permille": situation.loss_permille,
        "outages": situation.outages,
        "outage_ms": situation.outage_ms,
        "power": power(situation.power),
        "idle_proven_ms": situation.idle_proven_ms,
        "idle_failed_ms": situation.idle_failed_ms,
        "native": plan(&situation.native),
        "bounds": bounds(&situation.bounds),
        "hints": attributes(&situation.hints),
    })
}

fn power(power: Power) -> Value {
    json!({ "source": power.source.0, "battery_percent": power.battery_percent })
}

fn addresses(menu: &AddressMenu) -> Value {
    let pool = |pool: &PoolFacts| {
        json!({
            "name": pool.name,
            "base": pool.base.to_string(),
            "prefix_len": pool.prefix_len,
            "free": pool.free,
            "leased": pool.leased,
            "remembers": pool.remembers,
            "dns": texts(&pool.dns),
            "hints": attributes(&pool.hints),
        })
    };
    json!({
        "peer_id": identity(&menu.peer_id),
        "labels": attributes(&menu.labels),
        "remote": menu.remote.to_string(),
        "unix_secs": menu.unix_secs,
        "wants_ipv4": menu.wants_ipv4,
        "wants_ipv6": menu.wants_ipv6,
        "preferred": texts(&menu.preferred),
        "pools": menu.pools.iter().map(pool).collect::<Vec<_>>(),
        "hints": attributes(&menu.hints),
    })
}

fn credentials(menu: &CredentialMenu) -> Value {
    let credential = |it: &CredentialFacts| {
        json!({
            "subject": it.subject,
            "issuer": it.issuer,
            "serial": it.serial,
            "sha256": it.sha256,
            "expires_unix_secs": it.expires_unix_secs,
            "is_requested": it.is_requested,
            "key": it.key,
            "hints": attributes(&it.hints),
        })
    };
    json!({
        "local_id": identity(&menu.local_id),
        "remote": menu.remote.to_string(),
        "unix_secs": menu.unix_secs,
        "requested": menu.requested,
        "credentials": menu.credentials.iter().map(credential).collect::<Vec<_>>(),
        "hints": attributes(&menu.hints),
    })
}

fn plan(plan: &MaintenancePlan) -> Value {
    json!({
        "liveness_idle_ms": plan.liveness_idle_ms,
        "keepalive_ms": plan.keepalive_ms,
        "suspect_ms": plan.suspect_ms,
        "max_outage_secs": plan.max_outage_secs,
        "retransmit_first_ms": plan.retransmit_first_ms,
        "retransmit_factor_percent": plan.retransmit_factor_percent,
        "retransmit_tries": plan.retransmit_tries,
        "rekey_ike_secs": plan.rekey_ike_secs,
        "review_after_secs": plan.review_after_secs,
    })
}

fn bounds(all: &MaintenanceBounds) -> Value {
    json!({
        "liveness_idle_ms": within(all.liveness_idle_ms),
        "keepalive_ms": within(all.keepalive_ms),
        "suspect_ms": within(all.suspect_ms),
        "max_outage_secs": within(all.max_outage_secs),
        "retransmit_first_ms": within(all.retransmit_first_ms),
        "retransmit_factor_percent": within(all.retransmit_factor_percent),
        "retransmit_tries": within(all.retransmit_tries),
        "rekey_ike_secs": within(all.rekey_ike_secs),
        "review_after_secs": within(all.review_after_secs),
    })
}

fn within(it: Bounds) -> Value {
    json!({ "min": it.min, "max": it.max, "or_zero": it.or_zero })
}

fn advertisement(menu: &AdvertisementMenu) -> Value {
    let address = |it: &AddressFacts| {
        json!({
            "address": it.address.to_string(),
            "interface": it.interface,
            "kind": it.kind.0,
            "metered": it.metered,
            "roaming": it.roaming,
            "hints": attributes(&it.hints),
        })
    };
    json!({
        "role": role(menu.role),
        "peer_id": identity(&menu.peer_id),
        "labels": attributes(&menu.labels),
        "local": menu.local.to_string(),
        "remote": menu.remote.to_string(),
        "peer_behind_nat": menu.peer_behind_nat,
        "addresses": menu.addresses.iter().map(address).collect::<Vec<_>>(),
        "return_routability": menu.return_routability.0,
        "hints": attributes(&menu.hints),
    })
}

fn child_lifetimes(menu: &LifetimeMenu) -> Value {
    json!({
        "child": menu.child,
        "role": role(menu.role),
        "peer_id": identity(&menu.peer_id),
        "labels": attributes(&menu.labels),
        "rekeys": menu.rekeys,
        "suite": transforms(&menu.suite),
        "strength": menu.strength.0,
        "local": selectors(&menu.local),
        "remote": selectors(&menu.remote),
        "native": lifetimes(&menu.native),
        "bounds": {
            "rekey_secs": within(menu.bounds.rekey_secs),
            "rekey_mib": within(menu.bounds.rekey_mib),
        },
        "hints": attributes(&menu.hints),
    })
}

fn lifetimes(lifetimes: &Lifetimes) -> Value {
    json!({ "rekey_secs": lifetimes.rekey_secs, "rekey_mib": lifetimes.rekey_mib })
}

fn answer(answer: &Answer) -> Value {
    match answer {
        Answer::RankProposals(ranking) => json!({ "order": ranking.order }),
        Answer::RankPaths(ranking) => json!({
            "order": ranking.order,
            "settle_ms": ranking.settle_ms,
            "review_after_secs": ranking.review_after_secs,
        }),
        Answer::AuthorizePeer(Authorization::Allow { labels }) => json!({ "allow": attributes(labels) }),
        Answer::AuthorizePeer(Authorization::Refuse { reason }) => json!({ "refuse": reason }),
        Answer::NarrowSelectors(narrowing) => {
            json!({ "local": selectors(&narrowing.local), "remote": selectors(&narrowing.remote) })
        }
        Answer::PlanMaintenance(it) => plan(it),
        Answer::AssignAddresses(it) => json!({ "order": it.order, "dns": it.dns.as_deref().map(texts) }),
        Answer::ChooseCredential(choice) => json!({ "index": choice.index }),
        Answer::AdvertiseAddresses(it) => {
            json!({ "order": it.order, "return_routability": it.return_routability.0 })
        }
        Answer::PlanLifetimes(it) => lifetimes(it),
    }
}

fn step(step: &Step) -> Value {
    let (outcome, how) = match &step.outcome {
        Outcome::Answered => ("answered", None),
        Outcome::Abstained => ("abstained", None),
        Outcome::OffTheMenu => ("off-the-menu", None),
        Outcome::Failed(how) => ("failed", Some(how)),
    };
    let elapsed = step.elapsed.map(|elapsed| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
    json!({
        "plugin": step.policy,
        "sha256": step.sha256.map(|sha256| sha256.to_string()),
        "outcome": outcome,
        "how": how,
        "why": step.why,
        "elapsed_us": elapsed,
        "imports": step.imports.iter().map(import).collect::<Vec<_>>(),
    })
}

/// A value that the plugin was told: with the question, what a replay needs.
fn import(call: &ImportCall) -> Value {
    let value = match &call.value {
        ImportValue::Nothing => Value::Null,
        ImportValue::Octets(octets) => match std::str::from_utf8(octets) {
            Ok(text) => json!({ "text": text }),
            Err(_) => json!({ "hex": hex(octets) }),
        },
        ImportValue::Text(text) => json!({ "text": text }),
        ImportValue::Texts(texts) => json!({ "texts": texts }),
        ImportValue::Done => json!("done"),
        ImportValue::Refused(why) => json!({ "refused": why }),
    };
    json!({
        "import": call.import,
        "arguments": call.arguments,
        "value": value,
        "table_sha256": call.table.map(|sha256| sha256.to_string()),
    })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Initiator => "initiator",
        Role::Responder => "responder",
    }
}

fn identity(identity: &Identity) -> Value {
    let (kind, octets) = identity.to_wire();
    json!({ "kind": kind, "data": hex(&octets), "text": identity.to_string() })
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn selectors(selectors: &[TrafficSelector]) -> Vec<Value> {
    let selector = |it: &TrafficSelector| {
        json!({
            "protocol": it.protocol,
            "start": it.start.to_string(),
            "end": it.end.to_string(),
            "start_port": it.start_port,
            "end_port": it.end_port,
        })
    };
    selectors.iter().map(selector).collect()
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(IpAddr::to_string).collect()
}

fn attributes(attributes: &[Attribute]) -> Map<String, Value> {
    attributes.iter().map(|it| (it.key.clone(), Value::from(it.value.clone()))).collect()
}
