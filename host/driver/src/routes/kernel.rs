//! Routes, rules, addresses and links in the kernel, by rtnetlink.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::IpProtocol;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage, RulePortRange};
use rtnetlink::{Error, Handle, IpVersion, LinkUnspec};

use super::{Family, PROTOCOL, Place, Prefix, Purpose, Rule, Tables, Target};
use crate::error::DriverError;
use crate::limits;
use crate::machine::Machine;

/// A connection to the kernel's routing.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(super) handle: Handle,
}

/// What of ours the kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Installed {
    /// Routes.
    pub(crate) routes: BTreeMap<Place, Target>,
    /// Rules.
    pub(crate) rules: BTreeSet<Rule>,
}

impl Installed {
    /// Leaves only what belongs to the owners of certain tables. Rules that lead to the main table are alike for every
    /// owner, so they belong to whoever is the last.
    pub(crate) fn of(mut self, is_owner: impl Fn(Tables) -> bool) -> Self {
        let foreign = |table: u32| Tables::with(table).is_some_and(|owner| !is_owner(owner));
        let shared = self.rules.iter().any(|rule| foreign(rule.table));
        self.routes.retain(|place, _| !foreign(place.table));
        self.rules.retain(|rule| match Tables::with(rule.table) {
            Some(owner) => is_owner(owner),
            None => !shared,
        });
        self
    }
}

impl Kernel {
    /// Connects. The connection ends with its last handle.
    pub(crate) fn connect() -> Result<Self, DriverError> {
        let action = "open a netlink socket";
        // A kernel before 4.20 cannot filter dumps; they are filtered here as well.
        let connected =
            rtnetlink::new_connection_with_strict_check().or_else(|_| rtnetlink::new_connection());
        let (connection, handle, _) = connected.map_err(|source| DriverError::io(action, source))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Returns every route and rule that bears our protocol number and lies in tables of ours, whoever made it.
    pub(crate) async fn installed(&self) -> Result<Installed, DriverError> {
        let mut installed = Installed::default();
        for (family, version) in [(Family::V4, IpVersion::V4), (Family::V6, IpVersion::V6)] {
            let mut filter = RouteMessage::default();
            filter.header.address_family = address_family(family);
            filter.header.protocol = RouteProtocol::from(PROTOCOL);
            let routes = self.handle.route().get(filter).execute().try_collect::<Vec<_>>().await;
            let routes = found(routes).map_err(|source| DriverError::netlink("list the routes", source))?;
            installed.routes.extend(routes.iter().filter_map(read_route));
            let rules = self.handle.rule().get(version).execute().try_collect::<Vec<_>>().await;
            let rules =
                found(rules).map_err(|source| DriverError::netlink("list the policy rules", source))?;
            installed.rules.extend(rules.iter().filter_map(|message| read_rule(message, family)));
        }
        Ok(installed)
    }

    /// Returns the networks that the main table leads to other than by default, and not by the TUN: the local network,
    /// and whatever else a full tunnel leaves where it is (`Purpose::Local`). Only so many are returned.
    pub(crate) async fn local_networks(&self, tun: u32) -> Result<Vec<Prefix>, DriverError> {
        let mut networks = Vec::new();
        for family in Family::ALL {
            let mut filter = RouteMessage::default();
            filter.header.address_family = address_family(family);
            filter.header.table = RouteHeader::RT_TABLE_MAIN;
            let routes = self.handle.route().get(filter).execute().try_collect::<Vec<_>>().await;
            let routes = found(routes).map_err(|source| DriverError::netlink("list the routes", source))?;
            networks.extend(routes.iter().filter_map(|message| read_network(message, tun)));
        }
        networks.truncate(limits::ROUTES);
        Ok(networks)
    }

    /// Adds a route, or changes the one at its place.
    pub(crate) async fn add_route(&self, place: Place, target: Target) -> Result<(), DriverError> {
        let action = match target {
            Target::Unreachable => "block a protected prefix by a route",
            Target::Throw => "exempt a local network by a route",
            Target::Interface { .. } => "route a prefix to the TUN",
        };
        tracing::debug!(?place, ?target, "adding a route");
        let request = self.handle.route().add(write_route(place, target)).replace();
        request.execute().await.map_err(|source| DriverError::netlink(action, source))
    }

    /// Removes a route; one that is not there is no error.
    pub(crate) async fn remove_route(&self, place: Place, target: Target) -> Result<(), DriverError> {
        tracing::debug!(?place, ?target, "removing a route");
        let mut message = write_route(place, target);
        message.header.scope = RouteScope::NoWhere;
        gone(self.handle.route().del(message).execute().await)
            .map_err(|source| DriverError::netlink("remove a route", source))
    }

    /// Adds a rule; one that is there is no error.
    pub(crate) async fn add_rule(&self, rule: Rule) -> Result<(), DriverError> {
        tracing::debug!(?rule, "adding a rule");
        let mut request = self.handle.rule().add();
        *request.message_mut() = write_rule(rule);
        there(request.execute().await).map_err(|source| DriverError::netlink("add a policy rule", source))
    }

    /// Removes a rule; one that is not there is no error.
    pub(crate) async fn remove_rule(&self, rule: Rule) -> Result<(), DriverError> {
        tracing::debug!(?rule, "removing a rule");
        gone(self.handle.rule().del(write_rule(rule)).execute().await)
            .map_err(|source| DriverError::netlink("remove a policy rule", source))
    }

    /// Returns every address of the machine with its interface's index.
    pub(crate) async fn addresses(&self) -> Result<Vec<(u32, IpAddr)>, DriverError> {
        let messages = self.handle.address().get().execute().try_collect::<Vec<_>>().await;
        let messages = messages.map_err(|source| DriverError::netlink("list the addresses", source))?;
        let usable = |message: &&AddressMessage| message.header.scope == AddressScope::Universe;
        Ok(messages
            .iter()
            .filter(usable)
            .filter_map(|message| Some((message.header.index, local_address(message)?)))
            .collect())
    }

    /// Adds an address to an interface: the whole of it, without a network; one that is there is no error.
    pub(crate) async fn add_address(&self, index: u32, address: IpAddr) -> Result<(), DriverError> {
        let mut request = self.handle.address().add(index, address, Family::of(address).bits());
        // Nobody else is on the link, and the routes come apart from the address.
        let flags = AddressFlags::Nodad | AddressFlags::Noprefixroute;
        request.message_mut().attributes.push(AddressAttribute::Flags(flags));
        there(request.execute().await).map_err(|source| DriverError::netlink("add a virtual address", source))
    }

    /// Removes an address; one that is not there is no error.
    pub(crate) async fn remove_address(&self, index: u32, address: IpAddr) -> Result<(), DriverError> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.family = address_family(Family::of(address));
        message.header.prefix_len = Family::of(address).bits();
        message.attributes.push(AddressAttribute::Local(address));
        gone(self.handle.address().del(message).execute().await)
            .map_err(|source| DriverError::netlink("remove a virtual address", source))
    }

    /// Gives an interface its MTU and brings it up, without an IPv6 address of the kernel's own making.
    pub(crate) async fn bring_up(&self, index: u32, mtu: u16) -> Result<(), DriverError> {
        let spec = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let quiet = LinkUnspec::new_with_index(index)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![spec]))
            .build();
        if let Err(refused) = self.handle.link().set(quiet).execute().await {
            tracing::debug!(%refused, "the TUN keeps its link-local address");
        }
        let up = LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).up().build();
        let done = self.handle.link().set(up).execute().await;
        done.map_err(|source| DriverError::netlink("bring the TUN up", source))
    }

    /// Returns the names of all interfaces.
    pub(crate) async fn link_names(&self) -> Result<BTreeSet<String>, DriverError> {
        let links = self.handle.link().get().execute().try_collect::<Vec<_>>().await;
        let links = links.map_err(|source| DriverError::netlink("list the interfaces", source))?;
        Ok(links.iter().filter_map(|link| link_name(&link.attributes)).map(str::to_owned).collect())
    }
}

/// Returns a link's name.
pub(crate) fn link_name(attributes: &[LinkAttribute]) -> Option<&str> {
    attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute { Some(name.as_str()) } else { None }
    })
}

/// Returns an address message's own address.
pub(crate) fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let mut address = None;
    for attribute in &message.attributes {
        if let AddressAttribute::Local(local) = attribute {
            return Some(*local);
        }
        if let AddressAttribute::Address(other) = attribute {
            address = Some(*other);
        }
    }
    address
}

pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

pub(super) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(address) = address {
        Some(IpAddr::V4(*address))
    } else if let RouteAddress::Inet6(address) = address {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}

/// A table that is not there, or a family that the kernel lacks, holds nothing.
fn found<T>(dumped: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match dumped {
        Err(error) if has_code(&error, &[libc::ENOENT, libc::EAFNOSUPPORT, libc::EOPNOTSUPP]) => {
            Ok(Vec::new())
        }
        other => other,
    }
}

fn gone(done: Result<(), Error>) -> Result<(), Error> {
    let codes = [libc::ESRCH, libc::ENOENT, libc::ENODEV, libc::ENXIO, libc::EADDRNOTAVAIL];
    done.or_else(|error| if has_code(&error, &codes) { Ok(()) } else { Err(error) })
}

fn there(done: Result<(), Error>) -> Result<(), Error> {
    done.or_else(|error| if has_code(&error, &[libc::EEXIST]) { Ok(()) } else { Err(error) })
}

fn has_code(error: &Error, codes: &[i32]) -> bool {
    match error {
        Error::NetlinkError(message) => codes.contains(&message.raw_code().wrapping_neg()),
        Error::UnexpectedMessage(_)
        | Error::RequestFailed
        | Error::NamespaceError(_)
        | Error::InvalidHardwareAddress(_)
        | Error::InvalidIp(_)
        | Error::InvalidAddress(..)
        | Error::InvalidNla(_) => false,
    }
}

fn write_route(place: Place, target: Target) -> RouteMessage {
    let mut message = RouteMessage::default();
    let (base, length) = place.prefix;
    message.header = RouteHeader {
        address_family: address_family(Family::of(base)),
        destination_prefix_length: length,
        protocol: RouteProtocol::from(PROTOCOL),
        ..RouteHeader::default()
    };
    if length > 0 {
        message.attributes.push(RouteAttribute::Destination(base.into()));
    }
    message.attributes.push(RouteAttribute::Table(place.table));
    message.attributes.push(RouteAttribute::Priority(place.metric));
    message.header.kind = match target {
        Target::Unreachable => RouteType::Unreachable,
        Target::Throw => RouteType::Throw,
        Target::Interface { index, source } => {
            message.header.scope = RouteScope::Link;
            message.attributes.push(RouteAttribute::Oif(index));
            message.attributes.extend(source.map(|address| RouteAttribute::PrefSource(address.into())));
            RouteType::Unicast
        }
    };
    message
}

fn read_route(message: &RouteMessage) -> Option<(Place, Target)> {
    let family = if message.header.address_family == AddressFamily::Inet { Family::V4 } else { Family::V6 };
    let mut table = u32::from(message.header.table);
    let (mut base, mut metric) = (family.everything().0, 0);
    let (mut interface, mut source) = (None, None);
    for attribute in &message.attributes {
        if let RouteAttribute::Table(number) = attribute {
            table = *number;
        } else if let RouteAttribute::Destination(address) = attribute {
            base = ip(address)?;
        } else if let RouteAttribute::Priority(number) = attribute {
            metric = *number;
        } else if let RouteAttribute::Oif(index) = attribute {
            interface = Some(*index);
        } else if let RouteAttribute::PrefSource(address) = attribute {
            source = ip(address);
        }
    }
    if message.header.protocol != RouteProtocol::from(PROTOCOL) {
        return None;
    }
    Tables::with(table)?;
    let target = if message.header.kind == RouteType::Unreachable {
        Target::Unreachable
    } else if message.header.kind == RouteType::Throw {
        Target::Throw
    } else {
        Target::Interface { index: interface?, source }
    };
    Some((Place { table, prefix: (base, message.header.destination_prefix_length), metric }, target))
}

fn read_network(message: &RouteMessage, tun: u32) -> Option<Prefix> {
    let RouteHeader { table, kind, destination_prefix_length, .. } = message.header;
    let mut base = None;
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(address) = attribute {
            base = ip(address);
        } else if let RouteAttribute::Oif(index) = attribute
            && *index == tun
        {
            return None;
        }
    }
    let is_network = table == RouteHeader::RT_TABLE_MAIN && kind == RouteType::Unicast;
    (is_network && destination_prefix_length > 0).then_some((base?, destination_prefix_length))
}

fn write_rule(rule: Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(rule.family);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Table(rule.table),
        RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)),
    ];
    match rule.purpose {
        Purpose::Own { protocol, port } => {
            message.attributes.push(RuleAttribute::Iifname("lo".to_owned()));
            message.attributes.push(RuleAttribute::IpProtocol(i32::from(protocol).into()));
            let range =
                port.map(|port| RuleAttribute::SourcePortRange(RulePortRange { start: port, end: port }));
            message.attributes.extend(range);
        }
        Purpose::Dissect => {
            message.attributes.push(RuleAttribute::FwMark(Machine::MARK));
            message.attributes.push(RuleAttribute::IpProtocol(IpProtocol::Udp));
        }
        Purpose::Unmarked => {
            message.header.flags = RuleFlags::Invert;
            message.attributes.push(RuleAttribute::FwMark(Machine::MARK));
        }
        Purpose::Local => message.attributes.push(RuleAttribute::SuppressPrefixLen(0)),
        Purpose::Unknown => {}
    }
    message
}

fn read_rule(message: &RuleMessage, family: Family) -> Option<Rule> {
    let (mut ours, mut table, mut priority) = (false, u32::from(message.header.table), 0);
    let (mut protocol, mut port, mut mark, mut suppress) = (None, None, None, u32::MAX);
    for attribute in &message.attributes {
        if let RuleAttribute::Protocol(number) = attribute {
            ours = *number == RouteProtocol::from(PROTOCOL);
        } else if let RuleAttribute::Table(number) = attribute {
            table = *number;
        } else if let RuleAttribute::Priority(number) = attribute {
            priority = *number;
        } else if let RuleAttribute::FwMark(number) = attribute {
            mark = Some(*number);
        } else if let RuleAttribute::SuppressPrefixLen(length) = attribute {
            suppress = *length;
        } else if let RuleAttribute::IpProtocol(number) = attribute {
            protocol = u8::try_from(i32::from(*number)).ok();
        } else if let RuleAttribute::SourcePortRange(range) = attribute {
            port = Some(range.start);
        }
    }
    // A kernel without IPv6 answers with the rules of all families.
    if !ours || message.header.family != address_family(family) {
        return None;
    }
    let purpose = match (protocol, mark) {
        (Some(protocol), None) => Purpose::Own { protocol, port },
        (Some(_), Some(Machine::MARK)) => Purpose::Dissect,
        (None, Some(Machine::MARK)) => Purpose::Unmarked,
        (None, None) if suppress == 0 => Purpose::Local,
        _ => Purpose::Unknown,
    };
    Some(Rule { family, priority, table, purpose })
}
