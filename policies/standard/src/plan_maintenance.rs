//! The configured numbers, no keepalive that keeps nothing alive, and none more often than this network's NAT needs.

use vpnhost_policy::{MaintenancePlan, Situation};

/// Takes the configuration's plan. Only a host behind a NAT sends keepalives (RFC 3948 §4).
pub(crate) fn plan(situation: &Situation) -> MaintenancePlan {
    let native = situation.native.clone();
    if !situation.local_behind_nat && situation.bounds.keepalive_ms.admit(0) {
        return MaintenancePlan { keepalive_ms: 0, ..native };
    }
    match learned(situation) {
        Some((keepalive_ms, why)) if keepalive_ms != native.keepalive_ms => {
            MaintenancePlan { keepalive_ms, why: Some(why), ..native }
        }
        Some(_) | None => native,
    }
}

/// Returns the keepalive that fits what is known of the NAT, and why:
///
/// - A silence that was survived is good for nine tenths of it, where that is longer than what is configured.
/// - A silence that was not survived halves: no keepalive is longer than half of it, unless nine tenths of one
///   that was survived are. Who configured less keeps it.
/// - If the two contradict each other, which a NAT that was replaced or ran out of room does, the failure counts.
/// - It never leaves the bounds, and what is switched off stays off.
fn learned(situation: &Situation) -> Option<(u32, String)> {
    let (configured, bounds) = (situation.native.keepalive_ms, situation.bounds.keepalive_ms);
    if configured == 0 {
        return None;
    }
    let failed = situation.idle_failed_ms;
    let proven = situation.idle_proven_ms.filter(|&proven| failed.is_none_or(|failed| proven < failed));
    let safe = proven.map(|proven| proven - proven.div_ceil(10));
    let half = failed.map(|failed| failed / 2);
    let limit = half.map(|half| half.max(safe.unwrap_or(0)));
    let wanted = configured.max(safe.unwrap_or(0)).min(limit.unwrap_or(u32::MAX));
    let why = match (wanted > configured, proven, failed) {
        (true, Some(proven), _) => format!("the NAT remembered for {}", span(proven)),
        (false, _, Some(failed)) => format!("the NAT forgot within {}", span(failed)),
        (true | false, _, _) => return None,
    };
    Some((bounds.nearest(wanted), why))
}

fn span(ms: u32) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", ms / 1000) }
}

#[cfg(test)]
mod tests {
    use vpnhost_model::{Identity, LinkKind, Role};
    use vpnhost_policy::{Bounds, MaintenanceBounds, Power, SituationCause};

    use super::*;

    fn situation(local_behind_nat: bool) -> Situation {
        Situation {
            connection: "corp".into(),
            cause: SituationCause::ESTABLISHED,
            role: Role::Initiator,
            peer_id: Identity::Fqdn("moon".into()),
            unix_secs: 0,
            local_behind_nat,
            peer_behind_nat: true,
            labels: Vec::new(),
            interface: "wlan0".into(),
            kind: LinkKind::WIFI,
            metered: false,
            rtt_us: None,
            loss_permille: None,
            outages: 0,
            outage_ms: 0,
            power: Power::UNKNOWN,
            idle_proven_ms: None,
            idle_failed_ms: None,
            native: MaintenancePlan {
                liveness_idle_ms: 30_000,
                keepalive_ms: 20_000,
                suspect_ms: 1_000,
                max_outage_secs: 28_800,
                retransmit_first_ms: 1_000,
                retransmit_factor_percent: 180,
                retransmit_tries: 6,
                rekey_ike_secs: 14_400,
                review_after_secs: 0,
                why: None,
            },
            bounds: MaintenanceBounds::SAFE,
            hints: Vec::new(),
        }
    }

    fn keepalive_secs(proven_secs: Option<u32>, failed_secs: Option<u32>) -> u32 {
        let ms = |secs: Option<u32>| secs.map(|secs| secs * 1000);
        let known =
            Situation { idle_proven_ms: ms(proven_secs), idle_failed_ms: ms(failed_secs), ..situation(true) };
        plan(&known).keepalive_ms / 1000
    }

    #[test]
    fn keepalives_are_for_who_is_behind_a_nat() {
        assert_eq!(plan(&situation(true)).keepalive_ms, 20_000);
        assert_eq!(plan(&situation(false)), MaintenancePlan { keepalive_ms: 0, ..situation(false).native });
        let proven = Situation { idle_proven_ms: Some(900_000), ..situation(false) };
        assert_eq!(plan(&proven).keepalive_ms, 0);
    }

    #[test]
    fn the_longer_a_nat_is_seen_to_remember_the_rarer_the_keepalives() {
        assert_eq!(keepalive_secs(Some(10), None), 20, "what is configured is no worse");
        assert_eq!(keepalive_secs(Some(60), None), 54);
        assert_eq!(keepalive_secs(Some(890), Some(910)), 801, "fewer than six an hour");
        assert_eq!(keepalive_secs(Some(100_000), None), 3_600, "the bound");
    }

    #[test]
    fn what_a_nat_forgot_shortens_the_keepalive() {
        assert_eq!(keepalive_secs(None, Some(30)), 15);
        assert_eq!(keepalive_secs(Some(19), Some(20)), 17, "close to what it forgot, but proven");
        assert_eq!(keepalive_secs(Some(12), Some(30)), 15);
        assert_eq!(keepalive_secs(None, Some(300)), 20, "nobody asked for more");
        assert_eq!(keepalive_secs(None, Some(2)), 5, "the bound");
        assert_eq!(keepalive_secs(Some(600), Some(30)), 15, "it was another NAT then");
    }

    #[test]
    fn what_is_switched_off_stays_off() {
        let mut off = Situation { idle_failed_ms: Some(30_000), ..situation(true) };
        off.native.keepalive_ms = 0;
        assert_eq!(plan(&off), off.native);
    }

    #[test]
    fn the_reason_tells_what_was_learned() {
        let why = |proven, failed| {
            let known = Situation { idle_proven_ms: proven, idle_failed_ms: failed, ..situation(true) };
            plan(&known).why.unwrap_or_default()
        };
        assert_eq!(why(None, None), "");
        assert_eq!(why(Some(10_000), None), "");
        assert_eq!(why(Some(890_000), Some(910_000)), "the NAT remembered for 890 s");
        assert_eq!(why(None, Some(30_000)), "the NAT forgot within 30 s");
    }

    #[test]
    fn a_nat_is_never_trusted_beyond_the_bounds() {
        let mut narrow = Situation { idle_proven_ms: Some(u32::MAX), ..situation(true) };
        narrow.bounds.keepalive_ms = Bounds::new(10_000, 25_000);
        assert_eq!(plan(&narrow).keepalive_ms, 25_000);
    }
}
