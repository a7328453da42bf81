//! An authenticated IKE SA stands although its Child SA, or the address for it, could not be had (RFC 7296 §2.21.2);
//! what becomes of both is the operator's policy.

use std::time::Duration;

use vpnhost_ike::{
    ChildFailure, CloseReason, Command, EndpointConfig, Event, Outlook, PeerConfig, PoolConfig,
    RequestAddress, SelectorConfig, Start,
};

use crate::pump::*;

/// Two hosts whose selectors do not meet.
fn apart(policy: ChildFailure) -> (PeerConfig, PeerConfig) {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.on_child_failed = policy;
    let mut b = responder(&a);
    b.on_child_failed = ChildFailure::Retry;
    b.children[0].local = vec![ts("10.3.0.0/24")];
    (a, b)
}

fn outlooks(pump: &Pump, side: usize) -> Vec<Outlook> {
    let outlook = |event: &Event| {
        if let Event::ChildSaFailed { outlook, .. } = event { Some(*outlook) } else { None }
    };
    pump.sides[side].events.iter().filter_map(outlook).collect()
}

fn logins(pump: &Pump, side: usize) -> usize {
    pump.sides[side].events.iter().filter(|event| matches!(event, Event::IkeSaEstablished(_))).count()
}

fn reconfigured(pump: &mut Pump, side: usize, config: EndpointConfig) {
    pump.command(side, Command::Configure(Box::new(config)));
}

#[test]
fn an_ike_sa_stands_without_its_child_and_tries_again_after_longer_and_longer_pauses() {
    let (mut a, b) = apart(ChildFailure::Retry);
    a.timing.rekey_ike = Duration::ZERO;
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(300));
    pump.assert_connected(0);
    assert_eq!((logins(&pump, A), logins(&pump, B)), (1, 1), "it logged in once");
    let pauses: Vec<u64> = outlooks(&pump, A)
        .into_iter()
        .map(|outlook| match outlook {
            Outlook::Retried(pause) => pause.as_secs(),
            Outlook::Kept | Outlook::LeftToPeer | Outlook::Closes => panic!("{outlook:?}"),
        })
        .collect();
    assert!((7..=12).contains(&pauses.len()), "{pauses:?}");
    assert!(
        pauses[1] > pauses[0] && pauses[4] > pauses[2] && pauses.iter().all(|it| *it <= 60),
        "{pauses:?}"
    );
    assert!(outlooks(&pump, B).iter().all(|outlook| *outlook == Outlook::LeftToPeer));
    assert!(!pump.saw(A, |event| matches!(event, Event::IkeSaClosed { .. })));
}

#[test]
fn a_child_that_failed_comes_up_once_the_peer_admits_it() {
    let (mut a, mut b) = apart(ChildFailure::Retry);
    a.children.push(child("other", "aes128gcm16", "10.11.0.0/24", "10.12.0.0/24"));
    b.children.push(mirror_of(&a.children[1]));
    let mut pump = Pump::new(config(a.clone()), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(30));
    pump.assert_connected(1);
    // What changes there ends the IKE SA; the initiator, which is kept up, comes back and gets both.
    reconfigured(&mut pump, B, config(responder(&a)));
    pump.run_for(Duration::from_secs(120));
    assert_eq!(pump.established(A).len(), 0, "an order once is no order for ever");
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(2);
}

fn mirror_of(child: &vpnhost_ike::ChildConfig) -> vpnhost_ike::ChildConfig {
    vpnhost_ike::ChildConfig { local: child.remote.clone(), remote: child.local.clone(), ..child.clone() }
}

#[test]
fn keep_lets_the_ike_sa_stand_until_the_child_is_ordered() {
    let (a, b) = apart(ChildFailure::Keep);
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(300));
    pump.assert_connected(0);
    assert_eq!(outlooks(&pump, A), [Outlook::Kept]);
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(0);
    assert_eq!(
        outlooks(&pump, A),
        [Outlook::Kept, Outlook::Kept],
        "it was asked for again, on the same IKE SA"
    );
    assert_eq!(logins(&pump, A), 1);
}

#[test]
fn close_ends_an_ike_sa_that_has_no_other_child() {
    let (a, b) = apart(ChildFailure::Close);
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    assert_eq!(outlooks(&pump, A), [Outlook::Closes]);
    let cause = |event: &Event| matches!(event, Event::IkeSaClosed { reason: CloseReason::RefusedByPeer { notify, .. }, .. } if notify == "TS_UNACCEPTABLE");
    assert!(pump.saw(A, cause), "{:?}", pump.sides[A].events);
    pump.assert_empty(A);
    pump.assert_empty(B);
}

#[test]
fn close_at_the_responder_ends_what_a_peer_has_no_child_on() {
    let (a, mut b) = apart(ChildFailure::Retry);
    b.on_child_failed = ChildFailure::Close;
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    assert_eq!(outlooks(&pump, B), [Outlook::Closes]);
    assert!(pump.saw(B, |event| {
        matches!(event, Event::IkeSaClosed { reason: CloseReason::TsUnacceptable(_), .. })
    }));
    pump.assert_empty(B);
}

#[test]
fn a_connection_that_is_kept_up_and_closes_for_its_child_tries_again_after_longer_and_longer_pauses() {
    let (mut a, b) = apart(ChildFailure::Close);
    a.start = Start::Up;
    let mut pump = Pump::new(config(a), config(b));
    pump.run_for(Duration::from_secs(300));
    assert!((6..=12).contains(&logins(&pump, A)), "{}", logins(&pump, A));
}

#[test]
fn close_waits_for_the_other_children() {
    let (mut a, mut b) = apart(ChildFailure::Close);
    a.children.push(child("other", "aes128gcm16", "10.11.0.0/24", "10.12.0.0/24"));
    b.children.push(mirror_of(&a.children[1]));
    let mut pump = Pump::new(config(a), config(b));
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(10));
    pump.assert_connected(1);
}

#[test]
fn traffic_does_not_ask_for_a_child_that_has_just_failed() {
    let (mut a, b) = apart(ChildFailure::Keep);
    a.start = Start::OnTraffic;
    let mut pump = Pump::new(config(a), config(b));
    let packet = || vpnhost_ike::TrafficReport::Acquire {
        source: "10.1.0.1".parse().unwrap(),
        destination: "10.2.0.1".parse().unwrap(),
    };
    for _ in 0..600 {
        pump.traffic(A, packet());
        pump.run_for(Duration::from_millis(100));
    }
    pump.assert_connected(0);
    let failed = outlooks(&pump, A).len();
    assert!((4..=8).contains(&failed), "{failed} tries in a minute of packets");
}

/// A road warrior, and a gateway whose pool has a single address, which another has.
fn crowded() -> (PeerConfig, EndpointConfig) {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.children[0].local = vec![SelectorConfig::Dynamic];
    let b = responder(&a);
    a.request_address = RequestAddress { v4: true, v6: false };
    let mut b = config(b);
    b.pools = vec![pool(32)];
    (a, b)
}

fn pool(prefix_len: u8) -> PoolConfig {
    PoolConfig { name: "road".into(), base: "10.1.0.0".parse().unwrap(), prefix_len, dns: vec![] }
}

#[test]
fn a_failed_address_leaves_the_ike_sa_and_is_asked_for_again_on_a_further_one() {
    let (a, mut b) = crowded();
    let free = b.pools.clone();
    b.pools = vec![];
    let mut pump = Pump::new(config(a), b.clone());
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(30));
    pump.assert_connected(0);
    let refused = |event: &Event| matches!(event, Event::ChildSaFailed { reason: CloseReason::RefusedByPeer { notify, .. }, .. } if notify == "INTERNAL_ADDRESS_FAILURE");
    assert!(pump.saw(A, refused), "{:?}", pump.sides[A].events);
    assert_eq!(logins(&pump, A), 1);
    // A pool alone is no change to the connection: its IKE SA stays.
    b.pools = free;
    reconfigured(&mut pump, B, b);
    pump.run_for(Duration::from_secs(120));
    pump.assert_connected(1);
    assert_eq!(logins(&pump, A), 2);
    assert_eq!(pump.ike_sa(A).addresses.len(), 1);
}

#[test]
fn a_pool_that_stays_empty_is_asked_seldom_and_leaves_one_ike_sa() {
    let (a, mut b) = crowded();
    b.pools = vec![];
    let mut pump = Pump::new(config(a), b);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(600));
    // Two stand side by side for a moment.
    if pump.established(A).len() > 1 {
        pump.run_for(Duration::from_secs(15));
    }
    pump.assert_connected(0);
    assert!((8..=14).contains(&logins(&pump, A)), "{}", logins(&pump, A));
}
