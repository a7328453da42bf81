//! What the kernel makes of it, in network namespaces.

use std::net::IpAddr;

use vpnhost_ike::output::HostConfiguration;
use vpnhost_model::{IkeSaId, Role, TrafficSelector};

use super::ground::{Ground, Neighbour};
use super::{Edit, Machine, MachineSettings, Protected};
use crate::config::{ConnectionRouting, DnsMode, Leak, PoolRouting};
use crate::error::DriverError;
use crate::links::source_for;
use crate::routes::Prefix;

pub(crate) const TUN: &str = "vpn0";

fn prefix(text: &str) -> Prefix {
    let (base, length) = text.split_once('/').unwrap();
    (base.parse().unwrap(), length.parse().unwrap())
}

fn selectors(texts: &[&str]) -> Vec<TrafficSelector> {
    let one = |text: &&str| TrafficSelector::prefix(prefix(text).0, prefix(text).1).unwrap();
    texts.iter().map(one).collect()
}

pub(crate) fn protected(remote: &[&str], leak: Leak) -> Protected {
    Protected {
        name: "corp".to_owned(),
        remote: remote.iter().map(|text| prefix(text)).collect(),
        local: Vec::new(),
        on_traffic: false,
        routing: ConnectionRouting { leak, allow_other_family: false },
    }
}

pub(crate) fn settings(tun_index: u32, connections: Vec<Protected>) -> MachineSettings {
    MachineSettings {
        tun_name: TUN.to_owned(),
        tun_index,
        mtu: 1400,
        dns: DnsMode::Auto,
        connections,
        pools: Vec::new(),
        ports: [500, 4500],
        idle_port: None,
    }
}

pub(super) fn configuration(number: u64, addresses: &[&str], remote: &[&str]) -> HostConfiguration {
    let addresses: Vec<(IpAddr, u8)> = addresses.iter().map(|text| prefix(text)).collect();
    HostConfiguration {
        ike_sa: IkeSaId(number),
        connection: "corp".to_owned(),
        role: Role::Initiator,
        local: addresses.iter().map(|(address, _)| TrafficSelector::host(*address)).collect(),
        addresses,
        dns: Vec::new(),
        peer_addresses: Vec::new(),
        remote: selectors(remote),
    }
}

impl Machine {
    pub(super) async fn configure(&mut self, configuration: &HostConfiguration) -> Result<(), DriverError> {
        self.change(&[Edit::Configure(Box::new(configuration.clone()))]).await.remove(0)
    }

    async fn release(&mut self, ike_sa: IkeSaId) -> Result<(), DriverError> {
        self.change(&[Edit::Release(ike_sa)]).await.remove(0)
    }
}

pub(crate) async fn started(settings: MachineSettings) -> Machine {
    Machine::start(settings).await.unwrap()
}

pub(super) fn assert_blocked(ground: Ground, to: &str) {
    let is_blocked = |way: &str| way.contains("unreachable") || way.contains("No route to host");
    let mut way = ground.way(to);
    // A busy kernel takes a TUN's routes away a moment after the TUN; meanwhile they lead nowhere, without a name.
    for _ in 0..50 {
        if is_blocked(&way) || !way.contains(" dev if") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        way = ground.way(to);
    }
    assert!(is_blocked(&way), "{to} is not blocked: {way}");
}

pub(super) fn assert_by(ground: Ground, to: &str, interface: &str) {
    let way = ground.way(to);
    assert!(way.contains(&format!("dev {interface} ")), "{to} does not go by {interface}: {way}");
}

/// Runs a test while a full tunnel is down.
pub(crate) fn with_everything_blocked(test: impl FnOnce(&Neighbour) + Send + 'static) {
    Ground::run(|ground| async move {
        let neighbour = ground.neighbour();
        let tun = ground.tun(TUN);
        let machine = started(settings(tun.index, vec![protected(&["0.0.0.0/0"], Leak::Block)])).await;
        test(&neighbour);
        machine.stop().await;
    });
}

#[test]
fn a_split_tunnel_blocks_comes_up_goes_and_leaves_nothing() {
    Ground::run(|ground| async move {
        let before = ground.traces();
        let tun = ground.tun(TUN);
        let mut machine =
            started(settings(tun.index, vec![protected(&["10.20.0.0/24", "fd20::/64"], Leak::Block)])).await;
        assert_blocked(ground, "10.20.0.10");
        assert_blocked(ground, "fd20::10");
        assert_by(ground, "192.0.2.1", "eth0");

        let tunnel = configuration(1, &["10.30.0.1/24", "fd30::1/112"], &["10.20.0.0/24", "fd20::/64"]);
        machine.configure(&tunnel).await.unwrap();
        assert!(ground.way("10.20.0.10").contains("dev vpn0"), "{}", ground.way("10.20.0.10"));
        assert!(ground.way("10.20.0.10").contains("src 10.30.0.1"));
        assert!(ground.way("fd20::10").contains("src fd30::1"));
        assert_by(ground, "192.0.2.1", "eth0");
        let link = ground.ip("link show vpn0");
        assert!(link.contains("mtu 1400") && link.contains("UP"), "{link}");
        assert!(!ground.ip("addr show vpn0").contains("fe80"), "the TUN has a link-local address");

        machine.configure(&tunnel).await.unwrap();
        machine.release(IkeSaId(1)).await.unwrap();
        assert_blocked(ground, "10.20.0.10");
        assert_blocked(ground, "fd20::10");
        assert!(!ground.ip("addr show vpn0").contains("10.30.0.1"));

        machine.stop().await;
        drop(tun);
        assert_eq!(ground.traces(), before);
    });
}

#[test]
fn a_full_tunnel_leaves_the_local_network_and_its_own_packets_and_blocks_the_other_family() {
    Ground::run(|ground| async move {
        let tun = ground.tun(TUN);
        let mut machine = started(settings(tun.index, vec![protected(&["0.0.0.0/0"], Leak::Block)])).await;
        assert_blocked(ground, "192.0.2.1");
        assert_blocked(ground, "2001:db8::1");
        assert_by(ground, "10.10.0.77", "eth0");
        assert_by(ground, "fd10::77", "eth0");

        machine.configure(&configuration(1, &["10.30.0.1/32"], &["0.0.0.0/0"])).await.unwrap();
        assert_by(ground, "192.0.2.1", "vpn0");
        assert!(ground.way("192.0.2.1").contains("src 10.30.0.1"));
        assert_by(ground, "10.10.0.77", "eth0");
        assert_blocked(ground, "2001:db8::1");
        // What bears the mark goes outside, and so does what the reverse path filter asks for without it.
        let peer = "192.0.2.1".parse().unwrap();
        let (source, _) = source_for(peer, Machine::MARK).await.unwrap();
        assert_eq!(source, "10.10.0.10".parse::<IpAddr>().unwrap());
        assert_eq!(source_for(peer, 0).await, Some(("10.30.0.1".parse().unwrap(), tun.index)));
        for port in ["500", "4500"] {
            assert_by(ground, &format!("192.0.2.1 ipproto udp sport {port} dport 4500"), "eth0");
        }
        // `ip route get` knows no ESP.
        assert!(ground.ip("rule").contains("ipproto esp lookup main"), "{}", ground.ip("rule"));
        assert_by(ground, "192.0.2.1 ipproto tcp sport 4500 dport 4500", "vpn0");
        machine.stop().await;
    });
}

#[test]
fn a_full_tunnel_leaves_the_other_family_alone_where_the_operator_says_so() {
    Ground::run(|ground| async move {
        let tun = ground.tun(TUN);
        let mut connection = protected(&["0.0.0.0/0"], Leak::Block);
        connection.routing.allow_other_family = true;
        let machine = started(settings(tun.index, vec![connection])).await;
        assert_blocked(ground, "192.0.2.1");
        assert_by(ground, "2001:db8::1", "eth0");
        machine.stop().await;
    });
}

#[test]
fn what_a_killed_daemon_left_blocks_until_the_next_start_is_through() {
    Ground::run(|ground| async move {
        let before = ground.traces();
        let tun = ground.tun(TUN);
        let connections = vec![protected(&["10.20.0.0/24", "0.0.0.0/0"], Leak::Block)];
        let mut machine = started(settings(tun.index, connections.clone())).await;
        machine
            .configure(&configuration(1, &["10.30.0.1/32"], &["10.20.0.0/24", "0.0.0.0/0"]))
            .await
            .unwrap();
        assert_by(ground, "10.20.0.10", "vpn0");
        drop(machine);
        drop(tun);
        assert_blocked(ground, "10.20.0.10");
        assert_blocked(ground, "192.0.2.1");
        assert!(ground.tried("nft", "list tables").1.contains("vpnhost_vpn0"));

        Machine::clear_leftovers(TUN).await.unwrap();
        assert_blocked(ground, "10.20.0.10");
        let tun = ground.tun(TUN);
        // The new configuration protects less: what is too much goes, the rest blocks all the time.
        let machine = started(settings(tun.index, vec![protected(&["10.20.0.0/24"], Leak::Block)])).await;
        assert_blocked(ground, "10.20.0.10");
        assert_by(ground, "192.0.2.1", "eth0");
        machine.stop().await;
        drop(tun);
        assert_eq!(ground.traces(), before);
    });
}

#[test]
fn cleanup_takes_what_the_dead_left_and_nothing_of_the_living() {
    Ground::run(|ground| async move {
        let before = ground.traces();
        let (tun, second) = (ground.tun(TUN), ground.tun("other1"));
        let mut dead = started(settings(tun.index, vec![protected(&["0.0.0.0/0"], Leak::Block)])).await;
        dead.configure(&configuration(1, &["10.30.0.1/32"], &["0.0.0.0/0"])).await.unwrap();
        let others = MachineSettings {
            tun_name: "other1".to_owned(),
            ..settings(second.index, vec![protected(&["10.40.0.0/16", "0.0.0.0/0"], Leak::Block)])
        };
        let mut living = started(others).await;
        living.configure(&configuration(1, &["10.30.0.2/32"], &["10.40.0.0/16"])).await.unwrap();
        assert_eq!(crate::cleanup().await.unwrap(), Vec::<String>::new());
        drop(dead);
        drop(tun);
        let done = crate::cleanup().await.unwrap();
        assert!(done.iter().any(|line| line.contains("firewall table of vpn0")), "{done:?}");
        assert!(done.iter().any(|line| line.contains("route")), "{done:?}");
        assert_by(ground, "10.40.0.1", "other1");
        assert_blocked(ground, "192.0.2.1");
        assert_by(ground, "10.10.0.77", "eth0");
        assert!(ground.tried("nft", "list tables").1.contains("vpnhost_other1"));
        drop(living);
        drop(second);
        assert!(!crate::cleanup().await.unwrap().is_empty());
        assert_eq!(ground.traces(), before);
        assert_eq!(crate::cleanup().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_gateway_routes_its_pools_with_its_inner_address_and_masquerades() {
    Ground::run(|ground| async move {
        ground.ip("link add eth1 type veth peer name far1");
        ground.ip("addr add 10.20.0.1/24 dev eth1");
        ground.ip("link set far1 up");
        ground.ip("link set eth1 up");
        let tun = ground.tun(TUN);
        let mut connection = protected(&[], Leak::Block);
        connection.local = vec![prefix("10.20.0.0/24")];
        let mut settings = settings(tun.index, vec![connection]);
        settings.pools =
            vec![PoolRouting { base: "10.30.0.0".parse().unwrap(), prefix_len: 24, masquerade: true }];
        let machine = started(settings).await;
        assert!(ground.way("10.30.0.7").contains("dev vpn0 "), "{}", ground.way("10.30.0.7"));
        assert!(ground.way("10.30.0.7").contains("src 10.20.0.1"), "{}", ground.way("10.30.0.7"));
        let rules = ground.tried("nft", "list ruleset").1;
        assert!(rules.contains("masquerade") && rules.contains("10.30.0.0/24"), "{rules}");
        drop(machine);
        drop(tun);
        assert_blocked(ground, "10.30.0.7");
    });
}

#[test]
fn networks_behind_this_host_stay_where_they_are_within_a_wider_one_behind_the_peer() {
    Ground::run(|ground| async move {
        let tun = ground.tun(TUN);
        let mut connection = protected(&["10.0.0.0/8"], Leak::Block);
        connection.local = vec![prefix("10.10.0.0/24")];
        let machine = started(settings(tun.index, vec![connection])).await;
        assert_by(ground, "10.10.0.77", "eth0");
        assert_blocked(ground, "10.11.0.1");
        machine.stop().await;
    });
}

#[test]
fn a_connection_that_allows_leaks_gets_routes_and_nothing_else() {
    Ground::run(|ground| async move {
        let tun = ground.tun(TUN);
        let mut machine = started(settings(tun.index, vec![protected(&["10.20.0.0/24"], Leak::Allow)])).await;
        assert_by(ground, "10.20.0.10", "eth0");
        assert!(!ground.tried("nft", "list tables").1.contains("vpnhost"));
        machine.configure(&configuration(1, &["10.30.0.1/32"], &["10.20.0.0/24"])).await.unwrap();
        assert_by(ground, "10.20.0.10", "vpn0");
        machine.change(&[Edit::Rename { old: IkeSaId(1), new: IkeSaId(2) }]).await.remove(0).unwrap();
        machine.release(IkeSaId(1)).await.unwrap();
        assert_by(ground, "10.20.0.10", "vpn0");
        machine.release(IkeSaId(2)).await.unwrap();
        assert_by(ground, "10.20.0.10", "eth0");
        machine.stop().await;
    });
}

#[test]
fn a_second_ike_sa_takes_the_first_ones_place_and_back() {
    Ground::run(|ground| async move {
        let tun = ground.tun(TUN);
        let mut machine = started(settings(tun.index, vec![protected(&["10.20.0.0/24"], Leak::Block)])).await;
        machine.configure(&configuration(1, &["10.30.0.1/32"], &["10.20.0.0/24"])).await.unwrap();
        machine.configure(&configuration(2, &["10.30.0.2/32"], &["10.20.0.0/24"])).await.unwrap();
        assert!(ground.way("10.20.0.10").contains("src 10.30.0.2"), "{}", ground.way("10.20.0.10"));
        machine.release(IkeSaId(2)).await.unwrap();
        assert!(ground.way("10.20.0.10").contains("src 10.30.0.1"), "{}", ground.way("10.20.0.10"));
        machine.stop().await;
    });
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    Ground::run(|ground| async move {
        let before = ground.traces();
        let refused = Machine::start(settings(4711, vec![protected(&["10.20.0.0/24"], Leak::Block)])).await;
        assert!(
            matches!(refused, Err(DriverError::Netlink { action: "bring the TUN up", .. })),
            "{refused:?}"
        );
        let tun = ground.tun(TUN);
        let mut pools = settings(tun.index, vec![protected(&["10.20.0.0/24"], Leak::Block)]);
        pools.pools =
            vec![PoolRouting { base: "10.30.0.7".parse().unwrap(), prefix_len: 24, masquerade: false }];
        assert!(Machine::start(pools).await.is_err(), "a pool with host bits is no prefix");
        drop(tun);
        assert_eq!(ground.traces(), before);
    });
}

#[test]
fn a_reload_changes_what_is_protected() {
    Ground::run(|ground| async move {
        let tun = ground.tun(TUN);
        let mut machine = started(settings(tun.index, vec![protected(&["10.20.0.0/24"], Leak::Block)])).await;
        machine.reload(settings(tun.index, vec![protected(&["10.21.0.0/24"], Leak::Block)])).await.unwrap();
        assert_by(ground, "10.20.0.10", "eth0");
        assert_blocked(ground, "10.21.0.10");
        machine.stop().await;
    });
}

#[test]
fn a_reload_that_fails_leaves_what_was_protected_and_nothing_else() {
    Ground::run(|ground| async move {
        let tun = ground.tun(TUN);
        let mut machine = started(settings(tun.index, vec![protected(&["10.20.0.0/24"], Leak::Block)])).await;
        let before = ground.traces();
        let mut bad = settings(tun.index, vec![protected(&["10.21.0.0/24"], Leak::Block)]);
        // With host bits it is no prefix.
        bad.pools =
            vec![PoolRouting { base: "10.30.0.7".parse().unwrap(), prefix_len: 24, masquerade: true }];
        assert!(machine.reload(bad).await.is_err());
        assert_eq!(ground.traces(), before);
        machine.configure(&configuration(1, &["10.30.0.1/32"], &["10.20.0.0/24"])).await.unwrap();
        assert_by(ground, "10.20.0.10", TUN);
        machine.stop().await;
    });
}

/// Returns how many echo requests the namespace's stack has taken, of both families.
fn echos() -> u64 {
    let v4 = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = v4.lines().filter_map(|line| line.strip_prefix("Icmp: "));
    let place = lines.next().unwrap().split(' ').position(|name| name == "InEchos").unwrap();
    let v4: u64 = lines.next().unwrap().split(' ').nth(place).unwrap().parse().unwrap();
    let v6 = std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
    let v6 = v6.lines().find_map(|line| line.strip_prefix("Icmp6InEchos")).unwrap();
    v4 + v6.trim().parse::<u64>().unwrap()
}

#[test]
fn cleartext_that_pretends_to_come_out_of_a_tunnel_is_dropped() {
    Ground::run(|ground| async move {
        let neighbour = ground.neighbour();
        for address in ["10.20.0.99/32", "fd20::99/128", "192.0.2.99/32"] {
            neighbour.run(&format!("ip addr add {address} dev lo"));
        }
        neighbour.run("ip route add 10.30.0.1/32 via 10.10.0.10");
        neighbour.run("ip -6 route add fd30::1/128 via fd10::10");
        let tun = ground.tun(TUN);
        let taken = |from: &str, to: &str| {
            let before = echos();
            neighbour.tried(&format!("ping -c 2 -i 0.05 -W 1 -I {from} {to}"));
            echos() - before
        };
        for (leak, expected) in [(Leak::Allow, 2), (Leak::Block, 0)] {
            let mut machine =
                started(settings(tun.index, vec![protected(&["10.20.0.0/24", "fd20::/64"], leak)])).await;
            let both = ["10.30.0.1/32", "fd30::1/128"];
            machine.configure(&configuration(1, &both, &["10.20.0.0/24", "fd20::/64"])).await.unwrap();
            assert_eq!(taken("10.20.0.99", "10.30.0.1"), expected, "{leak:?}");
            assert_eq!(taken("fd20::99", "fd30::1"), expected, "{leak:?}");
            assert_eq!(
                taken("192.0.2.99", "10.30.0.1"),
                expected,
                "from elsewhere to the virtual address, {leak:?}"
            );
            assert_eq!(taken("10.10.0.1", "10.10.0.10"), 2, "of the local network");
            machine.stop().await;
        }
    });
}

#[test]
fn between_protected_networks_nothing_passes_in_clear_and_the_local_network_is_left_alone() {
    Ground::run(|ground| async move {
        let neighbour = ground.neighbour();
        neighbour.run("ip addr add 10.20.0.99/32 dev lo");
        let tun = ground.tun(TUN);
        let mut connection = protected(&["10.0.0.0/8"], Leak::Block);
        connection.local = vec![prefix("10.10.0.0/24")];
        let machine = started(settings(tun.index, vec![connection])).await;
        let before = echos();
        neighbour.tried("ping -c 2 -i 0.05 -W 1 -I 10.20.0.99 10.10.0.10");
        assert_eq!(echos() - before, 0, "from behind the peer, outside the tunnel");
        neighbour.run("ping -c 2 -i 0.05 -W 1 10.10.0.10");
        machine.stop().await;
    });
}

#[test]
fn a_reverse_path_filter_lets_the_peers_answers_in_while_everything_is_blocked() {
    Ground::run(|ground| async move {
        let neighbour = ground.neighbour();
        neighbour.run("ip addr add 192.0.2.1/32 dev lo");
        neighbour.run("ip route add 10.10.0.10/32 dev far0 src 192.0.2.1");
        // Whoever asks for a link address from outside the local network is not answered by a strict filter.
        neighbour.run("ping -c 1 -W 1 -I 10.10.0.1 10.10.0.10");
        let tun = ground.tun(TUN);
        let machine = started(settings(tun.index, vec![protected(&["0.0.0.0/0"], Leak::Block)])).await;
        let ike = std::net::UdpSocket::bind("0.0.0.0:4500").unwrap();
        let other = std::net::UdpSocket::bind("0.0.0.0:4501").unwrap();
        for socket in [&ike, &other] {
            socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        }
        // Strict, and loose as distributions have it.
        for filter in ["1", "2"] {
            std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", filter).unwrap();
            neighbour.send("10.10.0.10/4501");
            neighbour.send("10.10.0.10/4500");
            assert_eq!(ike.recv(&mut [0; 16]).unwrap(), 6, "rp_filter {filter}");
            assert!(other.recv(&mut [0; 16]).is_err(), "the filter does not filter: this proves nothing");
        }
        machine.stop().await;
    });
}

#[test]
fn a_machine_without_ipv6_gets_what_it_can_hold() {
    Ground::run(|ground| async move {
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        let tun = ground.tun(TUN);
        let both = ["10.20.0.0/24", "fd20::/64"];
        let tunnel = configuration(1, &["10.30.0.1/32", "fd30::1/128"], &both);
        // First the TUN alone is without, as on a machine that gives IPv6 to chosen interfaces only.
        let mut machine = started(settings(tun.index, vec![protected(&both, Leak::Block)])).await;
        machine.configure(&tunnel).await.unwrap();
        assert_by(ground, "10.20.0.10", "vpn0");
        assert_blocked(ground, "fd20::10");
        machine.stop().await;
        std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        let mut machine = started(settings(tun.index, vec![protected(&both, Leak::Block)])).await;
        machine.configure(&tunnel).await.unwrap();
        assert_by(ground, "10.20.0.10", "vpn0");
        machine.release(IkeSaId(1)).await.unwrap();
        assert_blocked(ground, "10.20.0.10");
        machine.stop().await;
    });
}
