//! The configured numbers, and no keepalive that keeps nothing alive.

use vpnhost_policy::{MaintenancePlan, Situation};

/// Takes the configuration's plan. Only a host behind a NAT sends keepalives (RFC 3948 §4).
pub(crate) fn plan(situation: &Situation) -> MaintenancePlan {
    let native = situation.native.clone();
    let needless = !situation.local_behind_nat && situation.bounds.keepalive_ms.admit(0);
    if needless { MaintenancePlan { keepalive_ms: 0, ..native } } else { native }
}

#[cfg(test)]
mod tests {
    use vpnhost_model::{LinkKind, Role};
    use vpnhost_policy::{MaintenanceBounds, SituationCause};

    use super::*;

    fn situation(local_behind_nat: bool) -> Situation {
        Situation {
            connection: "corp".into(),
            cause: SituationCause::ESTABLISHED,
            role: Role::Initiator,
            local_behind_nat,
            peer_behind_nat: true,
            kind: LinkKind::WIFI,
            metered: false,
            rtt_us: None,
            native: MaintenancePlan {
                liveness_idle_ms: 30_000,
                keepalive_ms: 20_000,
                retransmit_first_ms: 1_000,
                retransmit_factor_percent: 180,
                retransmit_tries: 6,
                rekey_ike_secs: 14_400,
                rekey_child_secs: 3_600,
                review_after_secs: 0,
                why: None,
            },
            bounds: MaintenanceBounds::SAFE,
            hints: Vec::new(),
        }
    }

    #[test]
    fn keepalives_are_for_who_is_behind_a_nat() {
        assert_eq!(plan(&situation(true)).keepalive_ms, 20_000);
        assert_eq!(plan(&situation(false)).keepalive_ms, 0);
    }
}
