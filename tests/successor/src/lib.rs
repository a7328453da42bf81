//! The next version of the plugin that counts its calls in its store: it keeps them under other keys, and takes over what
//! that one kept.

use vpnhost_plugin_sdk::policy::{PathMenu, PathRanking, Policy};
use vpnhost_plugin_sdk::{
    Configure, Migrate, SettingKind, SettingProblem, SettingSpec, Settings, data, kv, metrics,
};

/// Counts its calls and answers backwards with their number.
#[derive(Debug)]
pub struct Successor;

impl Policy for Successor {
    fn name(&self) -> &str {
        "successor"
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        assert!(menu.connection != "feared", "it panics for this one");
        // Asked for as by its predecessor, so that both are granted the same.
        if menu.connection == "listed" {
            metrics::count("listed", u32::from(data::get("users", "carol").is_some()));
        }
        let key = format!("calls/{}", menu.connection);
        let calls = kv::get_text(&key).and_then(|text| text.parse().ok()).unwrap_or(0) + 1u32;
        let kept = kv::set(&key, calls.to_string()).is_ok();
        let ranking = PathRanking::of((0..menu.paths.len()).rev());
        Some(
            ranking.because(format!("call {calls} of the next{}", if kept { "" } else { ", which is lost" })),
        )
    }
}

impl Configure for Successor {
    const SETTINGS: &'static [SettingSpec] = &[SettingSpec {
        key: "behaviour",
        kind: SettingKind::Text,
        required: false,
        summary: "what its predecessor was told",
    }];

    fn configure(_: &Settings) -> Result<Self, Vec<SettingProblem>> {
        Ok(Self)
    }
}

impl Migrate for Successor {
    fn migrate(from_version: &str) -> Result<(), String> {
        for key in kv::keys("").into_iter().filter(|key| !key.starts_with("calls/")) {
            if key == "cursed" {
                return Err(format!("what {from_version} kept is cursed"));
            }
            let calls = kv::get_text(&key).ok_or("what was listed is gone")?;
            kv::set(&format!("calls/{key}"), calls).map_err(|refused| refused.to_string())?;
            kv::delete(&key);
        }
        Ok(())
    }
}

vpnhost_plugin_sdk::export_policy!(Successor: rank_paths; migrate);
