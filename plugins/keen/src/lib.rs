#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::policy::{MaintenancePlan, Policy, Situation};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings};
use vpnhost_policy_standard::Standard;

/// Silence after which liveness is checked, at most.
const IDLE_MS: u32 = 10_000;
const FACTOR_PERCENT: u16 = 150;
/// What a peer may take to answer, beside the way.
const THINKING_MS: u32 = 50;

/// Plans for short gaps.
#[derive(Debug)]
pub struct Keen {
    suspect_ms: u32,
    first_ms: u32,
}

impl Policy for Keen {
    fn name(&self) -> &str {
        "keen"
    }

    fn plan_maintenance(&self, situation: &Situation) -> Option<MaintenancePlan> {
        if situation.metered {
            return None;
        }
        let (native, bounds) = (Standard.plan_maintenance(situation)?, &situation.bounds);
        let rtt_ms = situation.rtt_us.map_or(0, |rtt| rtt.div_ceil(1000));
        let round_trips = |count: u32| rtt_ms.saturating_mul(count).saturating_add(THINKING_MS);
        let suspect_ms = bounds.suspect_ms.nearest(self.suspect_ms.max(round_trips(1)));
        let first_ms = bounds.retransmit_first_ms.nearest(self.first_ms.max(round_trips(3)));
        let factor = short(bounds.retransmit_factor_percent.nearest(FACTOR_PERCENT.into()));
        let patience =
            wait_ms(native.retransmit_first_ms, native.retransmit_factor_percent, native.retransmit_tries);
        let tries = (native.retransmit_tries..u16::MAX)
            .take_while(|&tries| bounds.retransmit_tries.admit(tries.into()))
            .find(|&tries| wait_ms(first_ms, factor, tries) >= patience);
        let idle_ms = match native.liveness_idle_ms {
            0 => 0,
            configured => bounds.liveness_idle_ms.nearest(configured.min(IDLE_MS)),
        };
        let why = format!("keen: suspects after {suspect_ms} ms, repeats after {first_ms} ms");
        Some(MaintenancePlan {
            liveness_idle_ms: idle_ms,
            suspect_ms,
            retransmit_first_ms: first_ms,
            retransmit_factor_percent: factor,
            retransmit_tries: tries.unwrap_or_else(|| short(bounds.retransmit_tries.max)),
            why: Some(why),
            ..native
        })
    }
}

/// How long a request is repeated until its peer counts as gone.
fn wait_ms(first_ms: u32, factor_percent: u16, tries: u16) -> u64 {
    let mut wait = u64::from(first_ms);
    let mut total = wait;
    for _ in 0..tries.min(64) {
        wait = wait.saturating_mul(factor_percent.into()) / 100;
        total = total.saturating_add(wait);
    }
    total
}

fn short(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

impl Configure for Keen {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec::optional("suspect_ms", SettingKind::Integer, "silence that is suspect (default 300)"),
        SettingSpec::optional("first_ms", SettingKind::Integer, "before the first repetition (default 250)"),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let suspect_ms = settings.within("suspect_ms", 100..=60_000, &mut problems).unwrap_or(300);
        let first_ms = settings.within("first_ms", 200..=10_000, &mut problems).unwrap_or(250);
        if problems.is_empty() { Ok(Self { suspect_ms, first_ms }) } else { Err(problems) }
    }
}

vpnhost_plugin_sdk::export_policy!(Keen: plan_maintenance);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::fixtures;
    use vpnhost_plugin_sdk::policy::Question;

    use super::*;

    const KEEN: Keen = Keen { suspect_ms: 300, first_ms: 250 };

    fn plan(situation: &Situation) -> MaintenancePlan {
        let plan = KEEN.plan_maintenance(situation).unwrap();
        let question = Question::PlanMaintenance(situation.clone());
        assert!(question.admits(&vpnhost_plugin_sdk::policy::Answer::PlanMaintenance(plan.clone())));
        plan
    }

    #[test]
    fn silence_is_noticed_within_a_third_of_a_second() {
        let plan = plan(&fixtures::situation(true));
        assert_eq!((plan.suspect_ms, plan.retransmit_first_ms, plan.liveness_idle_ms), (300, 250, 10_000));
        assert_eq!(plan.keepalive_ms, 20_000, "the built-in policy's");
        assert_eq!(plan.why.as_deref(), Some("keen: suspects after 300 ms, repeats after 250 ms"));
    }

    #[test]
    fn a_long_way_is_not_taken_for_silence() {
        let far = Situation { rtt_us: Some(600_000), ..fixtures::situation(true) };
        let plan = plan(&far);
        assert_eq!((plan.suspect_ms, plan.retransmit_first_ms), (650, 1_850));
    }

    #[test]
    fn a_peer_is_given_up_no_sooner_than_the_configuration_says() {
        let situation = fixtures::situation(true);
        let (plan, native) = (plan(&situation), situation.native);
        let patience = |plan: &MaintenancePlan| {
            wait_ms(plan.retransmit_first_ms, plan.retransmit_factor_percent, plan.retransmit_tries)
        };
        assert!((patience(&native)..2 * patience(&native)).contains(&patience(&plan)), "{plan:?}");
    }

    #[test]
    fn what_is_switched_off_stays_off_and_metered_paths_are_left_alone() {
        let mut situation = fixtures::situation(true);
        situation.native.liveness_idle_ms = 0;
        assert_eq!(plan(&situation).liveness_idle_ms, 0);
        assert_eq!(KEEN.plan_maintenance(&Situation { metered: true, ..situation }), None);
    }

    #[test]
    fn no_plan_leaves_the_bounds() {
        let mut narrow = fixtures::situation(true);
        narrow.bounds.suspect_ms.min = 900;
        narrow.bounds.retransmit_first_ms.min = 900;
        narrow.bounds.retransmit_tries.max = 6;
        narrow.bounds.liveness_idle_ms.min = 30_000;
        assert_eq!((plan(&narrow).suspect_ms, plan(&narrow).retransmit_tries), (900, 6));
    }
}
