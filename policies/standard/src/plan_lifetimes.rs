//! The operator's numbers stand.

use vpnhost_policy::{LifetimeMenu, Lifetimes};

/// Takes the configuration's lifetimes.
pub(crate) fn plan(menu: &LifetimeMenu) -> Lifetimes {
    menu.native.clone()
}
