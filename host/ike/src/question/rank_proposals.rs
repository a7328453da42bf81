//! Which suite protects an SA: the menu of an IKE SA's or Child SA's suites, and the order that was given.

use vpnhost_crypto::{CryptoBackend, PacketAlgorithm as _};
use vpnhost_model::{KeyExchange, PacketId, Protocol, Role, Suite};
use vpnhost_pki::identity::folded;
use vpnhost_policy::{Answer, OfferedSuite, PeerHint, ProposalMenu, Question, Strength};

use crate::host::Host;
use crate::sa::IkeSa;

/// Builds the menu: suites that the floor allows, the backend has, and, as responder, the offer fits; and those of them
/// that it does not fit.
pub(crate) fn question(
    host: &Host,
    sa: &IkeSa,
    (connection, role): (&str, Role),
    (suites, not_offered): (&[Suite], &[Suite]),
    key_share: Option<KeyExchange>,
) -> Question {
    let protocol = suites.first().map_or(Protocol::IKE, Suite::protocol);
    let known = sa.nat.supported;
    Question::RankProposals(ProposalMenu {
        connection: connection.to_owned(),
        role,
        protocol,
        peer: PeerHint {
            remote: sa.path.remote,
            local: sa.path.local,
            behind_nat: known.then_some(sa.nat.local),
            peer_behind_nat: known.then_some(sa.nat.peer),
            hints: Vec::new(),
        },
        peer_id: sa.established().map(|established| folded(&established.peer_id)),
        labels: sa.established().map(|established| established.labels.clone()).unwrap_or_default(),
        suites: suites.iter().map(|suite| offered(host, suite, key_share)).collect(),
        not_offered: not_offered.iter().map(|suite| offered(host, suite, key_share)).collect(),
        hints: Vec::new(),
    })
}

fn offered(host: &Host, suite: &Suite, key_share: Option<KeyExchange>) -> OfferedSuite {
    let transforms = suite.transforms();
    let (packet, method) = match suite {
        Suite::Ike(suite) => (suite.packet, suite.key_exchange),
        Suite::Esp(suite) => (suite.packet, suite.key_exchange),
    };
    let is_esp = suite.protocol() == Protocol::ESP;
    OfferedSuite {
        strength: Strength::of(&transforms),
        transforms,
        backend: host.crypto.serves(packet).to_owned(),
        overhead_octets: is_esp.then(|| overhead(host.crypto, packet)).flatten(),
        packet_ns: is_esp.then(|| host.packet_costs.get(&packet).copied()).flatten(),
        key_share_present: method == KeyExchange::NONE || key_share == Some(method),
        hints: Vec::new(),
    }
}

/// Returns what ESP adds to a packet at most: SPI, sequence number, IV, padding and its length, next header, ICV (RFC
/// 4303 §2).
fn overhead(crypto: &dyn CryptoBackend, packet: PacketId) -> Option<u16> {
    let layout = crypto.find_packet(packet)?.layout();
    let padding = layout.block_len.max(4) - 1;
    u16::try_from(8 + layout.iv_len + padding + 2 + layout.icv_len).ok()
}

/// Returns the suites in the order of the answer; what it leaves out is refused.
pub(crate) fn ranked<S: Copy>(answer: Option<Answer>, suites: &[S]) -> Vec<S> {
    match answer {
        Some(Answer::RankProposals(ranking)) => ranking.pick(suites).into_iter().copied().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_refused() {
        let ranking = vpnhost_policy::Ranking::of([2, 0]);
        assert_eq!(ranked(Some(Answer::RankProposals(ranking)), &[10, 11, 12]), [12, 10]);
        assert!(ranked(None, &[1, 2]).is_empty());
    }
}
