//! How an IKE SA is kept alive and rekeyed: what is configured as the menu, and the plan that was made.

use std::time::Duration;

use vpnhost_model::{LinkKind, Now};
use vpnhost_pki::identity::folded;
use vpnhost_policy::{Answer, MaintenanceBounds, MaintenancePlan, Question, Situation, SituationCause};

use crate::config::PeerConfig;
use crate::host::Host;
use crate::sa::IkeSa;
use crate::sa::mapping::Network;
use crate::sa::state::{Established, Plan};
use crate::sa::window::Backoff;

/// Builds the situation of an established IKE SA.
pub(crate) fn question(
    now: Now,
    sa: &IkeSa,
    host: &Host,
    established: &Established,
    cause: SituationCause,
) -> Question {
    let connection = &*established.connection;
    let native = native(connection);
    let link = host.link_of(sa.path.local.ip(), sa.path.interface);
    let paths = &established.estate.mobility.paths;
    let pair = sa.current_pair();
    let (outages, dark) = pair.map(|pair| paths.outages(now.instant, pair)).unwrap_or_default();
    let memory = host.mappings.memory(Network::of(&sa.path));
    Question::PlanMaintenance(Situation {
        connection: connection.name.clone(),
        cause,
        role: sa.role,
        peer_id: folded(&established.peer_id),
        unix_secs: now.unix.as_secs(),
        local_behind_nat: sa.nat.local,
        peer_behind_nat: sa.nat.peer,
        labels: established.labels.clone(),
        interface: link.map_or_else(String::new, |link| link.name.clone()),
        kind: link.map_or(LinkKind::OTHER, |link| link.kind),
        metered: link.is_some_and(|link| link.metered),
        rtt_us: sa.round_trip().map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX)),
        loss_permille: pair.and_then(|pair| paths.find(pair)?.loss_permille),
        outages,
        outage_ms: millis(dark),
        power: host.power,
        bounds: MaintenanceBounds::SAFE.including(&native),
        idle_proven_ms: memory.proven.map(millis),
        idle_failed_ms: memory.failed.map(millis),
        native,
        hints: Vec::new(),
    })
}

/// What the configuration says.
fn native(connection: &PeerConfig) -> MaintenancePlan {
    let timing = &connection.timing;
    MaintenancePlan {
        liveness_idle_ms: millis(timing.liveness_idle),
        keepalive_ms: millis(timing.keepalive),
        suspect_ms: millis(timing.suspect),
        max_outage_secs: secs(timing.max_outage),
        retransmit_first_ms: millis(timing.retransmit_first),
        retransmit_factor_percent: timing.retransmit_factor_percent,
        retransmit_tries: timing.retransmit_tries,
        rekey_ike_secs: secs(timing.rekey_ike),
        review_after_secs: 0,
        why: None,
    }
}

/// Reads the answer; a number that it leaves as configured stays as precise as the configuration.
pub(crate) fn plan(answer: Option<Answer>, connection: &PeerConfig) -> Option<Plan> {
    let Some(Answer::PlanMaintenance(answer)) = answer else { return None };
    let (native, mut plan) = (native(connection), Plan::from(&connection.timing));
    let millis = |value| Duration::from_millis(u64::from(value));
    let secs = |value| Duration::from_secs(u64::from(value));
    if answer.liveness_idle_ms != native.liveness_idle_ms {
        plan.liveness_idle = millis(answer.liveness_idle_ms);
    }
    if answer.keepalive_ms != native.keepalive_ms {
        plan.keepalive = millis(answer.keepalive_ms);
    }
    if answer.suspect_ms != native.suspect_ms {
        plan.suspect = millis(answer.suspect_ms);
    }
    if answer.max_outage_secs != native.max_outage_secs {
        plan.max_outage = secs(answer.max_outage_secs);
    }
    let kept = answer.retransmit_first_ms == native.retransmit_first_ms;
    plan.backoff = Backoff {
        first: if kept { plan.backoff.first } else { millis(answer.retransmit_first_ms) },
        factor_percent: answer.retransmit_factor_percent,
        tries: answer.retransmit_tries,
    };
    if answer.rekey_ike_secs != native.rekey_ike_secs {
        plan.rekey_ike = secs(answer.rekey_ike_secs);
    }
    plan.review_after = (answer.review_after_secs > 0).then(|| secs(answer.review_after_secs));
    Some(plan)
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// Whole seconds, but never zero for what is switched on.
fn secs(span: Duration) -> u32 {
    let whole = u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    if span.is_zero() { 0 } else { whole.max(1) }
}
