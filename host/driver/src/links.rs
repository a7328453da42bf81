//! The machine's own addresses: what they are, and what becomes of them; and what others do to what is ours.
//!
//! Left out: what lies on our own TUN or on a link that is down, and what cannot be used without more words or not
//! yet: IPv6's link-local, tentative and duplicate addresses. Deprecated ones still carry what uses them; they come last.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol};
use rtnetlink::packet_route::rule::RuleAttribute;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use vpnhost_model::{AddressPair, LinkKind, LocalAddress, Translator};

use crate::error::DriverError;
use crate::limits;
use crate::machine::bounded;
use crate::metered::Metered;
use crate::nat64::{self, Search};
use crate::program;
use crate::routes::PROTOCOL;
use crate::routes::kernel::{Kernel, link_name, local_address};

/// What changes addresses and routes, and the rules that lead to ours.
const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// A message of the kernel, and whose it is.
type Message = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr);

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkNews {
    /// The machine's addresses.
    pub(crate) addresses: Vec<LocalAddress>,
    /// Pairs of them with the peers' addresses that are asked for, those before that the machine would use by itself.
    pub(crate) pairs: Vec<AddressPair>,
    /// The NAT64s of its networks.
    pub(crate) translators: Vec<Translator>,
    /// Interfaces that NetworkManager holds for metered.
    pub(crate) metered: BTreeSet<String>,
    /// The worst that was done to what is ours.
    pub(crate) harm: Harm,
}

/// What was done to what is ours; that it was this host itself cannot be told from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// Nothing.
    #[default]
    None,
    /// A rule, or an address of the TUN, was removed.
    Removed,
    /// The TUN is down, and its routes with it.
    TunDown,
}

/// The watch over the machine's addresses.
pub(crate) struct Links {
    handle: Handle,
    /// Route look-ups.
    kernel: Kernel,
    /// Our own interface, which is not looked at: its name and index.
    tun: (String, u32),
    metered: BTreeSet<String>,
    /// The peers' addresses for which pairs are asked.
    remotes: watch::Receiver<BTreeSet<IpAddr>>,
    /// The mark of the tunnel's own packets.
    mark: u32,
    /// For NAT64s.
    search: Search,
    /// For what NetworkManager knows.
    manager: Metered,
}

/// What is known of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    addresses: Vec<LocalAddress>,
    pairs: Vec<AddressPair>,
    translators: Vec<Translator>,
    metered: BTreeSet<String>,
}

/// What a look at the machine is for.
#[derive(Clone, Copy, Debug, Default)]
struct Cause {
    /// Something changed that may matter.
    is_news: bool,
    /// The kernel told it: whoever did not answer may now.
    is_kernels: bool,
    harm: Harm,
}

impl Cause {
    /// Something else than the kernel has news.
    const NEWS: Self = Self { is_news: true, is_kernels: false, harm: Harm::None };
}

impl Links {
    /// Returns the addresses, and where every change of them and of the pairs is told, and every harm: at once, since
    /// packets may be lost meanwhile, and once more when it has settled. The watch ends with the receiver.
    pub(crate) async fn start(
        tun: (&str, u32),
        metered: BTreeSet<String>,
        remotes: watch::Receiver<BTreeSet<IpAddr>>,
        mark: u32,
    ) -> Result<(Vec<LocalAddress>, mpsc::Receiver<LinkNews>), DriverError> {
        let opened = rtnetlink::new_multicast_connection(&GROUPS);
        let (connection, handle, messages) =
            opened.map_err(|source| DriverError::io("watch the machine's addresses", source))?;
        tokio::spawn(connection);
        let kernel = Kernel::connect()?;
        let tun = (tun.0.to_owned(), tun.1);
        let (search, manager) = (Search::default(), Metered::new(program::find("nmcli")));
        let links = Self { handle, kernel, tun, metered, remotes, mark, search, manager };
        let first = links.addresses().await?;
        let (sender, receiver) = mpsc::channel(1);
        let known = Known { addresses: first.clone(), ..Known::default() };
        tokio::spawn(links.watch(messages, known, sender));
        Ok((first, receiver))
    }

    async fn watch(
        mut self,
        mut messages: impl Stream<Item = Message> + Unpin,
        mut known: Known,
        sender: mpsc::Sender<LinkNews>,
    ) {
        self.manager.look(&known.addresses);
        loop {
            let mut cause = tokio::select! {
                message = messages.next() => match message {
                    Some((message, _)) => self.cause(&message.payload),
                    None => return tracing::warn!("the watch over the machine's addresses has ended"),
                },
                changed = self.remotes.changed() => match changed {
                    Ok(()) => Cause::NEWS,
                    Err(_) => return,
                },
                () = self.search.news() => Cause::NEWS,
                () = self.manager.news() => Cause::NEWS,
                () = sender.closed() => return,
            };
            while cause.is_news || cause.harm != Harm::None {
                let look = self.look(&known, cause.is_kernels).await;
                if look != known || cause.harm != Harm::None {
                    known.clone_from(&look);
                    let Known { addresses, pairs, translators, metered } = look;
                    let news = LinkNews { addresses, pairs, translators, metered, harm: cause.harm };
                    if sender.send(news).await.is_err() {
                        return;
                    }
                }
                // Where no path is left, the first thing that comes may be one.
                let is_stranded = known.pairs.is_empty() && !self.remotes.borrow().is_empty();
                cause = self.settle(&mut messages, is_stranded).await;
            }
        }
    }

    /// Looks at the machine; what cannot be seen is as before.
    async fn look(&mut self, known: &Known, anew: bool) -> Known {
        let addresses = self.addresses().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the machine's addresses are not known");
            known.addresses.clone()
        });
        let remotes = self.remotes.borrow_and_update().clone();
        let pairs = self.pairs(&addresses, &remotes);
        let pairs = timeout(limits::HOST_CHANGE, pairs).await.unwrap_or_else(|_| {
            tracing::warn!("the kernel did not tell its routes in time");
            known.pairs.clone()
        });
        self.search.look(&addresses, &nat64::lacking(&addresses, &pairs, &remotes), anew);
        self.manager.look(&addresses);
        let metered = self.manager.interfaces();
        Known { addresses, pairs, translators: self.search.translators(), metered }
    }

    /// Returns the pairs that the kernel has a route for. Our own tunnels' routes do not count: the mark leads past them.
    async fn pairs(&self, addresses: &[LocalAddress], remotes: &BTreeSet<IpAddr>) -> Vec<AddressPair> {
        let mut pairs = Vec::new();
        for &remote in remotes {
            let preferred = self.kernel.source_for(remote, self.mark).await;
            let fits = |link: &&LocalAddress| {
                link.address.is_ipv4() == remote.is_ipv4()
                    && (link.kind == LinkKind::LOOPBACK) == remote.is_loopback()
            };
            let mut of_remote = Vec::new();
            for link in addresses.iter().filter(fits) {
                let pair = AddressPair { local: link.address, interface: link.interface, remote };
                if of_remote.len() < limits::PAIRS_PER_REMOTE && self.kernel.reaches(pair, self.mark).await {
                    of_remote.push(pair);
                }
            }
            of_remote.sort_by_key(|pair| preferred != Some((pair.local, pair.interface)));
            pairs.extend(of_remote);
        }
        pairs
    }

    /// Takes what comes within a moment: a cable that is plugged in takes several messages. One that is pulled is not waited
    /// for.
    async fn settle(&self, messages: &mut (impl Stream<Item = Message> + Unpin), is_stranded: bool) -> Cause {
        let mut cause = Cause::default();
        let all = async {
            while let Some((message, _)) = messages.next().await {
                let next = self.cause(&message.payload);
                cause.is_news |= next.is_news;
                cause.is_kernels = true;
                cause.harm = cause.harm.max(next.harm);
                if is_loss(&message.payload) || (is_stranded && next.is_news) {
                    return;
                }
            }
        };
        // Running out of time is what ends it.
        drop(timeout(limits::LINK_SETTLE, all).await);
        // A watch that has ended says so at the next look; it must not be asked without a pause.
        sleep(std::time::Duration::ZERO).await;
        cause
    }

    /// Returns what a message of the kernel asks for.
    fn cause(&self, payload: &NetlinkPayload<RouteNetlinkMessage>) -> Cause {
        let ours = |route: &RouteMessage| route.header.protocol == RouteProtocol::from(PROTOCOL);
        let is_news = if let NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) = payload
        {
            !ours(route) && !self.remotes.borrow().is_empty()
        } else {
            true
        };
        Cause { is_news, harm: self.harm(payload), is_kernels: true }
    }

    /// Returns what a message says that was done to what is ours.
    fn harm(&self, payload: &NetlinkPayload<RouteNetlinkMessage>) -> Harm {
        let NetlinkPayload::InnerMessage(message) = payload else { return Harm::None };
        if let RouteNetlinkMessage::NewLink(link) = message
            && link.header.index == self.tun.1
            && !link.header.flags.contains(LinkFlags::Up)
        {
            Harm::TunDown
        } else if let RouteNetlinkMessage::DelAddress(address) = message
            && address.header.index == self.tun.1
        {
            Harm::Removed
        } else if let RouteNetlinkMessage::DelRule(rule) = message
            && rule.attributes.contains(&RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)))
        {
            Harm::Removed
        } else {
            Harm::None
        }
    }

    async fn addresses(&self) -> Result<Vec<LocalAddress>, DriverError> {
        let links = self.handle.link().get().execute().try_collect::<Vec<_>>();
        let links =
            async { links.await.map_err(|source| DriverError::netlink("list the interfaces", source)) };
        let links = bounded("list the interfaces", links).await?;
        let links: BTreeMap<u32, Link> = links.iter().filter_map(|message| self.link(message)).collect();
        let addresses = self.handle.address().get().execute().try_collect::<Vec<_>>();
        let addresses =
            async { addresses.await.map_err(|source| DriverError::netlink("list the addresses", source)) };
        let addresses = bounded("list the addresses", addresses).await?;
        let mut usable: Vec<(bool, LocalAddress)> =
            addresses.iter().filter_map(|message| usable(message, &links)).collect();
        usable.sort_by_key(|(deprecated, local)| (*deprecated, local.interface, local.address));
        usable.truncate(limits::ADDRESSES);
        Ok(usable.into_iter().map(|(_, local)| local).collect())
    }

    /// Reads a link that is up.
    fn link(&self, message: &LinkMessage) -> Option<(u32, Link)> {
        let name = link_name(&message.attributes)?.to_owned();
        let up = message.header.flags.contains(LinkFlags::Up | LinkFlags::Running);
        if !up || name == self.tun.0 {
            return None;
        }
        let mtu = message
            .attributes
            .iter()
            .find_map(|attribute| if let LinkAttribute::Mtu(mtu) = attribute { Some(*mtu) } else { None });
        let kind = kind(message, &name);
        let link = Link { kind, mtu: mtu.unwrap_or(0), metered: self.metered.contains(&name), name };
        Some((message.header.index, link))
    }
}

/// Tells whether a message says that a link or an address was lost.
fn is_loss(payload: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    let NetlinkPayload::InnerMessage(message) = payload else { return false };
    if let RouteNetlinkMessage::NewLink(link) = message {
        return !link.header.flags.contains(LinkFlags::Up | LinkFlags::Running);
    }
    matches!(message, RouteNetlinkMessage::DelLink(_) | RouteNetlinkMessage::DelAddress(_))
}

/// A link that is up.
struct Link {
    name: String,
    kind: LinkKind,
    mtu: u32,
    metered: bool,
}

/// Returns an address that can be used, and whether it is deprecated.
fn usable(message: &AddressMessage, links: &BTreeMap<u32, Link>) -> Option<(bool, LocalAddress)> {
    let link = links.get(&message.header.index)?;
    let address = local_address(message)?;
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    for attribute in &message.attributes {
        if let AddressAttribute::Flags(all) = attribute {
            flags = *all;
        }
    }
    let fit = match address {
        IpAddr::V4(address) => !address.is_unspecified(),
        IpAddr::V6(address) => {
            !address.is_unicast_link_local()
                && !flags.contains(AddressFlags::Dadfailed)
                // An optimistic address may be used while its uniqueness is tested (RFC 4429).
                && (!flags.contains(AddressFlags::Tentative) || flags.contains(AddressFlags::Optimistic))
        }
    };
    let local = LocalAddress {
        address,
        interface: message.header.index,
        name: link.name.clone(),
        kind: link.kind,
        mtu: link.mtu,
        metered: link.metered,
    };
    fit.then_some((flags.contains(AddressFlags::Deprecated), local))
}

/// Finds out what a link is made of: what the kernel says of its making, then what its driver says in sysfs.
fn kind(message: &LinkMessage, name: &str) -> LinkKind {
    if message.header.flags.contains(LinkFlags::Loopback) {
        return LinkKind::LOOPBACK;
    }
    let layer = message.header.link_layer_type;
    if layer == LinkLayerType::Rawip {
        return LinkKind::CELLULAR;
    }
    match made_as(message) {
        Some(InfoKind::Wwan | InfoKind::RmNet) => return LinkKind::CELLULAR,
        Some(made) if is_tunnel(&made) => return LinkKind::TUNNEL,
        Some(_) | None => {}
    }
    let sysfs = Path::new("/sys/class/net").join(name);
    // A sysfs of another namespace tells of other interfaces.
    let ours = std::fs::read_to_string(sysfs.join("ifindex"))
        .is_ok_and(|index| index.trim() == message.header.index.to_string());
    let event =
        if ours { std::fs::read_to_string(sysfs.join("uevent")).unwrap_or_default() } else { String::new() };
    let typed = |kind: &str| event.lines().any(|line| line.strip_prefix("DEVTYPE=") == Some(kind));
    if typed("wlan") || (ours && sysfs.join("wireless").exists()) || name.starts_with("wl") {
        LinkKind::WIFI
    } else if typed("wwan") || name.starts_with("ww") {
        LinkKind::CELLULAR
    } else if layer == LinkLayerType::Ether {
        LinkKind::ETHERNET
    } else if matches!(
        layer,
        LinkLayerType::Tunnel
            | LinkLayerType::Tunnel6
            | LinkLayerType::Sit
            | LinkLayerType::Ipgre
            | LinkLayerType::None
    ) {
        LinkKind::TUNNEL
    } else {
        LinkKind::OTHER
    }
}

fn made_as(message: &LinkMessage) -> Option<InfoKind> {
    message.attributes.iter().find_map(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else { return None };
        infos.iter().find_map(|info| if let LinkInfo::Kind(kind) = info { Some(kind.clone()) } else { None })
    })
}

fn is_tunnel(kind: &InfoKind) -> bool {
    matches!(
        kind,
        InfoKind::Tun
            | InfoKind::Wireguard
            | InfoKind::IpIp
            | InfoKind::Ip6Tnl
            | InfoKind::SitTun
            | InfoKind::GreTun
            | InfoKind::GreTun6
            | InfoKind::GreTap
            | InfoKind::GreTap6
            | InfoKind::Vti
            | InfoKind::Vti6
            | InfoKind::Xfrm
            | InfoKind::Vxlan
            | InfoKind::Geneve
    )
}

/// Asks the kernel which address and interface a packet to `remote` with a mark leaves from. The sockets leave that
/// choice to the kernel, so only tests need to know it beforehand.
#[cfg(test)]
pub(crate) async fn source_for(remote: IpAddr, mark: u32) -> Option<(IpAddr, u32)> {
    let kernel = crate::routes::kernel::Kernel::connect().ok()?;
    timeout(limits::HOST_CHANGE, kernel.source_for(remote, mark)).await.ok()?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::machine::ground::Ground;

    async fn news(told: &mut mpsc::Receiver<LinkNews>) -> LinkNews {
        timeout(Duration::from_secs(10), told.recv()).await.expect("in time").expect("a watch")
    }

    /// Waits until the addresses are as they should be: the first news of a change may come amid it.
    async fn until(told: &mut mpsc::Receiver<LinkNews>, holds: impl Fn(&[String]) -> bool) {
        loop {
            let LinkNews { addresses, harm, .. } = news(told).await;
            assert_eq!(harm, Harm::None);
            if holds(&shown(&addresses)) {
                return;
            }
        }
    }

    /// Waits until a harm is told: one may be told twice, since nothing is waited for.
    async fn until_harm(told: &mut mpsc::Receiver<LinkNews>, harm: Harm) {
        while news(told).await.harm != harm {}
    }

    fn shown(addresses: &[LocalAddress]) -> Vec<String> {
        addresses
            .iter()
            .map(|local| format!("{} {} {}", local.address, local.name, local.kind.name()))
            .collect()
    }

    #[test]
    fn addresses_are_told_with_their_links_and_so_is_what_becomes_of_them() {
        Ground::run(|ground| async move {
            let tun = ground.tun("vpn0");
            ground.ip("addr add 10.30.0.1/32 dev vpn0");
            ground.ip("link set vpn0 up");
            let metered = BTreeSet::from(["eth0".to_owned()]);
            let (_remotes, asked) = watch::channel(BTreeSet::new());
            let (first, mut told) = Links::start(("vpn0", tun.index), metered, asked, 0).await.unwrap();
            let loopback = ["127.0.0.1 lo loopback", "::1 lo loopback"];
            let outside = ["10.10.0.10 eth0 ethernet", "fd10::10 eth0 ethernet"];
            assert_eq!(shown(&first), [loopback, outside].concat());
            assert!(first.iter().all(|local| local.metered == (local.name == "eth0") && local.mtu >= 1500));

            ground.ip("addr add 10.10.0.11/24 dev eth0");
            until(&mut told, |now| now.contains(&"10.10.0.11 eth0 ethernet".to_owned())).await;
            ground.ip("link set eth0 down");
            until(&mut told, |now| now == loopback).await;
            // A change of the TUN's own addresses is none; the next that is told is the uplink's.
            ground.ip("addr add 10.30.0.2/32 dev vpn0");
            ground.ip("link set eth0 up");
            until(&mut told, |now| now.contains(&"10.10.0.10 eth0 ethernet".to_owned())).await;
        });
    }

    #[test]
    fn a_pair_of_addresses_is_one_that_the_kernel_has_a_route_for() {
        Ground::run(|ground| async move {
            let tun = ground.tun("vpn0");
            ground.ip("link set vpn0 up");
            ground.ip("addr add 10.30.0.1/32 dev vpn0");
            let (remotes, asked) = watch::channel(BTreeSet::new());
            let (_, mut told) = Links::start(("vpn0", tun.index), BTreeSet::new(), asked, 0).await.unwrap();
            ground.ip("route del default dev eth0");
            ground.ip("route add default via 10.10.0.1 dev eth0 metric 100");
            // An interface without a route: packets would be sent into the blue.
            ground.ip("link add eth1 type veth peer name far1");
            ground.ip("link set far1 addrgenmode none up");
            ground.ip("link set eth1 addrgenmode none up");
            ground.ip("addr add 10.11.0.10/24 dev eth1");
            let pairs = |news: &LinkNews| {
                let text = |pair: &AddressPair| format!("{} {}", pair.local, pair.remote);
                news.pairs.iter().map(text).collect::<Vec<_>>()
            };
            let gateway: IpAddr = "192.0.2.1".parse().unwrap();
            remotes.send_replace(BTreeSet::from([gateway]));
            while pairs(&news(&mut told).await) != ["10.10.0.10 192.0.2.1"] {}
            ground.ip("route add default via 10.11.0.1 dev eth1 metric 10");
            while pairs(&news(&mut told).await) != ["10.11.0.10 192.0.2.1", "10.10.0.10 192.0.2.1"] {}
            // A route into the tunnel makes none.
            ground.ip("route add 192.0.2.0/24 dev vpn0");
            ground.ip("route del default dev eth0");
            while pairs(&news(&mut told).await) != ["10.11.0.10 192.0.2.1"] {}
            ground.ip("link set eth1 down");
            while !pairs(&news(&mut told).await).is_empty() {}
        });
    }

    #[test]
    fn what_others_do_to_what_is_ours_is_told_also_when_it_is_as_before_at_once() {
        Ground::run(|ground| async move {
            let tun = ground.tun("vpn0");
            ground.ip("link set vpn0 up");
            ground.ip("addr add 10.30.0.1/32 dev vpn0");
            ground.ip("rule add table 729600000 protocol 96");
            ground.ip("rule add table 7");
            let (_remotes, asked) = watch::channel(BTreeSet::new());
            let (_, mut told) = Links::start(("vpn0", tun.index), BTreeSet::new(), asked, 0).await.unwrap();
            ground.ip("link set vpn0 down");
            ground.ip("link set vpn0 up");
            until_harm(&mut told, Harm::TunDown).await;
            ground.ip("addr del 10.30.0.1/32 dev vpn0");
            until_harm(&mut told, Harm::Removed).await;
            ground.ip("rule del table 729600000 protocol 96");
            until_harm(&mut told, Harm::Removed).await;
            // What is not ours does no harm; once all of it has settled, nothing is told for its sake.
            tokio::time::sleep(limits::LINK_SETTLE * 4).await;
            while told.try_recv().is_ok() {}
            ground.ip("rule del table 7");
            ground.ip("addr add 10.10.0.11/24 dev eth0");
            assert_eq!(news(&mut told).await.harm, Harm::None);
        });
    }

    #[test]
    fn the_kernel_tells_where_a_packet_leaves_from() {
        Ground::run(|_| async {
            let (source, interface) = source_for("192.0.2.1".parse().unwrap(), 0).await.unwrap();
            assert_eq!(source, "10.10.0.10".parse::<IpAddr>().unwrap());
            let (_, other) = source_for("fd10::1".parse().unwrap(), 0).await.unwrap();
            assert_eq!(interface, other);
        });
    }
}
