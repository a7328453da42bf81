//! `rank-paths`.

use vpnhost_policy::{PathFacts, PathMenu, Ranking};
use wasmtime::{Result, Store};

use super::exports::rank_paths as wit;
use super::{Bindings, types};
use crate::instance::Guest;

impl Bindings {
    pub(crate) fn rank_paths(&self, store: &mut Store<Guest>, menu: &PathMenu) -> Result<Option<Ranking>> {
        let Some(question) = &self.rank_paths else { return Ok(None) };
        let menu = wit::PathMenu {
            connection: menu.connection.clone(),
            cause: menu.cause.0,
            current: menu.current,
            paths: menu.paths.iter().map(path).collect(),
            since_move_ms: menu.since_move_ms,
            hints: types::attributes(&menu.hints),
        };
        Ok(question.call_rank_paths(store, &menu)?.map(types::ranking))
    }
}

fn path(path: &PathFacts) -> wit::PathFacts {
    wit::PathFacts {
        local: types::address(path.local),
        remote: types::endpoint(path.remote),
        interface_name: path.interface.clone(),
        kind: path.kind.0,
        metered: path.metered,
        mtu: path.mtu,
        rtt_us: path.rtt_us,
        loss_permille: path.loss_permille,
        age_ms: path.age_ms,
    }
}
