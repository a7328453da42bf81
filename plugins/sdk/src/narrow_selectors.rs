//! `narrow-selectors` inside the component.

use vpnhost_policy::{Policy, SelectorMenu};

use crate::bindings::narrow_selectors::exports::vpnhost::policy::narrow_selectors as wit;
use crate::convert::{attributes, identity, role, selectors, selectors_out};

/// Asks the policy.
pub fn narrow_selectors<P: Policy>(policy: &P, menu: wit::SelectorMenu) -> Option<wit::Narrowing> {
    let menu = SelectorMenu {
        connection: menu.connection,
        child: menu.child,
        role: role(menu.role),
        peer_id: identity(menu.peer_id),
        labels: attributes(menu.labels),
        unix_secs: menu.unix_secs,
        rekeys: menu.rekeys,
        offered_local: selectors(menu.offered_local),
        offered_remote: selectors(menu.offered_remote),
        local: selectors(menu.local),
        remote: selectors(menu.remote),
        hints: attributes(menu.hints),
    };
    let narrowing = policy.narrow_selectors(&menu)?;
    Some(wit::Narrowing {
        local: selectors_out(narrowing.local),
        remote: selectors_out(narrowing.remote),
        why: narrowing.why,
    })
}
