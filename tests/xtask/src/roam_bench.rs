//! `cargo xtask roam-bench`: what moves cost and how long they take, vpnhost and strongSwan in the same run.

mod table;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use vpnhost_netns::lab;
use vpnhost_netns::roam::{Column, EXPERIMENTS, Experiment, Ground, Pace};

use crate::build_plugins::build_plugins;
use crate::interop;
use crate::steps::Outcome;
use crate::tools;
use table::{Cell, Measured, Table};

/// The round-trip times that are not asked for, in milliseconds.
const TIMES: [u32; 3] = [0, 50, 300];

#[derive(clap::Args)]
#[command(after_help = length())]
pub(crate) struct Options {
    /// Round-trip times in milliseconds, parted by commas
    #[arg(long, value_delimiter = ',', default_values_t = TIMES)]
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

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if options.list {
        EXPERIMENTS.iter().for_each(|it| println!("{:13} {}", it.name, it.about));
        return Ok(Outcome::Passed);
    }
    if let Some(skip) = tools::network_skip(&[tools::NETWORK, tools::STRONGSWAN]) {
        return Ok(skip);
    }
    let plan = plan(options);
    ensure!(!plan.is_empty(), "no experiment and column have such names");
    lab::sweep()?;
    let ground = ground(options)?;
    let progress = Progress::of(&plan, options.runs);
    let measured = measure_all(&plan, &ground, options, &progress);
    let seconds = progress.began.elapsed().as_secs();
    let judged: usize = plan.iter().map(Table::bars).sum();
    let missed: usize = plan.iter().zip(&measured).map(|(table, cells)| table.missed(cells)).sum();
    if options.json {
        let tables: Vec<Value> =
            plan.iter().zip(&measured).map(|(table, cells)| table.document(cells)).collect();
        println!("{}", json!({ "experiments": tables, "missed": missed, "seconds": seconds }));
    } else {
        println!("{missed} bars missed; {} min {} s in all", seconds / 60, seconds % 60);
    }
    Ok(Outcome::Counted { passed: judged.saturating_sub(missed), failed: missed, failures: Vec::new() })
}

/// Returns what was asked for: a table for each experiment and round-trip time.
fn plan(options: &Options) -> Vec<Table> {
    let chosen = |name: &str, words: &[String]| {
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    };
    let mut plan = Vec::new();
    for experiment in EXPERIMENTS.iter().filter(|it| chosen(it.name, &options.only)) {
        let columns: Vec<Column> =
            experiment.columns.iter().copied().filter(|it| chosen(it.name(), &options.column)).collect();
        let tables = experiment.times(&options.rtt).iter().map(|rtt| Table {
            experiment,
            rtt: *rtt,
            columns: columns.clone(),
        });
        plan.extend(tables.filter(|table| !table.columns.is_empty()));
    }
    plan
}

fn ground(options: &Options) -> Result<Ground> {
    let (vpnhost, plugins) = match options.built {
        true => (crate::target().join("release/vpnhost"), crate::target().join("plugins")),
        false => (interop::vpnhost()?, build_plugins()?),
    };
    let dir = crate::target().join("netns/roam-bench");
    Ok(Ground { vpnhost, plugins, dir, watch: Duration::from_secs(options.watch) })
}

/// Measures all tables, and prints each when it is known: at the end those that are measured beside the others.
fn measure_all(plan: &[Table], ground: &Ground, options: &Options, progress: &Progress) -> Vec<Vec<Cell>> {
    let measure = |table: &Table| measure(table, ground, options.runs, progress);
    let tell = |table: &Table, cells: Vec<Cell>| {
        if !options.json {
            table.print(&cells);
        }
        cells
    };
    std::thread::scope(|scope| {
        let mut beside: Vec<_> = plan
            .iter()
            .map(|table| {
                let is_beside = table.experiment.pace == Pace::Beside;
                is_beside.then(|| scope.spawn(move || measure(table)))
            })
            .collect();
        let mut measured: Vec<Option<Vec<Cell>>> = plan
            .iter()
            .zip(&beside)
            .map(|(table, beside)| beside.is_none().then(|| tell(table, measure(table))))
            .collect();
        for ((table, beside), cells) in plan.iter().zip(&mut beside).zip(&mut measured) {
            if let Some(run) = beside.take() {
                let panicked = || table.columns.iter().map(|_| Err("it panicked".to_owned())).collect();
                *cells = Some(tell(table, run.join().unwrap_or_else(|_| panicked())));
            }
        }
        measured.into_iter().flatten().collect()
    })
}

/// Runs an experiment as often as asked for; one that fails is not run again.
fn measure(table: &Table, ground: &Ground, runs: u32, progress: &Progress) -> Vec<Cell> {
    let Table { experiment, rtt, columns } = table;
    let mut values: Vec<Result<Vec<_>, String>> = columns.iter().map(|_| Ok(Vec::new())).collect();
    for run in 1..=runs {
        // Columns that are measured at the same time are one turn.
        let turns = columns.chunks(if is_one_turn(experiment) { columns.len() } else { 1 });
        let mut slots = values.iter_mut();
        for turn in turns {
            progress.tell(table, turn, (run, runs));
            for ((_, came), slot) in experiment.run(ground, turn, *rtt).into_iter().zip(slots.by_ref()) {
                match (came, &mut *slot) {
                    (Ok(values), Ok(all)) => all.push(values),
                    (Err(error), Ok(_)) => *slot = Err(format!("{error:#}")),
                    (_, Err(_)) => {}
                }
            }
            progress.end(experiment);
        }
    }
    values.into_iter().map(|values| values.map(|values| Measured::of(&values))).collect()
}

fn is_one_turn(experiment: &Experiment) -> bool {
    experiment.pace != Pace::EachTime
}

/// Tells whoever waits how far it is; the tables are the result.
struct Progress {
    began: Instant,
    /// How many seconds are left, by what the experiments say of themselves.
    left: Mutex<u32>,
}

impl Progress {
    fn of(plan: &[Table], runs: u32) -> Self {
        let all = plan.iter().map(|table| seconds(table.experiment, table.columns.len())).sum::<u32>();
        Self { began: Instant::now(), left: Mutex::new(all * runs) }
    }

    fn tell(&self, Table { experiment, rtt, .. }: &Table, columns: &[Column], (run, runs): (u32, u32)) {
        let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
        let left = *self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        eprintln!(
            "{:4} s, about {} min left: {} at {rtt} ms with {}, run {run} of {runs}",
            self.began.elapsed().as_secs(),
            left.div_ceil(60),
            experiment.name,
            names.join(" and "),
        );
    }

    fn end(&self, experiment: &Experiment) {
        let mut left = self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *left = left.saturating_sub(seconds(experiment, 1));
    }
}

/// Returns how many seconds an experiment adds to the whole with so many columns.
fn seconds(experiment: &Experiment, columns: usize) -> u32 {
    match experiment.pace {
        Pace::EachTime => experiment.seconds * columns as u32,
        Pace::Once => experiment.seconds,
        Pace::Beside => 0,
    }
}

/// Returns how long everything takes, for those who ask for help.
fn length() -> String {
    let turns = EXPERIMENTS.iter().map(|it| (it, it.times(&TIMES).len() as u32));
    let all = turns.map(|(it, times)| times * seconds(it, it.columns.len())).sum::<u32>();
    let once = EXPERIMENTS.iter().filter(|it| is_one_turn(it)).map(|it| it.name).collect::<Vec<_>>();
    format!(
        "All of it takes about {} minutes where each is run once. What needs minutes ({}) is run at the first \
         round-trip time alone.",
        all.div_ceil(60),
        once.join(", ")
    )
}
