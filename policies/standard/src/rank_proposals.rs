//! The operator's order stands.

use vpnhost_policy::{ProposalMenu, Ranking};

/// Keeps the configured order: what may be offered at all, the floor has decided.
pub(crate) fn rank(menu: &ProposalMenu) -> Ranking {
    Ranking::of(0..menu.suites.len())
}
