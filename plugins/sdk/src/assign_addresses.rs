//! `assign-addresses` inside the component.

use vpnhost_policy::{AddressMenu, Policy, PoolFacts};

use crate::bindings::assign_addresses::exports::vpnhost::policy::assign_addresses as wit;
use crate::convert::{address, address_out, addresses, attributes, endpoint, identity};

/// Asks the policy.
pub fn assign_addresses<P: Policy>(policy: &P, menu: wit::AddressMenu) -> Option<wit::Assignment> {
    let menu = AddressMenu {
        connection: menu.connection,
        peer_id: identity(menu.peer_id),
        labels: attributes(menu.labels),
        remote: endpoint(menu.remote),
        unix_secs: menu.unix_secs,
        wants_ipv4: menu.wants_ipv4,
        wants_ipv6: menu.wants_ipv6,
        preferred: addresses(menu.preferred),
        pools: menu.pools.into_iter().map(pool).collect(),
        hints: attributes(menu.hints),
    };
    let assignment = policy.assign_addresses(&menu)?;
    let dns = assignment.dns.map(|dns| dns.into_iter().map(address_out).collect());
    Some(wit::Assignment { order: assignment.order, dns, why: assignment.why })
}

fn pool(pool: wit::PoolFacts) -> PoolFacts {
    PoolFacts {
        name: pool.name,
        base: address(pool.base),
        prefix_len: pool.prefix_len,
        free: pool.free,
        leased: pool.leased,
        remembers: pool.remembers,
        dns: addresses(pool.dns),
        hints: attributes(pool.hints),
    }
}
