#![doc = include_str!("../README.md")]

use std::cmp::Reverse;

use vpnhost_plugin_sdk::model::{Encryption, Integrity, KeyExchange, Prf, Transform, TransformType};
use vpnhost_plugin_sdk::policy::{OfferedSuite, Policy, ProposalMenu, Ranking};

/// Ranks proposals by what an attacker would have to spend.
#[derive(Debug, Default)]
pub struct StrongestFirst;

impl Policy for StrongestFirst {
    fn name(&self) -> &str {
        "strongest-first"
    }

    fn rank_proposals(&self, menu: &ProposalMenu) -> Option<Ranking> {
        let mut order: Vec<usize> = (0..menu.suites.len()).collect();
        order.sort_by_key(|&at| Reverse(weight(&menu.suites[at])));
        let strongest = order.first().map(|&at| menu.suites[at].strength);
        let ranking = Ranking::of(order);
        Some(match strongest {
            Some(strength) => ranking.because(format!("the strongest suite is {strength}")),
            None => ranking,
        })
    }
}

/// The grade, then the bits of its parts: the weaker of cipher and key exchange first.
fn weight(suite: &OfferedSuite) -> (u8, u16, u16, u16, bool) {
    let cipher = suite.transform(TransformType::ENCRYPTION).map_or(0, cipher_bits);
    let group = suite.transform(TransformType::KEY_EXCHANGE).map_or(cipher, group_bits);
    let hash = suite
        .transform(TransformType::PRF)
        .map_or(0, prf_bits)
        .max(suite.transform(TransformType::INTEGRITY).map_or(0, integrity_bits));
    let aead = suite.transform(TransformType::ENCRYPTION).is_some_and(|it| Encryption(it.id).is_aead());
    (suite.strength.0, cipher.min(group), cipher.max(group), hash, aead)
}

fn cipher_bits(transform: &Transform) -> u16 {
    match Encryption(transform.id) {
        Encryption::TRIPLE_DES => 112,
        Encryption::DES => 56,
        Encryption::NULL => 0,
        other => transform.key_bits.or(other.fixed_key_bits()).unwrap_or(0),
    }
}

/// Comparable strengths after NIST SP 800-57 part 1, table 2; an unknown group counts as 112 bits.
fn group_bits(transform: &Transform) -> u16 {
    match KeyExchange(transform.id) {
        KeyExchange::MODP_768 => 64,
        KeyExchange::MODP_1024 => 80,
        KeyExchange::MODP_1536 => 90,
        KeyExchange::MODP_3072 | KeyExchange::ECP_256 | KeyExchange::X25519 => 128,
        KeyExchange::MODP_4096 => 152,
        KeyExchange::MODP_6144 => 176,
        KeyExchange::MODP_8192 | KeyExchange::ECP_384 => 192,
        KeyExchange::X448 => 224,
        KeyExchange::ECP_521 => 256,
        _ => 112,
    }
}

fn prf_bits(transform: &Transform) -> u16 {
    match Prf(transform.id) {
        Prf::HMAC_SHA2_512 => 512,
        Prf::HMAC_SHA2_384 => 384,
        Prf::HMAC_SHA2_256 => 256,
        _ => 128,
    }
}

fn integrity_bits(transform: &Transform) -> u16 {
    match Integrity(transform.id) {
        Integrity::HMAC_SHA2_512_256 => 512,
        Integrity::HMAC_SHA2_384_192 => 384,
        Integrity::HMAC_SHA2_256_128 => 256,
        _ => 0,
    }
}

vpnhost_plugin_sdk::export_policy!(StrongestFirst: rank_proposals);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::fixtures;

    use super::*;

    fn order(suites: &[&str]) -> Vec<u32> {
        StrongestFirst.rank_proposals(&fixtures::proposal_menu(suites).unwrap()).unwrap().order
    }

    #[test]
    fn the_strongest_comes_first_wherever_it_stands() {
        assert_eq!(
            order(&["3des-sha256-modp1024", "aes128-sha256-modp2048", "aes256gcm16-prfsha384-x25519"]),
            [2, 1, 0]
        );
    }

    #[test]
    fn the_longer_key_decides_between_equals() {
        assert_eq!(order(&["aes128-sha256-modp2048", "aes256-sha512-modp2048"]), [1, 0]);
        assert_eq!(order(&["aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-ecp384"]), [1, 0]);
    }

    #[test]
    fn none_is_refused() {
        assert_eq!(order(&["3des-sha1-modp1024"]), [0]);
    }
}
