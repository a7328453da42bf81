//! `vpnhost plugin replay`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vpnhost_plugin_host::WasmPolicy;
use vpnhost_plugin_lab::difference::{between, said};
use vpnhost_plugin_lab::replay::{Cast, Difference, Effect, Finding, Part, Replay as Lab, Tally};
use vpnhost_policy::{Policy as _, Sha256};
use vpnhost_record::Verifier;

use super::bench::progress;
use super::setup::{refused, subject};
use crate::cli::{Global, Replay};
use crate::decisions::reading::Logs;
use crate::exit::{self, Code, Failure, Outcome};
use crate::limits;
use crate::text::moment;

/// Checks a log, or puts its questions to a component.
pub(crate) fn run(options: &Replay, global: &Global) -> Outcome {
    let logs = Logs::of(&options.log)?;
    if options.verify {
        verify(&logs, options, global)?;
    }
    match &options.plugin {
        Some(file) => replay(&logs, file, options, global),
        None => Ok(()),
    }
}

/// Checks that every line follows the one before.
fn verify(logs: &Logs, options: &Replay, global: &Global) -> Outcome {
    let mut verifier = Verifier::default();
    let mut broken: Vec<String> = Vec::new();
    let mut breaks = 0u64;
    logs.each_line(|place, line| {
        if let Err(error) = verifier.take(line) {
            breaks += 1;
            if broken.len() < limits::BREAKS_TOLD {
                broken.push(format!("{place} {error}"));
            }
        }
        Ok(())
    })?;
    let (lines, last) = (verifier.lines(), verifier.last().map(|it| it.to_string()));
    if global.json {
        let document = json!({
            "log": options.log, "files": logs.count(), "lines": lines, "whole": breaks == 0, "breaks": breaks,
            "broken": broken, "last_sha256": last,
        });
        exit::print(format_args!("{document}\n"))?;
    }
    if breaks > 0 {
        let lines = broken.into_iter().map(|what| (what, None));
        return Err(
            Failure::several(Code::Failed, lines).unwrap_or_else(|| Failure::failed("the log is broken"))
        );
    }
    if global.json {
        return Ok(());
    }
    let files = if logs.count() == 1 { String::new() } else { format!(" in {} files", logs.count()) };
    let last = last.map_or_else(String::new, |it| format!("\nthe last line's sha256 is {it}"));
    exit::print(format_args!("{lines} lines{files}, each follows the one before{last}\n"))
}

fn replay(logs: &Logs, file: &Path, options: &Replay, global: &Global) -> Outcome {
    let subject = subject(file, &options.setup)?;
    let plugin = subject.start().map_err(refused)?;
    let mut cast = Cast::default();
    let (mut decisions, mut odd) = (0u64, 0u64);
    logs.each_entry(
        |entry| {
            decisions += 1;
            cast.note(&entry);
            Ok(())
        },
        |place, wrong| {
            odd += 1;
            if odd <= limits::ODD_LINES_TOLD {
                exit::warn(format_args!("{place} is no decision: {wrong}"), None);
            }
        },
    )?;
    let part = part(&cast, &plugin, options)?;
    tell_set_up(&cast, &part, &plugin, options);
    let report = Report::new(global.json);
    let tally = put(logs, Lab::new(&plugin, part.clone()), decisions, &report)?;
    report.end(tally, &part, plugin.sha256(), odd)?;
    if !tally.is_same() {
        let differ = tally.asked - tally.same - tally.skipped;
        let what = match part {
            Part::First => format!("{differ} of {} decisions would be others", tally.asked),
            Part::Named(_) | Part::Component(_) => {
                format!("{differ} of {} replies are not the same", tally.asked)
            }
        };
        return Err(Failure::failed(what).with_code(Code::Differs));
    }
    if odd > 0 {
        return Err(Failure::failed(format!("{odd} lines of the log are no decisions")));
    }
    Ok(())
}

/// Says whose decisions are put: of who is named, or else of the component or its name, or else all.
fn part(cast: &Cast, plugin: &WasmPolicy, options: &Replay) -> Result<Part, Failure> {
    let Some(name) = &options.setup.name else {
        let own = cast.part_of(plugin.sha256(), &plugin.manifest().name);
        return Ok(own.unwrap_or(Part::First));
    };
    cast.part_of(None, name).ok_or_else(|| {
        let what = format!("{} has no decision that {name} was asked about", options.log.display());
        let hint = match cast.names().as_slice() {
            [] => {
                "no plugin was asked anything there; without --name it is asked as if it had been the first"
                    .to_owned()
            }
            names => format!("there are those of {}", names.join(", ")),
        };
        Failure::failed(what).hint(hint)
    })
}

/// Warns where answers may differ because the plugin was set up otherwise.
fn tell_set_up(cast: &Cast, part: &Part, plugin: &WasmPolicy, options: &Replay) {
    let (asked, otherwise) = cast.tally(part, plugin.configured());
    if otherwise == 0 {
        return;
    }
    let hint = match options.setup.config {
        Some(_) => "the configuration was another one then",
        None => "--config FILE sets it up as a [[plugin]] says, --set KEY=VALUE sets one",
    };
    let what = format!(
        "of {asked} questions {otherwise} were put under other settings or with another memory than now"
    );
    exit::warn(what, Some(hint));
}

/// Puts every decision.
fn put(logs: &Logs, mut lab: Lab<'_>, decisions: u64, report: &Report) -> Result<Tally, Failure> {
    let mut shown = Instant::now();
    logs.each_entry(
        |entry| {
            for finding in lab.take(&entry) {
                report.finding(&finding)?;
            }
            if shown.elapsed() >= Duration::from_millis(200) {
                shown = Instant::now();
                progress(&format!("replayed {} of {decisions} decisions", lab.tally().decisions));
            }
            Ok(())
        },
        |_, _| (),
    )?;
    progress("");
    Ok(lab.tally())
}

/// What is printed of what was found.
struct Report {
    json: bool,
    printed: std::cell::RefCell<BTreeMap<&'static str, u64>>,
}

impl Report {
    fn new(json: bool) -> Self {
        Self { json, printed: std::cell::RefCell::default() }
    }

    fn finding(&self, finding: &Finding) -> Outcome {
        if self.json {
            return exit::print(format_args!("{}\n", document(finding)));
        }
        let mut printed = self.printed.borrow_mut();
        let count = printed.entry(finding.question.name()).or_default();
        *count += 1;
        // People read the first of each kind; all are there as JSON.
        if *count > limits::FINDINGS_TOLD {
            return Ok(());
        }
        progress("");
        exit::print(lines(finding))
    }

    fn end(&self, tally: Tally, part: &Part, sha256: Option<Sha256>, odd: u64) -> Outcome {
        let whose = match part {
            Part::Named(name) => format!("those of {name}"),
            Part::Component(sha256) => format!("those of the same component, {}", sha256.short()),
            Part::First => "all that it answers, as if it had been asked first, its store empty".to_owned(),
        };
        let same = match part {
            Part::First => "leave standing what stood",
            Part::Named(_) | Part::Component(_) => "replies are the same, bit for bit",
        };
        if self.json {
            let document = json!({
                "part": match part {
                    Part::Named(name) => json!({ "name": name }),
                    Part::Component(it) => json!({ "sha256": it.to_string() }),
                    Part::First => json!("first"),
                },
                "sha256": sha256.map(|it| it.to_string()),
                "decisions": tally.decisions,
                "asked": tally.asked,
                "same": tally.same,
                "told_otherwise": tally.told_otherwise,
                "reasons": tally.reasons,
                "flips": tally.flips,
                "outcomes": tally.outcomes,
                "off_menu": tally.off_menu,
                "failures": tally.failures,
                "strayed": tally.strayed,
                "not_answered": tally.not_answered,
                "skipped": tally.skipped,
                "odd_lines": odd,
            });
            return exit::print(format_args!("{document}\n"));
        }
        let mut text = String::new();
        let hidden: u64 =
            self.printed.borrow().values().map(|count| count.saturating_sub(limits::FINDINGS_TOLD)).sum();
        // Writing to a String does not fail.
        if hidden > 0 {
            let _ = writeln!(text, "… and {hidden} more: --json has them all");
        }
        let _ = writeln!(
            text,
            "{} decisions, {} questions ({whose}): {} {same}",
            tally.decisions, tally.asked, tally.same
        );
        for (count, what) in [
            (tally.told_otherwise, "of those asked other things of kv and data on the way"),
            (tally.reasons, "answers have another reason"),
            (tally.flips, "answers flip"),
            (tally.not_answered, "of those because it does not answer the question"),
            (tally.off_menu, "answers are off the menu now"),
            (tally.failures, "calls fail now"),
            (tally.strayed, "cannot be told: they need what the log does not hold"),
            (tally.outcomes, "change what stands in the end"),
            (tally.skipped, "are not replayed: what came of them depended on time"),
        ] {
            if count > 0 {
                let _ = writeln!(text, "  {count} {what}");
            }
        }
        exit::print(text)
    }
}

fn lines(finding: &Finding) -> String {
    let what = match &finding.difference {
        Difference::Reason => "another reason".to_owned(),
        Difference::Answer => "flips".to_owned(),
        Difference::OffTheMenu => "off the menu".to_owned(),
        Difference::Failure(how) => format!("it {how}"),
        Difference::Strayed(asked) => format!("it asks {asked}, which the log does not hold"),
        Difference::FailedThen(how) => format!("it {how} then, and answers now"),
    };
    let mut text =
        format!("{}  {} {}: {what}\n", moment(finding.unix_ms), finding.connection, finding.question);
    let differences = match &finding.difference {
        Difference::Failure(_) | Difference::Strayed(_) => Vec::new(),
        Difference::Reason | Difference::Answer | Difference::OffTheMenu | Difference::FailedThen(_) => {
            between(&said(finding.old.as_ref()), &said(finding.new.as_ref()))
        }
    };
    // Writing to a String does not fail.
    for line in differences {
        let _ = writeln!(text, "    {line}");
    }
    if matches!(finding.difference, Difference::Strayed(_)) {
        // Nothing is known of what it would say.
        return text;
    }
    match &finding.effect {
        Effect::Same => {
            let _ = writeln!(text, "    in the end: the same stands");
        }
        Effect::Changed { from, to, others } => {
            for line in between(&said(from.as_ref()), &said(to.as_ref())) {
                let _ = writeln!(text, "    in the end: {line}");
            }
            if *others {
                let _ =
                    writeln!(text, "    unless a plugin behind it, which was not asked then, says otherwise");
            }
        }
        Effect::Unknown(name) => {
            let _ =
                writeln!(text, "    in the end: cannot be told, {name} would be asked about another menu");
        }
    }
    text
}

fn document(finding: &Finding) -> Value {
    let (difference, how) = match &finding.difference {
        Difference::Reason => ("reason", None),
        Difference::Answer => ("answer", None),
        Difference::OffTheMenu => ("off-the-menu", None),
        Difference::Failure(how) => ("failure", Some(how)),
        Difference::Strayed(asked) => ("strayed", Some(asked)),
        Difference::FailedThen(how) => ("failed-then", Some(how)),
    };
    let effect = match &finding.effect {
        Effect::Same => json!({ "outcome": "same" }),
        Effect::Changed { from, to, others } => json!({
            "outcome": "changed", "from": said(from.as_ref()), "to": said(to.as_ref()), "others_not_asked": others,
        }),
        Effect::Unknown(name) => json!({ "outcome": "unknown", "plugin": name }),
    };
    json!({
        "unix_ms": finding.unix_ms,
        "question": finding.question.name(),
        "connection": finding.connection,
        "difference": difference,
        "how": how,
        "old": said(finding.old.as_ref()),
        "new": said(finding.new.as_ref()),
        "effect": effect,
    })
}

#[cfg(test)]
mod tests {
    use vpnhost_plugin_lab::questions::Random;
    use vpnhost_policy::{Chain, QuestionKind};
    use vpnhost_policy_standard::Standard;
    use vpnhost_record::{Entry, Scribe};

    use super::*;

    fn log(count: u64) -> Vec<String> {
        let mut scribe = Scribe::default();
        let line = |seed| {
            let asked = Random::new(seed).question(QuestionKind::RankPaths);
            let decision = Chain::default().decide(&asked);
            let entry = Entry::new(Duration::from_secs(seed), asked, decision, &Standard);
            scribe.line(entry.write())
        };
        (0..count).map(line).collect()
    }

    #[test]
    fn a_log_is_whole_or_the_lines_where_it_is_not_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let verify = |lines: &[String]| {
            std::fs::write(&path, lines.concat()).unwrap();
            let options =
                Replay { log: path.clone(), plugin: None, verify: true, setup: crate::cli::Setup::default() };
            run(&options, &Global::default())
        };
        let mut lines = log(5);
        verify(&lines).unwrap();
        std::fs::write(dir.path().join("d.1"), lines.drain(..2).collect::<String>()).unwrap();
        verify(&lines).unwrap();
        lines.remove(0);
        let failure = verify(&lines).unwrap_err();
        let expected = format!("error: {}: line 1 does not follow the line before it", path.display());
        assert!(failure.to_string().starts_with(&expected), "{failure}");
        assert_eq!(failure.code(), Code::Failed);
    }

    #[test]
    fn a_log_that_is_not_there_is_told_with_where_its_name_stands() {
        let options = Replay {
            log: "/nonexistent/d".into(),
            plugin: None,
            verify: true,
            setup: crate::cli::Setup::default(),
        };
        let text = run(&options, &Global::default()).unwrap_err().to_string();
        assert!(text.contains("there is no log of decisions") && text.contains("[host]"), "{text}");
    }
}
