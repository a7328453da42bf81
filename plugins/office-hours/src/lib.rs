#![doc = include_str!("../README.md")]

use vpnhost_plugin_sdk::day::{self, DAYS, TimeOfDay};
use vpnhost_plugin_sdk::policy::{Attribute, Authorization, PeerClaim, Policy};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings};

/// Allows peers from one time of day to another, on some days of the week.
#[derive(Debug, PartialEq, Eq)]
pub struct OfficeHours {
    from: TimeOfDay,
    /// Excluded; not after `from` means on the next day.
    to: TimeOfDay,
    /// Monday first.
    days: [bool; 7],
    /// Whom the hours bind; empty is everybody.
    peers: Vec<String>,
}

impl Policy for OfficeHours {
    fn name(&self) -> &str {
        "office-hours"
    }

    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        let id = claim.peer_id.to_string();
        if !self.peers.is_empty() && !self.peers.iter().any(|peer| peer.eq_ignore_ascii_case(&id)) {
            return None;
        }
        let (day, time) = day::local(claim.unix_secs, claim.utc_offset_secs);
        Some(if self.is_open(day, time) {
            Authorization::Allow { labels: vec![Attribute::new("hours", self.hours())] }
        } else {
            let now = format!("{} {time}", DAYS[day]);
            Authorization::refuse(format!("outside office hours: {now}, open {}", self.hours()))
        })
    }
}

impl Configure for OfficeHours {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec::required("from", SettingKind::Text, "when the office opens, HH:MM"),
        SettingSpec::required(
            "to",
            SettingKind::Text,
            "when it closes, HH:MM; not after `from`: the next day",
        ),
        SettingSpec::optional("days", SettingKind::Texts, "on which days, mon to sun (default mon to fri)"),
        SettingSpec::optional("peers", SettingKind::Texts, "whom the hours bind (default everybody)"),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let mut time = |key: &str| {
            let time = settings.text(key).and_then(TimeOfDay::parse);
            if time.is_none() {
                problems.push(SettingProblem::with(key, "must be a time of day like 08:00"));
            }
            time.unwrap_or_default()
        };
        let (from, to) = (time("from"), time("to"));
        let days = match settings.texts("days") {
            None => [true, true, true, true, true, false, false],
            Some(names) => day::days(names).unwrap_or_else(|wrong| {
                let problem = format!("`{wrong}` is no day: use {}", DAYS.join(", "));
                problems.push(SettingProblem::with("days", problem));
                [false; 7]
            }),
        };
        let peers = settings.texts("peers").unwrap_or_default().to_vec();
        if problems.is_empty() { Ok(Self { from, to, days, peers }) } else { Err(problems) }
    }
}

impl OfficeHours {
    /// Hours that pass midnight belong to the day on which they began.
    fn is_open(&self, day: usize, time: TimeOfDay) -> bool {
        if self.from < self.to {
            return self.days[day] && (self.from..self.to).contains(&time);
        }
        let yesterday = (day + 6) % 7;
        (self.days[day] && time >= self.from) || (self.days[yesterday] && time < self.to)
    }

    fn hours(&self) -> String {
        let open: Vec<&str> = DAYS.into_iter().zip(self.days).filter(|it| it.1).map(|it| it.0).collect();
        format!("{} to {} on {}", self.from, self.to, open.join(" "))
    }
}

vpnhost_plugin_sdk::export_policy!(OfficeHours: authorize_peer);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::{SettingValue, fixtures};

    use super::*;

    /// Wednesday, 25 November 2026, 00:00 UTC.
    const WEDNESDAY: u64 = 1_795_564_800;

    fn configure(from: &str, to: &str, more: &[(&str, &str)]) -> Result<OfficeHours, Vec<SettingProblem>> {
        let text = |(key, value): (&str, &str)| (key.to_owned(), SettingValue::Text(value.to_owned()));
        let list =
            |(key, one): &(&str, &str)| ((*key).to_owned(), SettingValue::Texts(vec![(*one).to_owned()]));
        let times = [("from", from), ("to", to)].map(text);
        OfficeHours::configure(&Settings::new(times.into_iter().chain(more.iter().map(list))))
    }

    fn is_open(policy: &OfficeHours, hours: u64) -> bool {
        let claim = fixtures::peer_claim(WEDNESDAY + hours * 3600, 0);
        matches!(policy.authorize_peer(&claim), Some(Authorization::Allow { .. }))
    }

    #[test]
    fn the_door_opens_and_closes_on_the_hour_and_not_on_a_saturday() {
        let policy = configure("08:00", "18:00", &[]).unwrap();
        assert_eq!(
            [7, 8, 17, 18, 3 * 24 + 12].map(|hours| is_open(&policy, hours)),
            [false, true, true, false, false]
        );
        let why = "outside office hours: wed 07:00, open 08:00 to 18:00 on mon tue wed thu fri";
        let early = policy.authorize_peer(&fixtures::peer_claim(WEDNESDAY + 6 * 3600, 3600));
        assert_eq!(early, Some(Authorization::refuse(why)), "in local time");
    }

    #[test]
    fn a_night_shift_belongs_to_the_day_on_which_it_began() {
        let policy = configure("22:00", "06:00", &[("days", "wed")]).unwrap();
        assert_eq!([5, 23, 29].map(|hours| is_open(&policy, hours)), [false, true, true]);
    }

    #[test]
    fn who_is_not_listed_is_left_to_the_others() {
        let policy = configure("08:00", "08:01", &[("peers", "dave@example.org")]).unwrap();
        assert_eq!(policy.authorize_peer(&fixtures::peer_claim(WEDNESDAY, 0)), None);
    }

    #[test]
    fn every_wrong_setting_is_named() {
        let problems = configure("8", "25:00", &[("days", "funday")]).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|it| it.key.as_deref().unwrap_or_default()).collect();
        assert_eq!(keys, ["from", "to", "days"]);
    }
}
