//! The Configuration payload: virtual addresses and DNS servers, asked for and given (RFC 7296 §2.19, §3.15).

use std::net::{IpAddr, Ipv4Addr};

use vpnhost_model::{Identity, IkeSaId};

use crate::config::RequestAddress;
use crate::pool::{Lease, Pools};
use crate::question::assign_addresses::Chosen;
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

/// The addresses that a peer asks for, out of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    /// Those that it had, and would like to have again.
    pub(crate) had_v4: Option<IpAddr>,
    pub(crate) had_v6: Option<IpAddr>,
}

impl Wanted {
    /// Tells whether it asks for any.
    pub(crate) fn any(&self) -> bool {
        self.v4 || self.v6
    }

    /// Returns those that it would like to have.
    pub(crate) fn preferred(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let named = |address: &IpAddr| !address.is_unspecified();
        self.had_v4.into_iter().chain(self.had_v6).filter(named)
    }

    /// Returns the families that it asks for, whether IPv6, and what it would like to have of each.
    fn families(&self) -> impl Iterator<Item = (bool, Option<IpAddr>)> + use<> {
        let v4 = self.v4.then_some((false, self.had_v4));
        v4.into_iter().chain(self.v6.then_some((true, self.had_v6)))
    }
}

/// Reads what a peer asks for; `None` if it asks for nothing at all.
pub(crate) fn read_request(request: Option<&Configuration>) -> Option<Wanted> {
    let request = request.filter(|request| request.kind == ConfigurationType::CFG_REQUEST)?;
    let mut wanted = Wanted::default();
    for attribute in &request.attributes {
        match attribute.kind {
            Attribute::INTERNAL_IP4_ADDRESS => {
                wanted.v4 = true;
                wanted.had_v4 = wanted.had_v4.or_else(|| attribute.to_ipv4().map(IpAddr::from));
            }
            Attribute::INTERNAL_IP6_ADDRESS => {
                wanted.v6 = true;
                let had = attribute.to_ipv6_prefix().map(|(address, _)| IpAddr::from(address));
                wanted.had_v6 = wanted.had_v6.or(had);
            }
            _ => {}
        }
    }
    Some(wanted)
}

/// Gives a peer what it wants, out of the pools that were chosen: an address of each family asked for. Without any that is
/// had nothing is given.
pub(crate) fn grant(
    pools: &mut Pools,
    chosen: &Chosen,
    (identity, owner): (&Identity, IkeSaId),
    wanted: &Wanted,
) -> Option<(Configuration, Vec<IpAddr>)> {
    let leases: Vec<Lease> =
        wanted.families().filter_map(|family| pools.lease(&chosen.pools, family, identity, owner)).collect();
    // RFC 7296, 3.15.4: a family that is not to be had is left out as long as another is given.
    if leases.is_empty() && wanted.any() {
        return None;
    }
    let addresses: Vec<IpAddr> = leases.iter().map(|lease| lease.address).collect();
    let dns = chosen.dns.clone().unwrap_or_else(|| pools.dns(&addresses));
    Some((reply(&leases, &dns), addresses))
}

/// Names what is exhausted when nothing was to be had.
pub(crate) fn exhausted(pools: &Pools, names: &[String], wanted: &Wanted) -> String {
    let pool = wanted.families().find_map(|(v6, _)| pools.first_name(names, v6));
    pool.map_or_else(|| "any pool of that address family".to_owned(), |name| format!("pool {name}"))
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
