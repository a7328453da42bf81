#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::policy::{PathFacts, PathMenu, PathRanking, Policy};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings};

/// What a lost packet costs: the least time after which Linux's TCP sends it again.
const REPEAT_US: u64 = 200_000;
const REVIEW_SECS: u32 = 15;

/// Ranks paths by the time that a packet takes, with what is lost.
#[derive(Debug)]
pub struct LowestRtt {
    gain_ms: u32,
    settle_ms: u32,
}

impl Policy for LowestRtt {
    fn name(&self) -> &str {
        "lowest-rtt"
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        let mut order: Vec<usize> = (0..menu.paths.len()).collect();
        order.sort_by_key(|&at| {
            let used = menu.in_use() == Some(at);
            let gain = if used { u64::from(self.gain_ms) * 1000 } else { 0 };
            let time = time_us(&menu.paths[at]).map(|time| time.saturating_sub(gain));
            (menu.has_failed(at), time.is_none(), time, !used)
        });
        let why = order.first().map(|&at| sentence(&menu.paths[at]));
        let review = if order.len() > 1 { REVIEW_SECS } else { 0 };
        let ranking = PathRanking::of(order).settling(self.settle_ms).reviewed_after(review);
        Some(PathRanking { why, ..ranking })
    }
}

fn time_us(path: &PathFacts) -> Option<u64> {
    let lost = u64::from(path.loss_permille.unwrap_or(0));
    Some(u64::from(path.rtt_us?) + lost * REPEAT_US / 1000)
}

fn sentence(path: &PathFacts) -> String {
    match (path.rtt_us, path.loss_permille) {
        (None, _) => format!("{} has not been measured", path.interface),
        (Some(rtt), Some(loss)) if loss > 0 => {
            format!("{} is the quickest: {} ms, {} ‰ lost", path.interface, rtt / 1000, loss)
        }
        (Some(rtt), _) => format!("{} is the quickest: {} ms", path.interface, rtt / 1000),
    }
}

impl Configure for LowestRtt {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec::optional(
            "gain_ms",
            SettingKind::Integer,
            "how much quicker a path must be than the one in use (default 10)",
        ),
        SettingSpec::optional(
            "settle_ms",
            SettingKind::Integer,
            "how long it must have been there (default 2000)",
        ),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let gain_ms = settings.within("gain_ms", 0..=10_000, &mut problems).unwrap_or(10);
        let settle_ms = settings.within("settle_ms", 0..=3_600_000, &mut problems).unwrap_or(2_000);
        if problems.is_empty() { Ok(Self { gain_ms, settle_ms }) } else { Err(problems) }
    }
}

vpnhost_plugin_sdk::export_policy!(LowestRtt: rank_paths);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::fixtures;
    use vpnhost_plugin_sdk::model::LinkKind;
    use vpnhost_plugin_sdk::policy::PathCause;

    use super::*;

    const NATIVE: LowestRtt = LowestRtt { gain_ms: 10, settle_ms: 2_000 };

    fn menu(rtts_ms: [u32; 3]) -> PathMenu {
        let mut menu = fixtures::path_menu(&[LinkKind::ETHERNET, LinkKind::WIFI, LinkKind::CELLULAR]);
        for (path, rtt_ms) in menu.paths.iter_mut().zip(rtts_ms) {
            path.rtt_us = Some(rtt_ms * 1000);
        }
        menu
    }

    #[test]
    fn the_quickest_wins_over_the_free_and_the_wired() {
        let ranking = NATIVE.rank_paths(&menu([80, 40, 20])).unwrap();
        assert_eq!(
            (&ranking.order[..], ranking.settle_ms, ranking.review_after_secs),
            (&[2, 1, 0][..], 2_000, 15)
        );
        assert_eq!(ranking.why.as_deref(), Some("cellular3 is the quickest: 20 ms"));
    }

    #[test]
    fn a_few_milliseconds_are_no_reason_to_move() {
        assert_eq!(NATIVE.rank_paths(&menu([30, 21, 90])).unwrap().order, [0, 1, 2]);
        assert_eq!(NATIVE.rank_paths(&menu([30, 19, 90])).unwrap().order, [1, 0, 2]);
    }

    #[test]
    fn what_is_lost_counts_as_the_time_to_send_it_again() {
        let mut lossy = menu([20, 60, 90]);
        lossy.paths[0].loss_permille = Some(300);
        let ranking = NATIVE.rank_paths(&lossy).unwrap();
        assert_eq!(ranking.order, [1, 0, 2]);
        assert_eq!(ranking.why.as_deref(), Some("wifi2 is the quickest: 60 ms"));
    }

    #[test]
    fn what_was_not_measured_comes_after_and_what_failed_last() {
        let mut paths = menu([20, 30, 40]);
        paths.cause = PathCause::SILENT;
        paths.paths[1].rtt_us = None;
        assert_eq!(NATIVE.rank_paths(&paths).unwrap().order, [2, 1, 0]);
    }

    #[test]
    fn settings_out_of_their_bounds_are_refused() {
        let refused = LowestRtt::configure(&Settings::new([
            ("gain_ms".to_owned(), vpnhost_plugin_sdk::SettingValue::Integer(-1)),
            ("settle_ms".to_owned(), vpnhost_plugin_sdk::SettingValue::Integer(3_600_001)),
        ]));
        assert_eq!(refused.unwrap_err().len(), 2);
    }
}
