//! UTCTime and GeneralizedTime (RFC 5280 §4.1.2.5) as seconds since 1970; before it they are negative.

use crate::Malformed;
use crate::der::Value;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads a Time.
pub(crate) fn read(value: &Value<'_>) -> Result<i64, Malformed> {
    let digits = value.content.strip_suffix(b"Z").ok_or(Malformed)?;
    let (year, rest) = match (value.tag(), digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2])?;
            // RFC 5280, 4.1.2.5.1: 50 and more are of the last century.
            (if year >= 50 { 1900 + year } else { 2000 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4])?, &digits[4..]),
        _ => return Err(Malformed),
    };
    let field = |at: usize| number(&rest[2 * at..2 * at + 2]);
    let (month, day, hour, minute, second) = (field(0)?, field(1)?, field(2)?, field(3)?, field(4)?);
    let valid =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !valid {
        return Err(Malformed);
    }
    Ok(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(digits: &[u8]) -> Result<i64, Malformed> {
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + i64::from(digit - b'0')),
        _ => Err(Malformed),
    })
}

/// Days since 1970-01-01 in the Gregorian calendar; years begin in March, so that leap days are last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Result<i64, Malformed> {
        let whole = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        read(&Value { whole: &whole, content: &whole[2..] })
    }

    #[test]
    fn times_are_seconds_since_1970_also_before_it() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(seconds(UTC_TIME, "500101120100Z"), Ok(-631_108_740));
        assert_eq!(seconds(UTC_TIME, "261125173000Z"), Ok(1_795_627_800));
        assert_eq!(seconds(GENERALIZED_TIME, "20500101000000Z"), Ok(2_524_608_000));
        assert_eq!(seconds(GENERALIZED_TIME, "99991231235959Z"), Ok(253_402_300_799));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "701301000000Z",
            "700100000000Z",
            "7001010000Z",
            "700101000000",
            "70010100000 Z",
            "-00101000000Z",
        ] {
            assert_eq!(seconds(UTC_TIME, text), Err(Malformed), "{text}");
        }
    }
}
