//! `cargo xtask roam-bench`: what moves cost and how long they take, vpnhost and strongSwan in the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use vpnhost_netns::lab;
use vpnhost_netns::roam::{Column, EXPERIMENTS, Experiment, Ground, Values};

use crate::build_plugins::build_plugins;
use crate::interop;
use crate::steps::Outcome;
use crate::tools;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Round-trip times in milliseconds, parted by commas
    #[arg(long, value_delimiter = ',', default_values_t = [0, 50, 300])]
    rtt: Vec<u32>,
    /// Only experiments whose name contains this
    #[arg(long, value_name = "EXPERIMENT")]
    only: Vec<String>,
    /// Only columns whose name contains this
    #[arg(long, value_name = "WHO")]
    column: Vec<String>,
    /// Seconds that a tunnel is watched which may not come back
    #[arg(long, default_value_t = 15)]
    watch: u64,
    /// How often each is run: the median counts, and the worst is shown beside it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Prints one JSON document instead of tables
    #[arg(long)]
    json: bool,
    /// Prints the names of the experiments
    #[arg(long)]
    list: bool,
    /// Takes the binary and the plugins as they lie in target, without a look whether they are new
    #[arg(long)]
    built: bool,
}

/// What came of the runs of one experiment with one column: what was measured, or why nothing was.
type Cell = Result<Measured, String>;

/// What was measured in several runs.
struct Measured {
    median: Values,
    worst: Values,
}

impl Measured {
    /// Sums runs up. What never came in a run is more than any number.
    fn of(runs: &[Values]) -> Self {
        let pick = |place: fn(usize) -> usize| {
            let names = runs.iter().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>();
            let chosen = names.into_iter().map(|name| {
                let mut values: Vec<f64> = runs
                    .iter()
                    .filter_map(|run| run.get(name))
                    .map(|value| value.unwrap_or(f64::INFINITY))
                    .collect();
                values.sort_by(f64::total_cmp);
                let value = values[place(values.len())];
                (*name, value.is_finite().then_some(value))
            });
            chosen.collect()
        };
        Self { median: pick(|count| count / 2), worst: pick(|count| count - 1) }
    }
}

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if options.list {
        EXPERIMENTS.iter().for_each(|it| println!("{:13} {}", it.name, it.about));
        return Ok(Outcome::Passed);
    }
    if let Some(skip) = tools::network_skip(&[tools::NETWORK, tools::STRONGSWAN]) {
        return Ok(skip);
    }
    let chosen = |name: &str, words: &[String]| {
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    };
    let experiments: Vec<&Experiment> =
        EXPERIMENTS.iter().filter(|it| chosen(it.name, &options.only)).collect();
    ensure!(!experiments.is_empty(), "no experiment's name contains {}", options.only.join(" or "));
    lab::sweep()?;
    let ground = ground(options)?;
    let (mut rows, mut judged, mut missed) = (Vec::new(), 0, 0);
    for experiment in experiments {
        for &rtt in &options.rtt {
            let columns: Vec<Column> =
                experiment.columns.iter().copied().filter(|it| chosen(it.name(), &options.column)).collect();
            let cells: Vec<(Column, Cell)> = columns
                .into_iter()
                .map(|column| (column, measure(experiment, &ground, (column, rtt), options.runs)))
                .collect();
            judged += cells.iter().map(|(column, _)| experiment.bars_of(*column).count()).sum::<usize>();
            missed +=
                cells.iter().map(|(column, cell)| faults(experiment, *column, rtt, cell)).sum::<usize>();
            if options.json {
                rows.push(document(experiment, rtt, &cells));
            } else {
                print_table(experiment, rtt, &cells);
            }
        }
    }
    match options.json {
        true => println!("{}", json!({ "experiments": rows, "missed": missed })),
        false => println!("{missed} bars missed"),
    }
    Ok(Outcome::Counted { passed: judged.saturating_sub(missed), failed: missed })
}

fn ground(options: &Options) -> Result<Ground> {
    let (vpnhost, plugins) = match options.built {
        true => (crate::target().join("release/vpnhost"), crate::target().join("plugins")),
        false => (interop::vpnhost()?, build_plugins()?),
    };
    let dir = crate::target().join("netns/roam-bench");
    Ok(Ground { vpnhost, plugins, dir, watch: Duration::from_secs(options.watch) })
}

fn measure(experiment: &Experiment, ground: &Ground, (column, rtt): (Column, u32), runs: u32) -> Cell {
    let mut measured = Vec::new();
    for run in 1..=runs {
        // To who waits; the tables are the result.
        eprintln!("{} with {} at {rtt} ms, run {run} of {runs}", experiment.name, column.name());
        measured.push(experiment.run(ground, column, rtt).map_err(|error| format!("{error:#}"))?);
    }
    Ok(Measured::of(&measured))
}

fn faults(experiment: &Experiment, column: Column, rtt: u32, cell: &Cell) -> usize {
    let all = || experiment.bars_of(column).count();
    cell.as_ref().map_or_else(|_| all(), |measured| experiment.missed(column, rtt, &measured.median).len())
}

fn print_table(experiment: &Experiment, rtt: u32, cells: &[(Column, Cell)]) {
    println!("{} at {rtt} ms: {}", experiment.name, experiment.about);
    print!("  {:24}", "");
    cells.iter().for_each(|(column, _)| print!(" {:>18}", column.name()));
    println!();
    let mut names: BTreeMap<&str, bool> = BTreeMap::new();
    for measured in cells.iter().filter_map(|(_, cell)| cell.as_ref().ok()) {
        for (name, value) in &measured.worst {
            // A row in which all is nought says nothing.
            *names.entry(name).or_default() |= *value != Some(0.0);
        }
    }
    let bars = |name: &str| experiment.bars.iter().any(|bar| bar.value == name);
    for name in names.iter().filter(|(name, says)| **says || bars(name)).map(|(name, _)| *name) {
        print!("  {name:24}");
        for (column, cell) in cells {
            let Ok(Measured { median, worst }) = cell else {
                print!(" {:>18}", "failed");
                continue;
            };
            let mut shown = shown(median.get(name));
            if worst.get(name) != median.get(name) {
                shown = format!("{shown} ({})", self::shown(worst.get(name)));
            }
            let is_missed = experiment.missed(*column, rtt, median).contains(&name);
            print!(" {:>18}", if is_missed { format!("{shown} !") } else { shown });
        }
        println!();
    }
    for (column, cell) in cells {
        if let Err(why) = cell {
            println!("  {}: {why}", column.name());
        }
    }
    println!();
}

fn shown(value: Option<&Option<f64>>) -> String {
    match value {
        None => "–".to_owned(),
        Some(None) => "never".to_owned(),
        Some(Some(value)) => format!("{value:.*}", usize::from(value.fract() != 0.0)),
    }
}

fn document(experiment: &Experiment, rtt: u32, cells: &[(Column, Cell)]) -> Value {
    let columns: BTreeMap<&str, Value> = cells
        .iter()
        .map(|(column, cell)| {
            let value = match cell {
                Ok(Measured { median, worst }) => {
                    json!({ "values": median, "worst": worst, "missed": experiment.missed(*column, rtt, median) })
                }
                Err(why) => json!({ "failed": why }),
            };
            (column.name(), value)
        })
        .collect();
    json!({ "name": experiment.name, "about": experiment.about, "rtt_ms": rtt, "columns": columns })
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
    }
}
