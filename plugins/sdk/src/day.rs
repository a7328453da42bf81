//! Times of day and days of the week, as operators write them: `08:00`, `mon`.

use std::fmt;

/// The days of the week, as operators write them; Monday is the first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes after midnight, up to 24:00.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Reads `HH:MM`.
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let number = |digits: &str, most: u16| -> Option<u16> {
            let is_plain = digits.len() == 2 && digits.bytes().all(|octet| octet.is_ascii_digit());
            digits.parse().ok().filter(|&value| is_plain && value <= most)
        };
        let total = number(hour, 24)? * 60 + number(minute, 59)?;
        (total <= 24 * 60).then_some(Self(total))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// Returns the day of the week, an index into [`DAYS`], and the time there: seconds since 1970, in a time zone so many
/// seconds east of UTC.
pub fn local(unix_secs: u64, utc_offset_secs: i32) -> (usize, TimeOfDay) {
    const DAY: u64 = 86_400;
    let local = unix_secs.saturating_add_signed(utc_offset_secs.into());
    // 1 January 1970 was a Thursday.
    let (day, minute) = ((local / DAY + 3) % 7, (local % DAY) / 60);
    (usize::try_from(day).unwrap_or_default(), TimeOfDay(u16::try_from(minute).unwrap_or_default()))
}

/// Reads days, each by its name.
///
/// # Errors
/// The first that is none.
pub fn days(names: &[String]) -> Result<[bool; 7], &str> {
    let mut open = [false; 7];
    for name in names {
        let day = DAYS.iter().position(|day| name.eq_ignore_ascii_case(day)).ok_or(name.as_str())?;
        open[day] = true;
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_has_two_digits_on_either_side() {
        let shown = |text| TimeOfDay::parse(text).map(|time| time.to_string());
        assert_eq!(["08:00", "24:00"].map(shown), [Some("08:00".into()), Some("24:00".into())]);
        assert_eq!(["8:00", "24:01", "12:60", "+1:00", "noon"].map(shown), [const { None }; 5]);
    }

    #[test]
    fn the_day_is_the_local_one() {
        // Wednesday, 25 November 2026, 00:00 UTC.
        let midnight = 1_795_564_800;
        assert_eq!(local(midnight, 0), (2, TimeOfDay(0)));
        assert_eq!(local(midnight, -3_600), (1, TimeOfDay(23 * 60)));
        assert_eq!(days(&["WED".into(), "sun".into()]), Ok([false, false, true, false, false, false, true]));
        assert_eq!(days(&["mon".into(), "funday".into()]), Err("funday"));
    }
}
