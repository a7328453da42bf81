//! A table of `cargo xtask roam-bench`: an experiment at a round-trip time, a column for each who takes part.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use vpnhost_netns::roam::{Column, Experiment, Pace, Values};

/// What is to be measured together.
pub(super) struct Table {
    pub(super) experiment: &'static Experiment,
    /// The round-trip time in milliseconds.
    pub(super) rtt: u32,
    pub(super) columns: Vec<Column>,
}

/// What came of the runs of one experiment with one column: what was measured, or why nothing was.
pub(super) type Cell = Result<Measured, String>;

/// What was measured in several runs.
pub(super) struct Measured {
    median: Values,
    worst: Values,
}

impl Measured {
    /// Sums runs up. What never came in a run is more than any number.
    pub(super) fn of(runs: &[Values]) -> Self {
        let pick = |place: fn(usize) -> usize| {
            let names = runs.iter().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>();
            let chosen = names.into_iter().map(|name| {
                let mut values: Vec<f64> = runs
                    .iter()
                    .filter_map(|run| run.get(name))
                    .map(|value| value.unwrap_or(f64::INFINITY))
                    .collect();
                values.sort_by(f64::total_cmp);
                // Of scores, the least is the worst.
                if name.starts_with("MOS") {
                    values.reverse();
                }
                let value = values[place(values.len())];
                (*name, value.is_finite().then_some(value))
            });
            chosen.collect()
        };
        Self { median: pick(|count| count / 2), worst: pick(|count| count - 1) }
    }
}

impl Table {
    /// Returns how much must be reached.
    pub(super) fn bars(&self) -> usize {
        self.columns.iter().map(|column| self.experiment.bars_of(*column).count()).sum()
    }

    /// Returns how much of it was not; of what failed, all.
    pub(super) fn missed(&self, cells: &[Cell]) -> usize {
        let missed = |(column, cell): (&Column, &Cell)| match cell {
            Ok(measured) => self.experiment.missed(*column, self.rtt, &measured.median).len(),
            Err(_) => self.experiment.bars_of(*column).count(),
        };
        self.columns.iter().zip(cells).map(missed).sum()
    }

    /// Returns the times that it is of, in words.
    fn times(&self) -> String {
        match self.experiment.pace {
            Pace::EachTime => format!("at {} ms", self.rtt),
            Pace::Once | Pace::Beside => format!("at {} ms alone", self.rtt),
        }
    }

    pub(super) fn print(&self, cells: &[Cell]) {
        let Self { experiment, rtt, columns } = self;
        println!("{} {}: {}", experiment.name, self.times(), experiment.about);
        print!("  {:24}", "");
        columns.iter().for_each(|column| print!(" {:>18}", column.name()));
        println!();
        for name in self.rows(cells) {
            print!("  {name:24}");
            for (column, cell) in columns.iter().zip(cells) {
                let Ok(Measured { median, worst }) = cell else {
                    print!(" {:>18}", "failed");
                    continue;
                };
                let mut shown = shown(median.get(name));
                if worst.get(name) != median.get(name) {
                    shown = format!("{shown} ({})", self::shown(worst.get(name)));
                }
                let is_missed = experiment.missed(*column, *rtt, median).contains(&name);
                print!(" {:>18}", if is_missed { format!("{shown} !") } else { shown });
            }
            println!();
        }
        for (column, cell) in columns.iter().zip(cells) {
            if let Err(why) = cell {
                println!("  {}: {why}", column.name());
            }
        }
        println!();
    }

    /// Returns the names of the values that say something: not those that are nought everywhere, unless they must be.
    fn rows(&self, cells: &[Cell]) -> Vec<&'static str> {
        let mut names: BTreeMap<&'static str, bool> = BTreeMap::new();
        for (name, value) in cells.iter().flatten().flat_map(|measured| &measured.worst) {
            *names.entry(name).or_default() |= *value != Some(0.0);
        }
        let is_bar = |name: &str| self.experiment.bars.iter().any(|bar| bar.value == name);
        names.into_iter().filter(|(name, says)| *says || is_bar(name)).map(|(name, _)| name).collect()
    }

    pub(super) fn document(&self, cells: &[Cell]) -> Value {
        let Self { experiment, rtt, columns } = self;
        let cell = |(column, cell): (&Column, &Cell)| {
            let value = match cell {
                Ok(Measured { median, worst }) => {
                    json!({ "values": median, "worst": worst, "missed": experiment.missed(*column, *rtt, median) })
                }
                Err(why) => json!({ "failed": why }),
            };
            (column.name(), value)
        };
        let columns: BTreeMap<&str, Value> = columns.iter().zip(cells).map(cell).collect();
        json!({ "name": experiment.name, "about": experiment.about, "rtt_ms": rtt, "columns": columns })
    }
}

fn shown(value: Option<&Option<f64>>) -> String {
    match value {
        None => "–".to_owned(),
        Some(None) => "never".to_owned(),
        Some(Some(value)) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_runs_the_middle_and_the_worst_are_told_and_never_is_worse_than_any() {
        let run = |gap: Option<f64>| Values::from([("gap ms", gap)]);
        let Measured { median, worst } = Measured::of(&[run(Some(30.0)), run(None), run(Some(10.0))]);
        assert_eq!((median["gap ms"], worst["gap ms"]), (Some(30.0), None));
        let Measured { median, worst } = Measured::of(&[run(Some(7.0))]);
        assert_eq!((median["gap ms"], worst["gap ms"]), (Some(7.0), Some(7.0)));
        let score = |mos| Values::from([("MOS", Some(mos))]);
        assert_eq!(Measured::of(&[score(4.1), score(3.9), score(4.2)]).worst["MOS"], Some(3.9));
    }
}
