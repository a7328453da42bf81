//! Numbers as people read them.

/// Writes a time span by its largest two units: `3 h 20 min`.
pub(crate) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => with_rest(minutes, "min", seconds % 60, "s"),
        (0, hours, minutes) => with_rest(hours, "h", minutes, "min"),
        (days, hours, _) => with_rest(days, "d", hours, "h"),
    }
}

fn with_rest(whole: u64, unit: &str, rest: u64, small: &str) -> String {
    if rest == 0 { format!("{whole} {unit}") } else { format!("{whole} {unit} {rest} {small}") }
}

/// Writes octets with three digits: `1.27 MB`.
pub(crate) fn octets(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut number, mut unit) = (count as f64, 0);
    while number >= 999.5 && unit + 1 < units.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = match unit {
        0 => 0,
        _ if number < 9.995 => 2,
        _ if number < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.digits$} {}", units[unit])
}

/// Writes rows under their headings, each column as wide as it must be; `nothing` if there is no row.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]], nothing: &str) -> String {
    if rows.is_empty() {
        return format!("{nothing}\n");
    }
    let mut widths = headings.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let heading = line(headings);
    rows.iter().fold(heading, |text, row| text + &line(std::array::from_fn(|at| row[at].as_str())))
}

/// Writes a moment since 1970 as UTC: `2026-11-25 13:05:07.123`.
pub(crate) fn moment(unix_ms: u64) -> String {
    let (seconds, millis) = (unix_ms / 1000, unix_ms % 1000);
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}")
}

/// Returns the Gregorian date of a day since 1970, counted in eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let since_march_0 = days + 719_468;
    let (era, day_of_era) = (since_march_0 / 146_097, since_march_0 % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn octets_have_three_digits() {
        for (count, text) in
            [(0, "0 B"), (999, "999 B"), (1272, "1.27 kB"), (99_960, "100 kB"), (5_000_000_000, "5.00 GB")]
        {
            assert_eq!(octets(count), text);
        }
    }

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let text = table(["name", "state"], &[row("a", "up"), row("bé-cdef", "")], "none");
        assert_eq!(text, "name     state\na        up\nbé-cdef\n");
        assert_eq!(table(["name"], &[], "none"), "none\n");
    }

    #[test]
    fn moments_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_399, "2000-02-28 23:59:59.000"),
            (951_782_400, "2000-02-29 00:00:00.000"),
            (1_795_611_907, "2026-11-25 13:05:07.000"),
        ] {
            assert_eq!(moment(seconds * 1000), text);
        }
    }
}
