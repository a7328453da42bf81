//! `assign-addresses`.

use vpnhost_policy::{AddressMenu, Assignment, PoolFacts, limits};
use wasmtime::{Result, Store};

use super::exports::assign_addresses as wit;
use super::{Bindings, types};
use crate::guest::Guest;

impl Bindings {
    pub(crate) fn assign_addresses(
        &self,
        store: &mut Store<Guest>,
        menu: &AddressMenu,
    ) -> Result<Option<Assignment>> {
        let Some(question) = &self.assign_addresses else { return Ok(None) };
        let menu = wit::AddressMenu {
            connection: menu.connection.clone(),
            peer_id: types::identity(&menu.peer_id),
            labels: types::attributes(&menu.labels),
            remote: types::endpoint(menu.remote),
            unix_secs: menu.unix_secs,
            wants_ipv4: menu.wants_ipv4,
            wants_ipv6: menu.wants_ipv6,
            preferred: types::addresses(&menu.preferred),
            pools: menu.pools.iter().map(pool).collect(),
            hints: types::attributes(&menu.hints),
        };
        Ok(question.call_assign_addresses(store, &menu)?.map(assignment))
    }
}

/// One server more than allowed is kept, so that it shows.
fn assignment(answer: wit::Assignment) -> Assignment {
    let servers =
        |dns: Vec<_>| dns.into_iter().take(limits::DNS_SERVERS + 1).map(types::address_in).collect();
    Assignment { order: answer.order, dns: answer.dns.map(servers), why: types::why(answer.why) }
}

fn pool(pool: &PoolFacts) -> wit::PoolFacts {
    wit::PoolFacts {
        name: pool.name.clone(),
        base: types::address(pool.base),
        prefix_len: pool.prefix_len,
        free: pool.free,
        leased: pool.leased,
        remembers: pool.remembers,
        dns: types::addresses(&pool.dns),
        hints: types::attributes(&pool.hints),
    }
}
