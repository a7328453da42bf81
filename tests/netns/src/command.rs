//! Runs programs to their end, with errors that say what was run and what it said.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

/// Runs a program and returns its standard output; fails when it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!("{}: {}: {}", shown(command), output.status, said(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program and returns all that came of it.
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(std::process::Stdio::null());
    command.output().with_context(|| format!("cannot start {}", shown(command)))
}

/// Returns what a program said on both outputs, as one text.
#[must_use]
pub fn said(output: &Output) -> String {
    let text =
        [&output.stderr, &output.stdout].map(|octets| String::from_utf8_lossy(octets).trim().to_owned());
    text.join("\n").trim().to_owned()
}

/// Returns a command as a person would type it.
#[must_use]
pub fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Returns a command from a line of words.
#[must_use]
pub fn words(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("true"));
    command.args(words);
    command
}
