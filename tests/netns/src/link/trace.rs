//! A trace: how the conditions of a link change over time, as text.
//!
//! ```text
//! # seconds  [forth|back]  what changes; the rest stays as it was
//! 0     delay=25ms jitter=5ms loss=1%
//! 4.5   back rate=2mbit queue=30000
//! 10    cut=yes
//! 12.5  cut=no bursts=5%/8 reorder=1% hold=10ms duplicate=0.5%
//! ```
//! `cut=yes` is silent, `plug=no` takes the carrier away besides. `bursts=SHARE/FRAMES` loses a share of all frames in runs of a mean length. Without a direction a line counts for
//! both.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::schedule::{Bursts, Conditions, Direction};

/// A trace may have so many lines.
const LINES: usize = 100_000;
/// No time in a trace is longer.
const LONGEST: f64 = 1_000_000.0;

/// Changes of the conditions, each with its time, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    steps: Vec<(Duration, Change)>,
}

/// What changes at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which ways it counts for.
    pub directions: Vec<Direction>,
    settings: Vec<Setting>,
    /// Whether the cable is plugged in or pulled.
    pub plug: Option<bool>,
}

impl Trace {
    /// Reads a trace; errors name the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut steps: Vec<(Duration, Change)> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            ensure!(number <= LINES, "a trace has at most {LINES} lines");
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let step = step(line).with_context(|| format!("line {number}"))?;
            if let Some((before, _)) = steps.last() {
                ensure!(*before <= step.0, "line {number}: earlier than the line before it");
            }
            steps.push(step);
        }
        Ok(Self { steps })
    }

    /// Returns the changes, each with its time, in order.
    #[must_use]
    pub fn steps(&self) -> &[(Duration, Change)] {
        &self.steps
    }
}

impl Change {
    /// Reads one from words: a direction, where it is not for both, and `key=value`.
    pub fn parse(words: &str) -> Result<Self> {
        let mut words = words.split_whitespace().peekable();
        let named = match words.peek() {
            Some(&"forth") => Some(Direction::Forth),
            Some(&"back") => Some(Direction::Back),
            Some(_) | None => None,
        };
        if named.is_some() {
            words.next();
        }
        let directions = named.map_or(Direction::BOTH.to_vec(), |direction| vec![direction]);
        let (mut settings, mut plug) = (Vec::new(), None);
        for word in words {
            match word.strip_prefix("plug=") {
                None => settings.push(setting(word)?),
                Some(_) if named.is_some() => bail!("{word}: a cable has no direction"),
                Some(value) => plug = Some(switch(value).with_context(|| word.to_owned())?),
            }
        }
        ensure!(plug.is_some() || !settings.is_empty(), "nothing changes: key=value expected");
        Ok(Self { directions, settings, plug })
    }

    /// Makes the change.
    pub fn apply(&self, conditions: &mut Conditions) {
        for setting in &self.settings {
            match *setting {
                Setting::Delay(value) => conditions.delay = value,
                Setting::Jitter(value) => conditions.jitter = value,
                Setting::Loss(value) => conditions.loss = value,
                Setting::Bursts(value) => conditions.bursts = value,
                Setting::Reorder(value) => conditions.reorder = value,
                Setting::Hold(value) => conditions.hold = value,
                Setting::Duplicate(value) => conditions.duplicate = value,
                Setting::Rate(value) => conditions.rate = value,
                Setting::Queue(value) => conditions.queue = value,
                Setting::Cut(value) => conditions.cut = value,
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting {
    Delay(Duration),
    Jitter(Duration),
    Loss(f64),
    Bursts(Bursts),
    Reorder(f64),
    Hold(Duration),
    Duplicate(f64),
    Rate(u64),
    Queue(u64),
    Cut(bool),
}

fn step(line: &str) -> Result<(Duration, Change)> {
    let (time, words) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let at = seconds(time, 1.0).with_context(|| format!("{time:?} is no time in seconds"))?;
    Ok((at, Change::parse(words)?))
}

fn setting(word: &str) -> Result<Setting> {
    let (key, value) = word.split_once('=').with_context(|| format!("{word:?}: key=value expected"))?;
    let setting = match key {
        "delay" => duration(value).map(Setting::Delay),
        "jitter" => duration(value).map(Setting::Jitter),
        "loss" => share(value).map(Setting::Loss),
        "bursts" => bursts(value).map(Setting::Bursts),
        "reorder" => share(value).map(Setting::Reorder),
        "hold" => duration(value).map(Setting::Hold),
        "duplicate" => share(value).map(Setting::Duplicate),
        "rate" => rate(value).map(Setting::Rate),
        "queue" => value.parse().map(Setting::Queue).context("octets expected"),
        "cut" => switch(value).map(Setting::Cut),
        _ => bail!(
            "{key:?} is no condition: delay, jitter, loss, bursts, reorder, hold, duplicate, rate, queue, cut or plug"
        ),
    };
    setting.with_context(|| format!("{key}={value}"))
}

fn duration(text: &str) -> Result<Duration> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let parsed = units.iter().find_map(|(unit, scale)| seconds(text.strip_suffix(unit)?, *scale));
    parsed.context("a time such as 25ms or 1.5s expected")
}

fn seconds(text: &str, scale: f64) -> Option<Duration> {
    let number = text.parse::<f64>().ok()? * scale;
    (0.0..=LONGEST).contains(&number).then(|| Duration::from_secs_f64(number))
}

fn share(text: &str) -> Result<f64> {
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let percent = percent.filter(|number| (0.0..=100.0).contains(number));
    Ok(percent.context("a share from 0% to 100% expected")? / 100.0)
}

fn bursts(text: &str) -> Result<Bursts> {
    let (lost, frames) = text.split_once('/').unwrap_or((text, "1"));
    let frames = frames.parse::<f64>().ok().filter(|frames| (1.0..=1e6).contains(frames));
    Ok(Bursts::of(share(lost)?, frames.context("SHARE/FRAMES such as 5%/8 expected")?))
}

fn rate(text: &str) -> Result<u64> {
    if text == "none" {
        return Ok(0);
    }
    let units = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
    let bits =
        units.iter().find_map(|(unit, scale)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * scale));
    let bits = bits.filter(|bits| (1e3..=1e12).contains(bits));
    Ok(bits.context("a rate such as 500kbit or 2mbit, at least 1kbit, or none expected")? as u64)
}

fn switch(text: &str) -> Result<bool> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => bail!("yes or no expected"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn problem(text: &str) -> String {
        format!("{:#}", Trace::parse(text).unwrap_err())
    }

    #[test]
    fn a_line_changes_what_it_names_and_leaves_the_rest() {
        let trace = Trace::parse(
            "# a walk\n0 delay=25ms jitter=500us loss=2% # at home\n\n4.5 back rate=2mbit queue=3000\n9 cut=yes\n",
        )
        .unwrap();
        let (times, changes): (Vec<_>, Vec<_>) = trace.steps().iter().cloned().unzip();
        assert_eq!(times, [0, 4500, 9000].map(ms));
        assert_eq!(changes[0].directions, Direction::BOTH);
        assert_eq!(changes[1].directions, [Direction::Back]);
        let mut conditions = Conditions::default();
        changes.iter().for_each(|change| change.apply(&mut conditions));
        let expected = Conditions {
            delay: ms(25),
            jitter: Duration::from_micros(500),
            loss: 0.02,
            rate: 2_000_000,
            queue: 3000,
            cut: true,
            ..Conditions::default()
        };
        assert_eq!(conditions, expected);
    }

    #[test]
    fn bursts_are_read_as_a_share_and_a_length() {
        let mut conditions = Conditions::default();
        Change::parse("bursts=5%/8").unwrap().apply(&mut conditions);
        assert_eq!(conditions.bursts, Bursts::of(0.05, 8.0));
    }

    #[test]
    fn an_error_names_the_line_and_what_was_expected() {
        for (text, words) in [
            ("0 delay=5ms\nsoon delay=5ms", ["line 2", "\"soon\" is no time"]),
            ("# one\n\n1 delay=5", ["line 3", "25ms"]),
            ("1 loss=2", ["line 1", "0% to 100%"]),
            ("1 loss=101%", ["line 1", "0% to 100%"]),
            ("1 speed=2mbit", ["line 1", "\"speed\" is no condition"]),
            ("1 rate=2", ["line 1", "500kbit"]),
            ("1 cut", ["line 1", "key=value"]),
            ("1 forth plug=no", ["line 1", "no direction"]),
            ("1 plug=out", ["line 1", "yes or no"]),
            ("1", ["line 1", "nothing changes"]),
            ("-1 cut=yes", ["line 1", "no time"]),
            ("NaN cut=yes", ["line 1", "no time"]),
            ("2 cut=yes\n1 cut=no", ["line 2", "earlier"]),
        ] {
            let problem = problem(text);
            assert!(words.iter().all(|word| problem.contains(word)), "{text}: {problem}");
        }
    }
}
