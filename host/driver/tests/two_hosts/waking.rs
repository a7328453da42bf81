//! A connection that waits for traffic: its first packet finds its way into the TUN, and brings the tunnel up.

use std::sync::Arc;

use vpnhost_ike::config::Start;

use crate::lab::Lab;
use crate::running::Running;
use crate::settings;

#[test]
fn a_connection_that_waits_for_traffic_comes_up_with_the_first_packet_and_carries_it() {
    let Some(lab) = Lab::create() else { return };
    let before = lab.state(0);
    let responder = Running::start(&lab, 1, settings::of(1, b"secret")).unwrap();
    let mut config = settings::of(0, b"secret");
    let mut connection = settings::connection(0, b"secret");
    connection.start = Start::OnTraffic;
    config.endpoint.connections = vec![Arc::new(connection)];
    let mut initiator = Running::start(&lab, 0, config).unwrap();
    assert!(initiator.snapshot().ike_sas.is_empty(), "nothing has asked for it yet");
    assert!(lab.carries(), "nobody sends the first packet again");
    initiator.wait_for("child_established");
    initiator.shut_down().unwrap();
    assert_eq!(lab.state(0), before);
    responder.shut_down().unwrap();
}
