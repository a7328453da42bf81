//! Which suite protects an SA: the menu of an IKE SA's or Child SA's suites, and the order that was given.

use vpnhost_crypto::CryptoBackend;
use vpnhost_model::{KeyExchange, Protocol, Role, Suite};
use vpnhost_policy::{Answer, OfferedSuite, PeerHint, ProposalMenu, Question, Strength};

use crate::sa::IkeSa;

/// Builds the menu: suites that the floor allows, the backend has, and, as responder, the offer fits.
pub(crate) fn question(
    crypto: &dyn CryptoBackend,
    sa: &IkeSa,
    (connection, role): (&str, Role),
    suites: &[Suite],
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
        },
        suites: suites.iter().map(|suite| offered(crypto, suite, key_share)).collect(),
        hints: Vec::new(),
    })
}

fn offered(crypto: &dyn CryptoBackend, suite: &Suite, key_share: Option<KeyExchange>) -> OfferedSuite {
    let transforms = suite.transforms();
    let (packet, method) = match suite {
        Suite::Ike(suite) => (suite.packet, suite.key_exchange),
        Suite::Esp(suite) => (suite.packet, suite.key_exchange),
    };
    OfferedSuite {
        strength: Strength::of(&transforms),
        transforms,
        backend: crypto.serves(packet).to_owned(),
        key_share_present: method == KeyExchange::NONE || key_share == Some(method),
    }
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
