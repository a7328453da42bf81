//! Which virtual addresses and DNS servers a peer is given (RFC 7296 §2.19).

use std::net::{IpAddr, SocketAddr};

use vpnhost_model::Identity;

use crate::{Attribute, limits, ranking};

/// A peer asks for virtual addresses: asked of the responder, once the peer is authorized.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressMenu {
    /// The connection's name.
    pub connection: String,
    /// Who the peer has proved to be.
    pub peer_id: Identity,
    /// The labels of its authorization.
    pub labels: Vec<Attribute>,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The wall clock: seconds since 1970.
    pub unix_secs: u64,
    /// Whether it asks for an IPv4 address.
    pub wants_ipv4: bool,
    /// Whether it asks for an IPv6 address.
    pub wants_ipv6: bool,
    /// Addresses that it would like to have, as it had them before; at most one of each family.
    pub preferred: Vec<IpAddr>,
    /// The connection's pools of the families asked for that have an address for this peer, in the configured order,
    /// at most [`limits::POOLS`].
    pub pools: Vec<PoolFacts>,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// A pool of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolFacts {
    /// Its name.
    pub name: String,
    /// The prefix that its addresses are of.
    pub base: IpAddr,
    /// The prefix's length in bits.
    pub prefix_len: u8,
    /// How many of its addresses are free; `u32::MAX` for more.
    pub free: u32,
    /// How many are given out.
    pub leased: u32,
    /// Whether it has the address that the peer had last, or has, and can give it again.
    pub remembers: bool,
    /// The DNS servers of whoever has an address of it.
    pub dns: Vec<IpAddr>,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// The answer. Of each family asked for, the first of the pools gives an address; a family that has no pool is not given,
/// and if none is the peer gets INTERNAL_ADDRESS_FAILURE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Indices into [`AddressMenu::pools`], best first; none twice. What is left out gives nothing.
    pub order: Vec<u32>,
    /// The DNS servers that the peer is told, each of one of the pools in the order; none are those of the pools that its
    /// addresses come from.
    pub dns: Option<Vec<IpAddr>>,
    /// The reason, for the operator.
    pub why: Option<String>,
}

impl Assignment {
    /// Returns the assignment out of these pools, with their DNS servers.
    pub fn of(order: impl IntoIterator<Item = usize>) -> Self {
        Self { order: ranking::order(order), dns: None, why: None }
    }

    /// Names the DNS servers.
    pub fn with_dns(mut self, dns: Vec<IpAddr>) -> Self {
        self.dns = Some(dns);
        self
    }

    /// Adds a reason.
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Returns the pools in the assignment's order; an index out of range is passed over.
    pub fn pick<'a, T>(&self, pools: &'a [T]) -> Vec<&'a T> {
        ranking::pick(&self.order, pools)
    }
}

/// Tells whether an answer stays on the menu.
pub(crate) fn admits(menu: &AddressMenu, answer: &Assignment) -> bool {
    let pools = answer.pick(&menu.pools);
    let known = |server: &IpAddr| pools.iter().any(|pool| pool.dns.contains(server));
    ranking::is_of(&answer.order, menu.pools.len())
        && answer.dns.iter().all(|dns| dns.len() <= limits::DNS_SERVERS && dns.iter().all(known))
}

/// Returns the menu that an answer leaves for the next policy.
pub(crate) fn restrict(menu: &AddressMenu, answer: &Assignment) -> AddressMenu {
    let left = |pool: &&PoolFacts| {
        let mut pool = (*pool).clone();
        pool.dns.retain(|server| answer.dns.as_ref().is_none_or(|dns| dns.contains(server)));
        pool
    };
    AddressMenu { pools: answer.pick(&menu.pools).iter().map(left).collect(), ..menu.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu() -> AddressMenu {
        let pool = |name: &str, third: u8| PoolFacts {
            name: name.into(),
            base: [10, 99, third, 0].into(),
            prefix_len: 24,
            free: 254,
            leased: 0,
            remembers: false,
            dns: vec![[10, 99, third, 53].into()],
            hints: Vec::new(),
        };
        AddressMenu {
            connection: "corp".into(),
            peer_id: Identity::Fqdn("carol".into()),
            labels: Vec::new(),
            remote: ([198, 51, 100, 1], 4500).into(),
            unix_secs: 0,
            wants_ipv4: true,
            wants_ipv6: false,
            preferred: Vec::new(),
            pools: vec![pool("staff", 1), pool("guests", 2)],
            hints: Vec::new(),
        }
    }

    #[test]
    fn dns_servers_are_those_of_the_pools_that_are_named() {
        let dns = |last| vec![IpAddr::from([10, 99, last, 53])];
        assert!(admits(&menu(), &Assignment::of([1])));
        assert!(admits(&menu(), &Assignment::of([]).with_dns(Vec::new())));
        assert!(admits(&menu(), &Assignment::of([1]).with_dns(dns(2))));
        assert!(!admits(&menu(), &Assignment::of([1]).with_dns(dns(1))), "of a pool that is left out");
        assert!(!admits(&menu(), &Assignment::of([1, 1])));
        assert!(!admits(&menu(), &Assignment::of([2])));
    }

    #[test]
    fn what_is_left_of_the_menu_has_neither_the_pools_nor_the_servers_that_were_left_out() {
        let left = restrict(&menu(), &Assignment::of([1]).with_dns(Vec::new()));
        assert_eq!(left.pools.len(), 1);
        assert_eq!((left.pools[0].name.as_str(), left.pools[0].dns.len()), ("guests", 0));
    }
}
