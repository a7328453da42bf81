//! A run of several steps: a line for each with its time, and the sum at the end.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// How many lines of a failed step's log are shown.
const SHOWN_LINES: usize = 60;

/// How many lines of what failed are told at the end.
const TOLD_LINES: usize = 5;

/// What came of a step.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It did what it should; it counts as one check.
    Passed,
    /// It ran checks of its own and counted them; `failures` tells of those that failed, as far as they have names.
    Counted { passed: usize, failed: usize, failures: Vec<String> },
    /// Something that it needs is not here; an error where everything was to be installed.
    Skipped(String),
    /// There is nothing to do, or nothing to do it with, and that is no error anywhere.
    Optional(String),
}

/// The sum of the steps so far.
pub(crate) struct Report {
    /// A skipped step is a failed one: CI installs all that the steps need.
    strict: bool,
    passed: usize,
    failed: usize,
    failures: Vec<String>,
    skips: Vec<String>,
    began: Instant,
}

impl Report {
    pub(crate) fn new(strict: bool) -> Self {
        let began = Instant::now();
        Self { strict, passed: 0, failed: 0, failures: Vec::new(), skips: Vec::new(), began }
    }

    /// Runs a step and prints how it went.
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> Result<Outcome>) {
        println!("  …       {name}");
        let began = Instant::now();
        let result = step();
        let line = |word: &str| println!("{word} {:7.1} s  {name}", began.elapsed().as_secs_f64());
        match result {
            Ok(Outcome::Passed) => {
                self.passed += 1;
                line("ok  ");
            }
            Ok(Outcome::Counted { passed, failed, failures }) => {
                self.passed += passed;
                self.failed += failed;
                line(if failed == 0 { "ok  " } else { "FAIL" });
                println!("          {passed} of {} checks", passed + failed);
                if failed > 0 {
                    self.failures.push(format!("{name}: {failed} failed"));
                }
                self.failures.extend(failures.iter().map(|failure| format!("{name}: {failure}")));
            }
            Ok(Outcome::Optional(why)) => println!("skipped: {name}: {why}"),
            Ok(Outcome::Skipped(why)) => {
                println!("skipped: {name}: {why}");
                self.skips.push(name.to_owned());
                if self.strict {
                    self.failed += 1;
                    self.failures.push(format!("{name}: skipped, which is an error here"));
                }
            }
            Err(error) => {
                self.failed += 1;
                line("FAIL");
                println!("          {error:#}");
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }

    /// Prints the sum and returns whether all went well.
    pub(crate) fn finish(self) -> bool {
        println!("\n{:.0} s in all", self.began.elapsed().as_secs_f64());
        if !self.skips.is_empty() {
            println!("skipped steps: {}", self.skips.join(", "));
        }
        for failure in &self.failures {
            println!("failed: {}", brief(failure));
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}

/// Returns the first lines of what is told of a failure.
pub(crate) fn brief(failure: &str) -> String {
    let lines: Vec<&str> = failure.lines().take(TOLD_LINES).collect();
    lines.join("\n          ")
}

/// Runs a program of the build with its output in a log; shows the end of the log when it fails.
pub(crate) fn logged(name: &str, command: &mut Command) -> Result<String> {
    let (status, text) = logged_status(name, command)?;
    if !status.success() {
        bail!("{status}; log: {}", log_path(name)?.display());
    }
    Ok(text)
}

/// Does the same for a program whose failure the caller understands better.
pub(crate) fn logged_status(name: &str, command: &mut Command) -> Result<(ExitStatus, String)> {
    let path = log_path(name)?;
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let status = command
        .current_dir(crate::root())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
    if !status.success() {
        show_end(&text);
    }
    Ok((status, text))
}

fn log_path(name: &str) -> Result<PathBuf> {
    let dir = crate::target().join("xtask");
    std::fs::create_dir_all(&dir)?;
    Ok(dir.join(format!("{}.log", name.replace([' ', '/', ':'], "-"))))
}

fn show_end(text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = std::io::stdout().lock();
    for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
        // A closed standard output is no reason to stop the checks.
        drop(writeln!(out, "          | {line}"));
    }
}
