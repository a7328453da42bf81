//! The guide of `plugins/README.md` in an empty folder: a plugin is begun, tested, built and looked at, by the commands that
//! stand there.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::steps::{Outcome, logged};
use crate::{interop, root};

/// What marks the guide's commands.
const BEGIN: &str = "<!-- guide: rust -->\n```sh\n";
const END: &str = "```";

/// Runs each command of the guide; counts them.
pub(crate) fn run() -> Result<Outcome> {
    let program = interop::vpnhost()?;
    let programs = program.parent().context("the program lies somewhere")?;
    let page = fs::read_to_string(root().join("plugins/README.md")).context("plugins/README.md")?;
    let commands = page.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(block, _)| block);
    let commands = commands.context("plugins/README.md has no guide")?;
    let folder = tempfile::tempdir().context("a folder")?;
    let (mut here, mut passed) = (folder.path().to_owned(), 0);
    for line in commands.lines() {
        let command = line.split_once('#').map_or(line, |(command, _)| command).trim();
        match command.strip_prefix("cd ") {
            Some(directory) => here = here.join(directory),
            None => step(command, &here, programs)?,
        }
        passed += 1;
    }
    ensure!(passed >= 5, "the guide has {passed} commands only");
    Ok(Outcome::Counted { passed, failed: 0, failures: Vec::new() })
}

/// Runs a command with the program that was just built first on the path.
fn step(command: &str, here: &Path, programs: &Path) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
    let mut shell = Command::new("sh");
    shell
        .args(["-ec", &format!("cd \"$0\"; {command}")])
        .arg(here)
        .env("PATH", std::env::join_paths(places)?);
    // Who follows the guide has none of what this task was started with.
    for name in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR"] {
        shell.env_remove(name);
    }
    let name: String = command.split_whitespace().take(3).collect::<Vec<_>>().join("-");
    logged(&format!("guide-{name}"), &mut shell)
        .with_context(|| format!("`{command}` in the guide"))
        .map(drop)
}
