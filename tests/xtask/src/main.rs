//! `cargo xtask TASK`: everything that is done to the repository besides editing it. One file per task.

mod arrows;
mod bench;
mod build_plugins;
mod demo;
mod fuzz;
mod guide;
mod interop;
mod lab;
mod roam_bench;
mod scapy;
mod steps;
mod test;
mod tools;
mod wire;
mod wit_frozen;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Two hosts, a tunnel between them, and what it measured
    Demo(demo::Options),
    /// Runs every test, or the steps named with --only
    Test(test::Options),
    /// Checks which crate depends on which against the table of the house
    Arrows,
    /// Compiles the plugins to components in target/plugins
    BuildPlugins,
    /// Compares the released WIT directories with their recorded hashes
    WitFrozen,
    /// Runs the fuzz targets
    Fuzz(fuzz::Options),
    /// Tells the stories in network namespaces: against strongSwan and against itself
    Interop(interop::Options),
    /// Measures throughput and round trips beside strongSwan and a plain link
    Bench(bench::Options),
    /// Measures what moves cost and how long they take, beside strongSwan
    RoamBench(roam_bench::Options),
    /// Network namespaces to experiment in by hand
    Lab(lab::Options),
    /// Joins two namespaces by a link with delay, loss and the like
    Wire(Box<wire::Options>),
    /// One end of a checked transfer; the tests start it inside a namespace
    #[command(hide = true)]
    Traffic(lab::TrafficOptions),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test(options) => return test::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Arrows => arrows::run(),
        Task::BuildPlugins => build_plugins::build_plugins().map(|output| {
            println!("plugins: {}", output.display());
            steps::Outcome::Passed
        }),
        Task::WitFrozen => wit_frozen::run(),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Interop(options) => interop::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::RoamBench(options) => roam_bench::run(&options),
        Task::Lab(options) => lab::run(&options),
        Task::Wire(options) => wire::run(&options),
        Task::Traffic(options) => lab::traffic(&options),
    };
    match result {
        Ok(steps::Outcome::Passed | steps::Outcome::Counted { failed: 0, .. }) => ExitCode::SUCCESS,
        Ok(steps::Outcome::Counted { passed, failed, failures }) => {
            failures.iter().for_each(|failure| eprintln!("failed: {}", steps::brief(failure)));
            eprintln!("{passed} passed, {failed} failed");
            ExitCode::FAILURE
        }
        Ok(steps::Outcome::Optional(why)) => {
            println!("skipped: {why}");
            ExitCode::SUCCESS
        }
        // Whoever asked for this one task got nothing: a script must not take that for a good end.
        Ok(steps::Outcome::Skipped(why)) => {
            eprintln!("error: skipped: {why}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Returns the directory that cargo builds into.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
