//! `plan-lifetimes` inside the component.

use vpnhost_policy::{LifetimeMenu, Lifetimes, LifetimesBounds, Policy, Strength};

use crate::bindings::plan_lifetimes::exports::vpnhost::policy::plan_lifetimes as wit;
use crate::convert::{attributes, bounds, identity, role, selectors, transforms};

/// Asks the policy.
pub fn plan_lifetimes<P: Policy>(policy: &P, menu: wit::LifetimeMenu) -> Option<wit::Lifetimes> {
    let menu = LifetimeMenu {
        connection: menu.connection,
        child: menu.child,
        role: role(menu.role),
        peer_id: identity(menu.peer_id),
        labels: attributes(menu.labels),
        unix_secs: menu.unix_secs,
        rekeys: menu.rekeys,
        suite: transforms(menu.suite),
        strength: Strength(menu.strength),
        local: selectors(menu.local),
        remote: selectors(menu.remote),
        native: Lifetimes {
            rekey_secs: menu.native.rekey_secs,
            rekey_mib: menu.native.rekey_mib,
            rekey_packets: menu.native.rekey_packets,
            why: menu.native.why,
        },
        bounds: LifetimesBounds {
            rekey_secs: bounds(menu.bounds.rekey_secs),
            rekey_mib: bounds(menu.bounds.rekey_mib),
            rekey_packets: bounds(menu.bounds.rekey_packets),
        },
        hints: attributes(menu.hints),
    };
    let Lifetimes { rekey_secs, rekey_mib, rekey_packets, why } = policy.plan_lifetimes(&menu)?;
    Some(wit::Lifetimes { rekey_secs, rekey_mib, rekey_packets, why })
}
