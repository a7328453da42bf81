//! Another configuration for a host that runs.

use std::sync::Arc;

use vpnhost_driver::HostConfig;
use vpnhost_ike::EndpointConfig;
use vpnhost_ike::input::Command;

use crate::lab::Lab;
use crate::running::{Running, assert_carries};
use crate::settings;

#[test]
fn a_reload_leaves_alone_what_it_does_not_change_and_names_what_it_cannot() {
    let Some(lab) = Lab::create() else { return };
    let mut initiator = Running::start(&lab, 0, settings::of(0, b"secret")).unwrap();
    let mut responder = Running::start(&lab, 1, settings::of(1, b"secret")).unwrap();
    initiator.command(Command::Initiate("site".to_owned()));
    initiator.wait_for("child_established");
    responder.wait_for("child_established");
    let up = initiator.snapshot().ike_sas[0].id;

    let mut other = settings::of(0, b"secret");
    other.tun.mtu = 1300;
    let mut second = settings::connection(0, b"secret");
    second.name = "second".to_owned();
    other.endpoint.connections.push(Arc::new(second));
    assert_eq!(initiator.reload(other).unwrap(), ["host.tun"]);
    let snapshot = initiator.snapshot();
    assert_eq!(snapshot.connections.len(), 2);
    assert_eq!(snapshot.ike_sas[0].id, up);
    assert_carries(&lab, [&initiator, &responder]);

    let config = settings::of(0, b"secret");
    let endpoint = EndpointConfig { connections: Vec::new(), ..config.endpoint };
    initiator.reload(HostConfig { endpoint, ..config }).unwrap();
    assert!(initiator.wait_for("closed").entry.text.contains("configuration"));
    responder.wait_for("closed");
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
}
