//! `rank-proposals` inside the component.

use vpnhost_model::Protocol;
use vpnhost_policy::{OfferedSuite, PeerHint, Policy, ProposalMenu, Strength};

use crate::bindings::rank_proposals::exports::vpnhost::policy::rank_proposals as wit;
use crate::convert::{attributes, endpoint, identity, role, transforms};

/// Asks the policy.
pub fn rank_proposals<P: Policy>(policy: &P, menu: wit::ProposalMenu) -> Option<wit::Ranking> {
    let menu = ProposalMenu {
        connection: menu.connection,
        role: role(menu.role),
        protocol: Protocol(menu.protocol),
        peer: PeerHint {
            remote: endpoint(menu.peer.remote),
            local: endpoint(menu.peer.local),
            behind_nat: menu.peer.behind_nat,
            peer_behind_nat: menu.peer.peer_behind_nat,
            hints: attributes(menu.peer.hints),
        },
        peer_id: menu.peer_id.map(identity),
        labels: attributes(menu.labels),
        suites: menu.suites.into_iter().map(suite).collect(),
        not_offered: menu.not_offered.into_iter().map(suite).collect(),
        hints: attributes(menu.hints),
    };
    let ranking = policy.rank_proposals(&menu)?;
    Some(wit::Ranking { order: ranking.order, why: ranking.why })
}

fn suite(suite: wit::OfferedSuite) -> OfferedSuite {
    OfferedSuite {
        transforms: transforms(suite.transforms),
        strength: Strength(suite.strength),
        backend: suite.backend,
        overhead_octets: suite.overhead_octets,
        packet_ns: suite.packet_ns,
        key_share_present: suite.key_share_present,
        hints: attributes(suite.hints),
    }
}
