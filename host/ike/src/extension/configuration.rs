//! The Configuration payload: virtual addresses and DNS servers, asked for and given (RFC 7296 §2.19, §3.15).

use std::net::{IpAddr, Ipv4Addr};

use vpnhost_model::{Identity, IkeSaId};

use crate::config::{PeerConfig, RequestAddress};
use crate::pool::{Lease, Pools};
use crate::wire::payload::{
    Configuration, ConfigurationAttribute, ConfigurationAttributeType as Attribute, ConfigurationType,
};

/// What this host was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    pub(crate) dns: Vec<IpAddr>,
}

/// Asks for addresses of the families wanted, those that this host has if it has some, and for DNS servers; `None` if
/// none is wanted.
pub(crate) fn request(wanted: RequestAddress, has: &[IpAddr]) -> Option<Configuration> {
    let mut attributes = Vec::new();
    if wanted.v4 {
        let address = has.iter().find_map(|address| match address {
            IpAddr::V4(address) => {
                Some(ConfigurationAttribute::ipv4(Attribute::INTERNAL_IP4_ADDRESS, *address))
            }
            IpAddr::V6(_) => None,
        });
        let none = || ConfigurationAttribute::empty(Attribute::INTERNAL_IP4_ADDRESS);
        attributes.extend([
            address.unwrap_or_else(none),
            ConfigurationAttribute::empty(Attribute::INTERNAL_IP4_DNS),
        ]);
    }
    if wanted.v6 {
        let kind = Attribute::INTERNAL_IP6_ADDRESS;
        let address = has.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(ConfigurationAttribute::ipv6_prefix(kind, *address, 128)),
            IpAddr::V4(_) => None,
        });
        let none = || ConfigurationAttribute::empty(kind);
        attributes.extend([
            address.unwrap_or_else(none),
            ConfigurationAttribute::empty(Attribute::INTERNAL_IP6_DNS),
        ]);
    }
    (!attributes.is_empty()).then_some(Configuration { kind: ConfigurationType::CFG_REQUEST, attributes })
}

/// Reads what a reply gives; what was not asked for is left out.
pub(crate) fn read_reply(reply: &Configuration, wanted: RequestAddress) -> Assigned {
    let mut assigned = Assigned::default();
    if reply.kind != ConfigurationType::CFG_REPLY {
        return assigned;
    }
    let netmask = |attribute: &ConfigurationAttribute| {
        (attribute.kind == Attribute::INTERNAL_IP4_NETMASK).then(|| attribute.to_ipv4()).flatten()
    };
    let mask: Option<Ipv4Addr> = reply.attributes.iter().find_map(netmask);
    let v4_len = mask.map_or(32, |mask| u32::from(mask).leading_ones() as u8);
    for attribute in &reply.attributes {
        match attribute.kind {
            Attribute::INTERNAL_IP4_ADDRESS if wanted.v4 => assigned.addresses.extend(
                attribute.to_ipv4().filter(|a| !a.is_unspecified()).map(|address| (address.into(), v4_len)),
            ),
            Attribute::INTERNAL_IP6_ADDRESS if wanted.v6 => assigned.addresses.extend(
                attribute
                    .to_ipv6_prefix()
                    .filter(|(a, _)| !a.is_unspecified())
                    .map(|(address, length)| (address.into(), length)),
            ),
            Attribute::INTERNAL_IP4_DNS => assigned.dns.extend(attribute.to_ipv4().map(IpAddr::from)),
            Attribute::INTERNAL_IP6_DNS => assigned.dns.extend(attribute.to_ipv6().map(IpAddr::from)),
            _ => {}
        }
    }
    assigned
}

/// What became of a peer's request for addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Granted {
    /// The peer asked for none.
    NotAsked,
    /// This reply goes out; the peer has these addresses.
    Reply(Configuration, Vec<IpAddr>),
    /// Nothing is left in this pool, or whatever else it was to come from.
    Exhausted(String),
}

/// Gives a peer what it asks for, out of the connection's pools: an address of each family asked for.
pub(crate) fn grant(
    pools: &mut Pools,
    connection: &PeerConfig,
    (identity, owner): (&Identity, IkeSaId),
    request: Option<&Configuration>,
) -> Granted {
    let Some(request) = request.filter(|request| request.kind == ConfigurationType::CFG_REQUEST) else {
        return Granted::NotAsked;
    };
    let asks = |kind| request.attributes.iter().any(|attribute| attribute.kind == kind);
    let wanted =
        [(asks(Attribute::INTERNAL_IP4_ADDRESS), false), (asks(Attribute::INTERNAL_IP6_ADDRESS), true)];
    let (mut leases, mut exhausted) = (Vec::new(), None);
    for (_, v6) in wanted.into_iter().filter(|(asked, _)| *asked) {
        let has = request.attributes.iter().find_map(|attribute| match attribute.kind {
            Attribute::INTERNAL_IP4_ADDRESS if !v6 => attribute.to_ipv4().map(IpAddr::from),
            Attribute::INTERNAL_IP6_ADDRESS if v6 => {
                attribute.to_ipv6_prefix().map(|(address, _)| IpAddr::from(address))
            }
            _ => None,
        });
        match pools.lease(&connection.pools, (v6, has), identity, owner) {
            Some(lease) => leases.push(lease),
            None => exhausted = exhausted.or(pools.first_name(&connection.pools, v6)),
        }
    }
    // RFC 7296, 3.15.4: a family that is not to be had is left out as long as another is given.
    if leases.is_empty() && wanted.iter().any(|(asked, _)| *asked) {
        let pool = exhausted.map(|name| format!("pool {name}"));
        return Granted::Exhausted(pool.unwrap_or_else(|| "any pool of that address family".to_owned()));
    }
    let addresses: Vec<IpAddr> = leases.iter().map(|lease| lease.address).collect();
    let dns = pools.dns(&addresses);
    Granted::Reply(reply(&leases, &dns), addresses)
}

fn reply(leases: &[Lease], dns: &[IpAddr]) -> Configuration {
    let mut attributes = Vec::new();
    for lease in leases {
        match lease.address {
            IpAddr::V4(address) => {
                attributes.push(ConfigurationAttribute::ipv4(Attribute::INTERNAL_IP4_ADDRESS, address));
                let mask = u32::MAX.checked_shl(32 - u32::from(lease.prefix_len)).unwrap_or(0);
                attributes.push(ConfigurationAttribute::ipv4(Attribute::INTERNAL_IP4_NETMASK, mask.into()));
            }
            IpAddr::V6(address) => attributes.push(ConfigurationAttribute::ipv6_prefix(
                Attribute::INTERNAL_IP6_ADDRESS,
                address,
                lease.prefix_len,
            )),
        }
    }
    for server in dns {
        attributes.push(match server {
            IpAddr::V4(address) => ConfigurationAttribute::ipv4(Attribute::INTERNAL_IP4_DNS, *address),
            IpAddr::V6(address) => ConfigurationAttribute::ipv6(Attribute::INTERNAL_IP6_DNS, *address),
        });
    }
    Configuration { kind: ConfigurationType::CFG_REPLY, attributes }
}
