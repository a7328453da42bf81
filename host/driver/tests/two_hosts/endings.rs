//! Hosts that do not start, peers that are refused, and ends in order.

use std::net::UdpSocket;
use std::time::Duration;

use vpnhost_driver::DriverError;
use vpnhost_ike::input::Command;

use crate::lab::Lab;
use crate::running::Running;
use crate::settings;

#[test]
fn a_host_that_finds_its_port_taken_leaves_nothing_behind() {
    let Some(lab) = Lab::create() else { return };
    let before = lab.state(0);
    let taken = lab.within(0, || UdpSocket::bind(("0.0.0.0", 4500)).unwrap());
    let error = Running::start(&lab, 0, settings::of(0, b"secret")).err().expect("no error");
    assert!(matches!(error, DriverError::PortBusy(address) if address.port() == 4500), "{error}");
    assert_eq!(lab.state(0), before);
    drop(taken);
    // A program that another test is just starting may hold the port a little longer.
    let mut started = Running::start(&lab, 0, settings::of(0, b"secret"));
    for _ in 0..50 {
        if matches!(started, Err(DriverError::PortBusy(_))) {
            std::thread::sleep(Duration::from_millis(100));
            started = Running::start(&lab, 0, settings::of(0, b"secret"));
        }
    }
    started.unwrap().shut_down().unwrap();
}

#[test]
fn a_peer_with_another_secret_is_refused_and_both_sides_say_why() {
    let Some(lab) = Lab::create() else { return };
    let mut initiator = Running::start(&lab, 0, settings::of(0, b"secret")).unwrap();
    let mut responder = Running::start(&lab, 1, settings::of(1, b"another")).unwrap();
    initiator.command(Command::Initiate("site".to_owned()));
    assert!(initiator.wait_for("closed").entry.text.contains("AUTHENTICATION_FAILED"));
    assert!(responder.wait_for("closed").entry.text.contains("does not match"));
    let failure = initiator.snapshot().connections[0].last_failure.clone().expect("a failure");
    assert!(failure.text.contains("AUTHENTICATION_FAILED"), "{failure:?}");
    assert_eq!(failure.reason, "authentication-refused");
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
}

#[test]
fn a_host_that_is_shut_down_tells_its_peers() {
    let Some(lab) = Lab::create() else { return };
    let mut initiator = Running::start(&lab, 0, settings::of(0, b"secret")).unwrap();
    let mut responder = Running::start(&lab, 1, settings::of(1, b"secret")).unwrap();
    initiator.command(Command::Initiate("site".to_owned()));
    initiator.wait_for("child_established");
    responder.wait_for("child_established");
    responder.shut_down().unwrap();
    assert!(initiator.wait_for("closed").entry.text.contains("deleted by the peer"));
    initiator.shut_down().unwrap();
}
