#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::policy::{MaintenancePlan, Policy, Situation};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings};
use vpnhost_policy_standard::Standard;

/// Searches the longest keepalive that keeps a NAT's mapping.
#[derive(Debug)]
pub struct LearnedKeepalive {
    growth_percent: u32,
    margin_percent: u32,
    longest_ms: u32,
}

impl Policy for LearnedKeepalive {
    fn name(&self) -> &str {
        "learned-keepalive"
    }

    fn plan_maintenance(&self, situation: &Situation) -> Option<MaintenancePlan> {
        let native = Standard.plan_maintenance(situation)?;
        if !situation.local_behind_nat || native.keepalive_ms == 0 {
            return Some(native);
        }
        let (wanted, why) = self.next(situation);
        let keepalive_ms = situation.bounds.keepalive_ms.nearest(wanted.min(self.longest_ms).max(1));
        Some(MaintenancePlan { keepalive_ms, why: Some(why.to_owned()), ..native })
    }
}

impl LearnedKeepalive {
    fn next(&self, situation: &Situation) -> (u32, &'static str) {
        let configured = situation.native.keepalive_ms;
        let part = |number: u32, percent: u32| {
            u32::try_from(u64::from(number) * u64::from(percent) / 100).unwrap_or(u32::MAX)
        };
        match (situation.idle_proven_ms, situation.idle_failed_ms) {
            (None, None) => (configured, "nothing is known of this NAT yet"),
            (Some(proven), None) => (
                proven.saturating_add(part(proven, self.growth_percent)).max(configured),
                "searching upwards",
            ),
            (Some(proven), Some(failed)) if proven < failed => {
                if failed - proven > part(failed, self.margin_percent) {
                    (proven + (failed - proven) / 2, "searching between")
                } else {
                    (proven - part(proven, self.margin_percent), "found")
                }
            }
            // It forgot sooner than it once remembered: begin below.
            (_, Some(failed)) => (configured.min(failed / 2), "searching below"),
        }
    }
}

impl Configure for LearnedKeepalive {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec::optional(
            "growth_percent",
            SettingKind::Integer,
            "how much later the next keepalive comes while none was too late (default 25)",
        ),
        SettingSpec::optional(
            "margin_percent",
            SettingKind::Integer,
            "how far it stays below what the NAT remembers (default 10)",
        ),
        SettingSpec::optional("longest_secs", SettingKind::Integer, "the longest keepalive (default 1800)"),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let growth_percent = settings.within("growth_percent", 1..=100, &mut problems).unwrap_or(25);
        let margin_percent = settings.within("margin_percent", 1..=50, &mut problems).unwrap_or(10);
        let longest_secs = settings.within("longest_secs", 5..=3_600, &mut problems).unwrap_or(1_800);
        if problems.is_empty() {
            Ok(Self { growth_percent, margin_percent, longest_ms: longest_secs * 1000 })
        } else {
            Err(problems)
        }
    }
}

vpnhost_plugin_sdk::export_policy!(LearnedKeepalive: plan_maintenance);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::fixtures;
    use vpnhost_plugin_sdk::policy::{Answer, Question};

    use super::*;

    const NATIVE: LearnedKeepalive =
        LearnedKeepalive { growth_percent: 25, margin_percent: 10, longest_ms: 1_800_000 };

    /// Returns the keepalive that is found behind a NAT that remembers for so long, and how often it was too long.
    fn found(memory_secs: u32) -> (u32, u32) {
        let mut situation = fixtures::situation(true);
        let mut too_late = 0;
        for _ in 0..64 {
            let plan = NATIVE.plan_maintenance(&situation).unwrap();
            let question = Question::PlanMaintenance(situation.clone());
            assert!(question.admits(&Answer::PlanMaintenance(plan.clone())), "{plan:?}");
            let silence = plan.keepalive_ms;
            if silence < memory_secs * 1000 {
                situation.idle_proven_ms = situation.idle_proven_ms.max(Some(silence));
            } else {
                too_late += 1;
                let failed = situation.idle_failed_ms.map_or(silence, |failed| failed.min(silence));
                situation.idle_failed_ms = Some(failed);
            }
        }
        (NATIVE.plan_maintenance(&situation).unwrap().keepalive_ms / 1000, too_late)
    }

    #[test]
    fn it_finds_what_the_nat_bears_and_is_too_late_a_few_times_only() {
        for memory_secs in [15, 30, 60, 180, 300, 900] {
            let (keepalive, too_late) = found(memory_secs);
            let fair = memory_secs * 3 / 4..memory_secs;
            assert!(
                fair.contains(&keepalive) && too_late <= 5,
                "{memory_secs}: {keepalive}, {too_late} times"
            );
        }
        assert!(3600 / found(900).0 <= 6, "at most six an hour behind a NAT of 900 s");
        assert_eq!(found(7_200), (1_800, 0), "the longest");
    }

    #[test]
    fn a_nat_that_forgets_sooner_than_it_did_is_searched_from_below() {
        let other = Situation {
            idle_proven_ms: Some(600_000),
            idle_failed_ms: Some(30_000),
            ..fixtures::situation(true)
        };
        let plan = NATIVE.plan_maintenance(&other).unwrap();
        assert_eq!((plan.keepalive_ms, plan.why.as_deref()), (15_000, Some("searching below")));
    }

    #[test]
    fn without_a_nat_and_where_it_is_switched_off_there_is_none() {
        assert_eq!(NATIVE.plan_maintenance(&fixtures::situation(false)).unwrap().keepalive_ms, 0);
        let mut off = fixtures::situation(true);
        off.native.keepalive_ms = 0;
        off.idle_proven_ms = Some(60_000);
        assert_eq!(NATIVE.plan_maintenance(&off).unwrap().keepalive_ms, 0);
    }
}
