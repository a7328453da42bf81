//! What the RFCs ask of each algorithm: RFC 8247 §2 for IKE, RFC 8221 §5–6 for ESP; and how strong each is.
//!
//! Data, not a decision: what may be used is the floor's matter ([`crate::Suite::is_legacy`]), this is what an
//! operator is shown.

use std::fmt;

use crate::{Encryption, Integrity, KeyExchange, PacketId, Prf, Protocol};

/// What an RFC asks of implementations, the most welcome first. An algorithm that is not mentioned is MAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// MUST.
    Must,
    /// MUST, and expected to become less.
    MustMinus,
    /// SHOULD, and expected to become MUST.
    ShouldPlus,
    /// SHOULD.
    Should,
    /// SHOULD for small devices, else MAY.
    ShouldForIot,
    /// MAY.
    May,
    /// SHOULD NOT.
    ShouldNot,
    /// MUST NOT.
    MustNot,
}

impl Status {
    /// Returns the RFC's words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::MustMinus => "MUST-",
            Self::ShouldPlus => "SHOULD+",
            Self::Should => "SHOULD",
            Self::ShouldForIot => "SHOULD (IoT)",
            Self::May => "MAY",
            Self::ShouldNot => "SHOULD NOT",
            Self::MustNot => "MUST NOT",
        }
    }

    /// Tells whether the RFC advises against it.
    pub fn is_discouraged(self) -> bool {
        self >= Self::ShouldNot
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

use Status::{May, Must, MustMinus, MustNot, Should, ShouldForIot, ShouldNot, ShouldPlus};

/// Transform type 1: the key lengths it is about (all, where there are none), its status in IKE and in ESP.
const ENCRYPTION: &[(Encryption, &[u16], Status, Status)] = &[
    (Encryption::DES, &[], MustNot, MustNot),
    (Encryption::TRIPLE_DES, &[], May, ShouldNot),
    (Encryption::NULL, &[], MustNot, Must),
    (Encryption::AES_CBC, &[128, 256], Must, Must),
    (Encryption::AES_CCM_8, &[128], ShouldForIot, ShouldForIot),
    (Encryption::AES_GCM_16, &[128, 256], Should, Must),
    (Encryption::CHACHA20_POLY1305, &[], Should, Should),
];

/// Transform type 2.
const PRF: &[(Prf, Status)] = &[
    (Prf::HMAC_MD5, MustNot),
    (Prf::HMAC_SHA1, MustMinus),
    (Prf::AES128_XCBC, ShouldForIot),
    (Prf::HMAC_SHA2_256, Must),
    (Prf::HMAC_SHA2_512, ShouldPlus),
];

/// Transform type 3; both RFCs agree. 1, 3 and 4 are HMAC-MD5-96, DES-MAC and KPDK-MD5.
const INTEGRITY: &[(Integrity, Status)] = &[
    (Integrity(1), MustNot),
    (Integrity::HMAC_SHA1_96, MustMinus),
    (Integrity(3), MustNot),
    (Integrity(4), MustNot),
    (Integrity::AES_XCBC_96, ShouldForIot),
    (Integrity::HMAC_SHA2_256_128, Must),
    (Integrity::HMAC_SHA2_512_256, Should),
];

/// Transform type 4: status, and strength in bits. 22 to 24 are the groups with small subgroups of RFC 5114.
///
/// The strengths of MODP groups are the lower estimates of RFC 3526 §8 (and of RFC 3766 below that), those of
/// curves half the size of their order.
const KEY_EXCHANGE: &[(KeyExchange, Status, u16)] = &[
    (KeyExchange::MODP_768, MustNot, 60),
    (KeyExchange::MODP_1024, ShouldNot, 72),
    (KeyExchange::MODP_1536, ShouldNot, 90),
    (KeyExchange::MODP_2048, Must, 110),
    (KeyExchange::MODP_3072, May, 130),
    (KeyExchange::MODP_4096, May, 150),
    (KeyExchange::MODP_6144, May, 170),
    (KeyExchange::MODP_8192, May, 190),
    (KeyExchange::ECP_256, Should, 128),
    (KeyExchange::ECP_384, May, 192),
    (KeyExchange::ECP_521, May, 256),
    (KeyExchange(22), MustNot, 72),
    (KeyExchange(23), ShouldNot, 110),
    (KeyExchange(24), ShouldNot, 110),
    (KeyExchange::X25519, May, 128),
    (KeyExchange::X448, May, 224),
];

impl Encryption {
    /// Returns what RFC 8247 (IKE) or RFC 8221 (ESP) asks of it.
    pub fn status(self, key_bits: u16, protocol: Protocol) -> Status {
        let row = ENCRYPTION
            .iter()
            .find(|(id, sizes, ..)| *id == self && (sizes.is_empty() || sizes.contains(&key_bits)));
        match row {
            Some((.., ike, _)) if protocol == Protocol::IKE => *ike,
            Some((.., esp)) => *esp,
            None => May,
        }
    }

    /// Returns how many bits of work it takes to read what it encrypts; none for NULL.
    pub fn strength_bits(self, key_bits: u16) -> u16 {
        match self {
            Self::NULL => 0,
            Self::DES => 56,
            // Meet in the middle.
            Self::TRIPLE_DES => 112,
            _ => key_bits,
        }
    }
}

impl Prf {
    /// Returns what RFC 8247 asks of it.
    pub fn status(self) -> Status {
        PRF.iter().find(|(id, _)| *id == self).map_or(May, |(_, status)| *status)
    }
}

impl Integrity {
    /// Returns what RFC 8247 and RFC 8221 ask of it.
    pub fn status(self) -> Status {
        INTEGRITY.iter().find(|(id, _)| *id == self).map_or(May, |(_, status)| *status)
    }
}

impl KeyExchange {
    /// Returns what RFC 8247 asks of it, for IKE SAs and for the key exchanges of Child SAs alike.
    pub fn status(self) -> Status {
        KEY_EXCHANGE.iter().find(|(id, ..)| *id == self).map_or(May, |(_, status, _)| *status)
    }

    /// Returns how many bits of work it takes to find its secret; none for one that is not known here.
    pub fn strength_bits(self) -> u16 {
        KEY_EXCHANGE.iter().find(|(id, ..)| *id == self).map_or(0, |(.., bits)| *bits)
    }
}

impl PacketId {
    /// Returns the status of the less welcome of its two parts.
    pub fn status(self, protocol: Protocol) -> Status {
        let encryption = self.encryption.status(self.key_bits, protocol);
        // Next to an AEAD, no integrity algorithm is what both RFCs ask for.
        if self.integrity == Integrity::NONE { encryption } else { encryption.max(self.integrity.status()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_that_of_the_protocol_and_the_key_length() {
        let status = |id: Encryption, bits| {
            (id.status(bits, Protocol::IKE).name(), id.status(bits, Protocol::ESP).name())
        };
        assert_eq!(status(Encryption::AES_GCM_16, 128), ("SHOULD", "MUST"));
        assert_eq!(status(Encryption::AES_GCM_16, 192), ("MAY", "MAY"));
        assert_eq!(status(Encryption::AES_CBC, 256), ("MUST", "MUST"));
        assert_eq!(status(Encryption::AES_CBC, 192), ("MAY", "MAY"));
        assert_eq!(status(Encryption::AES_CCM_8, 128), ("SHOULD (IoT)", "SHOULD (IoT)"));
        assert_eq!(status(Encryption::TRIPLE_DES, 192), ("MAY", "SHOULD NOT"));
        assert_eq!(status(Encryption::NULL, 0), ("MUST NOT", "MUST"));
        assert_eq!(status(Encryption::AES_CTR, 128), ("MAY", "MAY"));
    }

    #[test]
    fn a_pair_is_as_welcome_as_its_less_welcome_part() {
        let pair = |integrity| PacketId { encryption: Encryption::AES_CBC, key_bits: 128, integrity };
        assert_eq!(pair(Integrity::HMAC_SHA2_256_128).status(Protocol::ESP), Status::Must);
        assert_eq!(pair(Integrity::HMAC_SHA1_96).status(Protocol::ESP), Status::MustMinus);
        assert_eq!(pair(Integrity::AES_CMAC_96).status(Protocol::ESP), Status::May);
    }

    #[test]
    fn what_the_rfcs_advise_against_is_legacy_or_never_here() {
        for (group, ..) in KEY_EXCHANGE.iter().filter(|(_, status, _)| status.is_discouraged()) {
            assert!(
                group.is_legacy() || *group == KeyExchange::MODP_768 || group.name().is_none(),
                "{group}"
            );
        }
        assert!(Encryption::TRIPLE_DES.is_legacy() && Prf::HMAC_SHA1.is_legacy());
    }

    #[test]
    fn every_group_with_a_name_has_a_strength() {
        for number in 1..64 {
            let group = KeyExchange(number);
            assert_eq!(group.name().is_some() || group.status().is_discouraged(), group.strength_bits() > 0);
        }
    }
}
