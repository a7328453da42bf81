//! How a verb ends: exit code, one line `error: WHAT (WHY)`, then a hint where one helps.

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// What a verb comes to.
pub(crate) type Outcome = Result<(), Failure>;

/// The exit codes that scripts rely on; 0 is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The operation failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// No daemon answers on the control socket.
    NoDaemon = 3,
    /// Another plugin would have decided otherwise.
    Differs = 4,
}

/// Why a verb did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: Code,
    lines: Vec<Line>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    what: String,
    why: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// An operation failed: exit code 1.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::new(Code::Failed, what.into())
    }

    /// The command line or the configuration is wrong: exit code 2.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Code::Usage, what.into())
    }

    /// No daemon answers: exit code 3.
    pub(crate) fn no_daemon(what: impl Into<String>) -> Self {
        Self::new(Code::NoDaemon, what.into())
    }

    /// A verb or setting that is known but not built.
    pub(crate) fn not_in_this_version(what: impl Into<String>) -> Self {
        Self::failed(what).because("not in this version")
    }

    /// An operation failed with an error; its sources are the cause.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let failure = Self::failed(error.to_string());
        match causes(error) {
            Some(why) => failure.because(why),
            None => failure,
        }
    }

    /// Several things are wrong; `None` if there is none. Each is what, and a hint.
    pub(crate) fn several(
        code: Code,
        lines: impl IntoIterator<Item = (String, Option<String>)>,
    ) -> Option<Self> {
        let lines: Vec<Line> = lines.into_iter().map(|(what, hint)| Line { what, why: None, hint }).collect();
        (!lines.is_empty()).then_some(Self { code, lines })
    }

    fn new(code: Code, what: String) -> Self {
        Self { code, lines: vec![Line { what, why: None, hint: None }] }
    }

    /// Changes the exit code.
    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Adds the cause.
    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        if let Some(line) = self.lines.last_mut() {
            line.why = Some(why.into());
        }
        self
    }

    /// Adds what the operator may do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(line) = self.lines.last_mut() {
            line.hint = Some(hint.into());
        }
        self
    }

    /// Returns the first thing that is wrong.
    pub(crate) fn what(&self) -> &str {
        self.lines.first().map_or("", |line| &line.what)
    }

    /// Returns its cause.
    pub(crate) fn why(&self) -> Option<&str> {
        self.lines.first()?.why.as_deref()
    }

    /// Returns what may be done about it.
    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.lines.first()?.hint.as_deref()
    }

    /// Returns what is wrong and why, without hints.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let one = |line: &Line| match &line.why {
            Some(why) => format!("{} ({})", one_line(&line.what), one_line(why)),
            None => one_line(&line.what),
        };
        self.lines.iter().map(one).collect()
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            write!(f, "error: {}", one_line(&line.what))?;
            match &line.why {
                Some(why) => writeln!(f, " ({})", one_line(why))?,
                None => writeln!(f)?,
            }
            if let Some(hint) = &line.hint {
                writeln!(f, "hint: {}", one_line(hint))?;
            }
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::of(error.as_ref())
    }
}

impl From<vpnhost_driver::DriverError> for Failure {
    fn from(error: vpnhost_driver::DriverError) -> Self {
        Self::of(&error)
    }
}

/// Joins the sources of an error, outermost first; what it says itself already is left out.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> Option<String> {
    let own = error.to_string();
    let mut all: Vec<String> = Vec::new();
    for source in std::iter::successors(error.source(), |&error| error.source()) {
        let text = source.downcast_ref::<io::Error>().map_or_else(|| source.to_string(), plain);
        let is_said = |said: &String| said.to_lowercase().contains(&text.to_lowercase());
        if !is_said(&own) && !all.iter().any(is_said) {
            all.push(text);
        }
    }
    (!all.is_empty()).then(|| all.join(": "))
}

/// Writes an I/O error without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((plain, _)) => plain.to_lowercase(),
        None => text,
    }
}

/// Ends the process's work: says what failed on standard error, and returns the exit code.
pub(crate) fn end(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to be told that standard error is closed.
            let _ = write!(io::stderr().lock(), "{failure}");
            ExitCode::from(failure.code() as u8)
        }
    }
}

/// Does the process's work; a panic, which is a defect, ends as any other failure does.
pub(crate) fn without_panic(work: impl FnOnce() -> Outcome) -> Outcome {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        tracing::error!(at, "a defect of vpnhost: {}", panic.payload_as_str().unwrap_or("panic"));
    }));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Failure::failed("a defect of vpnhost").because(text.unwrap_or_default()).hint("please report it"))
    })
}

/// Prints to standard output. A reader that has gone (`| head`) is no failure.
pub(crate) fn print(text: impl fmt::Display) -> Outcome {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed("cannot write to standard output").because(error.to_string()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says on standard error what is odd, and what may be done about it.
pub(crate) fn warn(what: impl fmt::Display, hint: Option<&str>) {
    let mut err = io::stderr().lock();
    // Nobody is left to be told that standard error is closed.
    let _ = writeln!(err, "warning: {what}");
    if let Some(hint) = hint {
        let _ = writeln!(err, "hint: {hint}");
    }
}

/// Says what clap found wrong in our form; help and version are printed as they are.
pub(crate) fn of_clap(error: &clap::Error) -> Outcome {
    use clap::error::ErrorKind;
    let text = error.render().to_string();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return print(text);
    }
    let mut failure = Failure::usage(clap_what(&text));
    let lines = text.lines().map(str::trim);
    let hint = |line: &str| match line.strip_prefix("tip: ") {
        Some(tip) => Some(tip.to_owned()),
        None => line.strip_prefix("Usage: ").map(|usage| format!("usage: {usage}")),
    };
    let hints: Vec<String> = lines.filter_map(hint).collect();
    if !hints.is_empty() {
        failure = failure.hint(hints.join("; "));
    }
    Err(failure)
}

/// The paragraph behind clap's `error: `, or what it means when only the usage is printed.
fn clap_what(text: &str) -> String {
    let Some(rest) = text.strip_prefix("error: ") else { return "a verb is missing".to_owned() };
    let paragraph = rest.lines().take_while(|line| !line.trim().is_empty());
    paragraph.map(str::trim).collect::<Vec<_>>().join(" ")
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_a_hint() {
        let failure = Failure::usage("cannot\nread it").because("no such file").hint("look there");
        assert_eq!(failure.to_string(), "error: cannot read it (no such file)\nhint: look there\n");
        assert_eq!(failure.code() as u8, 2);
    }

    #[test]
    fn an_errors_sources_are_the_cause() {
        let error = anyhow::anyhow!("the wire is cut").context("cannot send").context("up failed");
        assert_eq!(Failure::from(error).to_string(), "error: up failed (cannot send: the wire is cut)\n");
    }

    #[test]
    fn a_cause_is_told_once_and_without_its_number() {
        let busy = || io::Error::from_raw_os_error(98);
        let said = anyhow::Error::new(busy()).context("open it: Address already in use (os error 98)");
        assert_eq!(Failure::from(said).to_string(), "error: open it: Address already in use (os error 98)\n");
        let failure = Failure::from(anyhow::Error::new(busy()).context("cannot open it"));
        assert_eq!(failure.to_string(), "error: cannot open it (address already in use)\n");
    }

    #[test]
    fn a_mistyped_verb_is_told_in_our_form() {
        let error = crate::cli::parse(["vpnhost", "stauts"].map(Into::into)).unwrap_err();
        let text = of_clap(&error).unwrap_err().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "error: unrecognized subcommand 'stauts'");
        assert!(lines[1].starts_with("hint: ") && lines[1].contains("'status'"), "{text}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_missing_argument_is_told_in_one_line() {
        let error = crate::cli::parse(["vpnhost", "up"].map(Into::into)).unwrap_err();
        let text = of_clap(&error).unwrap_err().to_string();
        assert!(
            text.starts_with("error: the following required arguments were not provided: <NAME>\n"),
            "{text}"
        );
        assert!(text.contains("hint: usage: vpnhost up"), "{text}");
    }
}
