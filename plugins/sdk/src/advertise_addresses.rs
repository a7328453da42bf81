//! `advertise-addresses` inside the component.

use vpnhost_model::LinkKind;
use vpnhost_policy::{AddressFacts, AdvertisementMenu, CheckTime, Policy};

use crate::bindings::advertise_addresses::exports::vpnhost::policy::advertise_addresses as wit;
use crate::convert::{address, attributes, endpoint, identity, role};

/// Asks the policy.
pub fn advertise_addresses<P: Policy>(
    policy: &P,
    menu: wit::AdvertisementMenu,
) -> Option<wit::Advertisement> {
    let menu = AdvertisementMenu {
        connection: menu.connection,
        role: role(menu.role),
        peer_id: identity(menu.peer_id),
        labels: attributes(menu.labels),
        unix_secs: menu.unix_secs,
        local: endpoint(menu.local),
        remote: endpoint(menu.remote),
        peer_behind_nat: menu.peer_behind_nat,
        addresses: menu.addresses.into_iter().map(facts).collect(),
        return_routability: CheckTime(menu.return_routability),
        hints: attributes(menu.hints),
    };
    let advertisement = policy.advertise_addresses(&menu)?;
    Some(wit::Advertisement {
        order: advertisement.order,
        return_routability: advertisement.return_routability.0,
        why: advertisement.why,
    })
}

fn facts(facts: wit::AddressFacts) -> AddressFacts {
    AddressFacts {
        address: address(facts.address),
        interface: facts.interface_name,
        kind: LinkKind(facts.kind),
        metered: facts.metered,
        roaming: facts.roaming,
        hints: attributes(facts.hints),
    }
}
