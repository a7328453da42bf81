//! Suites: one algorithm of each kind, and the text that operators write them in.
//!
//! The text is strongSwan's: `aes256-sha256-modp2048` for IKE, `aes128gcm16` or
//! `aes256-sha256-modp2048` for ESP, tokens in any order; several tokens of a kind are alternatives.

use std::fmt;

use crate::{
    Encryption, Integrity, KeyExchange, PacketId, Prf, Protocol, Sequence, Transform, TransformType,
};

/// What protects an IKE SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeSuite {
    /// Encryption and integrity of the SK payload.
    pub packet: PacketId,
    /// The PRF.
    pub prf: Prf,
    /// The key exchange.
    pub key_exchange: KeyExchange,
}

/// What protects a Child SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EspSuite {
    /// Encryption and integrity of ESP.
    pub packet: PacketId,
    /// The key exchange of CREATE_CHILD_SA; [`KeyExchange::NONE`] is none.
    pub key_exchange: KeyExchange,
    /// The sequence numbers.
    pub sequence: Sequence,
}

/// A suite of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// Of an IKE SA.
    Ike(IkeSuite),
    /// Of a Child SA.
    Esp(EspSuite),
}

impl Suite {
    /// Returns the protocol that the suite is for.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Ike(_) => Protocol::IKE,
            Self::Esp(_) => Protocol::ESP,
        }
    }

    /// Returns its transforms, in the order of their types; "none" is left out.
    pub fn transforms(&self) -> Vec<Transform> {
        match self {
            Self::Ike(suite) => suite.transforms(),
            Self::Esp(suite) => suite.transforms(),
        }
    }

    /// Tells whether any part of it needs `allow_legacy`.
    pub fn is_legacy(&self) -> bool {
        match self {
            Self::Ike(suite) => suite.is_legacy(),
            Self::Esp(suite) => suite.is_legacy(),
        }
    }
}

impl IkeSuite {
    /// Reads a text into the suites it means, in order.
    ///
    /// # Errors
    /// Names the token that is unknown, or the kind that is missing.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, ProposalError> {
        let tokens = Tokens::read(text)?;
        if tokens.key_exchanges.is_empty() {
            return Err(ProposalError::new(text, Reason::Missing("key exchange group")));
        }
        let mut suites = Vec::new();
        for packet in tokens.packets(text)? {
            for prf in tokens.prfs_for(packet, text)? {
                suites.extend(tokens.key_exchanges.iter().map(|&key_exchange| Self {
                    packet,
                    prf,
                    key_exchange,
                }));
            }
        }
        Ok(suites)
    }

    /// Returns its transforms, in the order of their types.
    pub fn transforms(&self) -> Vec<Transform> {
        let mut transforms = packet_transforms(self.packet);
        transforms.push(Transform { kind: TransformType::PRF, id: self.prf.0, key_bits: None });
        transforms.push(key_exchange_transform(self.key_exchange));
        transforms.sort();
        transforms
    }

    /// Tells whether any part of it needs `allow_legacy`.
    pub fn is_legacy(&self) -> bool {
        self.packet.is_legacy() || self.prf.is_legacy() || self.key_exchange.is_legacy()
    }
}

impl EspSuite {
    /// Reads a text into the suites it means, in order. Without `esn` or `noesn` in the text the
    /// sequence numbers are `sequences`, the preferred first.
    ///
    /// # Errors
    /// Names the token that is unknown, or the kind that is missing.
    pub fn parse_all(text: &str, sequences: &[Sequence]) -> Result<Vec<Self>, ProposalError> {
        let tokens = Tokens::read(text)?;
        if let Some(prf) = tokens.prfs.first() {
            return Err(ProposalError::new(text, Reason::NotInEsp(prf.to_string())));
        }
        let groups =
            if tokens.key_exchanges.is_empty() { &[KeyExchange::NONE][..] } else { &tokens.key_exchanges };
        let sequences = if tokens.sequences.is_empty() { sequences } else { &tokens.sequences };
        let mut suites = Vec::new();
        for packet in tokens.packets(text)? {
            for &key_exchange in groups {
                suites.extend(sequences.iter().map(|&sequence| Self { packet, key_exchange, sequence }));
            }
        }
        Ok(suites)
    }

    /// Returns its transforms, in the order of their types; no key exchange is no transform.
    pub fn transforms(&self) -> Vec<Transform> {
        let mut transforms = packet_transforms(self.packet);
        if self.key_exchange != KeyExchange::NONE {
            transforms.push(key_exchange_transform(self.key_exchange));
        }
        transforms.push(Transform { kind: TransformType::SEQUENCE, id: self.sequence.0, key_bits: None });
        transforms
    }

    /// Tells whether any part of it needs `allow_legacy`.
    pub fn is_legacy(&self) -> bool {
        self.packet.is_legacy() || self.key_exchange.is_legacy()
    }
}

impl PacketId {
    /// Tells whether any part of it needs `allow_legacy`.
    pub fn is_legacy(&self) -> bool {
        self.encryption.is_legacy() || self.integrity.is_legacy()
    }
}

fn packet_transforms(packet: PacketId) -> Vec<Transform> {
    let key_bits = packet.encryption.has_key_length().then_some(packet.key_bits);
    let mut transforms =
        vec![Transform { kind: TransformType::ENCRYPTION, id: packet.encryption.0, key_bits }];
    if packet.integrity != Integrity::NONE {
        transforms.push(Transform { kind: TransformType::INTEGRITY, id: packet.integrity.0, key_bits: None });
    }
    transforms
}

fn key_exchange_transform(method: KeyExchange) -> Transform {
    Transform { kind: TransformType::KEY_EXCHANGE, id: method.0, key_bits: None }
}

impl fmt::Display for IkeSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.packet)?;
        if Prf::of_integrity(self.packet.integrity) != Some(self.prf) {
            write!(f, "-{}", self.prf)?;
        }
        write!(f, "-{}", self.key_exchange)
    }
}

impl fmt::Display for EspSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.packet)?;
        if self.key_exchange != KeyExchange::NONE {
            write!(f, "-{}", self.key_exchange)?;
        }
        if self.sequence == Sequence::EXTENDED {
            write!(f, "-esn")?;
        }
        Ok(())
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ike(suite) => suite.fmt(f),
            Self::Esp(suite) => suite.fmt(f),
        }
    }
}

/// Why a proposal's text names no suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalError {
    proposal: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Unknown(String),
    Missing(&'static str),
    NotInEsp(String),
}

impl ProposalError {
    fn new(proposal: &str, reason: Reason) -> Self {
        Self { proposal: proposal.to_owned(), reason }
    }
}

impl fmt::Display for ProposalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proposal \"{}\": ", self.proposal)?;
        match &self.reason {
            Reason::Unknown(token) => write!(f, "unknown algorithm \"{token}\""),
            Reason::Missing(kind) => write!(f, "no {kind}"),
            Reason::NotInEsp(token) => write!(f, "\"{token}\" has no place in an ESP proposal"),
        }
    }
}

impl std::error::Error for ProposalError {}

/// The tokens of one proposal, by kind, in the order written.
#[derive(Default)]
struct Tokens {
    encryptions: Vec<(Encryption, u16)>,
    integrities: Vec<Integrity>,
    prfs: Vec<Prf>,
    key_exchanges: Vec<KeyExchange>,
    sequences: Vec<Sequence>,
}

impl Tokens {
    fn read(text: &str) -> Result<Self, ProposalError> {
        let mut tokens = Self::default();
        for token in text.split('-') {
            if let Some(encryption) = read_encryption(token) {
                tokens.encryptions.push(encryption);
            } else if let Some(integrity) = Integrity::from_name(token).filter(|&i| i != Integrity::NONE) {
                tokens.integrities.push(integrity);
            } else if let Some(prf) = Prf::from_name(token) {
                tokens.prfs.push(prf);
            } else if let Some(method) = read_key_exchange(token) {
                tokens.key_exchanges.push(method);
            } else if let Some(sequence) = Sequence::from_name(token) {
                tokens.sequences.push(sequence);
            } else {
                return Err(ProposalError::new(text, Reason::Unknown(token.to_owned())));
            }
        }
        Ok(tokens)
    }

    fn packets(&self, text: &str) -> Result<Vec<PacketId>, ProposalError> {
        if self.encryptions.is_empty() {
            return Err(ProposalError::new(text, Reason::Missing("encryption")));
        }
        let mut packets = Vec::new();
        for &(encryption, key_bits) in &self.encryptions {
            let packet = |integrity| PacketId { encryption, key_bits, integrity };
            if encryption.is_aead() {
                packets.push(packet(Integrity::NONE));
            } else if self.integrities.is_empty() {
                return Err(ProposalError::new(text, Reason::Missing("integrity algorithm")));
            } else {
                packets.extend(self.integrities.iter().copied().map(packet));
            }
        }
        Ok(packets)
    }

    fn prfs_for(&self, packet: PacketId, text: &str) -> Result<Vec<Prf>, ProposalError> {
        if !self.prfs.is_empty() {
            return Ok(self.prfs.clone());
        }
        let implied: Vec<Prf> = match packet.integrity {
            Integrity::NONE => self.integrities.iter().filter_map(|&i| Prf::of_integrity(i)).collect(),
            integrity => Prf::of_integrity(integrity).into_iter().collect(),
        };
        if implied.is_empty() {
            return Err(ProposalError::new(text, Reason::Missing("PRF (such as prfsha256)")));
        }
        Ok(implied)
    }
}

/// Reads `aes256`, `aes128gcm16`, `aes128gcm` (16 is meant), `3des`, `chacha20poly1305`, `null`.
fn read_encryption(token: &str) -> Option<(Encryption, u16)> {
    if let Some(encryption) = Encryption::from_name(token).filter(|e| !e.has_key_length()) {
        return Some((encryption, encryption.fixed_key_bits()?));
    }
    let rest = token.strip_prefix("aes")?;
    let (key_bits, mode) = rest.split_at_checked(3)?;
    let key_bits = key_bits.parse().ok().filter(|bits| [128, 192, 256].contains(bits))?;
    let mode = match mode {
        "gcm" => "gcm16",
        "ccm" => "ccm16",
        mode => mode,
    };
    Some((Encryption::from_name(&format!("aes{mode}"))?, key_bits))
}

fn read_key_exchange(token: &str) -> Option<KeyExchange> {
    match token {
        "curve25519" => Some(KeyExchange::X25519),
        "curve448" => Some(KeyExchange::X448),
        token => KeyExchange::from_name(token).filter(|&method| method != KeyExchange::NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_written_as_it_was_read() {
        for text in [
            "aes256-sha256-modp2048",
            "3des-sha256-modp1024",
            "aes256gcm16-prfsha384-x25519",
            "aes192-sha384-modp1536",
        ] {
            let suites = IkeSuite::parse_all(text).unwrap();
            assert_eq!(suites.len(), 1, "{text}");
            assert_eq!(suites[0].to_string(), text);
        }
        for text in ["aes128gcm16", "aes256-sha256-x25519", "aes128-sha512-esn"] {
            assert_eq!(EspSuite::parse_all(text, &[Sequence::SHORT]).unwrap()[0].to_string(), text);
        }
    }

    #[test]
    fn several_tokens_of_a_kind_are_alternatives_in_order() {
        let suites = IkeSuite::parse_all("aes128-aes256-sha256-modp2048-x25519").unwrap();
        let texts: Vec<String> = suites.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "aes128-sha256-modp2048",
                "aes128-sha256-x25519",
                "aes256-sha256-modp2048",
                "aes256-sha256-x25519"
            ]
        );
    }

    #[test]
    fn esn_is_offered_in_the_given_order_unless_written() {
        let both = [Sequence::EXTENDED, Sequence::SHORT];
        assert_eq!(EspSuite::parse_all("aes128gcm16", &both).unwrap().len(), 2);
        assert_eq!(EspSuite::parse_all("aes128gcm16-noesn", &both).unwrap().len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text| IkeSuite::parse_all(text).unwrap_err().to_string();
        assert_eq!(
            error("aes257-sha256-modp2048"),
            "proposal \"aes257-sha256-modp2048\": unknown algorithm \"aes257\""
        );
        assert_eq!(error("aes256-modp2048"), "proposal \"aes256-modp2048\": no integrity algorithm");
        assert_eq!(error("aes256-sha256"), "proposal \"aes256-sha256\": no key exchange group");
        assert_eq!(
            error("aes256gcm16-x25519"),
            "proposal \"aes256gcm16-x25519\": no PRF (such as prfsha256)"
        );
        assert!(EspSuite::parse_all("aes256-sha256-prfsha256", &[Sequence::SHORT]).is_err());
    }

    #[test]
    fn legacy_is_seen_in_any_part() {
        let legacy = |text| IkeSuite::parse_all(text).unwrap()[0].is_legacy();
        assert!(
            legacy("3des-sha256-modp2048")
                && legacy("aes128-sha256-modp1024")
                && legacy("aes128-sha1-modp2048")
        );
        assert!(!legacy("aes128-sha256-modp2048"));
    }
}
