//! What others do to the machine while a host runs: it is set up again, or the host ends and says why.

use std::process::Command as Program;
use std::time::{Duration, Instant};

use vpnhost_driver::DriverError;
use vpnhost_ike::input::Command;

use crate::lab::Lab;
use crate::running::{Running, assert_carries};
use crate::settings;

/// Runs `ip` in the first namespace.
fn ip(lab: &Lab, arguments: &str) {
    let mut ip = Program::new("ip");
    let status = ip.args(["-n", lab.name(0)]).args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Waits until the first namespace is as it was.
fn wait_for(lab: &Lab, state: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    while lab.state(0) != state {
        assert!(Instant::now() < end, "{state}\nis now\n{}", lab.state(0));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_others_take_away_comes_back_and_is_told() {
    let Some(lab) = Lab::create() else { return };
    let mut config = settings::of(0, b"secret");
    config.listen = vec![[192, 0, 2, 1].into()];
    let mut initiator = Running::start(&lab, 0, config).unwrap();
    let responder = Running::start(&lab, 1, settings::of(1, b"secret")).unwrap();
    initiator.command(Command::Initiate("site".to_owned()));
    initiator.wait_for("child_established");
    let up = lab.state(0);
    // The kernel takes the routes to an interface that is down.
    ip(&lab, "link set drv0 down");
    assert!(initiator.wait_for("host_failed").entry.text.contains("drv0 was taken down"));
    wait_for(&lab, &up);
    assert_carries(&lab, [&initiator, &responder]);
    // As a restart of systemd-networkd does it.
    ip(&lab, "rule flush protocol 96");
    wait_for(&lab, &up);
    assert_carries(&lab, [&initiator, &responder]);
    // The address that the sockets are bound to goes, and comes back.
    ip(&lab, "address delete 192.0.2.1/24 dev cable");
    assert!(!lab.carries());
    ip(&lab, "address add 192.0.2.1/24 dev cable");
    assert_carries(&lab, [&initiator, &responder]);
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
}

#[test]
fn a_host_whose_interface_is_deleted_ends_and_what_blocks_leaks_stays() {
    let Some(lab) = Lab::create() else { return };
    let host = Running::start(&lab, 0, settings::of(0, b"secret")).unwrap();
    ip(&lab, "link delete drv0");
    let error = host.end().unwrap_err();
    assert!(matches!(&error, DriverError::DataPlane(why) if why.contains("drv0")), "{error}");
    assert!(lab.state(0).contains("unreachable 10.77.2.0/24"), "{}", lab.state(0));
}
