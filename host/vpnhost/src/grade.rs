//! How much a connection's policy is worth: that of the weakest suite that may be agreed.
//!
//! The peer chooses among what is offered, so what stands last counts as much as what stands first.

use std::fmt;

use serde::Serialize;
use vpnhost_crypto::KeyKind;
use vpnhost_model::{
    Encryption, EspSuite, Integrity, KeyExchange, PacketId, Prf, Protocol, Sequence, Status, Suite,
};

/// Bits of work from which on an attack is out of reach for as long as anybody plans.
const STRONG_BITS: u16 = 128;
/// Bits of work below which an attack is within reach of states.
const FAIR_BITS: u16 = 100;

/// What something is worth, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// Nothing is held against it.
    Strong,
    /// Sound today, with less of a margin.
    Fair,
    /// It can be broken, or RFCs advise against it.
    Weak,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Strong => "strong",
            Self::Fair => "fair",
            Self::Weak => "weak",
        })
    }
}

/// What is held against an algorithm of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Remark {
    /// The algorithm.
    pub(crate) algorithm: String,
    /// What it is worth.
    pub(crate) grade: Grade,
    /// Why.
    pub(crate) why: String,
    /// What the RFC of its protocol asks of it.
    pub(crate) status: &'static str,
}

/// What a list of suites is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Policy {
    /// `authentication`, `IKE`, or the child's name.
    pub(crate) sa: String,
    /// The grade of its weakest suite.
    pub(crate) grade: Grade,
    /// The suites in order, without sequence numbers; of authentication, the kinds of keys.
    pub(crate) suites: Vec<String>,
    /// What is held against its algorithms, each once.
    pub(crate) remarks: Vec<Remark>,
    /// Whether a rekey may do without a key exchange of its own; an IKE SA's never does.
    pub(crate) rekey_without_pfs: bool,
}

impl Policy {
    /// Grades suites; those that cannot be used are to be left out before.
    pub(crate) fn of(sa: &str, suites: impl IntoIterator<Item = Suite>) -> Self {
        let mut policy = Self {
            sa: sa.to_owned(),
            grade: Grade::Strong,
            suites: Vec::new(),
            remarks: Vec::new(),
            rekey_without_pfs: false,
        };
        for suite in suites {
            policy.add(suite);
        }
        policy
    }

    /// Grades the keys that the ends prove themselves with, this host's and those of CAs; what else `more` names may be
    /// used by a peer.
    pub(crate) fn of_keys(keys: impl IntoIterator<Item = KeyKind>, more: &[Leave]) -> Self {
        let mut policy = Self::of("authentication", []);
        for kind in keys {
            let text = kind.to_string();
            if !policy.suites.contains(&text) {
                policy.suites.push(text);
                of_key(kind).into_iter().for_each(|remark| policy.hold(remark));
            }
        }
        more.iter().for_each(|leave| policy.hold(leave.remark()));
        policy
    }

    fn hold(&mut self, remark: Remark) {
        self.grade = self.grade.max(remark.grade);
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    fn add(&mut self, suite: Suite) {
        let (text, packet, prf, group) = match suite {
            Suite::Ike(ike) => (ike.to_string(), ike.packet, Some(ike.prf), ike.key_exchange),
            Suite::Esp(esp) => {
                let text = EspSuite { sequence: Sequence::SHORT, ..esp }.to_string();
                (text, esp.packet, None, esp.key_exchange)
            }
        };
        if !self.suites.contains(&text) {
            self.suites.push(text);
        }
        self.rekey_without_pfs |= group == KeyExchange::NONE;
        let remarks = [
            of_encryption(packet, suite.protocol()),
            of_integrity(packet.integrity),
            prf.and_then(of_prf),
            of_group(group),
        ];
        remarks.into_iter().flatten().for_each(|remark| self.hold(remark));
    }
}

/// What a connection lets peers authenticate with, whatever keys are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Certificates of DSA, of short RSA keys and signed over SHA-1.
    LegacyCertificates,
    /// AUTH over SHA-1.
    Sha1,
}

impl Leave {
    fn remark(self) -> Remark {
        match self {
            Self::LegacyCertificates => remark(
                &"allow_legacy",
                Grade::Weak,
                "takes certificates of DSA, of RSA keys below 2048 bits and over SHA-1".to_owned(),
                Status::ShouldNot,
            ),
            Self::Sha1 => {
                remark(&"sha1_auth", Grade::Weak, "AUTH over SHA-1 can be forged".to_owned(), Status::MustNot)
            }
        }
    }
}

/// RFC 8247, 3.1.1; RFC 8221 knows no signatures.
fn of_key(kind: KeyKind) -> Option<Remark> {
    let (bits, status) = match kind {
        KeyKind::Rsa { bits } if bits < 2048 => (modulus_bits(bits), Status::ShouldNot),
        KeyKind::Rsa { bits: 2048 } => (modulus_bits(2048), Status::Must),
        KeyKind::Rsa { bits: bits @ (3072 | 4096) } => (modulus_bits(bits), Status::Should),
        KeyKind::Rsa { bits } => (modulus_bits(bits), Status::May),
        KeyKind::Dsa { p_bits, .. } => (modulus_bits(p_bits), Status::ShouldNot),
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521 | KeyKind::Ed25519 => return None,
    };
    let (grade, why) = of_bits(bits, status)?;
    Some(remark(&kind, grade, why, status))
}

/// The work that it takes to break a modulus of so many bits, as of groups of the same size.
fn modulus_bits(bits: u32) -> u16 {
    match bits {
        ..1536 => KeyExchange::MODP_1024.strength_bits(),
        1536..2048 => KeyExchange::MODP_1536.strength_bits(),
        2048..3072 => KeyExchange::MODP_2048.strength_bits(),
        _ => KeyExchange::MODP_3072.strength_bits(),
    }
}

fn of_encryption(packet: PacketId, protocol: Protocol) -> Option<Remark> {
    let PacketId { encryption, key_bits, .. } = packet;
    let status = encryption.status(key_bits, protocol);
    let name = PacketId { integrity: Integrity::NONE, ..packet };
    let remark = |grade, why| Some(remark(&name, grade, why, status));
    match encryption {
        Encryption::NULL => remark(Grade::Weak, "encrypts nothing".to_owned()),
        Encryption::TRIPLE_DES => {
            remark(Grade::Weak, "blocks of 64 bits repeat within one long SA".to_owned())
        }
        Encryption::AES_GCM_8 | Encryption::AES_CCM_8 => remark(Grade::Fair, "an ICV of 8 octets".to_owned()),
        _ => {
            let (grade, why) = of_bits(encryption.strength_bits(key_bits), status)?;
            remark(grade, why)
        }
    }
}

fn of_integrity(integrity: Integrity) -> Option<Remark> {
    let why = || "SHA-1 is on its way out".to_owned();
    integrity.is_legacy().then(|| remark(&integrity, Grade::Weak, why(), integrity.status()))
}

fn of_prf(prf: Prf) -> Option<Remark> {
    let why = || "SHA-1 is on its way out".to_owned();
    prf.is_legacy().then(|| remark(&prf, Grade::Weak, why(), prf.status()))
}

fn of_group(group: KeyExchange) -> Option<Remark> {
    if group == KeyExchange::NONE {
        return None;
    }
    let (grade, why) = of_bits(group.strength_bits(), group.status())?;
    Some(remark(&group, grade, why, group.status()))
}

fn of_bits(bits: u16, status: Status) -> Option<(Grade, String)> {
    let grade = match bits {
        _ if status.is_discouraged() => Grade::Weak,
        STRONG_BITS.. => return None,
        FAIR_BITS.. => Grade::Fair,
        _ => Grade::Weak,
    };
    Some((grade, format!("worth about {bits} bits")))
}

fn remark(algorithm: &impl fmt::Display, grade: Grade, why: String, status: Status) -> Remark {
    Remark { algorithm: algorithm.to_string(), grade, why, status: status.name() }
}

/// What a connection is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Graded {
    /// Its name.
    pub(crate) connection: String,
    /// The grade of its weakest suite.
    pub(crate) grade: Grade,
    /// That of its IKE SA, then that of each child, then that of certificates.
    pub(crate) policies: Vec<Policy>,
}

impl Graded {
    /// Puts the policies of a connection together.
    pub(crate) fn new(connection: &str, policies: Vec<Policy>) -> Self {
        let grade = policies.iter().map(|policy| policy.grade).max().unwrap_or(Grade::Strong);
        Self { connection: connection.to_owned(), grade, policies }
    }
}

/// Writes the connection's grade, and a line for each thing that is held against it.
impl fmt::Display for Graded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.connection, self.grade)?;
        for Policy { sa, remarks, rekey_without_pfs, .. } in &self.policies {
            for Remark { algorithm, grade, why, status } in remarks {
                writeln!(f, "  {sa}: {algorithm} is {grade}: {why} (RFCs: {status})")?;
            }
            if *rekey_without_pfs {
                writeln!(
                    f,
                    "  {sa}: a rekey may go without a key exchange (PFS): its keys follow from the IKE SA's"
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vpnhost_model::IkeSuite;

    use super::*;

    fn ike(texts: &[&str]) -> Policy {
        let suites = texts.iter().flat_map(|text| IkeSuite::parse_all(text).unwrap());
        Policy::of("IKE", suites.map(Suite::Ike))
    }

    fn esp(texts: &[&str]) -> Policy {
        let both = [Sequence::EXTENDED, Sequence::SHORT];
        let suites = texts.iter().flat_map(|text| EspSuite::parse_all(text, &both).unwrap());
        Policy::of("net", suites.map(Suite::Esp))
    }

    #[test]
    fn a_policy_is_worth_what_its_weakest_suite_is() {
        for (texts, grade) in [
            (&["aes256gcm16-prfsha384-x25519"][..], Grade::Strong),
            (&["aes256gcm16-prfsha384-x25519", "aes256-sha256-modp2048"], Grade::Fair),
            (&["aes128-sha256-ecp256-modp3072"], Grade::Strong),
            (&["aes128gcm8-prfsha256-x25519"], Grade::Fair),
            (&["aes256-sha256-modp2048", "aes256-sha256-modp1536"], Grade::Weak),
            (&["3des-sha256-modp3072"], Grade::Weak),
            (&["aes128-sha1-modp3072"], Grade::Weak),
        ] {
            assert_eq!(ike(texts).grade, grade, "{texts:?}");
        }
        assert_eq!(esp(&["aes128gcm16"]).grade, Grade::Strong);
        assert_eq!(esp(&["aes128gcm16-x25519", "null-sha256"]).grade, Grade::Weak);
    }

    #[test]
    fn what_is_held_against_a_policy_is_told_once_with_its_status() {
        let policies = vec![
            ike(&["aes128-sha256-modp2048", "aes256-sha256-modp2048-modp1024"]),
            esp(&["3des-sha256-modp2048"]),
        ];
        assert_eq!(
            Graded::new("corp", policies).to_string(),
            "corp: weak\n  \
             IKE: modp2048 is fair: worth about 110 bits (RFCs: MUST)\n  \
             IKE: modp1024 is weak: worth about 72 bits (RFCs: SHOULD NOT)\n  \
             net: 3des is weak: blocks of 64 bits repeat within one long SA (RFCs: SHOULD NOT)\n  \
             net: modp2048 is fair: worth about 110 bits (RFCs: MUST)\n"
        );
    }

    #[test]
    fn keys_are_graded_as_suites_are() {
        let of = |kind| Policy::of_keys([kind], &[]).grade;
        assert_eq!(of(KeyKind::Ed25519), Grade::Strong);
        assert_eq!(of(KeyKind::Rsa { bits: 4096 }), Grade::Strong);
        assert_eq!(of(KeyKind::Rsa { bits: 2048 }), Grade::Fair);
        assert_eq!(of(KeyKind::Rsa { bits: 1024 }), Grade::Weak);
        assert_eq!(of(KeyKind::Dsa { p_bits: 3072, q_bits: 256 }), Grade::Weak);
        let keys = [KeyKind::Rsa { bits: 1024 }, KeyKind::Dsa { p_bits: 2048, q_bits: 256 }];
        let policy = Policy::of_keys(keys, &[Leave::LegacyCertificates, Leave::Sha1]);
        assert_eq!(
            Graded::new("corp", vec![policy]).to_string(),
            "corp: weak\n  \
             authentication: rsa-1024 is weak: worth about 72 bits (RFCs: SHOULD NOT)\n  \
             authentication: dsa-2048-256 is weak: worth about 110 bits (RFCs: SHOULD NOT)\n  \
             authentication: allow_legacy is weak: takes certificates of DSA, of RSA keys below 2048 bits and over \
             SHA-1 (RFCs: SHOULD NOT)\n  \
             authentication: sha1_auth is weak: AUTH over SHA-1 can be forged (RFCs: MUST NOT)\n"
        );
    }

    #[test]
    fn a_child_without_a_group_may_be_rekeyed_without_pfs() {
        assert!(esp(&["aes128gcm16-x25519", "aes256gcm16"]).rekey_without_pfs);
        assert!(!esp(&["aes128gcm16-x25519"]).rekey_without_pfs);
        assert_eq!(esp(&["aes128gcm16"]).suites, ["aes128gcm16"]);
    }
}
