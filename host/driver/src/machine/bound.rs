//! Whoever binds a socket to an interface or to a port of the tunnel does not get past it (in network namespaces).

use std::net::UdpSocket;

use super::Machine;
use super::ground::{Ground, Neighbour};
use super::tests::{TUN, configuration, protected, settings, started};
use crate::config::Leak;

/// Tells whether an address beyond the uplink answers to whoever asks by way of it.
fn answers(ground: Ground, options: &str, to: &str) -> bool {
    ground.tried("ping", &format!("-I eth0 {options} -c 3 -i 0.2 -W 1 {to}")).0
}

/// Tells whether the kernel lets a datagram from a port of the tunnel out.
fn leaves_from_port(port: u16, to: &str) -> bool {
    let any = if to.starts_with('[') { "::" } else { "0.0.0.0" };
    UdpSocket::bind((any, port)).unwrap().send_to(b"clear", to).is_ok()
}

/// A neighbour that has the addresses behind the peer too: what leaks is answered.
fn tempting(ground: Ground) -> Neighbour {
    let neighbour = ground.neighbour();
    for address in ["10.20.0.10/32", "192.0.2.1/32"] {
        neighbour.run(&format!("ip addr add {address} dev far0"));
    }
    for address in ["fd20::10/128", "2001:db8::1/128"] {
        neighbour.run(&format!("ip addr add {address} dev far0 nodad"));
    }
    neighbour
}

#[test]
fn what_a_split_tunnel_protects_does_not_leave_by_another_interface() {
    Ground::run(|ground| async move {
        let _neighbour = tempting(ground);
        let protected_answers =
            || ["10.20.0.10", "fd20::10"].into_iter().filter(|to| answers(ground, "", to));
        let leaks = || {
            let ports = [500, 4500].into_iter().flat_map(|port| {
                ["10.20.0.10:9", "[fd20::10]:9"].into_iter().filter(move |to| leaves_from_port(port, to))
            });
            protected_answers().chain(ports).collect::<Vec<_>>()
        };
        assert_eq!(leaks().len(), 6, "without a tunnel everything is answered");
        let tun = ground.tun(TUN);
        let protects = vec![protected(&["10.20.0.0/24", "fd20::/64"], Leak::Block)];
        let mut machine = started(settings(tun.index, protects)).await;
        assert!(leaks().is_empty(), "while it is down: {:?}", leaks());
        let up = configuration(1, &["10.30.0.1/24", "fd30::1/112"], &["10.20.0.0/24", "fd20::/64"]);
        machine.configure(&up).await.unwrap();
        // From a port of the tunnel it goes out by the tunnel, or not at all.
        assert_eq!(protected_answers().next(), None, "while it is up");
        assert!(answers(ground, "", "10.10.0.1") && answers(ground, "", "192.0.2.1"), "the rest is reached");
        assert!(answers(ground, "", "fd10::1") && answers(ground, "", "2001:db8::1"));
        // The tunnel's own packets: to a peer within what it protects.
        assert!(answers(ground, &format!("-m {}", Machine::MARK), "10.20.0.10"));
        drop(machine);
        drop(tun);
        assert!(leaks().is_empty(), "after a crash: {:?}", leaks());
    });
}

#[test]
fn a_full_tunnel_lets_only_the_local_network_be_reached_by_an_interface() {
    Ground::run(|ground| async move {
        let _neighbour = tempting(ground);
        let tun = ground.tun(TUN);
        let machine = started(settings(tun.index, vec![protected(&["0.0.0.0/0"], Leak::Block)])).await;
        let outside = |when: &str| {
            for to in ["10.20.0.10", "192.0.2.1", "fd20::10", "2001:db8::1"] {
                assert!(!answers(ground, "", to), "{to} is reached {when}");
            }
            assert!(!leaves_from_port(4500, "192.0.2.1:9"), "{when}");
            assert!(answers(ground, "", "10.10.0.1"), "the local network is lost {when}");
            assert!(answers(ground, "", "fd10::1"), "the local network is lost {when}");
            assert!(
                answers(ground, &format!("-m {}", Machine::MARK), "192.0.2.1"),
                "the peer is lost {when}"
            );
        };
        outside("while it is down");
        drop(machine);
        drop(tun);
        outside("after a crash");
    });
}

#[test]
fn another_local_network_is_reached_beside_a_full_tunnel_once_its_address_is_there() {
    Ground::run(|ground| async move {
        let neighbour = tempting(ground);
        neighbour.run("ip addr add 10.11.0.1/24 dev far0");
        let tun = ground.tun(TUN);
        let mut machine = started(settings(tun.index, vec![protected(&["0.0.0.0/0"], Leak::Block)])).await;
        assert!(!answers(ground, "", "10.11.0.1"));
        ground.ip("addr add 10.11.0.10/24 dev eth0");
        machine.renew().await.unwrap();
        assert!(answers(ground, "", "10.11.0.1"));
        machine.stop().await;
        assert!(answers(ground, "", "192.0.2.1"), "nothing is left of it");
    });
}
