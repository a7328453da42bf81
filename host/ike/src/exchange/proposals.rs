//! Suites as proposals and back (RFC 7296 §2.7, §3.3).

use vpnhost_crypto::CryptoBackend;
use vpnhost_model::{
    ChildSpi, EspSuite, IkeSpi, IkeSuite, KeyExchange, Protocol, Suite, Transform, TransformType,
};

use crate::limits;
use crate::wire::payload::{Proposal, SecurityAssociation};

/// Returns the IKE suites that may be used: the backend has every part, the operator allows it.
pub(crate) fn usable_ike(
    crypto: &dyn CryptoBackend,
    allow_legacy: bool,
    suites: &[IkeSuite],
) -> Vec<IkeSuite> {
    let usable = |suite: &&IkeSuite| {
        (allow_legacy || !suite.is_legacy())
            && crypto.find_packet(suite.packet).is_some()
            && crypto.find_prf(suite.prf).is_some()
            && crypto.find_key_exchange(suite.key_exchange).is_some()
    };
    distinct(suites.iter().filter(usable).copied())
}

/// Returns the ESP suites that may be used.
pub(crate) fn usable_esp(
    crypto: &dyn CryptoBackend,
    allow_legacy: bool,
    suites: &[EspSuite],
) -> Vec<EspSuite> {
    let usable = |suite: &&EspSuite| {
        (allow_legacy || !suite.is_legacy())
            && crypto.find_packet(suite.packet).is_some()
            && (suite.key_exchange == KeyExchange::NONE
                || crypto.find_key_exchange(suite.key_exchange).is_some())
    };
    distinct(suites.iter().filter(usable).copied())
}

/// Returns the suites without their key exchange, each once: what IKE_AUTH negotiates (RFC 7296 §1.2).
pub(crate) fn without_key_exchange(suites: &[EspSuite]) -> Vec<EspSuite> {
    distinct(suites.iter().map(|suite| EspSuite { key_exchange: KeyExchange::NONE, ..*suite }))
}

/// Returns a proposal without the key exchanges that it offers, for IKE_AUTH.
pub(crate) fn strip_key_exchange(offer: &SecurityAssociation) -> SecurityAssociation {
    let mut offer = offer.clone();
    for proposal in &mut offer.proposals {
        proposal.transforms.retain(|offered| offered.transform.kind != TransformType::KEY_EXCHANGE);
    }
    offer
}

/// Returns the groups that an offer names for Child SAs; of IKE_AUTH it need not name any.
pub(crate) fn groups(offer: &SecurityAssociation) -> Vec<KeyExchange> {
    let transforms = offer.proposals.iter().flat_map(|proposal| &proposal.transforms);
    let groups = transforms.filter(|offered| offered.transform.kind == TransformType::KEY_EXCHANGE);
    distinct(groups.map(|offered| KeyExchange(offered.transform.id)))
}

fn distinct<S: PartialEq>(suites: impl Iterator<Item = S>) -> Vec<S> {
    let mut list = Vec::new();
    for suite in suites {
        if list.len() < limits::SUITES && !list.contains(&suite) {
            list.push(suite);
        }
    }
    list
}

/// Writes suites as an offer, one proposal each, in order.
pub(crate) fn offer(suites: &[Suite], spi: &[u8]) -> SecurityAssociation {
    let proposals =
        suites.iter().zip(1..=u8::MAX).map(|(suite, number)| proposal(suite, number, spi.to_vec())).collect();
    SecurityAssociation { proposals }
}

/// Writes the chosen suite as the answer to the proposal that it fits.
pub(crate) fn choice(suite: &Suite, number: u8, spi: &[u8]) -> SecurityAssociation {
    SecurityAssociation { proposals: vec![proposal(suite, number, spi.to_vec())] }
}

fn proposal(suite: &Suite, number: u8, spi: Vec<u8>) -> Proposal {
    let transforms = suite.transforms().into_iter().map(Into::into).collect();
    Proposal { number, protocol: suite.protocol(), spi, transforms }
}

/// Finds the first proposal of an offer that a suite fits.
pub(crate) fn fitting<'a>(suite: &Suite, offer: &'a SecurityAssociation) -> Option<&'a Proposal> {
    offer.proposals.iter().find(|proposal| fits(suite, proposal))
}

/// Tells whether a proposal offers every transform of a suite, and needs none that the suite lacks.
fn fits(suite: &Suite, proposal: &Proposal) -> bool {
    if proposal.protocol != suite.protocol() || !has_spi_of(proposal) {
        return false;
    }
    let wanted = suite.transforms();
    let offered: Vec<Transform> = proposal.transforms.iter().filter_map(|t| t.known()).collect();
    let every_wanted = wanted.iter().all(|transform| offered.contains(transform));
    // RFC 7296, 3.3.3: of each type offered one is chosen; only "none" may be left out.
    let every_offered = proposal.transforms.iter().all(|other| {
        let kind = other.transform.kind;
        let none = offered.iter().any(|t| t.kind == kind && t.id == 0 && kind != TransformType::SEQUENCE);
        wanted.iter().any(|transform| transform.kind == kind) || none
    });
    every_wanted && every_offered
}

fn has_spi_of(proposal: &Proposal) -> bool {
    match proposal.protocol {
        Protocol::IKE => proposal.spi.is_empty() || proposal.ike_spi().is_some_and(|spi| !spi.is_zero()),
        Protocol::ESP => proposal.child_spi().is_some_and(is_assignable),
        _ => false,
    }
}

/// Tells whether an SPI is not reserved (RFC 4303 §2.1).
pub(crate) fn is_assignable(spi: ChildSpi) -> bool {
    spi.0 > 255
}

/// Reads a responder's choice: one proposal, and exactly one of the suites that were offered.
pub(crate) fn chosen<'a>(
    answer: &'a SecurityAssociation,
    offered: &[Suite],
) -> Option<(Suite, &'a Proposal)> {
    let [proposal] = answer.proposals.as_slice() else { return None };
    let mut transforms = Vec::new();
    for transform in &proposal.transforms {
        let known = transform.known()?;
        // "None" may be written or left out.
        let is_none = known.id == 0 && known.kind != TransformType::SEQUENCE;
        if !is_none {
            transforms.push(known);
        }
    }
    transforms.sort();
    let same = |suite: &&Suite| {
        let mut wanted = suite.transforms();
        wanted.sort();
        proposal.protocol == suite.protocol() && wanted == transforms
    };
    let suite = offered.iter().find(same)?;
    has_spi_of(proposal).then_some((*suite, proposal))
}

/// Reads the SPI of a proposal for a new IKE SA.
pub(crate) fn new_ike_spi(proposal: &Proposal) -> Option<IkeSpi> {
    proposal.ike_spi().filter(|spi| !spi.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ike(text: &str) -> Vec<Suite> {
        IkeSuite::parse_all(text).unwrap().into_iter().map(Suite::Ike).collect()
    }

    fn esp(text: &str) -> Vec<Suite> {
        let sequences = [vpnhost_model::Sequence::SHORT];
        EspSuite::parse_all(text, &sequences).unwrap().into_iter().map(Suite::Esp).collect()
    }

    #[test]
    fn a_suite_fits_only_what_offers_all_of_it() {
        let offered = offer(&ike("aes256-sha256-modp2048"), &[]);
        assert!(fitting(&ike("aes256-sha256-modp2048")[0], &offered).is_some());
        assert!(fitting(&ike("aes128-sha256-modp2048")[0], &offered).is_none());
        assert!(fitting(&ike("aes256-sha256-x25519")[0], &offered).is_none());
        assert!(fitting(&ike("aes256gcm16-prfsha256-modp2048")[0], &offered).is_none());
    }

    #[test]
    fn a_proposal_that_needs_more_than_the_suite_has_is_not_fitted() {
        let spi = [1, 2, 3, 4];
        let with_group = offer(&esp("aes256-sha256-modp2048"), &spi);
        assert!(fitting(&esp("aes256-sha256")[0], &with_group).is_none());
        let stripped = strip_key_exchange(&with_group);
        assert!(fitting(&esp("aes256-sha256")[0], &stripped).is_some());
    }

    #[test]
    fn a_choice_that_was_not_offered_is_refused() {
        let offered = ike("aes256-sha256-modp2048");
        let weak = choice(&ike("3des-sha256-modp1024")[0], 1, &[]);
        assert!(chosen(&weak, &offered).is_none());
        let right = choice(&offered[0], 1, &[]);
        assert_eq!(chosen(&right, &offered).unwrap().0, offered[0]);
        let twice = offer(&[offered[0], offered[0]], &[]);
        assert!(chosen(&twice, &offered).is_none());
    }

    #[test]
    fn a_reserved_spi_is_no_choice() {
        let suites = esp("aes128gcm16");
        assert!(chosen(&choice(&suites[0], 1, &[0, 0, 0, 255]), &suites).is_none());
        assert!(chosen(&choice(&suites[0], 1, &[0, 0, 1, 0]), &suites).is_some());
    }
}
