//! Address pools: one virtual address of each family for a peer, the same as last time where it is free.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use vpnhost_model::{Identity, IkeSaId};
use vpnhost_pki::identity;
use vpnhost_policy::PoolFacts;
use vpnhost_policy::limits::POOLS;

use crate::config::PoolConfig;
use crate::extension::configuration::Wanted;
use crate::limits;

/// Every pool of the endpoint, by name.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pools: BTreeMap<String, Pool>,
}

/// One pool's leases.
#[derive(Debug)]
struct Pool {
    config: PoolConfig,
    leases: BTreeMap<IpAddr, Tenancy>,
    remembered: BTreeMap<Identity, IpAddr>,
    released: VecDeque<IpAddr>,
    next_offset: u128,
}

/// Whose an address is: a peer that authenticates anew has two IKE SAs for a while.
#[derive(Debug)]
struct Tenancy {
    identity: Identity,
    owners: BTreeSet<IkeSaId>,
}

/// An address that a peer was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: IpAddr,
    pub(crate) prefix_len: u8,
}

impl Pools {
    /// Takes a new configuration; leases of a pool that did not change are kept.
    pub(crate) fn configure(&mut self, configs: &[PoolConfig]) {
        let mut old = std::mem::take(&mut self.pools);
        for config in configs {
            let kept = old.remove(&config.name).filter(|pool| {
                pool.config.base == config.base && pool.config.prefix_len == config.prefix_len
            });
            let pool = match kept {
                Some(pool) => Pool { config: config.clone(), ..pool },
                None => Pool::new(config.clone()),
            };
            self.pools.insert(config.name.clone(), pool);
        }
    }

    /// Gives an address of a family out of the first of the named pools that has one. Who has an address, and asks for it by another IKE SA, keeps it.
    pub(crate) fn lease(
        &mut self,
        names: &[String],
        (v6, wanted): (bool, Option<IpAddr>),
        identity: &Identity,
        owner: IkeSaId,
    ) -> Option<Lease> {
        let identity = &identity::folded(identity);
        let kept = wanted.and_then(|wanted| {
            let mut pools = names.iter().filter_map(|name| Some((name, self.pools.get(name)?)));
            let (name, _) = pools.find(|(_, pool)| pool.is_of(wanted, identity))?;
            self.pools.get_mut(name)?.share(wanted, owner)
        });
        if kept.is_some() {
            return kept;
        }
        names.iter().find_map(|name| {
            let pool = self.pools.get_mut(name).filter(|pool| pool.config.base.is_ipv6() == v6)?;
            pool.lease(identity, owner)
        })
    }

    /// Tells a policy of the named pools that have an address for a peer, of a family that it wants; no names mean every
    /// pool.
    pub(crate) fn menu(&self, names: &[String], wanted: &Wanted, identity: &Identity) -> Vec<PoolFacts> {
        let identity = &identity::folded(identity);
        let named: Vec<&Pool> = match names {
            [] => self.pools.values().collect(),
            names => names.iter().filter_map(|name| self.pools.get(name)).collect(),
        };
        let is_wanted = |pool: &&Pool| if pool.config.base.is_ipv6() { wanted.v6 } else { wanted.v4 };
        let facts = named.into_iter().filter(is_wanted).map(|pool| pool.facts(wanted, identity));
        facts.filter(|pool| pool.free > 0 || pool.remembers).take(POOLS).collect()
    }

    /// Returns the name of the first of the named pools of a family: the one that is exhausted
    /// when nothing was to be had.
    pub(crate) fn first_name(&self, names: &[String], v6: bool) -> Option<String> {
        let of_family = |pool: &&Pool| pool.config.base.is_ipv6() == v6;
        let found = if names.is_empty() {
            self.pools.values().find(of_family)
        } else {
            names.iter().filter_map(|name| self.pools.get(name)).find(of_family)
        };
        found.map(|pool| pool.config.name.clone())
    }

    /// Returns the DNS servers of the pools that the addresses come from.
    pub(crate) fn dns(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let mut servers = Vec::new();
        for pool in self.pools.values() {
            if addresses.iter().any(|address| pool.contains(*address)) {
                let fresh: Vec<IpAddr> =
                    pool.config.dns.iter().filter(|&server| !servers.contains(server)).copied().collect();
                servers.extend(fresh);
            }
        }
        servers
    }

    /// Returns how many addresses are given out.
    pub(crate) fn leases(&self) -> usize {
        self.pools.values().map(|pool| pool.leases.len()).sum()
    }

    /// Takes back every address of an IKE SA.
    pub(crate) fn release(&mut self, owner: IkeSaId) {
        self.pools.values_mut().for_each(|pool| pool.release(owner));
    }

    /// Makes the leases of an IKE SA those of its successor.
    pub(crate) fn rename(&mut self, old: IkeSaId, new: IkeSaId) {
        for pool in self.pools.values_mut() {
            for tenancy in pool.leases.values_mut() {
                if tenancy.owners.remove(&old) {
                    tenancy.owners.insert(new);
                }
            }
        }
    }
}

impl Pool {
    fn new(config: PoolConfig) -> Self {
        Self {
            config,
            leases: BTreeMap::new(),
            remembered: BTreeMap::new(),
            released: VecDeque::new(),
            next_offset: 1,
        }
    }

    fn lease(&mut self, identity: &Identity, owner: IkeSaId) -> Option<Lease> {
        let remembered = self.remembered.get(identity).copied();
        let address = remembered
            .filter(|address| !self.leases.contains_key(address))
            .or_else(|| self.untouched())
            .or_else(|| self.released.front().copied())?;
        self.released.retain(|other| *other != address);
        self.remembered.retain(|_, other| *other != address);
        if self.remembered.len() < limits::IKE_SAS {
            self.remembered.insert(identity.clone(), address);
        }
        self.leases.insert(address, Tenancy { identity: identity.clone(), owners: BTreeSet::from([owner]) });
        Some(Lease { address, prefix_len: self.config.prefix_len })
    }

    /// Tells a policy of it.
    fn facts(&self, wanted: &Wanted, identity: &Identity) -> PoolFacts {
        let shared = wanted.preferred().any(|address| self.is_of(address, identity));
        let remembered = self.remembered.get(identity);
        let free = self.size().saturating_sub(self.leases.len() as u128);
        PoolFacts {
            name: self.config.name.clone(),
            base: self.config.base,
            prefix_len: self.config.prefix_len,
            free: u32::try_from(free).unwrap_or(u32::MAX),
            leased: u32::try_from(self.leases.len()).unwrap_or(u32::MAX),
            remembers: shared || remembered.is_some_and(|address| !self.leases.contains_key(address)),
            dns: self.config.dns.clone(),
            hints: Vec::new(),
        }
    }

    /// Returns the first and the last offset that an address may have in the prefix. The first of a prefix is left out, and
    /// of IPv4 the last, unless the prefix is too long for such addresses.
    fn offsets(&self) -> (u128, u128) {
        let bits = if self.config.base.is_ipv4() { 32 } else { 128 };
        let free_bits = u32::from(bits - self.config.prefix_len.min(bits));
        let mask = 1u128.checked_shl(free_bits).map_or(u128::MAX, |size| size - 1);
        match free_bits {
            0 => (0, 0),
            1 => (0, 1),
            _ => (1, if bits == 32 { mask - 1 } else { mask }),
        }
    }

    /// Returns how many addresses it has.
    fn size(&self) -> u128 {
        let (first, last) = self.offsets();
        (last - first).saturating_add(1)
    }

    /// Tells whether an address is an identity's.
    fn is_of(&self, address: IpAddr, identity: &Identity) -> bool {
        self.leases.get(&address).is_some_and(|tenancy| tenancy.identity == *identity)
    }

    /// Gives an address to a further IKE SA of whose it is.
    fn share(&mut self, address: IpAddr, owner: IkeSaId) -> Option<Lease> {
        self.leases.get_mut(&address)?.owners.insert(owner);
        Some(Lease { address, prefix_len: self.config.prefix_len })
    }

    fn release(&mut self, owner: IkeSaId) {
        let mut free = Vec::new();
        self.leases.retain(|address, tenancy| {
            if tenancy.owners.remove(&owner) && tenancy.owners.is_empty() {
                free.push(*address);
            }
            !tenancy.owners.is_empty()
        });
        self.released.extend(free);
    }

    fn contains(&self, address: IpAddr) -> bool {
        vpnhost_model::TrafficSelector::prefix(self.config.base, self.config.prefix_len)
            .is_some_and(|range| range.contains_address(address))
    }

    /// Takes the next address that was never given out.
    fn untouched(&mut self) -> Option<IpAddr> {
        let (bits, base) = match self.config.base {
            IpAddr::V4(base) => (32, u128::from(u32::from(base))),
            IpAddr::V6(base) => (128, u128::from(base)),
        };
        let free_bits = u32::from(bits - self.config.prefix_len.min(bits));
        let mask = 1u128.checked_shl(free_bits).map_or(u128::MAX, |size| size - 1);
        let (first, last) = self.offsets();
        let offset = if free_bits < 2 { self.next_offset - 1 } else { self.next_offset.max(first) };
        if offset > last {
            return None;
        }
        self.next_offset += 1;
        let value = (base & !mask) | offset;
        Some(match self.config.base {
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(value).ok()?.into()),
            IpAddr::V6(_) => IpAddr::V6(value.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(base: &str, prefix_len: u8) -> Pools {
        let mut pools = Pools::default();
        pools.configure(&[PoolConfig {
            name: "road".into(),
            base: base.parse().unwrap(),
            prefix_len,
            dns: vec!["10.0.0.53".parse().unwrap()],
        }]);
        pools
    }

    fn name(text: &str) -> Identity {
        Identity::parse(text).unwrap()
    }

    fn lease(pools: &mut Pools, who: &str, owner: u64) -> Option<String> {
        let lease = pools.lease(&["road".into()], (false, None), &name(who), IkeSaId(owner))?;
        Some(lease.address.to_string())
    }

    #[test]
    fn a_peer_gets_the_address_it_had() {
        let mut pools = pools("10.99.0.0", 24);
        assert_eq!(lease(&mut pools, "a", 1).unwrap(), "10.99.0.1");
        assert_eq!(lease(&mut pools, "b", 2).unwrap(), "10.99.0.2");
        pools.release(IkeSaId(1));
        assert_eq!(lease(&mut pools, "c", 3).unwrap(), "10.99.0.3");
        assert_eq!(lease(&mut pools, "A", 4).unwrap(), "10.99.0.1", "names are alike in either case");
    }

    #[test]
    fn two_devices_of_one_identity_get_two_addresses() {
        let mut pools = pools("10.99.0.0", 24);
        assert_ne!(lease(&mut pools, "a", 1), lease(&mut pools, "a", 2));
    }

    #[test]
    fn who_authenticates_anew_keeps_the_address_and_nobody_else_gets_it_by_asking() {
        let mut pools = pools("10.99.0.0", 24);
        assert_eq!(lease(&mut pools, "a", 1).unwrap(), "10.99.0.1");
        let wanted = Some("10.99.0.1".parse().unwrap());
        let mut ask = |who: &str, owner| {
            let lease = pools.lease(&["road".into()], (false, wanted), &name(who), IkeSaId(owner)).unwrap();
            lease.address.to_string()
        };
        assert_eq!(ask("a", 2), "10.99.0.1");
        assert_eq!(ask("b", 3), "10.99.0.2");
        pools.release(IkeSaId(1));
        assert_eq!(lease(&mut pools, "c", 4).unwrap(), "10.99.0.3");
        assert_eq!(pools.leases(), 3);
        pools.release(IkeSaId(2));
        assert_eq!(pools.leases(), 2);
    }

    #[test]
    fn an_exhausted_pool_takes_the_longest_released_and_then_refuses() {
        let mut pools = pools("10.99.0.0", 30);
        assert_eq!(lease(&mut pools, "a", 1).unwrap(), "10.99.0.1");
        assert_eq!(lease(&mut pools, "b", 2).unwrap(), "10.99.0.2");
        assert_eq!(lease(&mut pools, "c", 3), None);
        pools.release(IkeSaId(2));
        assert_eq!(lease(&mut pools, "c", 3).unwrap(), "10.99.0.2");
        assert_eq!(lease(&mut pools, "b", 4), None);
    }

    #[test]
    fn ipv6_and_tiny_prefixes_have_addresses() {
        let mut six = pools("fd99::", 64);
        let got = six.lease(&["road".into()], (true, None), &name("a"), IkeSaId(1)).unwrap();
        assert_eq!((got.address.to_string().as_str(), got.prefix_len), ("fd99::1", 64));
        assert_eq!(six.lease(&["road".into()], (false, None), &name("a"), IkeSaId(1)), None);
        let mut one = pools("10.0.0.7", 32);
        assert_eq!(lease(&mut one, "a", 1).unwrap(), "10.0.0.7");
        assert_eq!(lease(&mut one, "b", 2), None);
    }

    #[test]
    fn a_pool_tells_what_is_left_of_it_and_whether_it_has_what_a_peer_had() {
        let mut pools = pools("10.99.0.0", 30);
        let wanted = Wanted { v4: true, ..Wanted::default() };
        let facts = |pools: &Pools, who: &str, wanted: &Wanted| {
            let menu = pools.menu(&[], wanted, &name(who));
            menu.first().map(|pool| (pool.free, pool.leased, pool.remembers))
        };
        assert_eq!(facts(&pools, "a", &wanted), Some((2, 0, false)));
        lease(&mut pools, "a", 1);
        lease(&mut pools, "b", 2);
        assert_eq!(facts(&pools, "a", &wanted), None, "it is exhausted");
        let again = Wanted { had_v4: Some("10.99.0.1".parse().unwrap()), ..wanted.clone() };
        assert_eq!(facts(&pools, "a", &again), Some((0, 2, true)), "but for whom has an address of it");
        assert_eq!(facts(&pools, "b", &again), None);
        pools.release(IkeSaId(1));
        assert_eq!(facts(&pools, "A", &wanted), Some((1, 1, true)));
        assert_eq!(facts(&pools, "a", &Wanted { v6: true, ..Wanted::default() }), None);
    }

    #[test]
    fn a_rekeyed_ike_sa_keeps_its_leases() {
        let mut pools = pools("10.99.0.0", 30);
        lease(&mut pools, "a", 1);
        lease(&mut pools, "b", 2);
        pools.rename(IkeSaId(1), IkeSaId(9));
        pools.release(IkeSaId(1));
        assert_eq!(lease(&mut pools, "c", 3), None);
        pools.release(IkeSaId(9));
        assert!(lease(&mut pools, "c", 3).is_some());
    }
}
