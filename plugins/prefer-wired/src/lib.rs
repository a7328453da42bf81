#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::model::LinkKind;
use vpnhost_plugin_sdk::policy::{PathMenu, PathRanking, Policy};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings};

/// Ranks paths by what their link is made of; equals keep the path in use, then the order of the menu.
#[derive(Debug)]
pub struct PreferWired {
    metered: bool,
}

impl Policy for PreferWired {
    fn name(&self) -> &str {
        "prefer-wired"
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        let mut order: Vec<usize> =
            (0..menu.paths.len()).filter(|&at| self.metered || !menu.paths[at].metered).collect();
        order.sort_by_key(|&at| {
            let path = &menu.paths[at];
            (menu.has_failed(at), rank_of(path.kind), path.metered, menu.in_use() != Some(at))
        });
        let best = order.first().map_or("nothing", |&at| menu.paths[at].kind.name());
        Some(PathRanking::of(order).because(format!("{best} is the most wired")))
    }
}

impl Configure for PreferWired {
    const SETTINGS: &'static [SettingSpec] = &[SettingSpec::optional(
        "metered",
        SettingKind::Flag,
        "whether metered paths may be used at all (default true)",
    )];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        Ok(Self { metered: settings.flag("metered").unwrap_or(true) })
    }
}

fn rank_of(kind: LinkKind) -> u8 {
    match kind {
        LinkKind::ETHERNET => 0,
        LinkKind::WIFI => 2,
        LinkKind::CELLULAR => 3,
        _ => 1,
    }
}

vpnhost_plugin_sdk::export_policy!(PreferWired: rank_paths);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::fixtures;
    use vpnhost_plugin_sdk::policy::PathCause;

    use super::*;

    #[test]
    fn the_cable_wins_over_the_path_in_use() {
        let menu = fixtures::path_menu(&[LinkKind::WIFI, LinkKind::CELLULAR, LinkKind::ETHERNET]);
        let ranking = PreferWired { metered: true }.rank_paths(&menu).unwrap();
        assert_eq!(ranking.order, [2, 0, 1]);
        assert_eq!(ranking.why.as_deref(), Some("ethernet is the most wired"));
    }

    #[test]
    fn a_dead_cable_is_tried_last() {
        let mut menu = fixtures::path_menu(&[LinkKind::ETHERNET, LinkKind::WIFI]);
        menu.cause = PathCause::SILENT;
        assert_eq!(PreferWired { metered: true }.rank_paths(&menu).unwrap().order, [1, 0]);
    }

    #[test]
    fn metered_paths_can_be_left_out() {
        let menu = fixtures::path_menu(&[LinkKind::CELLULAR, LinkKind::WIFI]);
        assert_eq!(PreferWired { metered: false }.rank_paths(&menu).unwrap().order, [1]);
    }
}
