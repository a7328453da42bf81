//! `advertise-addresses`.

use vpnhost_policy::{AddressFacts, Advertisement, AdvertisementMenu, CheckTime};
use wasmtime::{Result, Store};

use super::exports::advertise_addresses as wit;
use super::{Bindings, types};
use crate::guest::Guest;

impl Bindings {
    pub(crate) fn advertise_addresses(
        &self,
        store: &mut Store<Guest>,
        menu: &AdvertisementMenu,
    ) -> Result<Option<Advertisement>> {
        let Some(question) = &self.advertise_addresses else { return Ok(None) };
        let menu = wit::AdvertisementMenu {
            connection: menu.connection.clone(),
            role: types::role(menu.role),
            peer_id: types::identity(&menu.peer_id),
            labels: types::attributes(&menu.labels),
            unix_secs: menu.unix_secs,
            local: types::endpoint(menu.local),
            remote: types::endpoint(menu.remote),
            peer_behind_nat: menu.peer_behind_nat,
            addresses: menu.addresses.iter().map(address).collect(),
            return_routability: menu.return_routability.0,
            hints: types::attributes(&menu.hints),
        };
        Ok(question.call_advertise_addresses(store, &menu)?.map(|answer| Advertisement {
            order: answer.order,
            return_routability: CheckTime(answer.return_routability),
            why: types::why(answer.why),
        }))
    }
}

fn address(facts: &AddressFacts) -> wit::AddressFacts {
    wit::AddressFacts {
        address: types::address(facts.address),
        interface_name: facts.interface.clone(),
        kind: facts.kind.0,
        metered: facts.metered,
        roaming: facts.roaming,
        hints: types::attributes(&facts.hints),
    }
}
