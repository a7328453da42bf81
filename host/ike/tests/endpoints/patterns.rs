//! Connections for groups of peers: whom a pattern lets in, as whom, and by which of several connections.

use std::sync::Arc;

use vpnhost_ike::{CloseReason, Command, EndpointConfig, Event, PeerConfig, PeerIdentity};
use vpnhost_pki::{Pattern, identity};

use crate::certificates::{ed25519, own, plan};
use crate::eap::{ends, leading, password, users};
use crate::maker::Key;
use crate::pump::*;

fn like(pattern: &str) -> PeerIdentity {
    PeerIdentity::Like(Pattern::parse(pattern).expect("a pattern"))
}

fn up(a: PeerConfig, b: EndpointConfig) -> Pump {
    let mut pump = Pump::new(config(a), b);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.settle();
    pump
}

/// Returns the code by which a side ended its IKE SA.
fn code(pump: &Pump, side: usize) -> &'static str {
    let closed = pump.sides[side].events.iter().find_map(|event| match event {
        Event::IkeSaClosed { reason: CloseReason::AuthenticationFailed(failure), .. } => Some(failure.code()),
        Event::IkeSaClosed { reason, .. } => Some(reason.code()),
        _ => None,
    });
    closed.unwrap_or_default()
}

#[test]
fn whoever_a_pattern_lets_in_is_who_the_certificate_says() {
    let (a, b) = ed25519();
    let group = |pattern: &str| config(PeerConfig { peer_id: like(pattern), ..b.clone() });
    let pump = up(a.clone(), group("*.lab"));
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(B).peer_id, Some(id("a.lab")));
    let by_name = PeerConfig { local_id: identity::parse("CN=a").expect("a name"), ..a.clone() };
    up(by_name.clone(), group("CN=*")).assert_connected(1);
    // The certificate of another member of the group is no proof.
    let thief = PeerConfig { local_auth: own(&plan("mallory.lab", "CN=m"), &Key::new(10)), ..a.clone() };
    assert_eq!(code(&up(thief, group("*.lab")), B), "wrong-identity");
    for (claimed, pattern) in [(a.clone(), "*.example.org"), (a, "*@lab"), (by_name, "O=Lab, CN=*")] {
        let pump = up(claimed, group(pattern));
        assert_eq!(code(&pump, B), "unknown-identity", "{pattern}");
        pump.assert_empty(B);
    }
}

#[test]
fn of_several_connections_the_closest_is_the_peers() {
    let (a, b) = ed25519();
    let order = ["%any", "*.lab", "*.a.lab", "a.lab"];
    let of = |pattern: &str| match pattern {
        "%any" => PeerIdentity::Any,
        "a.lab" => PeerIdentity::Is(id("a.lab")),
        pattern => like(pattern),
    };
    let all = order.map(|name| PeerConfig { name: name.into(), peer_id: of(name), ..b.clone() });
    let serving = |left_out: &[&str], a: &PeerConfig| {
        let mut b = config(b.clone());
        let kept = all.iter().filter(|connection| !left_out.contains(&connection.name.as_str()));
        b.connections = kept.cloned().map(Arc::new).collect();
        let pump = up(a.clone(), b);
        pump.assert_connected(1);
        pump.ike_sa(B).connection.clone().expect("a connection")
    };
    assert_eq!(serving(&[], &a), "a.lab");
    assert_eq!(serving(&["a.lab"], &a), "*.lab");
    assert_eq!(serving(&["a.lab", "*.lab"], &a), "%any");
    let below =
        PeerConfig { local_id: id("x.a.lab"), local_auth: own(&plan("x.a.lab", "CN=x"), &Key::new(10)), ..a };
    assert_eq!(serving(&[], &below), "*.a.lab");
}

#[test]
fn an_initiator_takes_whoever_of_the_group_answers_and_nobody_else() {
    let (a, b) = ed25519();
    let asking = |pattern: &str| PeerConfig { peer_id: like(pattern), ..a.clone() };
    let pump = up(asking("*.lab"), config(b.clone()));
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(A).peer_id, Some(id("b.lab")));
    assert_eq!(code(&up(asking("*.b.lab"), config(b)), A), "unexpected-identity");
}

#[test]
fn a_group_may_share_a_secret() {
    let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let group = |pattern: &str| config(PeerConfig { peer_id: like(pattern), ..responder(&a) });
    up(a.clone(), group("*.lab")).assert_connected(1);
    assert_eq!(code(&up(a.clone(), group("*.a.lab")), B), "unknown-identity");
}

#[test]
fn the_user_that_eap_proves_is_held_to_the_pattern_not_the_one_that_ike_is_told() {
    let (a, b) = ends(password("carol", "lab password"), leading(vec![users()]));
    let a = PeerConfig { local_id: id("carol@lab"), ..a };
    let pump = up(a.clone(), config(PeerConfig { peer_id: like("*@lab"), ..b.clone() }));
    assert_eq!(code(&pump, B), "eap-another-user", "the user is carol, who is in no domain");
    up(a, config(b)).assert_connected(1);
}
