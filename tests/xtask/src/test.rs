//! `cargo xtask test`: what CI runs. Every step is a row of a table and can be run alone.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use vpnhost_netns::stories;

use crate::steps::{Outcome, Report, logged, logged_status};
use crate::{arrows, bench, build_plugins, fuzz, guide, interop, scapy, tools, wit_frozen};

/// How long CI fuzzes each target.
const FUZZ_SECONDS: u32 = 60;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs only these steps (see --list)
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Leaves these steps out
    #[arg(long, value_name = "STEP")]
    without: Vec<String>,
    /// Prints the steps and ends
    #[arg(long)]
    list: bool,
    /// Installs what the steps need (Debian, Ubuntu; root); also when CI=true
    #[arg(long)]
    install: bool,
}

/// What a step knows of the run.
struct Setting {
    install: bool,
}

struct Step {
    name: &'static str,
    run: fn(&Setting) -> Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step { name: "tools", run: tools },
    Step { name: "fmt", run: |_| cargo("fmt", &["fmt", "--all", "--check"]) },
    Step { name: "arrows", run: |_| arrows::run() },
    Step { name: "wit-frozen", run: |_| wit_frozen::run() },
    Step { name: "deny", run: |_| deny() },
    Step { name: "clippy", run: |_| cargo("clippy", CLIPPY) },
    Step { name: "doc", run: |_| doc() },
    Step { name: "guest-check", run: |_| guest_check() },
    Step { name: "build-plugins", run: |_| build_plugins::build_plugins().map(|_| Outcome::Passed) },
    Step { name: "guide", run: |_| guide::run(&guide::RUST) },
    Step { name: "guide-python", run: |_| guide::run(&guide::PYTHON) },
    Step { name: "guide-js", run: |_| guide::run(&guide::JAVASCRIPT) },
    Step { name: "guide-c", run: |_| guide::run(&guide::C) },
    Step { name: "unit", run: |_| unit() },
    Step { name: "languages", run: |_| languages() },
    Step { name: "doctest", run: |_| doctest() },
    Step { name: "scapy", run: |_| scapy::run() },
    Step { name: "scapy-moves", run: |_| scapy::moves() },
    Step { name: "interop", run: |_| interop::tell_all(&stories::interop()) },
    Step { name: "no-leak", run: |_| interop::tell_all(&stories::leak::stories()) },
    Step { name: "tshark", run: |_| interop::tell_all(&stories::wire::stories()) },
    Step { name: "bench-load", run: |_| bench::load::run(&bench::load::Options::small()) },
    Step { name: "fuzz", run: |setting| fuzz::run(&fuzz::Options::short(FUZZ_SECONDS, setting.install)) },
];

const CLIPPY: &[&str] = &["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];

/// What must compile for wasm32: the machines and the built-in policy know no operating system.
const PURE: &[&str] = &["vpnhost-ike", "vpnhost-ipsec", "vpnhost-policy-standard"];

pub(crate) fn run(options: &Options) -> ExitCode {
    if options.list {
        STEPS.iter().for_each(|step| println!("{}", step.name));
        return ExitCode::SUCCESS;
    }
    for name in options.only.iter().chain(&options.without) {
        if !STEPS.iter().any(|step| step.name == name) {
            eprintln!("error: there is no step {name}");
            eprintln!("hint: cargo xtask test --list");
            return ExitCode::from(2);
        }
    }
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    let setting = Setting { install: ci || options.install };
    let mut report = Report::new(ci);
    for step in STEPS {
        let wanted = options.only.is_empty() || options.only.iter().any(|name| name == step.name);
        if wanted && !options.without.iter().any(|name| name == step.name) {
            report.step(step.name, || (step.run)(&setting));
        }
    }
    if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Installs what the later steps need, where that is wanted.
fn tools(setting: &Setting) -> Result<Outcome> {
    let all = [
        tools::NETWORK,
        tools::STRONGSWAN,
        tools::TSHARK,
        tools::IPERF,
        tools::PYTHON,
        tools::NODE,
        tools::GUEST,
    ];
    if setting.install {
        tools::install(&all)?;
    }
    match tools::missing(&all) {
        // Each step that misses something says so again, as a skip of its own.
        Some(text) => println!("          {text}"),
        None => println!("          all tools are here"),
    }
    Ok(Outcome::Passed)
}

fn guest_check() -> Result<Outcome> {
    build_plugins::check_guest(PURE)?;
    Ok(Outcome::Passed)
}

/// Checks licences and sources of what we build on, where cargo-deny is installed.
fn deny() -> Result<Outcome> {
    if tools::find("cargo-deny").is_none() {
        return Ok(Outcome::Optional(
            "cargo-deny missing (install with: cargo install cargo-deny)".to_owned(),
        ));
    }
    cargo("deny", &["deny", "--config", ".deny.toml", "check", "bans", "licenses", "sources"])
}

fn cargo(name: &str, arguments: &[&str]) -> Result<Outcome> {
    logged(name, Command::new("cargo").args(arguments))?;
    Ok(Outcome::Passed)
}

fn doc() -> Result<Outcome> {
    let arguments = ["doc", "--release", "--workspace", "--no-deps", "--document-private-items"];
    logged("doc", Command::new("cargo").args(arguments).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Passed)
}

/// Runs the tests of all crates, with nextest where it is installed.
fn unit() -> Result<Outcome> {
    if tools::find("cargo-nextest").is_some() {
        return counted(
            "unit",
            &["nextest", "run", "--release", "--workspace", "--no-fail-fast"],
            nextest_counts,
        );
    }
    let arguments = ["test", "--release", "--workspace", "--all-targets", "--no-fail-fast"];
    counted("unit", &arguments, libtest_counts)
}

/// Asks the components that the guide's steps have built.
fn languages() -> Result<Outcome> {
    if let Some(missing) = tools::missing(&[tools::PYTHON, tools::NODE]) {
        return Ok(Outcome::Skipped(missing));
    }
    let arguments = ["test", "--release", "--workspace", "--test", "plugins", "--no-fail-fast", "--"];
    let asked = ["--ignored", "--nocapture", "--test-threads=1", "languages::"];
    counted("languages", &[&arguments[..], &asked[..]].concat(), libtest_counts)
}

fn doctest() -> Result<Outcome> {
    counted("doctest", &["test", "--release", "--workspace", "--doc", "--no-fail-fast"], libtest_counts)
}

/// Runs a cargo command that counts its tests; one that fails without a failed test failed itself.
fn counted(name: &str, arguments: &[&str], count: fn(&str) -> (usize, usize)) -> Result<Outcome> {
    let (status, text) = logged_status(name, Command::new("cargo").args(arguments))?;
    let (passed, failed) = count(&text);
    let failures = failed_tests(&text);
    if !status.success() && failed == 0 {
        bail!("cargo {}: {status}", arguments.join(" "));
    }
    Ok(Outcome::Counted { passed, failed, failures })
}

/// Reads `Summary [ 1.2s] 34 tests run: 33 passed (1 slow), 1 failed, 0 skipped`.
fn nextest_counts(text: &str) -> (usize, usize) {
    let summary = text.lines().rev().find(|line| line.contains("tests run:") || line.contains("test run:"));
    let counts = summary.and_then(|line| line.split_once("run:")).map_or("", |(_, counts)| counts);
    let timed_out = count_before(counts, "timed out");
    (count_before(counts, "passed"), count_before(counts, "failed") + timed_out)
}

/// Sums the lines `test result: ok. 12 passed; 0 failed; …`.
fn libtest_counts(text: &str) -> (usize, usize) {
    let results = || text.lines().filter(|line| line.starts_with("test result:"));
    let sum = |word| results().map(|line| count_before(line, word)).sum();
    (sum("passed"), sum("failed"))
}

/// Reads the names of tests that failed: of nextest `  FAIL [ 0.1s] (1/3) crate::binary name` after its summary, of libtest
/// `test name ... FAILED`.
fn failed_tests(text: &str) -> Vec<String> {
    let status = |line: &str| {
        let (word, rest) = line.trim_start().split_once(" [")?;
        let is_end = word.chars().all(|c| c.is_ascii_uppercase());
        let name = rest.rsplit_once([']', ')'])?.1.trim();
        (is_end && !name.is_empty()).then(|| name.to_owned())
    };
    let lines: Vec<&str> = text.lines().collect();
    if let Some(summary) = lines.iter().rposition(|line| line.trim_start().starts_with("Summary [")) {
        return lines[summary + 1..].iter().filter_map(|line| status(line)).collect();
    }
    let failed = |line: &str| line.strip_prefix("test ")?.strip_suffix(" ... FAILED").map(str::to_owned);
    text.lines().filter_map(failed).collect()
}

/// Returns the number that stands before a word.
pub(crate) fn count_before(text: &str, word: &str) -> usize {
    let before = text.split(&format!(" {word}")).next().unwrap_or_default();
    if before.len() == text.len() {
        return 0;
    }
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_nextest_are_read() {
        let text = "  x\n     Summary [  1.2s] 34 tests run: 33 passed (1 slow), 1 failed, 2 skipped\n";
        assert_eq!(nextest_counts(text), (33, 1));
    }

    #[test]
    fn the_counts_of_several_test_binaries_are_added() {
        let text =
            "test result: ok. 12 passed; 0 failed; 0 ignored\n\ntest result: ok. 3 passed; 2 failed;\n";
        assert_eq!(libtest_counts(text), (15, 2));
    }

    #[test]
    fn the_names_of_failed_tests_are_read() {
        let nextest = "        FAIL [   0.005s] (1/3) a::b c::d\n\x20   Summary [  1.2s] 3 tests run: 1 passed, 2 failed\n\
                       \x20       FAIL [   0.005s] (1/3) a::b c::d\n     TIMEOUT [ 300.0s] (2/3) a e\n\
                       error: test run failed\n";
        assert_eq!(failed_tests(nextest), ["a::b c::d", "a e"]);
        let libtest = "test c::d ... FAILED\ntest e ... ok\n\nfailures:\n    c::d\n";
        assert_eq!(failed_tests(libtest), ["c::d"]);
        assert!(failed_tests("error: it does not compile").is_empty());
    }

    #[test]
    fn what_is_told_at_the_end_is_brief() {
        let error = (1..=9).map(|line| format!("line {line}\n")).collect::<String>();
        assert_eq!(crate::steps::brief(&error).lines().count(), 5);
    }

    #[test]
    fn the_names_of_steps_are_different() {
        let mut names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
