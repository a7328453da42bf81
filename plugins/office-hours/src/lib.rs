//! Refuses peers outside office hours, in the host's local time.
//!
//! ```toml
//! settings = { from = "08:00", to = "18:00", days = ["mon", "tue", "wed", "thu", "fri"] }
//! ```

use vpnhost_plugin_sdk::policy::{Attribute, Authorization, PeerClaim, Policy};
use vpnhost_plugin_sdk::{Configure, SettingKind, SettingProblem, SettingSpec, Settings};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_DAY: u16 = 24 * 60;

/// Allows peers from one time of day to another, on some days of the week.
#[derive(Debug, PartialEq, Eq)]
pub struct OfficeHours {
    /// Minutes after midnight, included.
    from: u16,
    /// Minutes after midnight, excluded; not after `from` means on the next day.
    to: u16,
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
        let (day, minute) = local_time(claim);
        Some(if self.is_open(day, minute) {
            Authorization::Allow { labels: vec![Attribute::new("hours", self.hours())] }
        } else {
            let now = format!("{} {}", DAYS[day], clock(minute));
            Authorization::refuse(format!("outside office hours: {now}, open {}", self.hours()))
        })
    }
}

impl Configure for OfficeHours {
    const SETTINGS: &'static [SettingSpec] = &[
        setting("from", SettingKind::Text, true, "when the office opens, HH:MM"),
        setting("to", SettingKind::Text, true, "when it closes, HH:MM; not after `from`: the next day"),
        setting("days", SettingKind::Texts, false, "on which days, mon to sun (default mon to fri)"),
        setting("peers", SettingKind::Texts, false, "whom the hours bind (default everybody)"),
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let mut problems = Vec::new();
        let mut time = |key: &str| {
            let minutes = settings.text(key).and_then(minutes);
            if minutes.is_none() {
                problems.push(SettingProblem::with(key, "must be a time of day like 08:00"));
            }
            minutes.unwrap_or_default()
        };
        let (from, to) = (time("from"), time("to"));
        let days = match settings.texts("days") {
            None => [true, true, true, true, true, false, false],
            Some(names) => days(names).unwrap_or_else(|wrong| {
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
    fn is_open(&self, day: usize, minute: u16) -> bool {
        if self.from < self.to {
            return self.days[day] && (self.from..self.to).contains(&minute);
        }
        let yesterday = (day + 6) % 7;
        (self.days[day] && minute >= self.from) || (self.days[yesterday] && minute < self.to)
    }

    fn hours(&self) -> String {
        let open: Vec<&str> = DAYS.into_iter().zip(self.days).filter(|it| it.1).map(|it| it.0).collect();
        format!("{} to {} on {}", clock(self.from), clock(self.to), open.join(" "))
    }
}

const fn setting(key: &'static str, kind: SettingKind, required: bool, summary: &'static str) -> SettingSpec {
    SettingSpec { key, kind, required, summary }
}

/// The day of the week, Monday being 0, and the minute of the day.
fn local_time(claim: &PeerClaim) -> (usize, u16) {
    const DAY: u64 = 86_400;
    let local = claim.unix_secs.saturating_add_signed(claim.utc_offset_secs.into());
    // 1 January 1970 was a Thursday.
    let day = (local / DAY + 3) % 7;
    let minute = (local % DAY) / 60;
    (usize::try_from(day).unwrap_or_default(), u16::try_from(minute).unwrap_or_default())
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str, most: u16| -> Option<u16> {
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|&value| plain && value <= most)
    };
    let total = number(hour, 24)? * 60 + number(minute, 59)?;
    (total <= MINUTES_OF_DAY).then_some(total)
}

fn days(names: &[String]) -> Result<[bool; 7], &str> {
    let mut open = [false; 7];
    for name in names {
        let day = DAYS.iter().position(|day| name.eq_ignore_ascii_case(day)).ok_or(name.as_str())?;
        open[day] = true;
    }
    Ok(open)
}

fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

vpnhost_plugin_sdk::export_policy!(OfficeHours: authorize_peer);

#[cfg(test)]
mod tests {
    use vpnhost_plugin_sdk::{SettingValue, fixtures};

    use super::*;

    /// Wednesday, 25 November 2026, 00:00 UTC.
    const WEDNESDAY: u64 = 1_795_564_800;

    fn configure(from: &str, to: &str, more: &[(&str, &[&str])]) -> Result<OfficeHours, Vec<SettingProblem>> {
        let text = |value: &str| SettingValue::Text(value.to_owned());
        let mut settings = vec![("from".to_owned(), text(from)), ("to".to_owned(), text(to))];
        settings.extend(more.iter().map(|(key, values)| {
            ((*key).to_owned(), SettingValue::Texts(values.iter().map(|&it| it.to_owned()).collect()))
        }));
        OfficeHours::configure(&Settings::new(settings))
    }

    fn is_open(policy: &OfficeHours, secs: u64, offset_secs: i32) -> bool {
        let claim = fixtures::peer_claim(secs, offset_secs);
        matches!(policy.authorize_peer(&claim), Some(Authorization::Allow { .. }))
    }

    #[test]
    fn the_door_opens_and_closes_on_the_minute() {
        let policy = configure("08:00", "18:00", &[]).unwrap();
        assert!(!is_open(&policy, WEDNESDAY + 8 * 3600 - 1, 0));
        assert!(is_open(&policy, WEDNESDAY + 8 * 3600, 0));
        assert!(is_open(&policy, WEDNESDAY + 18 * 3600 - 1, 0));
        assert!(!is_open(&policy, WEDNESDAY + 18 * 3600, 0));
        assert!(!is_open(&policy, WEDNESDAY + 3 * 86_400 + 12 * 3600, 0), "a Saturday");
    }

    #[test]
    fn the_hours_are_local() {
        let policy = configure("08:00", "18:00", &[]).unwrap();
        assert!(is_open(&policy, WEDNESDAY + 7 * 3600, 3600));
        assert!(!is_open(&policy, WEDNESDAY + 9 * 3600, -2 * 3600));
    }

    #[test]
    fn a_night_shift_belongs_to_the_day_on_which_it_began() {
        let policy = configure("22:00", "06:00", &[("days", &["wed"])]).unwrap();
        assert!(!is_open(&policy, WEDNESDAY + 5 * 3600, 0));
        assert!(is_open(&policy, WEDNESDAY + 23 * 3600, 0));
        assert!(is_open(&policy, WEDNESDAY + 29 * 3600, 0));
    }

    #[test]
    fn who_is_not_listed_is_left_to_the_others() {
        let policy = configure("08:00", "08:01", &[("peers", &["dave@example.org"])]).unwrap();
        assert_eq!(policy.authorize_peer(&fixtures::peer_claim(WEDNESDAY, 0)), None);
    }

    #[test]
    fn the_refusal_says_why() {
        let policy = configure("08:00", "18:00", &[]).unwrap();
        assert_eq!(
            policy.authorize_peer(&fixtures::peer_claim(WEDNESDAY + 90 * 60, 0)),
            Some(Authorization::refuse(
                "outside office hours: wed 01:30, open 08:00 to 18:00 on mon tue wed thu fri"
            ))
        );
    }

    #[test]
    fn every_wrong_setting_is_named() {
        let problems = configure("8", "25:00", &[("days", &["mon", "funday"])]).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|it| it.key.as_deref().unwrap_or_default()).collect();
        assert_eq!(keys, ["from", "to", "days"]);
    }
}
