//! `rank-proposals`.

use vpnhost_policy::{OfferedSuite, ProposalMenu, Ranking};
use wasmtime::{Result, Store};

use super::exports::rank_proposals as wit;
use super::{Bindings, types};
use crate::guest::Guest;

impl Bindings {
    pub(crate) fn rank_proposals(
        &self,
        store: &mut Store<Guest>,
        menu: &ProposalMenu,
    ) -> Result<Option<Ranking>> {
        let Some(question) = &self.rank_proposals else { return Ok(None) };
        let menu = wit::ProposalMenu {
            connection: menu.connection.clone(),
            role: types::role(menu.role),
            protocol: menu.protocol.0,
            peer: wit::PeerHint {
                remote: types::endpoint(menu.peer.remote),
                local: types::endpoint(menu.peer.local),
                behind_nat: menu.peer.behind_nat,
                peer_behind_nat: menu.peer.peer_behind_nat,
                hints: types::attributes(&menu.peer.hints),
            },
            peer_id: menu.peer_id.as_ref().map(types::identity),
            labels: types::attributes(&menu.labels),
            suites: menu.suites.iter().map(suite).collect(),
            not_offered: menu.not_offered.iter().map(suite).collect(),
            hints: types::attributes(&menu.hints),
        };
        Ok(question.call_rank_proposals(store, &menu)?.map(ranking))
    }
}

fn ranking(ranking: wit::Ranking) -> Ranking {
    Ranking { order: ranking.order, why: types::why(ranking.why) }
}

fn suite(suite: &OfferedSuite) -> wit::OfferedSuite {
    wit::OfferedSuite {
        transforms: types::transforms(&suite.transforms),
        strength: suite.strength.0,
        backend: suite.backend.clone(),
        overhead_octets: suite.overhead_octets,
        packet_ns: suite.packet_ns,
        key_share_present: suite.key_share_present,
        hints: types::attributes(&suite.hints),
    }
}
