//! Authenticating anew, make before break (RFC 7296 §2.8.3, RFC 4478); and how many IKE SAs a peer may have.

use std::time::Duration;

use vpnhost_ike::{
    CloseReason, Command, Event, Output, PeerConfig, PoolConfig, RequestAddress, SelectorConfig, Start,
    Uniqueness,
};
use vpnhost_model::Path;

use crate::pump::*;
use crate::script::Duel;

fn begun() -> (PeerConfig, PeerConfig) {
    let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let b = responder(&a);
    (a, b)
}

fn established(pump: &Pump, side: usize) -> usize {
    pump.sides[side].events.iter().filter(|event| matches!(event, Event::IkeSaEstablished(_))).count()
}

#[test]
fn an_ike_sa_is_authenticated_anew_beside_the_old_one_without_a_lost_packet() {
    for side in [A, B] {
        let mut duel = Duel::new();
        let (old, child) = (duel.pump.ike_sa(side), duel.pump.child_sa(side));
        duel.pump.command(side, Command::Reauthenticate(old.id));
        duel.connected(1);
        assert_ne!(duel.pump.ike_sa(side).spi_i, old.spi_i);
        assert_ne!(duel.pump.child_sa(side), child);
        for side in [A, B] {
            assert_eq!(established(&duel.pump, side), 2, "there was an IKE_AUTH of its own");
            assert!(duel.pump.saw(side, |event| {
                matches!(event, Event::IkeSaClosed { reason: CloseReason::Replaced, .. })
            }));
            assert!(!duel.pump.saw(side, |event| matches!(event, Event::RetryScheduled { .. })));
        }
    }
}

#[test]
fn the_answer_to_the_delete_of_an_old_ike_sa_leaves_only_when_the_new_one_is_sent_on() {
    let mut duel = Duel::new();
    let old = duel.pump.ike_sa(A).id;
    duel.pump.command(A, Command::Reauthenticate(old));
    duel.pump.run_for(Duration::from_millis(500));
    let new = *duel.pump.sides[B].installed.keys().last().unwrap();
    assert!(!duel.pump.sides[B].sends_on.contains(&new), "until then it may be that A does not know it");
    // The initiator does not wait, as strongSwan's does not.
    duel.pump.command(A, Command::TerminateIkeSa(old));
    let (_, from, delete) = duel.pump.wire.pop_back().unwrap();
    let path = Path { local: delete.path.remote, remote: delete.path.local, ..delete.path };
    let (now, responder) = (duel.pump.now, &mut duel.pump.sides[1 - from].endpoint);
    responder.handle_datagram(now, path, &mut delete.octets.clone());
    let outputs: Vec<Output> = std::iter::from_fn(|| responder.poll_output()).collect();
    let sends =
        outputs.iter().position(|output| matches!(output, Output::ActivateOutbound(id) if *id == new));
    // It is nobody's, lest the driver keep it back until the routes of the old one are gone.
    let is_answer = |output: &Output| matches!(output, Output::Transmit(it) if it.ike_sa.is_none());
    let answers = outputs.iter().position(is_answer);
    assert!(sends.is_some() && answers.is_some() && sends < answers, "{outputs:?}");
}

#[test]
fn every_child_comes_over_before_the_old_ike_sa_goes() {
    let net = |number: u8| {
        let (local, remote) = (format!("10.1.{number}.0/24"), format!("10.2.{number}.0/24"));
        child(&format!("net{number}"), "aes128gcm16", &local, &remote)
    };
    let mut duel = Duel::of((0..5).map(net).collect());
    let old = duel.pump.ike_sa(A).id;
    duel.pump.command(A, Command::Reauthenticate(old));
    duel.connected(5);
}

#[test]
fn an_initiator_authenticates_anew_by_age_again_and_again() {
    let (mut a, mut b) = begun();
    a.timing.reauth = Duration::from_secs(600);
    b.timing.reauth = Duration::ZERO;
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(6030));
    pump.assert_connected(1);
    assert!((10..=13).contains(&established(&pump, A)), "{}", established(&pump, A));
}

#[test]
fn an_initiator_heeds_how_long_the_responder_lets_an_authentication_count() {
    let (mut a, mut b) = begun();
    a.timing.reauth = Duration::ZERO;
    b.timing.reauth = Duration::from_secs(600);
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(6030));
    pump.assert_connected(1);
    assert!(established(&pump, A) >= 10, "{}", established(&pump, A));
    let expired = |event: &Event| {
        matches!(event, Event::IkeSaClosed { reason: CloseReason::AuthenticationExpired, .. })
    };
    assert!(!pump.saw(B, expired));
}

#[test]
fn a_rekey_is_no_authentication() {
    let (mut a, mut b) = begun();
    a.timing.reauth = Duration::from_secs(1000);
    a.timing.rekey_ike = Duration::from_secs(300);
    b.timing.rekey_ike = Duration::ZERO;
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(1020));
    pump.assert_connected(1);
    assert_eq!(established(&pump, A), 2);
    assert!(pump.sides[A].events.iter().filter(|e| matches!(e, Event::IkeSaRekeyed { .. })).count() >= 3);
}

#[test]
fn what_is_not_authenticated_anew_in_time_ends() {
    // The initiator knows nothing of AUTH_LIFETIME: the Notify reaches it, but it has lost all connections to begin.
    let (mut a, mut b) = begun();
    b.timing.reauth = Duration::from_secs(100);
    a.timing.reauth = Duration::ZERO;
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    // IKE_SA_INIT of the next attempts never arrives.
    pump.filter = Box::new(|_, transmit| transmit.octets[18] != 34);
    pump.run_for(Duration::from_secs(90));
    pump.assert_connected(1);
    pump.run_for(Duration::from_secs(100));
    assert!(pump.saw(B, |event| {
        matches!(event, Event::IkeSaClosed { reason: CloseReason::AuthenticationExpired, .. })
    }));
    assert!(
        pump.saw(A, |event| matches!(event, Event::IkeSaClosed { reason: CloseReason::DeletedByPeer, .. }))
    );
}

#[test]
fn an_attempt_that_fails_leaves_the_old_ike_sa_and_is_made_again() {
    let (a, b) = begun();
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let old = pump.ike_sa(A);
    pump.filter = Box::new(|_, transmit| transmit.octets[18] != 34);
    pump.command(A, Command::Reauthenticate(old.id));
    pump.run_for(Duration::from_secs(200));
    pump.assert_connected(1);
    assert_eq!(pump.ike_sa(A).spi_i, old.spi_i);
    pump.filter = Box::new(|_, _| true);
    pump.command(A, Command::Reauthenticate(old.id));
    pump.run_for(Duration::from_secs(60));
    pump.assert_connected(1);
    assert_ne!(pump.ike_sa(A).spi_i, old.spi_i);
}

#[test]
fn the_virtual_address_stays_the_same() {
    let (mut a, _) = begun();
    a.children[0].local = vec![SelectorConfig::Dynamic];
    let mut b = config(responder(&a));
    a.request_address = RequestAddress { v4: true, v6: false };
    b.pools = vec![PoolConfig {
        name: "road".into(),
        base: "10.1.0.0".parse().unwrap(),
        prefix_len: 24,
        dns: vec![],
    }];
    let mut pump = Pump::new(config(a), b);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let before = pump.ike_sa(A);
    for _ in 0..3 {
        let id = pump.ike_sa(A).id;
        pump.command(A, Command::Reauthenticate(id));
        pump.run_for(Duration::from_secs(60));
        pump.assert_connected(1);
    }
    assert_ne!(pump.ike_sa(A).spi_i, before.spi_i);
    assert_eq!(pump.ike_sa(A).addresses, before.addresses);
    assert_eq!(pump.sides[B].endpoint.holdings().leases, 1);
}

/// `A` connects, crashes without a word, and comes back from another address, without INITIAL_CONTACT.
fn comes_back(unique: Uniqueness, same_address: bool) -> Pump {
    comes_back_as("a.lab", unique, same_address)
}

/// The same, and says its name in another way.
fn comes_back_as(name: &str, unique: Uniqueness, same_address: bool) -> Pump {
    let (mut a, mut b) = begun();
    // Who does not know whom it will meet does not say INITIAL_CONTACT.
    a.peer_id = vpnhost_ike::PeerIdentity::Any;
    a.start = Start::Manual;
    b.unique = unique;
    b.gateways.clear();
    let mut pump = Pump::new(config(a), config(b));
    pump.masquerade = Some("203.0.113.1:4500".parse().unwrap());
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(10));
    assert_eq!(pump.established(B).len(), 1);
    let mut another = PeerConfig::clone(&pump.configs[A].connections[0]);
    another.local_id = id(name);
    pump.configs[A] = config(another);
    pump.restart(A, 4711);
    if !same_address {
        pump.masquerade = Some("203.0.113.2:4500".parse().unwrap());
    }
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(3));
    pump
}

#[test]
fn no_uniqueness_keeps_what_a_peer_had_unless_it_says_initial_contact() {
    for unique in [Uniqueness::No, Uniqueness::Never] {
        let pump = comes_back(unique, false);
        assert_eq!((pump.established(A).len(), pump.established(B).len()), (1, 2));
    }
}

#[test]
fn replace_ends_what_a_peer_had() {
    for same_address in [false, true] {
        let mut pump = comes_back(Uniqueness::Replace, same_address);
        assert_eq!(pump.established(A).len(), 1);
        pump.run_for(Duration::from_secs(30));
        assert_eq!(pump.established(B).len(), 1);
        pump.assert_connected(1);
    }
}

#[test]
fn a_peer_is_the_same_however_it_writes_its_name() {
    let mut pump = comes_back_as("A.Lab", Uniqueness::Replace, false);
    pump.run_for(Duration::from_secs(30));
    assert_eq!(pump.established(B).len(), 1);
    let pump = comes_back_as("A.Lab", Uniqueness::Keep, false);
    assert_eq!((pump.established(A).len(), pump.established(B).len()), (0, 1));
}

#[test]
fn keep_refuses_a_peer_that_is_connected_elsewhere_until_that_is_found_dead() {
    let mut pump = comes_back(Uniqueness::Keep, false);
    assert_eq!((pump.established(A).len(), pump.established(B).len()), (0, 1));
    assert!(pump.saw(B, |event| {
        matches!(event, Event::IkeSaClosed { reason: CloseReason::RefusedByPolicy(why), .. } if why.contains("keep"))
    }));
    // The refusal had the old one's life checked: nobody answers.
    pump.run_for(Duration::from_secs(120));
    assert_eq!(pump.established(B).len(), 0);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    // From where it is already, another is a re-authentication.
    let pump = comes_back(Uniqueness::Keep, true);
    assert_eq!(pump.established(A).len(), 1);
}

#[test]
fn never_takes_no_notice_of_initial_contact() {
    for (unique, left) in [(Uniqueness::Never, 2), (Uniqueness::No, 1)] {
        let (a, mut b) = begun();
        b.unique = unique;
        let mut pump = Pump::new(config(a), config(b));
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_secs(10));
        pump.restart(A, 4711);
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_secs(3));
        assert_eq!(pump.established(B).len(), left, "{unique:?}");
    }
}

#[test]
fn never_ends_what_a_peer_had_only_when_nobody_answers_on_it() {
    for asks in [false, true] {
        let (a, mut b) = begun();
        b.unique = Uniqueness::Never;
        b.timing.liveness_idle = Duration::from_secs(if asks { 20 } else { 0 });
        let mut pump =
            Pump::new(config(PeerConfig { mobike: true, ..a }), config(PeerConfig { mobike: true, ..b }));
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_secs(10));
        pump.restart(A, 4711);
        pump.command(A, Command::Initiate("b".into()));
        pump.run_for(Duration::from_secs(15));
        assert_eq!(pump.established(B).len(), 2, "INITIAL_CONTACT ends nothing");
        pump.run_for(Duration::from_secs(600));
        let reasons = pump.sides[B].events.iter().filter_map(|event| match event {
            Event::IkeSaClosed { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        let reasons: Vec<CloseReason> = reasons.collect();
        // Who restarted does not have the old one: that is found out, once the peer is asked on it (RFC 4555, 3.11).
        assert!(reasons.iter().all(|reason| matches!(reason, CloseReason::PeerDead(_))), "{reasons:?}");
        assert_eq!((pump.established(A).len(), pump.established(B).len()), (1, if asks { 1 } else { 2 }));
    }
}
