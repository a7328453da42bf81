//! `cargo xtask wit-frozen`: a released WIT directory never changes.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::Outcome;

/// Lines of `directory git-tree-hash`, one for each released directory.
const RECORD: &str = "wit/released";

pub(crate) fn run() -> Result<Outcome> {
    let Ok(record) = std::fs::read_to_string(crate::root().join(RECORD)) else {
        return Ok(Outcome::Optional(format!("no WIT directory is released yet (there is no {RECORD})")));
    };
    let lines = record.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut directories = 0;
    for line in lines {
        let (directory, hash) =
            line.split_once(' ').with_context(|| format!("{RECORD}: bad line {line:?}"))?;
        let found = git(&["rev-parse", &format!("HEAD:wit/{directory}")])?;
        if found != hash.trim() {
            bail!("wit/{directory} is released and has changed: tree {found}, recorded {hash}");
        }
        let dirty = git(&["status", "--porcelain", "--", &format!("wit/{directory}")])?;
        if !dirty.is_empty() {
            bail!("wit/{directory} is released and has uncommitted changes:\n{dirty}");
        }
        directories += 1;
    }
    println!("          {directories} released directories unchanged");
    Ok(Outcome::Passed)
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).current_dir(crate::root()).output().context("git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
