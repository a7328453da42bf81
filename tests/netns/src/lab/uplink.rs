//! The client's uplinks where it has two, and what can happen to each: it goes down, loses its address, dies silently,
//! gets another MTU, or the NAT behind it forgets.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Lab, link};
use crate::link::Wire;
use crate::translator::{self, Translator, dns::Dns};
use crate::{Namespace, wait};

/// A way from the client to the router.
#[derive(Debug)]
pub struct Uplink {
    /// The client's interface.
    pub interface: &'static str,
    /// The client's address on it.
    pub address: &'static str,
    /// The same in IPv6, where that was asked for.
    pub address_v6: &'static str,
    /// The router's interface, its address and its IPv6 address.
    router: (&'static str, &'static str, &'static str),
    /// How far the client's default route by it stands behind.
    metric: u32,
}

/// The uplinks, the better one first.
pub const UPLINKS: [Uplink; 2] = [
    Uplink {
        interface: "eth0",
        address: "10.1.0.10",
        address_v6: "fd01::10",
        router: ("in0", "10.1.0.1", "fd01::1"),
        metric: 100,
    },
    Uplink {
        interface: "eth1",
        address: "10.2.0.10",
        address_v6: "fd02::10",
        router: ("in1", "10.2.0.1", "fd02::1"),
        metric: 200,
    },
];

impl Lab {
    /// Gives the outside links IPv6 beside IPv4.
    pub fn add_ipv6(&self) -> Result<()> {
        let add = |space: &Namespace, address: &str, interface: &str| {
            space.run(&format!("ip addr add {address}/64 dev {interface} nodad")).map(drop)
        };
        let inet = self.router()?;
        add(inet, "fd10::fe", "out")?;
        add(&self.moon, super::MOON_V6, "eth0")?;
        self.moon.run("ip -6 route add default via fd10::fe dev eth0 metric 100")?;
        for uplink in &UPLINKS {
            add(inet, uplink.router.2, uplink.router.0)?;
            self.set_ipv6(uplink)?;
        }
        Ok(())
    }

    /// Leaves IPv4 alone to the first uplink and IPv6 alone to the second, while the gateway has both.
    pub fn part_families(&self) -> Result<()> {
        self.add_ipv6()?;
        let [first, second] = &UPLINKS;
        self.carol.run(&format!("ip -6 addr flush dev {}", first.interface))?;
        self.carol.run(&format!("ip -4 addr flush dev {}", second.interface)).map(drop)
    }

    /// Makes the second uplink's network one of IPv6 alone with a NAT64, beside the first one's of IPv4 alone; the gateway
    /// has IPv4 alone. The client's programs ask the DNS servers of both networks.
    pub fn make_nat64(&self, dns_ttl: u32) -> Result<(Translator, Dns)> {
        let [first, second] = &UPLINKS;
        let inet = self.router()?;
        self.carol.run(&format!("ip -4 addr flush dev {}", second.interface))?;
        inet.run(&format!("ip addr add {}/64 dev {} nodad", second.router.2, second.router.0))?;
        self.set_ipv6(second)?;
        let prefix = translator::dns::prefix();
        let servers = format!("nameserver {}\nnameserver {}\n", first.router.1, second.router.2);
        std::fs::write(self.carol.resolv_conf(), servers)?;
        let translator = Translator::start(inet, prefix, super::NAT64.parse()?)?;
        Ok((translator, Dns::start(inet, dns_ttl, Some(prefix))?))
    }

    /// Takes the first uplink down and the second up, or the other way round, where each has one family.
    ///
    /// The one that comes has a router that was heard of, as by DHCP and router advertisements: on a link that has just come
    /// up the kernel may lose the first packets, and asks for the router's link address again only after a second.
    pub fn change_family(&self, to_ipv6: bool) -> Result<()> {
        let (comes, goes) = if to_ipv6 { (&UPLINKS[1], 0) } else { (&UPLINKS[0], 1) };
        self.carol.run(&format!("ip link set {} up", comes.interface))?;
        if to_ipv6 {
            self.set_ipv6(comes)?;
        } else {
            self.set_route(comes)?;
        }
        let router = if to_ipv6 { comes.router.2 } else { comes.router.1 };
        wait::until_true("the router's answer", Duration::from_secs(5), || {
            Ok(self.carol.succeeds(&format!("ping -n -c 1 -W 1 -I {} {router}", comes.interface)))
        })?;
        self.link_down(goes)
    }

    fn set_ipv6(&self, uplink: &Uplink) -> Result<()> {
        let Uplink { interface, address_v6, router, metric, .. } = uplink;
        self.carol.run(&format!("ip addr replace {address_v6}/64 dev {interface} nodad"))?;
        let route = format!("ip -6 route replace default via {} dev {interface} metric {metric}", router.2);
        self.carol.run(&route).map(drop)
    }

    /// Lays a wire, which can be made bad, in the place of an uplink's veth pair.
    pub fn lay_wire(&self, number: usize) -> Result<Wire> {
        let (uplink, inet) = (&UPLINKS[number], self.router()?);
        self.carol.run(&format!("ip link del {}", uplink.interface))?;
        let (near, far) = (uplink.interface, uplink.router.0);
        let wire = Wire::join((self.carol.name(), near), (inet.name(), far), number as u64 + 1)?;
        inet.run(&format!("ip addr add {}/24 dev {far}", uplink.router.1))?;
        self.carol.run(&format!("ip addr add {}/24 dev {near}", uplink.address))?;
        self.set_route(uplink)?;
        Ok(wire)
    }

    /// Puts a home router before the second uplink that gives the client the address which it has on the first one already.
    pub fn make_twins(&self) -> Result<Namespace> {
        let ([first, second], inet) = (&UPLINKS, self.router()?);
        let home = Namespace::create(self.carol.name().replace("carol", "home"))?;
        home.forward()?;
        self.carol.run(&format!("ip link del {}", second.interface))?;
        let [own, router] = [first.address, first.router.1].map(|address| format!("{address}/24"));
        link((&self.carol, second.interface, &[&own]), (&home, "lan", &[&router]))?;
        let [outside, provider] = [second.address, second.router.1].map(|address| format!("{address}/24"));
        link((&home, "wan", &[&outside]), (inet, second.router.0, &[&provider]))?;
        home.run(&format!("ip route add default via {} dev wan", second.router.1))?;
        home.nft(
            "table ip nat { chain post { type nat hook postrouting priority srcnat;\n\
             oifname \"wan\" masquerade\n}\n}\n",
        )?;
        let (router, interface, metric) = (first.router.1, second.interface, second.metric);
        self.carol.run(&format!("ip route add default via {router} dev {interface} metric {metric}"))?;
        Ok(home)
    }

    /// Takes an uplink down, which takes its routes away.
    pub fn link_down(&self, number: usize) -> Result<()> {
        self.carol.run(&format!("ip link set {} down", UPLINKS[number].interface)).map(drop)
    }

    /// Brings it up again, with its routes.
    pub fn link_up(&self, number: usize) -> Result<()> {
        let uplink = &UPLINKS[number];
        self.carol.run(&format!("ip link set {} up", uplink.interface))?;
        if self.has_ipv6()? {
            self.set_ipv6(uplink)?;
        }
        self.set_route(uplink)
    }

    fn has_ipv6(&self) -> Result<bool> {
        Ok(self.moon.run("ip -6 addr show dev eth0")?.contains(super::MOON_V6))
    }

    pub(super) fn set_route(&self, uplink: &Uplink) -> Result<()> {
        let Uplink { interface, router, metric, .. } = uplink;
        let route = format!("ip route replace default via {} dev {interface} metric {metric}", router.1);
        self.carol.run(&route).map(drop)
    }

    /// Gives an uplink a further IPv4 address of its network.
    pub fn add_address(&self, number: usize, address: &str) -> Result<()> {
        let uplink = &UPLINKS[number];
        self.carol.run(&format!("ip addr add {address}/24 dev {}", uplink.interface))?;
        self.set_route(uplink)
    }

    /// Takes an IPv4 address from an uplink; with the last one go its routes.
    pub fn remove_address(&self, number: usize, address: &str) -> Result<()> {
        self.carol.run(&format!("ip addr del {address}/24 dev {}", UPLINKS[number].interface)).map(drop)
    }

    /// Lets nothing more through between an uplink and the gateway, either way, and says so to nobody.
    pub fn cut(&self, number: usize) -> Result<()> {
        let interface = UPLINKS[number].router.0;
        self.router()?.nft(&format!(
            "table inet cut{number} {{ chain cut {{ type filter hook forward priority 0;\n\
             iifname \"{interface}\" drop\noifname \"{interface}\" drop\n}}\n}}\n"
        ))
    }

    /// Lets it through again.
    pub fn restore(&self, number: usize) -> Result<()> {
        self.router()?.run(&format!("nft delete table inet cut{number}")).map(drop)
    }

    /// Sets the MTU of an uplink at both of its ends.
    pub fn set_mtu(&self, number: usize, octets: u32) -> Result<()> {
        let uplink = &UPLINKS[number];
        self.carol.run(&format!("ip link set {} mtu {octets}", uplink.interface))?;
        self.router()?.run(&format!("ip link set {} mtu {octets}", uplink.router.0)).map(drop)
    }

    /// Lets the NAT forget what it knows, and choose from these ports from now on.
    pub fn rebind(&self, ports: std::ops::RangeInclusive<u16>) -> Result<()> {
        let inet = self.router()?;
        let source = self.topology.masqueraded().context("there is no NAT in this topology")?;
        inet.run("nft delete table ip nat")?;
        masquerade(inet, source, &format!(" to :{}-{}", ports.start(), ports.end()))?;
        inet.run("conntrack -F").map(drop)
    }

    /// Sets after how many seconds without a packet the NAT forgets: where only one way was used, and where both were.
    pub fn set_nat_lifetimes(&self, one_way: u32, both: u32) -> Result<()> {
        let line = format!(
            "sysctl -qw net.netfilter.nf_conntrack_udp_timeout={one_way} \
             net.netfilter.nf_conntrack_udp_timeout_stream={both}"
        );
        self.router()?.run(&line).map(drop)
    }

    /// Returns the router.
    pub fn router(&self) -> Result<&Namespace> {
        self.inet.as_ref().context("there is no router in this topology")
    }

    pub(super) fn wire_two(&self, inet: &Namespace) -> Result<()> {
        inet.forward()?;
        link((inet, "out", &["10.10.0.254/24"]), (&self.moon, "eth0", &["10.10.0.1/24"]))?;
        self.moon.run("ip route add default via 10.10.0.254 dev eth0 metric 100")?;
        for uplink in &UPLINKS {
            let (address, router) = (format!("{}/24", uplink.address), format!("{}/24", uplink.router.1));
            link((&self.carol, uplink.interface, &[&address]), (inet, uplink.router.0, &[&router]))?;
            self.set_route(uplink)?;
        }
        self.topology.masqueraded().map_or(Ok(()), |source| masquerade(inet, source, ""))
    }
}

/// Hides a network behind the router's own address; `ports` may say which ports are taken.
pub(super) fn masquerade(inet: &Namespace, source: &str, ports: &str) -> Result<()> {
    let udp = match ports {
        "" => String::new(),
        ports => format!("ip saddr {source} ip protocol udp oifname \"out\" masquerade{ports}\n"),
    };
    inet.nft(&format!(
        "table ip nat {{ chain post {{ type nat hook postrouting priority srcnat;\n\
         {udp}ip saddr {source} oifname \"out\" masquerade\n}}\n}}\n"
    ))
}
