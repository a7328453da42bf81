#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::model::{Encryption, Integrity, KeyExchange, LinkKind, Prf, Role, TransformType};
use vpnhost_plugin_sdk::policy::{MaintenancePlan, OfferedSuite, Policy, ProposalMenu, Ranking, Situation};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings};
use vpnhost_policy_standard::Standard;

/// The profile of 2008.
#[derive(Debug, PartialEq, Eq)]
pub struct LegacyMobile {
    keepalive_ms: u32,
    dpd_ms: u32,
}

impl Policy for LegacyMobile {
    fn name(&self) -> &str {
        "legacy-mobile"
    }

    fn rank_proposals(&self, menu: &ProposalMenu) -> Option<Ranking> {
        // A phone of 2008 that begins offers nothing else; a newer one would only be given less than it can.
        if menu.role == Role::Responder {
            return None;
        }
        let (old, new): (Vec<usize>, Vec<usize>) =
            (0..menu.suites.len()).partition(|&at| is_of_2008(&menu.suites[at]));
        let turned = !old.is_empty() && !new.is_empty();
        let ranking = Ranking::of(old.into_iter().chain(new));
        Some(if turned { ranking.because("what phones of 2008 know first") } else { ranking })
    }

    fn plan_maintenance(&self, situation: &Situation) -> Option<MaintenancePlan> {
        let plan = Standard.plan_maintenance(situation)?;
        let (native, bounds) = (&situation.native, &situation.bounds);
        let is_mobile = situation.kind == LinkKind::CELLULAR || situation.peer_behind_nat;
        let keeps = situation.local_behind_nat && native.keepalive_ms > 0;
        if !is_mobile && !keeps {
            return None;
        }
        // What is switched off stays off.
        let or_off = |configured: u32, wanted: u32| if configured == 0 { 0 } else { wanted };
        Some(MaintenancePlan {
            keepalive_ms: if keeps {
                bounds.keepalive_ms.nearest(self.keepalive_ms)
            } else {
                plan.keepalive_ms
            },
            liveness_idle_ms: bounds.liveness_idle_ms.nearest(or_off(native.liveness_idle_ms, self.dpd_ms)),
            why: Some("a mobile network of 2008".to_owned()),
            ..plan
        })
    }
}

fn is_of_2008(suite: &OfferedSuite) -> bool {
    let knows = |kind, known: &[u16]| suite.transform(kind).is_none_or(|it| known.contains(&it.id));
    knows(TransformType::ENCRYPTION, &[Encryption::AES_CBC.0, Encryption::TRIPLE_DES.0])
        && knows(TransformType::PRF, &[Prf::HMAC_SHA1.0, Prf::HMAC_SHA2_256.0])
        && knows(TransformType::INTEGRITY, &[Integrity::HMAC_SHA1_96.0, Integrity::HMAC_SHA2_256_128.0])
        && knows(
            TransformType::KEY_EXCHANGE,
            &[KeyExchange::MODP_1024.0, KeyExchange::MODP_1536.0, KeyExchange::MODP_2048.0],
        )
}

impl Configure for LegacyMobile {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec::optional("keepalive_secs", SettingKind::Integer, "between NAT keepalives (default 20)"),
        SettingSpec::optional(
            "dpd_secs",
            SettingKind::Integer,
            "of silence before the peer is asked (default 600)",
        ),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let keepalive = settings.within("keepalive_secs", 5..=3_600, &mut problems).unwrap_or(20);
        let dpd = settings.within("dpd_secs", 2..=3_600, &mut problems).unwrap_or(600);
        let plan = Self { keepalive_ms: keepalive * 1000, dpd_ms: dpd * 1000 };
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }
}

vpnhost_plugin_sdk::export_policy!(LegacyMobile: rank_proposals, plan_maintenance);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::fixtures;
    use vpnhost_plugin_sdk::policy::{Answer, Question};

    use super::*;

    const OLD: LegacyMobile = LegacyMobile { keepalive_ms: 20_000, dpd_ms: 600_000 };

    #[test]
    fn what_a_phone_of_2008_knows_comes_first_and_nothing_is_left_out() {
        let suites = [
            "aes256gcm16-prfsha384-x25519",
            "aes128-sha256-modp2048",
            "aes128-sha256-ecp256",
            "3des-sha1-modp1024",
        ];
        let menu = |suites: &[&str], role| ProposalMenu { role, ..fixtures::proposal_menu(suites).unwrap() };
        let ranking = OLD.rank_proposals(&menu(&suites, Role::Initiator)).unwrap();
        assert_eq!(ranking.order, [1, 3, 0, 2]);
        let alone = OLD.rank_proposals(&menu(&suites[..1], Role::Initiator)).unwrap();
        assert_eq!((alone.order, alone.why), (vec![0], None));
        assert_eq!(OLD.rank_proposals(&menu(&suites, Role::Responder)), None, "nobody is given less");
    }

    #[test]
    fn a_mobile_network_is_kept_open_and_a_phone_is_seldom_woken() {
        let mut mobile = fixtures::situation(true);
        mobile.kind = LinkKind::CELLULAR;
        let plan = OLD.plan_maintenance(&mobile).unwrap();
        assert_eq!((plan.keepalive_ms, plan.liveness_idle_ms), (20_000, 600_000));
        assert!(Question::PlanMaintenance(mobile.clone()).admits(&Answer::PlanMaintenance(plan)));
        (mobile.native.keepalive_ms, mobile.native.liveness_idle_ms) = (0, 0);
        let off = OLD.plan_maintenance(&mobile).unwrap();
        assert_eq!((off.keepalive_ms, off.liveness_idle_ms), (0, 0));
        assert_eq!(OLD.plan_maintenance(&fixtures::situation(false)), None, "a cable at home");
    }
}
