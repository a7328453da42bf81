//! `rank-paths` inside the component.

use vpnhost_model::LinkKind;
use vpnhost_policy::{PathCause, PathFacts, PathMenu, Policy};

use crate::bindings::base::vpnhost::policy::types;
use crate::bindings::rank_paths::exports::vpnhost::policy::rank_paths as wit;
use crate::convert::{address, attributes, endpoint, ranking_out};

/// Asks the policy.
pub fn rank_paths<P: Policy>(policy: &P, menu: wit::PathMenu) -> Option<types::Ranking> {
    let menu = PathMenu {
        connection: menu.connection,
        cause: PathCause(menu.cause),
        current: menu.current,
        paths: menu.paths.into_iter().map(path).collect(),
        since_move_ms: menu.since_move_ms,
        hints: attributes(menu.hints),
    };
    policy.rank_paths(&menu).map(ranking_out)
}

fn path(path: wit::PathFacts) -> PathFacts {
    PathFacts {
        local: address(path.local),
        remote: endpoint(path.remote),
        interface: path.interface_name,
        kind: LinkKind(path.kind),
        metered: path.metered,
        mtu: path.mtu,
        rtt_us: path.rtt_us,
        loss_permille: path.loss_permille,
        age_ms: path.age_ms,
    }
}
