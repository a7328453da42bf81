//! Between network namespaces, with real TUN devices: what needs root.

use std::process::{Child, Stdio};

use vpnhost_ike::output::TransmitKind;
use vpnhost_model::{Encapsulation, Path};

use super::super::tally::Tally;
use super::super::{DataPlane, FromPath, News};
use super::namespace::Space;
use super::*;
use crate::error::DriverError;

/// Two namespaces with a packet path each, and a pair of SAs between them.
struct Tunnel {
    spaces: [Space; 2],
    planes: [DataPlane; 2],
    from_paths: [FromPath; 2],
}

/// A cable's addresses, which are also those of the outside.
const CABLE: [(&str, &str); 2] =
    [("left0", "192.0.2.1/24 2001:db8::1/64"), ("right0", "192.0.2.2/24 2001:db8::2/64")];

impl Tunnel {
    fn start(spaces: [Space; 2], outside: [&str; 2], encapsulation: Encapsulation) -> Self {
        let started =
            spaces.each_ref().map(|space| space.start(settings(&["0.0.0.0", "::"], [500, 4500])).unwrap());
        let [(left, from_left), (right, from_right)] = started;
        let planes = [left, right];
        let outside = outside.map(|ip| std::net::SocketAddr::new(ip.parse().unwrap(), 4500));
        for here in 0..2 {
            let path =
                Path { local: outside[here], remote: outside[1 - here], interface: None, encapsulation };
            let spis = [0x3001, 0x3002];
            let end = End { id: 1, spi_in: spis[here], spi_out: spis[1 - here], path };
            let (inbound, outbound) = end.sas();
            planes[here].install(inbound, outbound).unwrap();
            planes[here].activate(ChildSaId(1));
        }
        for (here, space) in spaces.iter().enumerate() {
            space.ip(&format!("address add 10.{}.0.1/32 dev vpn0", here + 1));
            space.ip(&format!("address add fd00:{}::1/128 dev vpn0 nodad", here + 1));
            space.ip("link set vpn0 mtu 1400 up");
            space.ip(&format!("route add 10.{}.0.0/24 dev vpn0 src 10.{}.0.1", 2 - here, here + 1));
            space.ip(&format!("route add fd00:{}::/64 dev vpn0 src fd00:{}::1", 2 - here, here + 1));
        }
        Self { spaces, planes, from_paths: [from_left, from_right] }
    }

    /// Makes one over a cable.
    fn over_cable(test: &str, outside: [&str; 2], encapsulation: Encapsulation) -> Option<Self> {
        let spaces = Space::some(test)?;
        let [left, right] = &spaces;
        left.connect(right, CABLE);
        Some(Self::start(spaces, outside, encapsulation))
    }

    /// Carries an IKE datagram that is larger than the path: IP fragments it.
    fn carry_ike(&mut self, outside: [&str; 2]) {
        let [local, remote] = outside.map(|ip| std::net::SocketAddr::new(ip.parse().unwrap(), 500));
        let path = Path { local, remote, interface: None, encapsulation: Encapsulation::Raw };
        self.planes[0].transmit(&path, &[7; 4000], TransmitKind::Ike).unwrap();
        let datagram = wait_for("IKE", || self.from_paths[1].datagrams.try_recv().ok());
        assert_eq!((datagram.path.local, datagram.path.remote), (remote, local));
        assert!(datagram.octets == [7; 4000]);
    }

    fn ping(&self, words: &str) {
        self.spaces[0].run(&format!("ping -q -i 0.01 -W 2 {words}"));
    }

    /// Fails if anything was dropped that need not be.
    fn check_drops(&self) {
        for (name, value) in self.planes.iter().flat_map(DataPlane::all_counters) {
            // The kernel greets a new interface by multicast, which the other end may not take yet.
            let is_usual = ["drop_no_sa", "drop_malformed_inner", "drop_tun_down"].contains(&name.as_str());
            assert!(!name.starts_with("drop_") || value == 0 || is_usual, "{name} = {value}");
        }
    }

    /// Carries TCP for two seconds; returns Mbit/s. `None` without iperf3, which is said.
    fn iperf(&self, server: &str, words: &str) -> Option<f64> {
        let listening = self.spaces[1].command(&format!("iperf3 -s -1 -B {server}"));
        let Ok(listening) = { listening }.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            eprintln!("skipped: there is no program ip");
            return None;
        };
        let listening = Ended(listening);
        if self.spaces[0].output("iperf3 --version").stdout.is_empty() {
            eprintln!("skipped: there is no program iperf3");
            return None;
        }
        let client = format!("iperf3 -J -t 2 -C cubic -c {server} {words}");
        let said = wait_for("iperf3", || {
            let output = self.spaces[0].output(&client);
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        drop(listening);
        let (_, received) = said.split_once("\"sum_received\"")?;
        let (_, rate) = received.split_once("\"bits_per_second\":")?;
        let rate = rate.trim_start().split([',', '\n']).next()?;
        rate.trim().parse().ok().map(|rate: f64| rate / 1e6)
    }
}

/// A process that does not outlive the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ping_and_tcp_pass_in_udp_of_both_families() {
    for (test, outside) in [("u4", ["192.0.2.1", "192.0.2.2"]), ("u6", ["2001:db8::1", "2001:db8::2"])] {
        let Some(mut tunnel) = Tunnel::over_cable(test, outside, Encapsulation::Udp) else { return };
        tunnel.carry_ike(outside);
        tunnel.ping("-c 20 10.2.0.1");
        tunnel.ping("-c 20 -s 4000 fd00:2::1");
        // Larger than the tunnel: fragmented by the kernel, or by us where the packet's sender may not.
        tunnel.ping("-c 5 -s 3000 10.2.0.1");
        for (server, words) in [("10.2.0.1", ""), ("10.2.0.1", "-R"), ("fd00:2::1", "")] {
            let Some(rate) = tunnel.iperf(server, words) else { break };
            println!("outside {}, inside {server} {words}: {rate:.0} Mbit/s", outside[0]);
            assert!(rate > 10.0);
        }
        tunnel.check_drops();
    }
}

#[test]
fn ping_and_tcp_pass_as_protocol_50_of_both_families() {
    for (test, outside) in [("r4", ["192.0.2.1", "192.0.2.2"]), ("r6", ["2001:db8::1", "2001:db8::2"])] {
        let Some(tunnel) = Tunnel::over_cable(test, outside, Encapsulation::Raw) else { return };
        tunnel.ping("-c 20 10.2.0.1");
        tunnel.ping("-c 5 -s 3000 fd00:2::1");
        if let Some(rate) = tunnel.iperf("10.2.0.1", "") {
            println!("outside {} raw: {rate:.0} Mbit/s", outside[0]);
        }
        tunnel.check_drops();
    }
}

#[test]
fn a_narrow_path_is_learned_and_the_sender_is_told() {
    let Some(spaces) = Space::some::<3>("m") else { return };
    let [left, router, right] = &spaces;
    left.connect(router, [("left0", "192.0.2.1/24"), ("to_left", "192.0.2.9/24")]);
    right.connect(router, [("right0", "198.51.100.2/24"), ("to_right", "198.51.100.9/24")]);
    router.run("sysctl -qw net.ipv4.ip_forward=1");
    router.ip("link set to_right mtu 1300");
    right.ip("link set right0 mtu 1300");
    left.ip("route add default via 192.0.2.9");
    right.ip("route add default via 198.51.100.9");
    let [left, _router, right] = spaces;
    let tunnel = Tunnel::start([left, right], ["192.0.2.1", "198.51.100.2"], Encapsulation::Udp);
    // The first packet that does not fit tells; what follows is fragmented, or its sender is told.
    tunnel.spaces[0].output("ping -q -c 1 -W 1 -s 1300 10.2.0.1");
    wait_for("the ICMP error", || (tunnel.planes[0].shared.tallies.count(Tally::IcmpIn) > 0).then_some(()));
    tunnel.ping("-c 5 -s 1300 -M dont 10.2.0.1");
    let refused = tunnel.spaces[0].output("ping -c 2 -W 1 -s 1300 -M do 10.2.0.1");
    let said = [refused.stdout, refused.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("mtu"), "{}", String::from_utf8_lossy(&said));
    if let Some(rate) = tunnel.iperf("10.2.0.1", "") {
        println!("over a path of 1300 octets: {rate:.0} Mbit/s");
        assert!(rate > 10.0);
    }
}

#[test]
fn an_interface_that_is_deleted_ends_the_packet_path_and_that_is_told() {
    let Some([space]) = Space::some("d") else { return };
    let (plane, mut from_path) = space.start(settings(&["127.0.0.1"], [0, 0])).unwrap();
    space.ip("link delete vpn0");
    let news = wait_for("the failure", || from_path.news.try_recv().ok());
    assert!(matches!(&news, News::Failed(why) if why.contains("vpn0")), "{news:?}");
    let path = Path {
        local: "127.0.0.1:4500".parse().unwrap(),
        remote: "127.0.0.2:4500".parse().unwrap(),
        interface: None,
        encapsulation: Encapsulation::Udp,
    };
    wait_for("the refusal of a new SA", || {
        let (inbound, outbound) = End { id: 1, spi_in: 0x3001, spi_out: 0x3002, path }.sas();
        plane.install(inbound, outbound).is_err().then_some(())
    });
}

#[test]
fn an_interface_is_of_one_host_and_is_gone_with_it() {
    let Some([space]) = Space::some("b") else { return };
    let (plane, _from_path) = space.start(settings(&["127.0.0.1"], [0, 0])).unwrap();
    let (name, index) = plane.tun();
    assert!(space.run("ip link show vpn0").starts_with(&format!("{index}: {name}:")));
    let error = space.start(settings(&["127.0.0.1"], [0, 0])).map(drop).unwrap_err();
    assert!(matches!(&error, DriverError::TunBusy(name) if name == "vpn0"), "{error}");
    let ports = plane.ports();
    let error = space.start(settings(&["127.0.0.1"], ports)).map(drop).unwrap_err();
    assert!(matches!(&error, DriverError::PortBusy(address) if address.port() == ports[0]), "{error}");
    plane.stop();
    assert!(!space.output("ip link show vpn0").status.success());
}
