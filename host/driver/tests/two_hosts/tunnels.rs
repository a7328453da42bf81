//! Tunnels that come up, carry, are rekeyed and are taken down.

use vpnhost_driver::Phase;
use vpnhost_ike::input::Command;

use crate::lab::Lab;
use crate::running::{Running, assert_carries};
use crate::settings;

#[test]
fn two_hosts_negotiate_carry_traffic_and_leave_nothing_behind() {
    let Some(lab) = Lab::create() else { return };
    let before = [lab.state(0), lab.state(1)];
    let mut initiator = Running::start(&lab, 0, settings::of(0, b"secret")).unwrap();
    let mut responder = Running::start(&lab, 1, settings::of(1, b"secret")).unwrap();
    // What is protected does not go out in clear before there is a tunnel.
    assert!(!lab.carries());

    initiator.command(Command::Initiate("site".to_owned()));
    initiator.wait_for("established");
    initiator.wait_for("child_established");
    responder.wait_for("child_established");
    assert_carries(&lab, [&initiator, &responder]);

    let snapshot = initiator.snapshot();
    assert_eq!(snapshot.connections[0].phase, Phase::Up);
    let [sa] = &snapshot.ike_sas[..] else { panic!("{:?}", snapshot.ike_sas) };
    assert!(!sa.path.local.ip().is_unspecified());
    let [child] = &sa.children[..] else { panic!("{:?}", sa.children) };
    assert!(child.inbound.packets >= 1 && child.outbound.packets >= 1, "{child:?}");
    assert_eq!(responder.snapshot().ike_sas[0].children[0].spi_in, child.spi_out);

    initiator.command(Command::Terminate("site".to_owned()));
    initiator.wait_for("closed");
    responder.wait_for("closed");
    assert!(responder.snapshot().ike_sas.is_empty());
    assert!(!lab.carries());
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
    assert_eq!([lab.state(0), lab.state(1)], before);
}

#[test]
fn traffic_goes_on_over_rekeys_of_both_kinds() {
    let Some(lab) = Lab::create() else { return };
    let mut initiator = Running::start(&lab, 0, settings::of(0, b"secret")).unwrap();
    let mut responder = Running::start(&lab, 1, settings::of(1, b"secret")).unwrap();
    initiator.command(Command::Initiate("site".to_owned()));
    initiator.wait_for("child_established");
    responder.wait_for("child_established");
    let child = initiator.snapshot().ike_sas[0].children[0].id;
    initiator.command(Command::RekeyChildSa(child));
    initiator.wait_for("child_rekeyed");
    assert_carries(&lab, [&initiator, &responder]);
    let ike_sa = responder.snapshot().ike_sas[0].id;
    responder.command(Command::RekeyIkeSa(ike_sa));
    responder.wait_for("rekeyed");
    initiator.wait_for("rekeyed");
    assert_carries(&lab, [&initiator, &responder]);
    let sa = &initiator.snapshot().ike_sas[0];
    assert_eq!(sa.rekeyed, 1);
    assert!(sa.children.iter().any(|child| child.rekeyed == 1 && child.inbound.packets > 0), "{sa:?}");
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
}
