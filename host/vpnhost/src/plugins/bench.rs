//! `vpnhost plugin bench`.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use serde_json::{Value, json};
use vpnhost_plugin_lab::bench::{Measured, Report, run as measure};
use vpnhost_plugin_lab::limits::CANDIDATES;

use super::setup::{refused, subject};
use crate::cli::{BenchPlugin, Global};
use crate::exit::{self, Failure, Outcome};
use crate::text::{octets, table};

/// Measures a component.
pub(crate) fn run(options: &BenchPlugin, global: &Global) -> Outcome {
    let subject = subject(&options.file, &options.setup)?;
    let plugin = subject.start().map_err(refused)?;
    let report = measure(&subject, |what| progress(&format!("measuring: {what}"))).map_err(refused)?;
    progress("");
    let title = format!("{} {}", plugin.manifest().name, plugin.manifest().version);
    let sha256 = vpnhost_policy::Policy::sha256(&plugin).map(|it| it.to_string());
    if global.json {
        exit::print(format_args!("{}\n", document(options, &report, sha256.as_deref())))?;
    } else {
        exit::print(format_args!("{title}, sha256 {}\n{}", sha256.unwrap_or_default(), lines(&report)))?;
    }
    let failed: Vec<String> = report
        .questions
        .iter()
        .filter_map(|it| Some(format!("{}: it {}", it.kind, it.failure.as_ref()?)))
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed("not measured whole").because(failed.join("; ")))
    }
}

/// Shows what is under way in the terminal's last line, if there is one; nothing clears it.
pub(super) fn progress(text: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        // Nobody is left to be told that standard error is closed.
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}

fn lines(report: &Report) -> String {
    let mut text = String::new();
    let memory = u64::try_from(report.memory).unwrap_or(u64::MAX);
    for (label, value) in [
        ("start, with the compiler", time(report.compiled_start)),
        ("start, from the cache", time(report.cached_start)),
        ("one more instance", time(report.instance_start)),
        ("memory of an instance", octets(memory)),
    ] {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {label:<25} {value}");
    }
    let rows: Vec<[String; 8]> = report
        .questions
        .iter()
        .map(|it| {
            let [half, most, nearly_all] = it.times.map(time);
            let abstained =
                if it.abstained == 0 { String::new() } else { format!("{} abstained", it.abstained) };
            [
                it.kind.to_string(),
                half,
                most,
                nearly_all,
                it.per_second.to_string(),
                time(it.native),
                it.calls.to_string(),
                abstained,
            ]
        })
        .collect();
    let headings = ["question", "p50", "p90", "p99", "calls/s", "built-in p50", "calls", ""];
    format!("{text}\n{CANDIDATES} candidates:\n{}", table(headings, &rows, "nothing"))
}

fn time(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.2} µs", duration.as_secs_f64() * 1e6),
        1_000_000..1_000_000_000 => format!("{:.2} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

fn document(options: &BenchPlugin, report: &Report, sha256: Option<&str>) -> Value {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let question = |it: &Measured| {
        let [p50, p90, p99] = it.times.map(nanos);
        json!({
            "question": it.kind.name(),
            "candidates": CANDIDATES,
            "calls": it.calls,
            "abstained": it.abstained,
            "failure": it.failure.as_ref().map(ToString::to_string),
            "p50_ns": p50,
            "p90_ns": p90,
            "p99_ns": p99,
            "per_second": it.per_second,
            "native_p50_ns": nanos(it.native),
        })
    };
    json!({
        "file": options.file,
        "sha256": sha256,
        "compiled_start_us": micros(report.compiled_start),
        "cached_start_us": micros(report.cached_start),
        "instance_start_us": micros(report.instance_start),
        "memory": report.memory,
        "questions": report.questions.iter().map(question).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        let text = |nanos| time(Duration::from_nanos(nanos));
        assert_eq!(
            [999, 1_234, 1_500_000, 2_000_000_000].map(text),
            ["999 ns", "1.23 µs", "1.50 ms", "2.00 s"]
        );
    }
}
