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
use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::packet_route::rule::RuleAttribute;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use vpnhost_model::{LinkKind, LocalAddress};

use crate::error::DriverError;
use crate::limits;
use crate::machine::bounded;
use crate::routes::PROTOCOL;
use crate::routes::kernel::{link_name, local_address};

/// What changes addresses, and the rules that lead to our routes.
const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
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
    /// Our own interface, which is not looked at: its name and index.
    tun: (String, u32),
    metered: BTreeSet<String>,
}

impl Links {
    /// Returns the addresses, and where every change of them is told, settled, and every harm. The watch ends with the
    /// receiver.
    pub(crate) async fn start(
        tun: (&str, u32),
        metered: BTreeSet<String>,
    ) -> Result<(Vec<LocalAddress>, mpsc::Receiver<LinkNews>), DriverError> {
        let opened = rtnetlink::new_multicast_connection(&GROUPS);
        let (connection, handle, mut messages) =
            opened.map_err(|source| DriverError::io("watch the machine's addresses", source))?;
        tokio::spawn(connection);
        let links = Self { handle, tun: (tun.0.to_owned(), tun.1), metered };
        let first = links.addresses().await?;
        let (sender, receiver) = mpsc::channel(1);
        let mut known = first.clone();
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    message = messages.next() => message,
                    () = sender.closed() => return,
                };
                let Some((message, _)) = message else {
                    tracing::warn!("the watch over the machine's addresses has ended");
                    return;
                };
                let harm = links.harm(&message.payload).max(links.settle(&mut messages).await);
                let addresses = links.addresses().await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "the machine's addresses are not known");
                    known.clone()
                });
                if addresses == known && harm == Harm::None {
                    continue;
                }
                known.clone_from(&addresses);
                if sender.send(LinkNews { addresses, harm }).await.is_err() {
                    return;
                }
            }
        });
        Ok((first, receiver))
    }

    /// Takes what comes within a moment: a cable that is pulled takes several messages.
    async fn settle(&self, messages: &mut (impl Stream<Item = Message> + Unpin)) -> Harm {
        let mut harm = Harm::None;
        let all = async {
            while let Some((message, _)) = messages.next().await {
                harm = harm.max(self.harm(&message.payload));
            }
        };
        // Running out of time is what ends it.
        drop(timeout(limits::LINK_SETTLE, all).await);
        // A watch that has ended says so at the next look; it must not be asked without a pause.
        sleep(std::time::Duration::ZERO).await;
        harm
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

    async fn next(told: &mut mpsc::Receiver<LinkNews>) -> Vec<String> {
        let LinkNews { addresses, harm } = news(told).await;
        assert_eq!(harm, Harm::None);
        shown(&addresses)
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
            let (first, mut told) = Links::start(("vpn0", tun.index), metered).await.unwrap();
            let loopback = ["127.0.0.1 lo loopback", "::1 lo loopback"];
            let outside = ["10.10.0.10 eth0 ethernet", "fd10::10 eth0 ethernet"];
            assert_eq!(shown(&first), [loopback, outside].concat());
            assert!(first.iter().all(|local| local.metered == (local.name == "eth0") && local.mtu >= 1500));

            ground.ip("addr add 10.10.0.11/24 dev eth0");
            assert!(next(&mut told).await.contains(&"10.10.0.11 eth0 ethernet".to_owned()));
            ground.ip("link set eth0 down");
            assert_eq!(next(&mut told).await, loopback);
            // A change of the TUN's own addresses is none; the next that is told is the uplink's.
            ground.ip("addr add 10.30.0.2/32 dev vpn0");
            ground.ip("link set eth0 up");
            assert!(next(&mut told).await.contains(&"10.10.0.10 eth0 ethernet".to_owned()));
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
            let (_, mut told) = Links::start(("vpn0", tun.index), BTreeSet::new()).await.unwrap();
            ground.ip("link set vpn0 down");
            ground.ip("link set vpn0 up");
            assert_eq!(news(&mut told).await.harm, Harm::TunDown);
            ground.ip("addr del 10.30.0.1/32 dev vpn0");
            assert_eq!(news(&mut told).await.harm, Harm::Removed);
            ground.ip("rule del table 729600000 protocol 96");
            assert_eq!(news(&mut told).await.harm, Harm::Removed);
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
