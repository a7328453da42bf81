//! Which suite protects an SA (RFC 7296 §2.7).

use std::fmt;
use std::net::SocketAddr;

use vpnhost_model::{
    Encryption, Identity, Integrity, KeyExchange, Prf, Protocol, Role, Transform, TransformType,
};

use crate::{Attribute, Ranking};

/// What may protect the SA. The responder takes the first of the answer, the initiator offers in
/// the answer's order; an empty answer is NO_PROPOSAL_CHOSEN.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposalMenu {
    /// The connection's name.
    pub connection: String,
    /// This host's role in the exchange.
    pub role: Role,
    /// What is negotiated: an IKE SA or ESP.
    pub protocol: Protocol,
    /// What the path tells of the peer.
    pub peer: PeerHint,
    /// Who the peer has proved to be; none before it has.
    pub peer_id: Option<Identity>,
    /// The labels of its authorization.
    pub labels: Vec<Attribute>,
    /// Our configured suites that fit the peer's offer, in configured order, at most
    /// [`crate::limits::SUITES`].
    pub suites: Vec<OfferedSuite>,
    /// Those of our configured suites that this host can do and the peer does not offer, likewise; none as initiator.
    pub not_offered: Vec<OfferedSuite>,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// What the path tells of a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerHint {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// This host's address and port.
    pub local: SocketAddr,
    /// Whether this host is behind a NAT, where known.
    pub behind_nat: Option<bool>,
    /// Whether the peer is behind a NAT, where known.
    pub peer_behind_nat: Option<bool>,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// One suite that both sides can do and the floor allows.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferedSuite {
    /// Its transforms, in the order of their types.
    pub transforms: Vec<Transform>,
    /// How strong the weakest of them is.
    pub strength: Strength,
    /// The name of the crypto backend that would run it.
    pub backend: String,
    /// By how many octets it makes an ESP packet longer at most, without outer IP and UDP headers; for an IKE SA none.
    pub overhead_octets: Option<u16>,
    /// What it took to seal a full packet when that was measured on this machine, in nanoseconds; for an IKE SA none.
    pub packet_ns: Option<u32>,
    /// Whether key exchange data of its group are on the wire already: no INVALID_KE_PAYLOAD round.
    pub key_share_present: bool,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

impl OfferedSuite {
    /// Returns the first transform of a kind.
    pub fn transform(&self, kind: TransformType) -> Option<&Transform> {
        self.transforms.iter().find(|transform| transform.kind == kind)
    }
}

/// A grade of a suite, after RFC 8247 and RFC 8221; a number where it crosses, so that it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Strength(pub u8);

impl Strength {
    /// Gives no protection today.
    pub const BROKEN: Self = Self(0);
    /// Only for peers that know nothing better.
    pub const LEGACY: Self = Self(1);
    /// No known weakness.
    pub const ACCEPTABLE: Self = Self(2);
    /// What RFC 8247 and RFC 8221 want.
    pub const RECOMMENDED: Self = Self(3);

    /// Returns the grade of the weakest transform.
    pub fn of(transforms: &[Transform]) -> Self {
        transforms.iter().map(Self::of_transform).min().unwrap_or(Self::BROKEN)
    }

    fn of_transform(transform: &Transform) -> Self {
        match transform.kind {
            TransformType::ENCRYPTION => Self::of_encryption(Encryption(transform.id), transform.key_bits),
            TransformType::PRF => match Prf(transform.id) {
                Prf::HMAC_MD5 => Self::BROKEN,
                Prf::HMAC_SHA1 => Self::LEGACY,
                Prf::AES128_XCBC | Prf::AES128_CMAC => Self::ACCEPTABLE,
                Prf::HMAC_SHA2_256 | Prf::HMAC_SHA2_384 | Prf::HMAC_SHA2_512 => Self::RECOMMENDED,
                _ => Self::ACCEPTABLE,
            },
            TransformType::INTEGRITY => match Integrity(transform.id) {
                Integrity::HMAC_SHA1_96 => Self::LEGACY,
                Integrity::AES_XCBC_96 | Integrity::AES_CMAC_96 => Self::ACCEPTABLE,
                Integrity::NONE
                | Integrity::HMAC_SHA2_256_128
                | Integrity::HMAC_SHA2_384_192
                | Integrity::HMAC_SHA2_512_256 => Self::RECOMMENDED,
                _ => Self::ACCEPTABLE,
            },
            TransformType::KEY_EXCHANGE => match KeyExchange(transform.id) {
                KeyExchange::MODP_768 => Self::BROKEN,
                KeyExchange::MODP_1024 | KeyExchange::MODP_1536 => Self::LEGACY,
                KeyExchange::MODP_2048 => Self::ACCEPTABLE,
                _ => Self::RECOMMENDED,
            },
            _ => Self::RECOMMENDED,
        }
    }

    fn of_encryption(encryption: Encryption, key_bits: Option<u16>) -> Self {
        match encryption {
            Encryption::DES | Encryption::NULL => Self::BROKEN,
            Encryption::TRIPLE_DES => Self::LEGACY,
            Encryption::CHACHA20_POLY1305 => Self::RECOMMENDED,
            Encryption::AES_CCM_8 | Encryption::AES_GCM_8 => Self::ACCEPTABLE,
            _ if key_bits == Some(192) => Self::ACCEPTABLE,
            _ => Self::RECOMMENDED,
        }
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BROKEN => f.write_str("broken"),
            Self::LEGACY => f.write_str("legacy"),
            Self::ACCEPTABLE => f.write_str("acceptable"),
            Self::RECOMMENDED => f.write_str("recommended"),
            Self(other) => write!(f, "strength-{other}"),
        }
    }
}

/// Tells whether an answer stays on the menu.
pub(crate) fn admits(menu: &ProposalMenu, answer: &Ranking) -> bool {
    answer.is_of(menu.suites.len())
}

/// Returns the menu that an answer leaves for the next policy.
pub(crate) fn restrict(menu: &ProposalMenu, answer: &Ranking) -> ProposalMenu {
    let suites = answer.pick(&menu.suites).into_iter().cloned().collect();
    ProposalMenu { suites, ..menu.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_as_strong_as_its_weakest_transform() {
        let grade = |text: &str| {
            let suites = vpnhost_model::IkeSuite::parse_all(text).unwrap();
            Strength::of(&suites[0].transforms())
        };
        assert_eq!(grade("aes256gcm16-prfsha384-x25519"), Strength::RECOMMENDED);
        assert_eq!(grade("aes256-sha256-modp2048"), Strength::ACCEPTABLE);
        assert_eq!(grade("3des-sha256-modp2048"), Strength::LEGACY);
        assert_eq!(grade("aes256-sha256-modp1024"), Strength::LEGACY);
        assert_eq!(Strength::of(&[]), Strength::BROKEN);
    }
}
