//! How an offer differs from what is allowed here: the nearest pair, and what is different in it.

use std::fmt;
use std::sync::Arc;

use vpnhost_model::{
    Encryption, Integrity, KeyExchange, PacketId, Prf, Protocol, Sequence, Suite, Transform, TransformType,
};

use crate::config::PeerConfig;
use crate::reason::some_of;
use crate::wire::payload::{Proposal, SecurityAssociation};

/// How an offer differs from what is allowed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalGap {
    /// Of an IKE SA or of ESP.
    pub protocol: Protocol,
    /// What differs between the two that differ least.
    pub differences: Vec<Difference>,
    /// What is offered and configured, but cannot be used here.
    pub withheld: Option<Suite>,
    /// The connection that comes nearest, where none is chosen yet.
    pub nearest: Option<String>,
}

/// A kind of transform that the two have no common value of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The kind.
    pub kind: TransformType,
    /// What the peer offers, for people; empty for none.
    pub theirs: Vec<String>,
    /// What is allowed here.
    pub ours: Vec<String>,
}

impl ProposalGap {
    /// Compares an offer with what is configured, where nothing of it fits what can be used.
    pub(crate) fn find(protocol: Protocol, offer: &SecurityAssociation, configured: &[Suite]) -> Self {
        let offered: Vec<Vec<Transform>> = offer
            .proposals
            .iter()
            .filter(|proposal| proposal.protocol == protocol)
            .map(known_transforms)
            .collect();
        let pairs = configured.iter().flat_map(|suite| {
            let own = suite.transforms();
            offered.iter().map(move |theirs| (*suite, different(&own, theirs), theirs))
        });
        let Some((suite, kinds, theirs)) = pairs.min_by_key(|(_, kinds, _)| kinds.len()) else {
            return Self { protocol, differences: Vec::new(), withheld: None, nearest: None };
        };
        if kinds.is_empty() {
            return Self { protocol, differences: Vec::new(), withheld: Some(suite), nearest: None };
        }
        let all_ours: Vec<Transform> = configured.iter().flat_map(Suite::transforms).collect();
        let all_theirs: Vec<Transform> = offered.iter().flatten().copied().collect();
        let own = suite.transforms();
        let differences = kinds
            .into_iter()
            .map(|kind| {
                let (ours, others) = (of_kind(&all_ours, kind), of_kind(&all_theirs, kind));
                // A value that both have, only not together with the rest, would read as a contradiction.
                let (ours, others) = if ours.iter().any(|name| others.contains(name)) {
                    (of_kind(&own, kind), of_kind(theirs, kind))
                } else {
                    (ours, others)
                };
                Difference { kind, theirs: others, ours }
            })
            .collect();
        Self { protocol, differences, withheld: None, nearest: None }
    }

    /// Compares an offer for an IKE SA with what connections allow together, and names the one that differs least, if there
    /// is one.
    pub(crate) fn among(offer: &SecurityAssociation, connections: &[Arc<PeerConfig>]) -> Self {
        let suites = |connection: &PeerConfig| connection.ike.iter().copied().map(Suite::Ike).collect();
        let each = connections.iter().map(|connection| {
            let suites: Vec<Suite> = suites(connection);
            (connection, Self::find(Protocol::IKE, offer, &suites).differences.len(), suites)
        });
        let each: Vec<_> = each.filter(|(.., suites)| !suites.is_empty()).collect();
        let least = each.iter().map(|(_, differences, _)| *differences).min();
        let mut nearest =
            each.iter().filter(|(_, differences, _)| Some(*differences) == least && least > Some(0));
        let nearest = match (nearest.next(), nearest.next()) {
            (Some((connection, ..)), None) => Some(connection.name.clone()),
            (None | Some(_), _) => None,
        };
        let all: Vec<Suite> = each.into_iter().flat_map(|(.., suites)| suites).collect();
        Self { nearest, ..Self::find(Protocol::IKE, offer, &all) }
    }

    /// Tells whether it is the key exchange of Child SAs alone that differs: perfect forward secrecy.
    pub fn is_pfs(&self) -> bool {
        let group = |difference: &Difference| difference.kind == TransformType::KEY_EXCHANGE;
        self.protocol == Protocol::ESP && !self.differences.is_empty() && self.differences.iter().all(group)
    }
}

impl fmt::Display for ProposalGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no common proposal for {}", name(self.protocol))?;
        if let Some(suite) = self.withheld {
            let why = if suite.is_legacy() { "needs allow_legacy" } else { "no crypto backend here has it" };
            write!(f, ": they offer {suite}, which is configured, but {why}")?;
        }
        for (at, difference) in self.differences.iter().enumerate() {
            let sign = if at == 0 { ": " } else { "; " };
            let kind = word(difference.kind);
            match (&difference.theirs[..], &difference.ours[..]) {
                ([], ours) => write!(f, "{sign}they offer no {kind}, we allow only {}", some_of(ours))?,
                (theirs, []) => write!(f, "{sign}they offer {kind} {}, we allow none", some_of(theirs))?,
                (theirs, ours) => {
                    write!(
                        f,
                        "{sign}they offer {kind} {}, we allow only {}",
                        some_of(theirs),
                        some_of(ours)
                    )?;
                }
            }
        }
        match &self.nearest {
            Some(connection) => write!(f, "; the nearest is connection {connection}"),
            None => Ok(()),
        }
    }
}

/// Names what a proposal is for.
pub(super) fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::IKE => "IKE",
        Protocol::ESP => "ESP",
        Protocol::AH => "AH",
        _ => "an unknown protocol",
    }
}

fn known_transforms(proposal: &Proposal) -> Vec<Transform> {
    proposal.transforms.iter().filter_map(|transform| transform.known()).collect()
}

/// Returns the kinds in which a proposal does not have what a suite needs, or needs what the suite has not.
fn different(own: &[Transform], theirs: &[Transform]) -> Vec<TransformType> {
    const KINDS: [TransformType; 5] = [
        TransformType::ENCRYPTION,
        TransformType::INTEGRITY,
        TransformType::PRF,
        TransformType::KEY_EXCHANGE,
        TransformType::SEQUENCE,
    ];
    let differs = |kind: &TransformType| {
        let wanted: Vec<&Transform> = own.iter().filter(|transform| transform.kind == *kind).collect();
        let offered: Vec<&Transform> = theirs.iter().filter(|transform| transform.kind == *kind).collect();
        let is_none = |transform: &&&Transform| transform.id == 0 && *kind != TransformType::SEQUENCE;
        match &wanted[..] {
            [] => !offered.is_empty() && !offered.iter().any(|transform| is_none(&transform)),
            wanted => !wanted.iter().any(|transform| offered.contains(transform)),
        }
    };
    let mut kinds: Vec<TransformType> = KINDS.into_iter().filter(differs).collect();
    if kinds.first() == Some(&TransformType::ENCRYPTION) && is_aead(own) != is_aead(theirs) {
        // An AEAD needs no integrity algorithm: that one side names one follows from the encryption.
        kinds.retain(|kind| *kind != TransformType::INTEGRITY);
    }
    kinds
}

fn is_aead(transforms: &[Transform]) -> bool {
    transforms.iter().any(|t| t.kind == TransformType::ENCRYPTION && Encryption(t.id).is_aead())
}

fn of_kind(transforms: &[Transform], kind: TransformType) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in transforms.iter().filter(|transform| transform.kind == kind).map(value) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Names a transform within its kind, as operators write it.
fn value(transform: &Transform) -> String {
    let Transform { kind, id, key_bits } = *transform;
    match kind {
        TransformType::ENCRYPTION => {
            let key_bits = key_bits.unwrap_or_default();
            PacketId { encryption: Encryption(id), key_bits, integrity: Integrity::NONE }.to_string()
        }
        TransformType::INTEGRITY => Integrity(id).to_string(),
        TransformType::PRF => {
            let name = Prf(id).to_string();
            name.strip_prefix("prf").map_or_else(|| name.clone(), str::to_owned)
        }
        TransformType::KEY_EXCHANGE => KeyExchange(id).to_string(),
        TransformType::SEQUENCE => Sequence(id).to_string(),
        TransformType(other) => format!("{other}/{id}"),
    }
}

fn word(kind: TransformType) -> &'static str {
    match kind {
        TransformType::ENCRYPTION => "encryption",
        TransformType::INTEGRITY => "integrity",
        TransformType::PRF => "prf",
        TransformType::KEY_EXCHANGE => "group",
        _ => "sequence numbers",
    }
}

#[cfg(test)]
mod tests {
    use vpnhost_model::{EspSuite, IkeSuite};

    use super::*;
    use crate::exchange::proposals::offer;

    fn ike(text: &str) -> Vec<Suite> {
        IkeSuite::parse_all(text).unwrap().into_iter().map(Suite::Ike).collect()
    }

    fn esp(text: &str) -> Vec<Suite> {
        EspSuite::parse_all(text, &[Sequence::SHORT]).unwrap().into_iter().map(Suite::Esp).collect()
    }

    fn ike_gap(theirs: &str, ours: &str) -> String {
        ProposalGap::find(Protocol::IKE, &offer(&ike(theirs), &[]), &ike(ours)).to_string()
    }

    fn esp_gap(theirs: &str, ours: &str) -> ProposalGap {
        ProposalGap::find(Protocol::ESP, &offer(&esp(theirs), &[0, 1, 2, 3]), &esp(ours))
    }

    #[test]
    fn what_differs_is_named_with_the_values_of_both() {
        let cases = [
            (
                "aes256-sha256-prfsha256-modp2048",
                "aes256-sha256-prfsha384-modp2048",
                "prf sha256, we allow only sha384",
            ),
            ("aes128-sha256-modp2048", "aes256-sha256-modp2048", "encryption aes128, we allow only aes256"),
            (
                "aes256-sha256-prfsha256-modp2048",
                "aes256-sha512-prfsha256-modp2048",
                "integrity sha256, we allow only sha512",
            ),
            (
                "aes256-sha256-modp2048-modp3072",
                "aes256-sha256-ecp256",
                "group modp2048, modp3072, we allow only ecp256",
            ),
        ];
        for (theirs, ours, difference) in cases {
            assert_eq!(ike_gap(theirs, ours), format!("no common proposal for IKE: they offer {difference}"));
        }
    }

    #[test]
    fn the_nearest_of_many_is_the_one_that_is_told_of() {
        let theirs = "aes128-sha256-modp2048";
        let ours: Vec<Suite> = [ike("aes256gcm16-prfsha512-ecp521"), ike("aes128-sha256-ecp256")]
            .into_iter()
            .flatten()
            .collect();
        let gap = ProposalGap::find(Protocol::IKE, &offer(&ike(theirs), &[]), &ours);
        assert_eq!(gap.differences.len(), 1);
        assert_eq!(gap.differences[0].kind, TransformType::KEY_EXCHANGE);
        assert_eq!(gap.differences[0].ours, ["ecp521", "ecp256"]);
    }

    #[test]
    fn values_that_are_common_but_not_together_are_no_contradiction() {
        let ours: Vec<Suite> =
            [ike("aes256-sha256-ecp256"), ike("aes128-sha256-modp2048")].into_iter().flatten().collect();
        let gap = ProposalGap::find(Protocol::IKE, &offer(&ike("aes256-sha256-modp2048"), &[]), &ours);
        assert_eq!(
            gap.to_string(),
            "no common proposal for IKE: they offer group modp2048, we allow only ecp256"
        );
    }

    #[test]
    fn an_aead_is_no_second_difference_in_integrity() {
        assert_eq!(
            esp_gap("aes128gcm16", "aes256-sha256").to_string(),
            "no common proposal for ESP: they offer encryption aes128gcm16, we allow only aes256"
        );
    }

    #[test]
    fn a_group_that_only_one_side_wants_is_a_mismatch_of_pfs() {
        let without = esp_gap("aes128gcm16", "aes128gcm16-ecp256");
        assert!(without.is_pfs());
        assert_eq!(
            without.to_string(),
            "no common proposal for ESP: they offer no group, we allow only ecp256"
        );
        let with = esp_gap("aes128gcm16-ecp256", "aes128gcm16");
        assert!(with.is_pfs());
        assert_eq!(with.to_string(), "no common proposal for ESP: they offer group ecp256, we allow none");
        assert!(!esp_gap("aes128gcm16-ecp256", "aes256gcm16").is_pfs());
    }

    #[test]
    fn what_is_configured_and_cannot_be_used_is_told_as_such() {
        assert_eq!(
            ike_gap("3des-sha1-modp1024", "3des-sha1-modp1024"),
            "no common proposal for IKE: they offer 3des-sha1-modp1024, which is configured, but needs allow_legacy"
        );
    }
}
