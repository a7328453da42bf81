//! `plan-maintenance` inside the component.

use vpnhost_model::LinkKind;
use vpnhost_policy::{MaintenanceBounds, MaintenancePlan, Policy, Situation, SituationCause};

use crate::bindings::plan_maintenance::exports::vpnhost::policy::plan_maintenance as wit;
use crate::convert::{attributes, bounds, identity, power, role};

/// Asks the policy.
pub fn plan_maintenance<P: Policy>(policy: &P, situation: wit::Situation) -> Option<wit::MaintenancePlan> {
    let situation = Situation {
        connection: situation.connection,
        cause: SituationCause(situation.cause),
        role: role(situation.role),
        peer_id: identity(situation.peer_id),
        unix_secs: situation.unix_secs,
        local_behind_nat: situation.local_behind_nat,
        peer_behind_nat: situation.peer_behind_nat,
        labels: attributes(situation.labels),
        interface: situation.interface_name,
        kind: LinkKind(situation.kind),
        metered: situation.metered,
        rtt_us: situation.rtt_us,
        loss_permille: situation.loss_permille,
        outages: situation.outages,
        outage_ms: situation.outage_ms,
        power: power(situation.power),
        idle_proven_ms: situation.idle_proven_ms,
        idle_failed_ms: situation.idle_failed_ms,
        native: plan(situation.native),
        bounds: limits(situation.bounds),
        hints: attributes(situation.hints),
    };
    policy.plan_maintenance(&situation).map(plan_out)
}

fn plan(plan: wit::MaintenancePlan) -> MaintenancePlan {
    MaintenancePlan {
        liveness_idle_ms: plan.liveness_idle_ms,
        keepalive_ms: plan.keepalive_ms,
        suspect_ms: plan.suspect_ms,
        max_outage_secs: plan.max_outage_secs,
        retransmit_first_ms: plan.retransmit_first_ms,
        retransmit_factor_percent: plan.retransmit_factor_percent,
        retransmit_tries: plan.retransmit_tries,
        rekey_ike_secs: plan.rekey_ike_secs,
        review_after_secs: plan.review_after_secs,
        why: plan.why,
    }
}

fn plan_out(plan: MaintenancePlan) -> wit::MaintenancePlan {
    wit::MaintenancePlan {
        liveness_idle_ms: plan.liveness_idle_ms,
        keepalive_ms: plan.keepalive_ms,
        suspect_ms: plan.suspect_ms,
        max_outage_secs: plan.max_outage_secs,
        retransmit_first_ms: plan.retransmit_first_ms,
        retransmit_factor_percent: plan.retransmit_factor_percent,
        retransmit_tries: plan.retransmit_tries,
        rekey_ike_secs: plan.rekey_ike_secs,
        review_after_secs: plan.review_after_secs,
        why: plan.why,
    }
}

fn limits(all: wit::MaintenanceBounds) -> MaintenanceBounds {
    MaintenanceBounds {
        liveness_idle_ms: bounds(all.liveness_idle_ms),
        keepalive_ms: bounds(all.keepalive_ms),
        suspect_ms: bounds(all.suspect_ms),
        max_outage_secs: bounds(all.max_outage_secs),
        retransmit_first_ms: bounds(all.retransmit_first_ms),
        retransmit_factor_percent: bounds(all.retransmit_factor_percent),
        retransmit_tries: bounds(all.retransmit_tries),
        rekey_ike_secs: bounds(all.rekey_ike_secs),
        review_after_secs: bounds(all.review_after_secs),
    }
}
