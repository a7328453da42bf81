//! `rank-paths` inside the component.

use vpnhost_model::LinkKind;
use vpnhost_policy::{PathCause, PathFacts, PathMenu, PathStanding, Policy};

use crate::bindings::rank_paths::exports::vpnhost::policy::rank_paths as wit;
use crate::convert::{address, attributes, endpoint, identity, power, role};

/// Asks the policy.
pub fn rank_paths<P: Policy>(policy: &P, menu: wit::PathMenu) -> Option<wit::PathRanking> {
    let menu = PathMenu {
        connection: menu.connection,
        cause: PathCause(menu.cause),
        role: role(menu.role),
        peer_id: identity(menu.peer_id),
        labels: attributes(menu.labels),
        unix_secs: menu.unix_secs,
        current: menu.current,
        paths: menu.paths.into_iter().map(path).collect(),
        since_move_ms: menu.since_move_ms,
        moves: menu.moves,
        power: power(menu.power),
        hints: attributes(menu.hints),
    };
    let ranking = policy.rank_paths(&menu)?;
    Some(wit::PathRanking {
        order: ranking.order,
        settle_ms: ranking.settle_ms,
        review_after_secs: ranking.review_after_secs,
        why: ranking.why,
    })
}

fn path(path: wit::PathFacts) -> PathFacts {
    PathFacts {
        local: address(path.local),
        remote: endpoint(path.remote),
        interface: path.interface_name,
        kind: LinkKind(path.kind),
        metered: path.metered,
        roaming: path.roaming,
        mtu: path.mtu,
        standing: PathStanding(path.standing),
        rtt_us: path.rtt_us,
        loss_permille: path.loss_permille,
        age_ms: path.age_ms,
        up_ms: path.up_ms,
        flaps: path.flaps,
        outages: path.outages,
        outage_ms: path.outage_ms,
        hints: attributes(path.hints),
    }
}
