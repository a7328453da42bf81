#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::policy::{Authorization, PeerClaim, Policy, ProposalMenu, Ranking, Strength};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings};

const GRADES: [(&str, Strength); 2] =
    [("acceptable", Strength::ACCEPTABLE), ("recommended", Strength::RECOMMENDED)];

/// Leaves out what is too weak.
#[derive(Debug, PartialEq, Eq)]
pub struct StrictModern {
    least: Strength,
    rsa_bits: u32,
}

impl Policy for StrictModern {
    fn name(&self) -> &str {
        "strict-modern"
    }

    fn rank_proposals(&self, menu: &ProposalMenu) -> Option<Ranking> {
        let suites = menu.suites.iter().enumerate();
        let strong: Vec<usize> =
            suites.filter(|(_, suite)| suite.strength >= self.least).map(|(at, _)| at).collect();
        let left_out = menu.suites.len() - strong.len();
        let ranking = Ranking::of(strong);
        Some(match left_out {
            0 => ranking,
            _ => ranking.because(format!("{left_out} are weaker than {}", self.least)),
        })
    }

    /// Who is strong enough is left to the others.
    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        let key = &claim.key;
        let bits = key.strip_prefix("rsa-").and_then(|bits| bits.parse::<u32>().ok());
        let is_weak = key.starts_with("dsa-") || bits.is_some_and(|bits| bits < self.rsa_bits);
        is_weak.then(|| Authorization::refuse(format!("its key is too weak: {key}")))
    }
}

impl Configure for StrictModern {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec::optional("least", SettingKind::Text, "acceptable (default) or recommended"),
        SettingSpec::optional(
            "rsa_bits",
            SettingKind::Integer,
            "of a peer's RSA key, at least (default 2048)",
        ),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let word = settings.text("least").unwrap_or("acceptable");
        let least = GRADES.iter().find(|(name, _)| *name == word).map(|(_, grade)| *grade);
        if least.is_none() {
            problems.push(SettingProblem::with("least", "must be acceptable or recommended"));
        }
        let rsa_bits = settings.within("rsa_bits", 2048..=16_384, &mut problems).unwrap_or(2048);
        match least {
            Some(least) if problems.is_empty() => Ok(Self { least, rsa_bits }),
            _ => Err(problems),
        }
    }
}

vpnhost_plugin_sdk::export_policy!(StrictModern: rank_proposals, authorize_peer);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::{SettingValue, fixtures};

    use super::*;

    const SUITES: [&str; 4] = [
        "3des-sha1-modp1024",
        "aes128-sha256-modp2048",
        "aes128-sha1-modp2048",
        "aes256gcm16-prfsha384-x25519",
    ];

    fn with(least: &str) -> Result<StrictModern, Vec<SettingProblem>> {
        let least = ("least".to_owned(), SettingValue::Text(least.to_owned()));
        StrictModern::configure(&Settings::new([least]))
    }

    #[test]
    fn what_is_legacy_is_left_out_and_the_operators_order_stands() {
        let menu = fixtures::proposal_menu(&SUITES).unwrap();
        let ranking = |policy: &StrictModern| policy.rank_proposals(&menu).unwrap();
        let default = StrictModern::configure(&Settings::default()).unwrap();
        assert_eq!(ranking(&default).order, [1, 3]);
        assert_eq!(ranking(&default).why.as_deref(), Some("2 are weaker than acceptable"));
        assert_eq!(ranking(&with("recommended").unwrap()).order, [3]);
        let legacy = fixtures::proposal_menu(&SUITES[..1]).unwrap();
        assert!(default.rank_proposals(&legacy).unwrap().order.is_empty(), "nothing is left: refused");
    }

    #[test]
    fn peers_with_weak_keys_stay_out_and_the_others_are_nobody_s_business_here() {
        let policy = StrictModern { least: Strength::ACCEPTABLE, rsa_bits: 3072 };
        let asked = |key: &str| {
            let claim = PeerClaim { key: key.to_owned(), ..fixtures::peer_claim(0, 0) };
            policy.authorize_peer(&claim)
        };
        assert_eq!(asked("rsa-2048"), Some(Authorization::refuse("its key is too weak: rsa-2048")));
        assert!(asked("dsa-1024-160").is_some());
        assert_eq!([asked("rsa-3072"), asked("ecdsa-p256"), asked("ed25519")], [None, None, None]);
        assert_eq!(policy.authorize_peer(&fixtures::peer_claim(0, 0)), None);
    }

    #[test]
    fn a_grade_that_there_is_not_is_a_problem() {
        let problems = with("modern").unwrap_err();
        assert_eq!(problems, [SettingProblem::with("least", "must be acceptable or recommended")]);
    }
}
