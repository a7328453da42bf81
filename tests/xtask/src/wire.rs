//! `cargo xtask wire`: a bad link between two namespaces, by hand.

use std::io::BufRead as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use vpnhost_netns::link::{Change, Direction, Trace, Wire};

use crate::steps::Outcome;

#[derive(clap::Args)]
#[command(
    after_help = "Standard input takes lines such as `delay=80ms`, `back loss=5%`, `cut=yes`, `plug=no`, and `show`; the \
                        wire ends with it."
)]
pub(crate) struct Options {
    /// A namespace and the interface to make there: lab-carol:eth1
    first: String,
    /// The same for the other end
    second: String,
    /// Takes the place of a link that is there, with its addresses and routes
    #[arg(long)]
    replace: bool,
    /// What every frame takes, each way: 25ms
    #[arg(long)]
    delay: Option<String>,
    /// What a frame takes besides, at most; the order is kept
    #[arg(long)]
    jitter: Option<String>,
    /// The share of frames that is lost: 2%
    #[arg(long)]
    loss: Option<String>,
    /// The share that is lost in bursts, and their mean length in frames: 5%/8
    #[arg(long)]
    bursts: Option<String>,
    /// The share of frames that is held back
    #[arg(long)]
    reorder: Option<String>,
    /// For how long
    #[arg(long)]
    hold: Option<String>,
    /// The share of frames that arrives twice
    #[arg(long)]
    duplicate: Option<String>,
    /// Bits in a second: 2mbit
    #[arg(long)]
    rate: Option<String>,
    /// How many octets may wait at that rate
    #[arg(long)]
    queue: Option<String>,
    /// Decides which frames are lost
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Changes the conditions over time: lines of SECONDS [forth|back] key=value…
    #[arg(long)]
    trace: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let trace = options.trace.as_ref().map(|file| {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Trace::parse(&text).with_context(|| file.display().to_string())
    });
    let trace = trace.transpose()?;
    let words = words(options);
    let change = (!words.is_empty()).then(|| Change::parse(&words)).transpose()?;
    let join = if options.replace { Wire::replace } else { Wire::join };
    let wire = join(end(&options.first)?, end(&options.second)?, options.seed)?;
    change.iter().for_each(|change| wire.change(change));
    trace.iter().for_each(|trace| wire.follow(trace));
    println!("{} and {} are joined", options.first, options.second);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        ensure!(!wire.is_gone(), "an interface of the wire is gone");
        match line.trim() {
            "" => {}
            "show" => show(&wire),
            words => match Change::parse(words) {
                Ok(change) => wire.change(&change),
                Err(error) => eprintln!("error: {error:#}"),
            },
        }
    }
    show(&wire);
    Ok(Outcome::Passed)
}

fn end(text: &str) -> Result<(&str, &str)> {
    text.split_once(':').with_context(|| format!("{text:?}: NAMESPACE:INTERFACE expected"))
}

/// Returns the options as a line of a trace.
fn words(options: &Options) -> String {
    let given = [
        ("delay", &options.delay),
        ("jitter", &options.jitter),
        ("loss", &options.loss),
        ("bursts", &options.bursts),
        ("reorder", &options.reorder),
        ("hold", &options.hold),
        ("duplicate", &options.duplicate),
        ("rate", &options.rate),
        ("queue", &options.queue),
    ];
    let words = given.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
    words.collect::<Vec<_>>().join(" ")
}

fn show(wire: &Wire) {
    for (direction, name) in Direction::BOTH.into_iter().zip(["forth", "back"]) {
        println!("{name}: {:?}\n      {:?}", wire.counters(direction), wire.conditions(direction));
    }
}
