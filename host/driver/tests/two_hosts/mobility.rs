//! Which paths a tunnel could take, and what becomes of an order to take another.

use std::net::SocketAddr;

use vpnhost_driver::{PathState, Snapshot};
use vpnhost_ike::input::Command;
use vpnhost_policy::PathStanding;

use crate::lab::Lab;
use crate::running::{Running, assert_carries};
use crate::settings;

/// The address of the first side that is not in use.
const OTHER: &str = "192.0.2.11";

fn paths(snapshot: &Snapshot) -> &[PathState] {
    snapshot.ike_sas.first().map_or(&[], |sa| &sa.paths)
}

/// Two hosts whose first has a second address.
fn connected(lab: &Lab) -> [Running; 2] {
    lab.address(0, "add", &format!("{OTHER}/24"));
    let mut initiator = Running::start(lab, 0, settings::of(0, b"secret")).unwrap();
    let mut responder = Running::start(lab, 1, settings::of(1, b"secret")).unwrap();
    initiator.command(Command::Initiate("site".to_owned()));
    initiator.wait_for("child_established");
    responder.wait_for("child_established");
    [initiator, responder]
}

#[test]
fn every_path_is_shown_to_who_chooses_and_the_one_in_use_to_the_other() {
    let Some(lab) = Lab::create() else { return };
    let [initiator, responder] = connected(&lab);
    let snapshot = initiator.wait_until_state("two paths", |now| paths(now).len() == 2);
    let sa = &snapshot.ike_sas[0];
    assert!(sa.mobike && sa.chooses_path);
    let [used, other] = paths(&snapshot) else { panic!("{sa:?}") };
    assert!(used.in_use && !other.in_use, "{sa:?}");
    assert_eq!((used.local, used.remote), (sa.path.local, sa.path.remote));
    assert_eq!(other.local, SocketAddr::new(OTHER.parse().unwrap(), sa.path.local.port()));
    assert_eq!((other.standing, &*other.interface, other.mtu), (Some(PathStanding::UNPROVEN), "cable", 1500));

    let snapshot = responder.snapshot();
    let sa = &snapshot.ike_sas[0];
    assert!(sa.mobike && !sa.chooses_path);
    let [path] = paths(&snapshot) else { panic!("{sa:?}") };
    assert!(path.in_use && path.standing.is_none() && path.interface == "cable", "{path:?}");
    assert_eq!(path.remote, used.local);

    // What the machine does not have any more stays in sight as long as it is in use.
    lab.address(0, "del", "192.0.2.1/24");
    let snapshot = initiator.wait_until_state("no path", |now| paths(now).len() == 1);
    let [path] = paths(&snapshot) else { panic!() };
    assert!(path.in_use && path.standing.is_none() && path.interface.is_empty(), "{path:?}");
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
}

#[test]
fn an_order_tests_a_path_and_takes_it_and_the_journal_tells_how() {
    let Some(lab) = Lab::create() else { return };
    let [mut initiator, mut responder] = connected(&lab);
    let snapshot = initiator.wait_until_state("two paths", |now| paths(now).len() == 2);
    let (id, ends) = (snapshot.ike_sas[0].id, (OTHER.parse().unwrap(), "192.0.2.2".parse().unwrap()));
    initiator.command(Command::TestPath(id, ends));
    initiator.wait_for("alive");
    let tested = initiator.snapshot();
    let other = paths(&tested).iter().find(|path| !path.in_use).unwrap();
    assert_eq!(other.standing, Some(PathStanding::WORKS));
    assert!(other.round_trip.is_some() && other.heard.is_some(), "{other:?}");

    initiator.command(Command::Roam(id, Some(ends)));
    let entry = initiator.wait_for("moved").entry;
    let moved = entry.moved.as_ref().unwrap();
    assert_eq!((moved.from, moved.to.local.ip()), (snapshot.ike_sas[0].path, ends.0));
    assert!(moved.gap.is_zero() && moved.octets > 0, "{moved:?}");
    let text = format!("moved from {} to {} without a gap, {} octets", moved.from, moved.to, moved.octets);
    assert!(entry.text.contains(&text), "{}", entry.text);
    responder.wait_for("moved");
    assert_carries(&lab, [&initiator, &responder]);
    initiator.shut_down().unwrap();
    responder.shut_down().unwrap();
}
