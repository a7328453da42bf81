//! What the tunnel's own traffic shows of a NAT, with a peer that knows nothing of our Notify.

use std::time::Duration;

use vpnhost_ike::{Command, Memory, Resumption, TrafficReport, limits};

use crate::pump::*;

/// A client behind a NAT, which has no port to try silences on.
fn behind_nat() -> Pump {
    let a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    let mut b = responder(&a);
    b.gateways.clear();
    let mut pump = Pump::new(config(a), config(b));
    pump.masquerade = Some("203.0.113.7:1024".parse().unwrap());
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    pump.assert_connected(1);
    pump
}

/// Nothing passes for so long; then a packet comes in, before which some are missing.
fn resume(pump: &mut Pump, silence: Duration, spoke: bool, missing: u64) {
    let since = pump.now.instant;
    pump.run_for(silence);
    let at = pump.now.instant;
    let spoke = spoke.then_some(at);
    pump.run_for(Duration::from_millis(10));
    let child = pump.child_sa(A);
    let at = pump.now.instant;
    pump.traffic(A, TrafficReport::Resumed(child, Resumption { since, spoke, at, missing }));
    pump.traffic(A, TrafficReport::Inbound(child, at));
}

fn memory(pump: &Pump) -> Memory {
    pump.sides[A].endpoint.networks().next().map(|(_, memory)| memory).unwrap_or_default()
}

#[test]
fn a_packet_that_comes_first_after_silence_proves_it() {
    let mut pump = behind_nat();
    resume(&mut pump, Duration::from_secs(12), false, 0);
    let proven = memory(&pump).proven.unwrap();
    assert!(proven >= Duration::from_secs(12) && proven < Duration::from_millis(12_100), "{proven:?}");
    resume(&mut pump, Duration::from_secs(8), false, 0);
    assert_eq!(memory(&pump).proven, Some(proven), "less is no news");
    resume(&mut pump, Duration::from_secs(3), false, 0);
    assert_eq!(memory(&pump), Memory { proven: Some(proven), failed: None });
}

#[test]
fn what_this_host_asked_for_proves_nothing() {
    let mut pump = behind_nat();
    resume(&mut pump, Duration::from_secs(12), true, 0);
    assert_eq!(memory(&pump), Memory::default());
}

#[test]
fn a_keepalive_amid_the_silence_shortens_what_is_proved() {
    let mut pump = behind_nat();
    resume(&mut pump, Duration::from_secs(28), false, 0);
    let proven = memory(&pump).proven.unwrap();
    assert!(proven > Duration::from_secs(7) && proven < Duration::from_secs(9), "{proven:?}");
}

#[test]
fn packets_that_are_missing_twice_shorten_the_keepalive_and_once_they_do_not() {
    let mut pump = behind_nat();
    let every = |pump: &Pump| pump.ike_sa(A).keepalive;
    assert_eq!(every(&pump), Some(Duration::from_secs(20)));
    resume(&mut pump, Duration::from_secs(23), false, 3);
    assert_eq!(memory(&pump).failed, None, "packets are lost for other reasons, too");
    resume(&mut pump, Duration::from_secs(14), true, 2);
    let failed = memory(&pump).failed.unwrap();
    assert!(
        failed > Duration::from_secs(18) && failed <= Duration::from_secs(20),
        "until the keepalive: {failed:?}"
    );
    assert_eq!(every(&pump), Some(failed / 2));
}

#[test]
fn packets_that_are_missing_long_after_others_or_after_another_silence_are_lost_for_other_reasons() {
    let mut pump = behind_nat();
    resume(&mut pump, Duration::from_secs(14), true, 2);
    pump.run_for(limits::IDLE_DOUBTED + Duration::from_secs(8));
    resume(&mut pump, Duration::from_secs(23), false, 2);
    assert_eq!(memory(&pump).failed, None);
    resume(&mut pump, Duration::from_secs(6), true, 2);
    assert_eq!(memory(&pump).failed, None);
    resume(&mut pump, Duration::from_millis(5_100), true, 2);
    assert!(memory(&pump).failed.is_some(), "twice, soon, and about as long");
}

#[test]
fn a_keepalive_that_traffic_shortened_is_as_configured_again_after_a_while() {
    let mut pump = behind_nat();
    let every = |pump: &Pump| pump.ike_sa(A).keepalive.unwrap();
    resume(&mut pump, Duration::from_secs(23), false, 3);
    resume(&mut pump, Duration::from_secs(14), true, 2);
    assert!(every(&pump) < Duration::from_secs(10));
    pump.run_for(limits::IDLE_HELD_AGAINST - Duration::from_secs(60));
    assert!(every(&pump) < Duration::from_secs(10));
    pump.run_for(Duration::from_secs(120));
    assert_eq!((every(&pump), memory(&pump).failed), (Duration::from_secs(20), None));
}

#[test]
fn packets_that_are_missing_since_before_a_move_say_nothing_of_the_new_network() {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.mobike = true;
    let mut b = responder(&a);
    b.gateways.clear();
    let mut pump = Pump::new(config(a), config(b));
    pump.set_addresses(B, &["192.0.2.2"]);
    pump.set_addresses(A, &["192.0.2.1"]);
    pump.masquerade = Some("203.0.113.7:1024".parse().unwrap());
    pump.command(A, Command::Initiate("b".into()));
    pump.settle();
    let failed = |pump: &Pump| pump.sides[A].endpoint.networks().filter_map(|(_, it)| it.failed).count();
    for address in ["192.0.2.5", "192.0.2.6"] {
        let since = pump.now.instant;
        pump.run_for(Duration::from_secs(10));
        pump.set_addresses(A, &[address]);
        pump.sides[A].address = address.parse().unwrap();
        pump.run_for(Duration::from_secs(5));
        let child = pump.child_sa(A);
        pump.traffic(A, TrafficReport::Inbound(child, pump.now.instant));
        pump.run_for(Duration::from_millis(10));
        let at = pump.now.instant;
        let resumption = Resumption { since, spoke: Some(at), at, missing: 3 };
        for _ in 0..2 {
            pump.traffic(A, TrafficReport::Resumed(child, resumption));
        }
        assert_eq!(failed(&pump), 0);
    }
    // Nothing else stands in the way.
    let quiet = pump.now.instant;
    pump.run_for(Duration::from_secs(10));
    let (child, at) = (pump.child_sa(A), pump.now.instant);
    for _ in 0..2 {
        let resumption = Resumption { since: quiet, spoke: Some(at), at, missing: 3 };
        pump.traffic(A, TrafficReport::Resumed(child, resumption));
    }
    assert_eq!(failed(&pump), 1);
}

#[test]
fn packets_that_are_missing_before_one_that_comes_first_say_nothing_against_the_nat() {
    let mut pump = behind_nat();
    for _ in 0..2 {
        resume(&mut pump, Duration::from_secs(15), false, 3);
    }
    assert!(memory(&pump).failed.is_none() && memory(&pump).proven.is_some());
}

#[test]
fn whoever_stands_before_no_nat_learns_nothing() {
    let mut pump = behind_nat();
    let child = pump.child_sa(B);
    let since = pump.now.instant;
    pump.run_for(Duration::from_secs(12));
    let resumption = Resumption { since, spoke: None, at: pump.now.instant, missing: 0 };
    pump.traffic(B, TrafficReport::Resumed(child, resumption));
    let known = pump.sides[B].endpoint.networks().filter(|(_, memory)| *memory != Memory::default());
    assert_eq!(known.count(), 0);
}
