#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::policy::{PathFacts, PathMenu, PathRanking, Policy};
use vpnhost_plugin_sdk::{Configure, Interfaces, SettingKind, SettingProblem, SettingSpec, Settings};

/// Ranks paths by the operator's order and what they cost; equals keep the path in use, then the quicker comes first.
#[derive(Debug)]
pub struct Sticky {
    prefer: Interfaces,
    hold_secs: u32,
}

impl Policy for Sticky {
    fn name(&self) -> &str {
        "sticky"
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        let used = menu.in_use();
        let mut order: Vec<usize> = (0..menu.paths.len()).collect();
        order.sort_by_key(|&at| {
            let path = &menu.paths[at];
            let rtt = path.rtt_us.unwrap_or(u32::MAX);
            (menu.has_failed(at), self.liking(path), used != Some(at), rtt)
        });
        let liking = |at: usize| self.liking(&menu.paths[at]);
        let waits = used.is_none_or(|used| (0..menu.paths.len()).any(|at| liking(at) < liking(used)));
        let review = if waits && order.len() > 1 { self.hold_secs.clamp(60, 86_400) } else { 0 };
        let why = order.first().map(|&best| self.sentence(menu, best));
        let ranking = PathRanking::of(order).settling(self.hold_secs * 1000).reviewed_after(review);
        Some(PathRanking { why, ..ranking })
    }
}

impl Sticky {
    /// The operator's order first, what is not named after it.
    fn liking(&self, path: &PathFacts) -> (usize, bool) {
        (self.prefer.position(&path.interface).unwrap_or(usize::MAX), path.metered)
    }

    fn sentence(&self, menu: &PathMenu, best: usize) -> String {
        let interface = &menu.paths[best].interface;
        match menu.in_use() {
            Some(used) if used == best => format!("{interface} stays"),
            Some(used) if menu.has_failed(used) => format!("{} failed", menu.paths[used].interface),
            Some(_) if menu.paths[best].up_ms / 1000 < self.hold_secs => {
                format!("{interface} is preferred once it has held for {} s", self.hold_secs)
            }
            Some(_) => format!("{interface} is preferred and has held for {} s", self.hold_secs),
            None => format!("{interface} comes first"),
        }
    }
}

impl Configure for Sticky {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec::optional(
            "prefer",
            SettingKind::Texts,
            "interfaces to go back to, the most preferred first: \"eth0\", \"wlan*\"",
        ),
        SettingSpec::optional(
            "hold_secs",
            SettingKind::Integer,
            "how long a preferred path must have been there without a break (default 300)",
        ),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let prefer = Interfaces::new(settings.texts("prefer").unwrap_or_default());
        let hold_secs = settings.within("hold_secs", 0..=3_600, &mut problems).unwrap_or(300);
        if problems.is_empty() { Ok(Self { prefer, hold_secs }) } else { Err(problems) }
    }
}

vpnhost_plugin_sdk::export_policy!(Sticky: rank_paths);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::fixtures;
    use vpnhost_plugin_sdk::model::LinkKind;
    use vpnhost_plugin_sdk::policy::PathCause;

    use super::*;

    fn sticky(prefer: &[&str]) -> Sticky {
        let prefer: Vec<String> = prefer.iter().map(|&name| name.to_owned()).collect();
        Sticky { prefer: Interfaces::new(&prefer), hold_secs: 300 }
    }

    #[test]
    fn neither_loss_nor_a_long_way_is_a_reason_to_move() {
        let mut menu = fixtures::path_menu(&[LinkKind::WIFI, LinkKind::ETHERNET]);
        menu.paths[0].rtt_us = Some(2_000_000);
        menu.paths[0].loss_permille = Some(400);
        let ranking = sticky(&[]).rank_paths(&menu).unwrap();
        assert_eq!((&ranking.order[..], ranking.review_after_secs), (&[0, 1][..], 0));
        assert_eq!(ranking.why.as_deref(), Some("wifi1 stays"));
    }

    #[test]
    fn what_fails_is_left() {
        let mut menu = fixtures::path_menu(&[LinkKind::WIFI, LinkKind::CELLULAR]);
        menu.cause = PathCause::SILENT;
        let ranking = sticky(&["wifi*"]).rank_paths(&menu).unwrap();
        assert_eq!(ranking.order, [1, 0]);
        assert_eq!(ranking.why.as_deref(), Some("wifi1 failed"));
    }

    #[test]
    fn the_preferred_path_is_taken_once_it_has_held() {
        let mut menu = fixtures::path_menu(&[LinkKind::WIFI, LinkKind::ETHERNET]);
        menu.paths[1].up_ms = 299_000;
        let ranking = sticky(&["ether*"]).rank_paths(&menu).unwrap();
        assert_eq!(ranking.order, [1, 0]);
        assert_eq!((ranking.settle_ms, ranking.review_after_secs), (300_000, 300));
        assert_eq!(ranking.why.as_deref(), Some("ethernet2 is preferred once it has held for 300 s"));
        menu.paths[1].up_ms = 300_000;
        let ranking = sticky(&["ether*"]).rank_paths(&menu).unwrap();
        assert_eq!(ranking.why.as_deref(), Some("ethernet2 is preferred and has held for 300 s"));
    }

    #[test]
    fn without_a_preference_only_money_is_a_reason_to_go_back() {
        let menu = fixtures::path_menu(&[LinkKind::CELLULAR, LinkKind::WIFI]);
        assert_eq!(sticky(&[]).rank_paths(&menu).unwrap().order, [1, 0]);
        assert_eq!(sticky(&["cellular*"]).rank_paths(&menu).unwrap().order, [0, 1]);
    }
}
