//! What both sides want is what they get.

use vpnhost_policy::{Narrowing, SelectorMenu};

/// Takes the whole menu.
pub(crate) fn narrow(menu: &SelectorMenu) -> Narrowing {
    Narrowing { local: menu.local.clone(), remote: menu.remote.clone(), why: None }
}
