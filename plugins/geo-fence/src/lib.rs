#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::policy::{Attribute, Authorization, PeerClaim, Policy};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings, data};

/// Looks an address up and holds what it finds against a list.
#[derive(Debug, PartialEq, Eq)]
pub struct GeoFence {
    allow: Vec<String>,
    /// Whether an address that the table does not have may come in.
    admits_unknown: bool,
}

impl Policy for GeoFence {
    fn name(&self) -> &str {
        "geo-fence"
    }

    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        let address = claim.remote.ip();
        let Some(place) = data::get("networks", &address.to_string()) else {
            let refusal = || Authorization::refuse(format!("nobody knows where {address} is"));
            return (!self.admits_unknown).then(refusal);
        };
        let is_allowed = self.allow.iter().any(|it| it.eq_ignore_ascii_case(&place));
        Some(if is_allowed {
            Authorization::Allow { labels: vec![Attribute::new("place", place)] }
        } else {
            Authorization::refuse(format!(
                "{address} is in {place}, and peers come from {}",
                self.allow.join(", ")
            ))
        })
    }
}

impl Configure for GeoFence {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec::required("allow", SettingKind::Texts, "the places that peers may come from"),
        SettingSpec::optional(
            "unknown",
            SettingKind::Text,
            "an address that the table lacks: refuse (default) or allow",
        ),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let allow = settings.texts("allow").unwrap_or_default().to_vec();
        let mut problems = Vec::new();
        if allow.is_empty() {
            problems.push(SettingProblem::with("allow", "names no place: nobody could come in"));
        }
        let admits_unknown = match settings.text("unknown") {
            None | Some("refuse") => false,
            Some("allow") => true,
            Some(_) => {
                problems.push(SettingProblem::with("unknown", "must be refuse or allow"));
                false
            }
        };
        if problems.is_empty() { Ok(Self { allow, admits_unknown }) } else { Err(problems) }
    }
}

vpnhost_plugin_sdk::export_policy!(GeoFence: authorize_peer);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::{SettingValue, fixtures};

    use super::*;

    fn fence(unknown: &str) -> Result<GeoFence, Vec<SettingProblem>> {
        let allow = SettingValue::Texts(vec!["CH".to_owned(), "LI".to_owned()]);
        let unknown = SettingValue::Text(unknown.to_owned());
        GeoFence::configure(&Settings::new([("allow".to_owned(), allow), ("unknown".to_owned(), unknown)]))
    }

    fn asked(unknown: &str, place: Option<&str>) -> Option<Authorization> {
        let rows: Vec<(&str, &str)> = place.iter().map(|place| ("198.51.100.1", *place)).collect();
        data::provide("networks", &rows);
        fence(unknown).unwrap().authorize_peer(&fixtures::peer_claim(0, 0))
    }

    #[test]
    fn a_peer_comes_in_from_where_it_may_and_is_labelled_so() {
        let labels = vec![Attribute::new("place", "ch")];
        assert_eq!(asked("refuse", Some("ch")), Some(Authorization::Allow { labels }));
        let why = "198.51.100.1 is in FR, and peers come from CH, LI";
        assert_eq!(asked("refuse", Some("FR")), Some(Authorization::refuse(why)));
    }

    #[test]
    fn an_address_that_nobody_knows_is_refused_or_left_to_the_others() {
        assert_eq!(asked("refuse", None), Some(Authorization::refuse("nobody knows where 198.51.100.1 is")));
        assert_eq!(asked("allow", None), None);
    }

    #[test]
    fn every_wrong_setting_is_named() {
        let problems = fence("perhaps").unwrap_err();
        assert_eq!(problems, [SettingProblem::with("unknown", "must be refuse or allow")]);
        assert!(GeoFence::configure(&Settings::default()).is_err());
    }
}
