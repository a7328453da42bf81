//! `plan-maintenance`.

use vpnhost_policy::{MaintenanceBounds, MaintenancePlan, Situation};
use wasmtime::{Result, Store};

use super::exports::plan_maintenance as wit;
use super::{Bindings, types};
use crate::guest::Guest;

impl Bindings {
    pub(crate) fn plan_maintenance(
        &self,
        store: &mut Store<Guest>,
        situation: &Situation,
    ) -> Result<Option<MaintenancePlan>> {
        let Some(question) = &self.plan_maintenance else { return Ok(None) };
        let situation = wit::Situation {
            connection: situation.connection.clone(),
            cause: situation.cause.0,
            role: types::role(situation.role),
            peer_id: types::identity(&situation.peer_id),
            unix_secs: situation.unix_secs,
            local_behind_nat: situation.local_behind_nat,
            peer_behind_nat: situation.peer_behind_nat,
            labels: types::attributes(&situation.labels),
            interface_name: situation.interface.clone(),
            kind: situation.kind.0,
            metered: situation.metered,
            rtt_us: situation.rtt_us,
            loss_permille: situation.loss_permille,
            outages: situation.outages,
            outage_ms: situation.outage_ms,
            power: types::power(situation.power),
            idle_proven_ms: situation.idle_proven_ms,
            idle_failed_ms: situation.idle_failed_ms,
            native: plan(&situation.native),
            bounds: bounds(&situation.bounds),
            hints: types::attributes(&situation.hints),
        };
        Ok(question.call_plan_maintenance(store, &situation)?.map(plan_in))
    }
}

fn plan(plan: &MaintenancePlan) -> wit::MaintenancePlan {
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
        why: plan.why.clone(),
    }
}

fn plan_in(plan: wit::MaintenancePlan) -> MaintenancePlan {
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
        why: types::why(plan.why),
    }
}

fn bounds(all: &MaintenanceBounds) -> wit::MaintenanceBounds {
    let bounds = types::bounds;
    wit::MaintenanceBounds {
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
