//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::exit::{Code, Failure};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It would not run.
    Error,
    /// It would, but perhaps not as meant.
    Warning,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: PathBuf,
    /// The line, from 1; 0 is the file as a whole.
    pub(crate) line: usize,
    /// The key with the tables around it: `connection.child.esp`.
    pub(crate) key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// Where it is.
    #[serde(flatten)]
    pub(crate) place: Place,
    /// What it is.
    pub(crate) what: String,
    /// What may be done about it.
    pub(crate) hint: Option<String>,
}

impl Problem {
    /// Returns an error.
    pub(crate) fn error(place: Place, what: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, what: what.into(), hint: None }
    }

    /// Returns a warning.
    pub(crate) fn warning(place: Place, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, place, what: what.into(), hint: None }
    }

    /// Adds what may be done about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Tells whether it would not run.
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Writes `FILE:LINE: KEY: WHAT (HINT)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration; at least one is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().filter(|problem| problem.is_error()).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Every error becomes a line `error: …`; warnings are left out.
impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let lines = problems
            .0
            .into_iter()
            .filter(Problem::is_error)
            .map(|problem| (format!("{}: {}", problem.place, problem.what), problem.hint));
        Self::several(Code::Usage, lines).unwrap_or_else(|| Self::usage("the configuration would not run"))
    }
}
