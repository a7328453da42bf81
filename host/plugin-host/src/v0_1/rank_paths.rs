//! `rank-paths`.

use vpnhost_policy::{PathFacts, PathMenu, PathRanking};
use wasmtime::{Result, Store};

use super::exports::rank_paths as wit;
use super::{Bindings, types};
use crate::guest::Guest;

impl Bindings {
    pub(crate) fn rank_paths(
        &self,
        store: &mut Store<Guest>,
        menu: &PathMenu,
    ) -> Result<Option<PathRanking>> {
        let Some(question) = &self.rank_paths else { return Ok(None) };
        let menu = wit::PathMenu {
            connection: menu.connection.clone(),
            cause: menu.cause.0,
            role: types::role(menu.role),
            peer_id: types::identity(&menu.peer_id),
            labels: types::attributes(&menu.labels),
            unix_secs: menu.unix_secs,
            current: menu.current,
            paths: menu.paths.iter().map(path).collect(),
            since_move_ms: menu.since_move_ms,
            moves: menu.moves,
            power: types::power(menu.power),
            hints: types::attributes(&menu.hints),
        };
        Ok(question.call_rank_paths(store, &menu)?.map(ranking))
    }
}

fn ranking(ranking: wit::PathRanking) -> PathRanking {
    PathRanking {
        order: ranking.order,
        settle_ms: ranking.settle_ms,
        review_after_secs: ranking.review_after_secs,
        why: types::why(ranking.why),
    }
}

fn path(path: &PathFacts) -> wit::PathFacts {
    wit::PathFacts {
        local: types::address(path.local),
        remote: types::endpoint(path.remote),
        interface_name: path.interface.clone(),
        kind: path.kind.0,
        metered: path.metered,
        roaming: path.roaming,
        mtu: path.mtu,
        standing: path.standing.0,
        rtt_us: path.rtt_us,
        loss_permille: path.loss_permille,
        age_ms: path.age_ms,
        up_ms: path.up_ms,
        flaps: path.flaps,
        outages: path.outages,
        outage_ms: path.outage_ms,
        hints: types::attributes(&path.hints),
    }
}
