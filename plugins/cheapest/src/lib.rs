#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::policy::{PathFacts, PathMenu, PathRanking, Policy};
use vpnhost_plugin_sdk::{Configure, Interfaces, SettingKind, SettingProblem, SettingSpec, Settings};

/// From here on a path is of no use, in thousandths.
const USELESS_PERMILLE: u16 = 500;
const REVIEW_SECS: u32 = 30;

/// Ranks paths by what they cost; equals keep the path in use, then the quicker comes first.
#[derive(Debug)]
pub struct Cheapest {
    metered: Interfaces,
    max_rtt_us: Option<u32>,
}

impl Policy for Cheapest {
    fn name(&self) -> &str {
        "cheapest"
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        let mut order: Vec<usize> = (0..menu.paths.len()).collect();
        order.sort_by_key(|&at| {
            let path = &menu.paths[at];
            let rtt = path.rtt_us.unwrap_or(u32::MAX);
            (menu.has_failed(at), self.is_poor(path), self.costs(path), menu.in_use() != Some(at), rtt)
        });
        let first = order.first().map(|&at| &menu.paths[at]);
        let unhappy = menu.paths.iter().any(|path| self.is_poor(path))
            || first.is_some_and(|best| self.costs(best) && menu.paths.iter().any(|path| !self.costs(path)));
        let review = if unhappy && order.len() > 1 { REVIEW_SECS } else { 0 };
        let why = first.map(|best| self.sentence(menu, best));
        Some(PathRanking { why, ..PathRanking::of(order).reviewed_after(review) })
    }
}

impl Cheapest {
    fn costs(&self, path: &PathFacts) -> bool {
        path.metered || self.metered.contains(&path.interface)
    }

    fn is_poor(&self, path: &PathFacts) -> bool {
        let slow = self.max_rtt_us.zip(path.rtt_us).is_some_and(|(most, rtt)| rtt > most);
        slow || path.loss_permille.is_some_and(|loss| loss >= USELESS_PERMILLE)
    }

    fn sentence(&self, menu: &PathMenu, best: &PathFacts) -> String {
        let free = |path: &&PathFacts| !self.costs(path);
        match (self.costs(best), menu.paths.iter().find(free)) {
            (false, _) => format!("{} costs nothing", best.interface),
            (true, None) => format!("{} costs, there is nothing else", best.interface),
            (true, Some(other)) => format!("{} costs, {} is of no use", best.interface, other.interface),
        }
    }
}

impl Configure for Cheapest {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec::optional(
            "metered",
            SettingKind::Texts,
            "interfaces that cost beside those that the host knows: \"wwan0\", \"wwan*\"",
        ),
        SettingSpec::optional(
            "max_rtt_ms",
            SettingKind::Integer,
            "the longest round trip that is worth saving money (default: none)",
        ),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let max_rtt_ms = settings.within("max_rtt_ms", 1..=60_000, &mut problems);
        let metered = Interfaces::new(settings.texts("metered").unwrap_or_default());
        if problems.is_empty() {
            Ok(Self { metered, max_rtt_us: max_rtt_ms.map(|ms| ms * 1000) })
        } else {
            Err(problems)
        }
    }
}

vpnhost_plugin_sdk::export_policy!(Cheapest: rank_paths);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::model::LinkKind;
    use vpnhost_plugin_sdk::{SettingValue, fixtures};

    use super::*;

    fn policy(settings: &[(&str, SettingValue)]) -> Cheapest {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        Cheapest::configure(&Settings::new(settings)).unwrap()
    }

    /// A mobile network in use that costs, and a cable.
    fn menu() -> PathMenu {
        fixtures::path_menu(&[LinkKind::CELLULAR, LinkKind::ETHERNET])
    }

    #[test]
    fn the_free_path_is_taken_at_once() {
        let ranking = policy(&[]).rank_paths(&menu()).unwrap();
        assert_eq!((&ranking.order[..], ranking.settle_ms), (&[1, 0][..], 0));
        assert_eq!(ranking.why.as_deref(), Some("ethernet2 costs nothing"));
        assert_eq!(ranking.review_after_secs, 0, "no packet more than needed");
    }

    #[test]
    fn what_the_operator_names_costs_too() {
        let names = SettingValue::Texts(vec!["ether*".to_owned()]);
        let ranking = policy(&[("metered", names)]).rank_paths(&menu()).unwrap();
        assert_eq!(ranking.order, [0, 1], "both cost, the one in use stays");
        assert_eq!(ranking.why.as_deref(), Some("cellular1 costs, there is nothing else"));
    }

    #[test]
    fn saving_has_a_limit_where_the_operator_sets_one() {
        let mut slow = menu();
        slow.paths[1].rtt_us = Some(800_000);
        assert_eq!(policy(&[]).rank_paths(&slow).unwrap().order, [1, 0]);
        let ranking = policy(&[("max_rtt_ms", SettingValue::Integer(500))]).rank_paths(&slow).unwrap();
        assert_eq!((&ranking.order[..], ranking.review_after_secs), (&[0, 1][..], 30));
        assert_eq!(ranking.why.as_deref(), Some("cellular1 costs, ethernet2 is of no use"));
        slow.paths[1].rtt_us = Some(10_000);
        slow.paths[1].loss_permille = Some(500);
        assert_eq!(policy(&[]).rank_paths(&slow).unwrap().order, [0, 1]);
    }
}
