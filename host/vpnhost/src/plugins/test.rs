//! `vpnhost plugin test`.

use serde_json::json;
use vpnhost_plugin_host::LoadError;
use vpnhost_plugin_lab::conformance::{self, Check};
use vpnhost_plugin_lab::scenario::{Scenario, ScenarioError};

use super::setup::{refused, subject};
use crate::cli::{Global, TestPlugin};
use crate::exit::{self, Failure, Outcome};

/// Tests a component, and says of each check what came of it.
pub(crate) fn run(options: &TestPlugin, global: &Global) -> Outcome {
    let scenarios: Vec<Scenario> = options
        .scenarios
        .iter()
        .map(|path| Scenario::read(path))
        .collect::<Result<_, _>>()
        .map_err(|it| unread(&it))?;
    let subject = subject(&options.file, &options.setup)?;
    let mut report = Report { json: global.json, ..Report::default() };
    // With settings of their own, scenarios may be all that there is to say of a plugin that needs some.
    match conformance::run(&subject, |check| report.take(&check)) {
        Err(LoadError::Settings { .. }) if !scenarios.is_empty() && options.setup.settings.is_empty() => {
            report.note(
                "not asked all that a host may ask: it needs settings (--set KEY=VALUE, --config FILE)",
            );
        }
        outcome => outcome.map_err(refused)?,
    }
    for scenario in &scenarios {
        scenario.run(&subject, |check| report.take(&check)).map_err(refused)?;
    }
    report.end(options)
}

/// What came of all.
#[derive(Default)]
struct Report {
    json: bool,
    checks: usize,
    tries: u64,
    failed: usize,
    printed: Option<Failure>,
}

impl Report {
    fn take(&mut self, check: &Check) {
        self.checks += 1;
        self.tries += check.tries;
        self.failed += usize::from(!check.passed());
        let text = if self.json {
            let document = json!({ "check": check.name, "passed": check.passed(), "tries": check.tries, "faults": check.faults });
            format!("{document}\n")
        } else {
            lines(check)
        };
        self.print(&text);
    }

    fn note(&mut self, text: &str) {
        if !self.json {
            self.print(&format!("note   {text}\n"));
        }
    }

    fn print(&mut self, text: &str) {
        if let Err(failure) = exit::print(text) {
            self.printed.get_or_insert(failure);
        }
    }

    fn end(mut self, options: &TestPlugin) -> Outcome {
        let Self { checks, tries, failed, json, .. } = self;
        let summary = if json {
            format!(
                "{}\n",
                json!({ "file": options.file, "checks": checks, "tries": tries, "failed": failed })
            )
        } else {
            format!("{} of {checks} checks passed, {tries} tries\n", checks - failed)
        };
        self.print(&summary);
        match self.printed {
            Some(failure) => Err(failure),
            None if failed == 0 => Ok(()),
            None => Err(Failure::failed(format!("{failed} of {checks} checks failed"))),
        }
    }
}

fn lines(check: &Check) -> String {
    let times = if check.tries == 1 { String::new() } else { format!(" ({})", check.tries) };
    if check.passed() {
        return format!("ok     {}{times}\n", check.name);
    }
    let faults = check.faults.iter().map(|fault| format!("       {}\n", fault.replace('\n', "\n       ")));
    faults.fold(format!("FAILED {}{times}\n", check.name), |text, fault| text + &fault)
}

fn unread(error: &ScenarioError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match exit::causes(error) {
        Some(why) => failure.because(why),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_stands_under_its_check() {
        let check = |faults: &[&str]| Check {
            name: "rank-paths: usual menus".to_owned(),
            tries: 200,
            faults: faults.iter().map(|&it| it.to_owned()).collect(),
        };
        assert_eq!(lines(&check(&[])), "ok     rank-paths: usual menus (200)\n");
        let text = lines(&check(&["question 3: it differs\n  order[0]: 0 → 1"]));
        assert_eq!(
            text,
            "FAILED rank-paths: usual menus (200)\n       question 3: it differs\n         order[0]: 0 → 1\n"
        );
    }
}
