//! Two links with one address, as behind two home routers that know nothing of each other.

use std::net::IpAddr;

use vpnhost_model::{AddressPair, LocalAddress};

use super::*;

/// What the gateway sees of the one link, and of the other.
const OUTSIDE: [&str; 2] = ["203.0.113.1", "203.0.113.2"];

fn outside(twin: usize) -> IpAddr {
    OUTSIDE[twin].parse().unwrap()
}

/// Two hosts that are connected, the client by two links with one address: interfaces 2, which is in use, and 3.
fn connected_by_twins(routability: ReturnRoutability) -> Pump {
    let a = mobile(routability);
    // It comes from anywhere.
    let b = PeerConfig { gateways: Vec::new(), ..responder(&a) };
    let mut pump = Pump::new(config(a), config(b));
    pump.homes = vec![(2, outside(0)), (3, outside(1))];
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME, HOME]);
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(5));
    pump.assert_connected(1);
    assert_eq!(places(&pump), (Some(2), outside(0)));
    pump
}

/// Returns the link that the client sends by, and where the gateway sends to.
fn places(pump: &Pump) -> (Option<u32>, IpAddr) {
    (path_of(pump, A).interface, path_of(pump, B).remote.ip())
}

/// Tells the client that of the twins one is left: whichever, and under which number.
fn leave_one(pump: &mut Pump, interface: u32) {
    let link = LocalAddress {
        address: HOME.parse().unwrap(),
        interface,
        name: format!("eth{interface}"),
        kind: LinkKind::ETHERNET,
        mtu: 1500,
        metered: false,
    };
    let pair = AddressPair { local: link.address, interface, remote: GATEWAY.parse().unwrap() };
    pump.sides[A].endpoint.handle_links(pump.now, &[link], &[pair]);
    pump.drain();
}

#[test]
fn of_two_links_with_one_address_the_one_that_died_silently_is_left_for_the_other() {
    for routability in [ReturnRoutability::Never, ReturnRoutability::Before, ReturnRoutability::After] {
        let mut pump = connected_by_twins(routability);
        let spi = pump.ike_sa(A).spi_i;
        pump.filter = Box::new(|side, sent| match side {
            A => sent.path.interface != Some(2),
            _ => sent.path.remote.ip() != outside(0),
        });
        let died = pump.now.instant;
        while places(&pump) != (Some(3), outside(1)) && pump.now.instant - died < Duration::from_secs(60) {
            send_for(&mut pump, Duration::from_millis(250));
        }
        let took = pump.now.instant - died;
        assert!(took <= Duration::from_secs(3), "{routability:?}: {took:?}");
        assert_eq!(pump.ike_sa(A).spi_i, spi);
        send_for(&mut pump, Duration::from_secs(20));
        assert_eq!(places(&pump), (Some(3), outside(1)));
        pump.assert_connected(1);
    }
}

#[test]
fn of_two_links_with_one_address_the_one_that_goes_down_is_left_at_once() {
    let mut pump = connected_by_twins(ReturnRoutability::Never);
    leave_one(&mut pump, 3);
    pump.run_for(3 * pump.latency);
    assert_eq!(places(&pump), (Some(3), outside(1)));
    pump.assert_connected(1);
}

#[test]
fn a_link_that_comes_again_under_another_number_carries_the_tunnel_again() {
    let mut pump = connected_by_twins(ReturnRoutability::Never);
    pump.sides[A].endpoint.handle_links(pump.now, &[], &[]);
    pump.drain();
    pump.run_for(Duration::from_secs(30));
    pump.homes = vec![(9, outside(0))];
    leave_one(&mut pump, 9);
    send_for(&mut pump, Duration::from_secs(3));
    assert_eq!(
        places(&pump),
        (Some(9), outside(0)),
        "what is bound to an interface that is gone goes nowhere"
    );
    pump.assert_connected(1);
}

#[test]
fn the_answer_tells_by_which_of_two_links_with_one_address_the_tunnel_comes_up() {
    let a = mobile(ReturnRoutability::Never);
    let b = PeerConfig { gateways: Vec::new(), ..responder(&a) };
    let mut pump = Pump::new(config(a), config(b));
    pump.homes = vec![(2, outside(0)), (3, outside(1))];
    pump.set_addresses(B, &[GATEWAY]);
    pump.set_addresses(A, &[HOME, HOME]);
    pump.filter = Box::new(|side, sent| match side {
        A => sent.path.interface == Some(3),
        _ => sent.path.remote.ip() == outside(1),
    });
    pump.command(A, Command::Initiate("b".into()));
    pump.run_for(Duration::from_secs(10));
    assert_eq!(places(&pump), (Some(3), outside(1)));
    pump.assert_connected(1);
}
