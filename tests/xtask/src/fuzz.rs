//! `cargo xtask fuzz`: the fuzz targets of `tests/fuzz`, each for a while, with coverage feedback.
//!
//! No sanitizer is switched on, so that the stable toolchain does: the code is safe Rust, and the debug
//! assertions and the oracles in the targets find what there is to find.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::{Outcome, logged};
use crate::tools;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Targets to run; all when none is named
    targets: Vec<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Installs cargo-fuzz where it is missing
    #[arg(long)]
    install: bool,
}

impl Options {
    /// Returns what CI runs.
    pub(crate) fn short(seconds: u32, install: bool) -> Self {
        Self { targets: Vec::new(), seconds, install }
    }
}

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let manifest = crate::root().join("tests/fuzz/Cargo.toml");
    if !manifest.exists() {
        bail!("there are no fuzz targets: {} is missing", manifest.display());
    }
    if tools::find("cargo-fuzz").is_none() {
        if !options.install {
            return Ok(Outcome::Skipped(
                "cargo-fuzz missing (install with: cargo install cargo-fuzz)".to_owned(),
            ));
        }
        logged("install cargo-fuzz", Command::new("cargo").args(["install", "--locked", "cargo-fuzz"]))?;
    }
    let known = targets()?;
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    let mut failed = Vec::new();
    for target in chosen {
        if !known.contains(target) {
            bail!("there is no fuzz target {target}; known: {}", known.join(", "));
        }
        match one(target, options.seconds) {
            Ok(summary) => println!("          {target}: {summary}"),
            Err(error) => {
                println!("          {target}: FAIL {error:#}");
                failed.push(format!("{target}: {error:#}"));
            }
        }
    }
    Ok(Outcome::Counted { passed: chosen.len() - failed.len(), failed: failed.len(), failures: failed })
}

fn targets() -> Result<Vec<String>> {
    let output = Command::new("cargo")
        .args(["fuzz", "list", "--fuzz-dir", "tests/fuzz"])
        .current_dir(crate::root())
        .output()
        .context("cargo fuzz")?;
    if !output.status.success() {
        bail!("cargo fuzz list: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Runs one target and returns its last line of statistics.
fn one(target: &str, seconds: u32) -> Result<String> {
    let log = logged(
        &format!("fuzz {target}"),
        Command::new("cargo")
            .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", "--sanitizer", "none", "--debug-assertions"])
            .args([target, "--"])
            .arg(format!("-max_total_time={seconds}"))
            .args(["-max_len=4096", "-rss_limit_mb=2048", "-timeout=5", "-print_final_stats=1"]),
    )?;
    let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    Ok(format!("{} runs", runs.map_or("unknown", str::trim)))
}
