//! Verbs that order something and wait for the outcome: `up`, `down`, `rekey`, `reauth`, `terminate`, `roam`,
//! `ping`, `reload`, `plugin load`, `unload`, `promote`, `rollback`.

use std::io::{self, IsTerminal as _, Write as _};

use hyper::Method;

use super::client::{self, Lines};
use super::document::Line;
use super::ends::Ends;
use crate::cli::{Global, Part};
use crate::exit::{self, Failure, Outcome};

/// Orders something of a connection.
pub(crate) fn of_connection(global: &Global, path: &str, name: &str) -> Outcome {
    order(global, path, &[("connection", name)])
}

/// Orders something of a connection or a part of it.
pub(crate) fn of_part(global: &Global, path: &str, name: &str, part: &Part) -> Outcome {
    let mut query = vec![("connection", name)];
    if part.ike {
        query.push(("ike", "true"));
    }
    if let Some(child) = &part.child {
        query.push(("child", child));
    }
    order(global, path, &query)
}

/// Orders something of a connection on its path, or on one that is named.
pub(crate) fn of_path(global: &Global, path: &str, name: &str, ends: Option<Ends>) -> Outcome {
    let ends = ends.map(|ends| ends.to_string());
    let mut query = vec![("connection", name)];
    query.extend(ends.as_deref().map(|ends| ("path", ends)));
    order(global, path, &query)
}

/// Has the daemon read its configuration again.
pub(crate) fn reload(global: &Global) -> Outcome {
    order(global, "/reload", &[])
}

/// Orders something of the daemon's plugins.
pub(crate) fn of_plugin(global: &Global, path: &str, query: &[(&str, &str)]) -> Outcome {
    order(global, path, query)
}

/// Gives an order and waits for its outcome; what happens meanwhile is told on a terminal.
fn order(global: &Global, path: &str, query: &[(&str, &str)]) -> Outcome {
    let line = client::in_runtime(async {
        let mut progress = Progress::new(global);
        let mut lines = Lines::of(client::ask(&global.control(), Method::POST, path, query).await?);
        while let Some(line) = lines.next().await? {
            match line {
                Line::Progress { text } => progress.show(&text),
                line @ (Line::Done { .. } | Line::Failed { .. }) => return Ok(line),
            }
        }
        Err(Failure::failed("the daemon went away before the outcome was known"))
    });
    let line = client::told(global, line)?;
    if global.json {
        client::print_json(&line)?;
    }
    match line {
        Line::Done { .. } if global.json => Ok(()),
        Line::Done { text, .. } => exit::print(format_args!("{text}\n")),
        line @ (Line::Failed { .. } | Line::Progress { .. }) => Err(client::failure(line)),
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Not at all.
    Silent,
    /// One line on a terminal that is written over.
    OneLine,
    /// A line for each step.
    EveryLine,
}

/// Shows on standard error what happens.
struct Progress {
    manner: Manner,
    shown: bool,
}

impl Progress {
    fn new(global: &Global) -> Self {
        let manner = match (global.json, global.verbose > 0, io::stderr().is_terminal()) {
            (true, ..) | (false, false, false) => Manner::Silent,
            (false, true, _) => Manner::EveryLine,
            (false, false, true) => Manner::OneLine,
        };
        Self { manner, shown: false }
    }

    fn show(&mut self, text: &str) {
        let mut err = io::stderr().lock();
        // Who cannot see the progress needs none: errors are left alone.
        let _ = match self.manner {
            Manner::Silent => Ok(()),
            Manner::EveryLine => writeln!(err, "{text}"),
            Manner::OneLine => {
                self.shown = true;
                let short: String = text.chars().take(100).collect();
                write!(err, "\r\x1b[K{short}").and_then(|()| err.flush())
            }
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
