//! A plugin to copy: the quickest path first.

use vpnhost_plugin_sdk::policy::{PathMenu, PathRanking, Policy};

/// Ranks paths by their round-trip time.
#[derive(Default)]
pub struct QuickestFirst;

impl Policy for QuickestFirst {
    fn name(&self) -> &str {
        "template"
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        let mut order: Vec<usize> = (0..menu.paths.len()).collect();
        order.sort_by_key(|&at| menu.paths[at].rtt_us.unwrap_or(u32::MAX));
        Some(PathRanking::of(order).because("quickest first"))
    }
}

vpnhost_plugin_sdk::export_policy!(QuickestFirst: rank_paths);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::fixtures;
    use vpnhost_plugin_sdk::model::LinkKind;

    use super::*;

    #[test]
    fn a_path_without_a_measurement_comes_last() {
        let mut menu = fixtures::path_menu(&[LinkKind::ETHERNET, LinkKind::WIFI, LinkKind::CELLULAR]);
        menu.paths[0].rtt_us = None;
        menu.paths[2].rtt_us = Some(10);
        assert_eq!(QuickestFirst.rank_paths(&menu).unwrap().order, [2, 1, 0]);
    }
}
