//! Every address, and the check that the operator wants.

use vpnhost_policy::{Advertisement, AdvertisementMenu};

/// Tells the peer all: what it does not know it cannot send to when this host's path has died.
pub(crate) fn advertise(menu: &AdvertisementMenu) -> Advertisement {
    Advertisement::of(0..menu.addresses.len(), menu.return_routability)
}
