//! Virtual addresses from a pool: for each client another, kept while it is connected, given back after.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vpnhost_ike::{Command, EndpointConfig, Event, PeerIdentity, PoolConfig, RequestAddress, SelectorConfig};
use vpnhost_kit::configuration::{A_ADDRESS, B_ADDRESS, address, endpoint, identity, initiator, responder};
use vpnhost_kit::simulation::settings;
use vpnhost_kit::{InnerPacket, Nat, Simulation};

use crate::world::{children, secs};

/// The gateway is the first host here.
const GATEWAY: usize = 0;

/// A gateway with a pool of so many addresses' prefix, and clients behind one NAT.
fn gateway_with(clients: usize, prefix_len: u8) -> Simulation {
    let mut simulation = Simulation::new(9);
    let mut connection = responder(&client(0));
    connection.name = "clients".into();
    connection.gateways.clear();
    connection.initiate = false;
    connection.peer_id = PeerIdentity::Any;
    let pool = PoolConfig {
        name: "road".into(),
        base: address("10.99.0.0"),
        prefix_len,
        dns: vec![address("10.2.0.53")],
    };
    let config = EndpointConfig { pools: vec![pool], ..endpoint(connection) };
    simulation.start(settings(B_ADDRESS, config, 1));
    let inside: Vec<IpAddr> = (0..clients).map(client_address).collect();
    simulation.network.nats.push(Nat::new(&inside, address("198.51.100.7"), secs(60)));
    for number in 0..clients {
        let config = endpoint(client(number));
        simulation.start(settings(&client_address(number).to_string(), config, number as u64 + 2));
    }
    simulation
}

fn client_address(number: usize) -> IpAddr {
    IpAddr::from([192, 168, 1, 10 + number as u8])
}

fn client(number: usize) -> vpnhost_ike::PeerConfig {
    let mut children = children();
    children.truncate(1);
    children[0].local = vec![SelectorConfig::Dynamic];
    let mut client = initiator(children);
    client.local_id = identity(&format!("client{number}.lab"));
    client.request_address = RequestAddress { v4: true, v6: false };
    client
}

fn virtual_address(simulation: &Simulation, host: usize) -> IpAddr {
    simulation.ike_sa(host).addresses[0].0
}

#[test]
fn clients_behind_one_nat_get_addresses_of_their_own_and_reach_the_network() {
    let mut simulation = gateway_with(5, 24);
    simulation.run_for(secs(5));
    assert_eq!(simulation.established(GATEWAY).len(), 5);
    let addresses: BTreeSet<IpAddr> = (1..=5).map(|host| virtual_address(&simulation, host)).collect();
    assert_eq!(addresses.len(), 5);
    for host in 1..=5 {
        let source = virtual_address(&simulation, host);
        let packet = InnerPacket { source, destination: address("10.2.0.9"), number: host as u64 };
        assert!(simulation.send_inner(host, &packet.encode()));
        simulation.run_for(secs(1));
        assert!(simulation.hosts[GATEWAY].delivered.contains(&packet.encode()));
        assert!(simulation.send_inner(GATEWAY, &packet.back().encode()));
        simulation.run_for(secs(1));
        assert_eq!(simulation.hosts[host].delivered, [packet.back().encode()], "to this one alone");
    }
}

#[test]
fn a_client_that_pretends_to_be_another_is_not_heard() {
    let mut simulation = gateway_with(2, 24);
    simulation.run_for(secs(5));
    let other = virtual_address(&simulation, 2);
    let packet = InnerPacket { source: other, destination: address("10.2.0.9"), number: 1 };
    assert!(!simulation.send_inner(1, &packet.encode()), "its own host has no SA for it");
    assert_eq!(simulation.hosts[1].dropped("no_sa"), 1);
}

#[test]
fn an_address_stays_through_a_rekey_and_goes_back_at_the_end() {
    let mut simulation = gateway_with(2, 30);
    simulation.run_for(secs(5));
    let (first, second) = (virtual_address(&simulation, 1), virtual_address(&simulation, 2));
    let sa = simulation.ike_sa(1).id;
    simulation.command(1, Command::RekeyIkeSa(sa));
    simulation.run_for(secs(5));
    assert_eq!(virtual_address(&simulation, 1), first);
    assert_eq!(simulation.hosts[1].configured.len(), 1);
    // The pool has two addresses: a third client gets the one that the first gives back.
    let config = endpoint(client(2));
    simulation.start(settings(A_ADDRESS, config, 50));
    simulation.run_for(secs(5));
    // It is authenticated, and stands without an address.
    assert!(simulation.ike_sa(3).children.is_empty());
    let exhausted =
        |event: &Event| matches!(event, Event::ChildSaFailed { reason, .. } if reason.code() == "pool-empty");
    assert!(simulation.saw(3, exhausted), "{:?}", simulation.hosts[3].events);
    simulation.command(1, Command::Terminate("b".into()));
    simulation.run_for(secs(90));
    assert_eq!(virtual_address(&simulation, 3), first);
    assert_eq!(virtual_address(&simulation, 2), second);
}
