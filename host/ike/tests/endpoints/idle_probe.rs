//! Silences that are tried with a peer that answers late, on a port of their own.

use std::time::Duration;

use vpnhost_ike::{Command, Memory};
use vpnhost_model::Instant;

use crate::pump::*;

/// A client behind a NAT that tries silences.
fn trying() -> Pump {
    let mut a = initiator(IKE, vec![child("net", "aes128gcm16", "10.1.0.0/24", "10.2.0.0/24")]);
    a.mobike = true;
    let mut b = responder(&a);
    b.gateways.clear();
    let mut a = config(a);
    a.idle_port = Some(IDLE_PORT);
    let mut pump = Pump::new(a, config(b));
    pump.set_addresses(B, &["192.0.2.2"]);
    pump.set_addresses(A, &["192.0.2.1"]);
    pump.masquerade = Some("203.0.113.7:1024".parse().unwrap());
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(25));
    pump.assert_connected(1);
    assert_eq!(trials(&pump), 1, "a trial is under way");
    pump
}

/// How many trials were begun.
fn trials(pump: &Pump) -> usize {
    pump.sides[A].sent.iter().filter(|sent| sent.path.local.port() == IDLE_PORT).count()
}

fn memory(pump: &Pump) -> Memory {
    pump.sides[A].endpoint.networks().next().map(|(_, memory)| memory).unwrap_or_default()
}

#[test]
fn a_silence_that_ends_with_the_answer_in_time_is_proved() {
    let mut pump = trying();
    pump.run_for(Duration::from_secs(20));
    assert_eq!(memory(&pump), Memory { proven: Some(Duration::from_secs(20)), failed: None });
}

#[test]
fn an_answer_that_comes_before_the_silence_is_over_proves_nothing() {
    let mut pump = trying();
    let mut hasty = pump.now;
    hasty.instant = Instant(hasty.instant.0 + 20_000_000_000);
    pump.sides[B].endpoint.handle_timeout(hasty);
    pump.drain();
    pump.run_for(Duration::from_secs(10));
    assert_eq!(memory(&pump), Memory::default());
}

#[test]
fn a_trial_ends_with_its_ike_sa_and_with_the_keys_that_it_was_begun_under() {
    let mut pump = trying();
    pump.run_for(Duration::from_secs(20));
    assert_eq!(trials(&pump), 2, "of forty seconds");
    pump.command(A, Command::RekeyIkeSa(pump.ike_sa(A).id));
    pump.run_for(Duration::from_secs(25));
    assert_eq!(trials(&pump), 3, "the successor need not wait");
    pump.command(A, Command::Terminate("b".into()));
    pump.settle();
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(25));
    assert_eq!(trials(&pump), 4, "nor the next");
}

#[test]
fn sleep_amid_a_trial_is_nothing_against_the_network() {
    let mut pump = trying();
    for trial in 2..5 {
        pump.sleep(A, Duration::from_secs(90));
        pump.run_for(Duration::from_secs(5));
        assert_eq!(trials(&pump), trial, "it is tried again at once");
    }
}
