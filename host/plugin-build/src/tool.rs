//! Running the tools of a language, and installing them beside the project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::BuildError;
use crate::component::file;
use crate::make::Job;

/// Runs a tool with what it says captured.
pub(crate) fn run(tool: &'static str, command: &mut Command) -> Result<Output, BuildError> {
    command.output().map_err(|source| BuildError::Tool { tool, source })
}

/// Returns what a tool said, of both streams, without empty lines around.
pub(crate) fn said(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|octets| String::from_utf8_lossy(octets));
    let texts: Vec<&str> = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    texts.join("\n")
}

/// Returns the directory of the programs that a project's `requirements.txt` names; they are installed into its `.venv`
/// where they are not there, or are others.
pub(crate) fn python_packages(job: &Job<'_>) -> Result<PathBuf, BuildError> {
    let list = job.root.join("requirements.txt");
    let wanted = fs::read_to_string(&list).map_err(|source| file("read", &list, source))?;
    let (room, programs) = (job.root.join(".venv"), job.root.join(".venv/bin"));
    let installed = Installed::new(&room, job.root, &wanted);
    if installed.is_here() {
        return Ok(programs);
    }
    (job.say)(&format!("installing {} into .venv with pip, once", names(&wanted)));
    let python = "python3";
    let made =
        run(python, Command::new(python).args(["-m", "venv", "--clear"]).arg(&room).current_dir(job.root))?;
    if !made.status.success() {
        (job.say)(&said(&made));
        return Err(BuildError::Venv { path: room });
    }
    let mut pip = Command::new(programs.join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    let done = run("pip", pip.arg(&list).current_dir(job.root))?;
    if !done.status.success() {
        (job.say)(&said(&done));
        return Err(BuildError::Install { tool: "pip", list });
    }
    installed.note()?;
    Ok(programs)
}

/// Returns the directory of the programs that a project's `package.json` names; they are installed into its
/// `node_modules` where they are not there, or are others.
pub(crate) fn node_packages(job: &Job<'_>) -> Result<PathBuf, BuildError> {
    let list = job.root.join("package.json");
    let wanted = fs::read_to_string(&list).map_err(|source| file("read", &list, source))?;
    let room = job.root.join("node_modules");
    let installed = Installed::new(&room, job.root, &wanted);
    if !installed.is_here() {
        (job.say)("installing what package.json names into node_modules with npm, once");
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-fund", "--no-audit", "--loglevel=error"]).current_dir(job.root);
        let done = run("npm", &mut npm)?;
        if !done.status.success() {
            (job.say)(&said(&done));
            return Err(BuildError::Install { tool: "npm", list });
        }
        installed.note()?;
    }
    Ok(room.join(".bin"))
}

fn names(requirements: &str) -> String {
    let lines = requirements.lines().map(str::trim);
    let names: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    names.join(", ")
}

/// A note of what was installed: of which list, and where, since what is installed knows its place.
struct Installed {
    note: PathBuf,
    text: String,
}

impl Installed {
    fn new(room: &Path, root: &Path, list: &str) -> Self {
        Self { note: room.join("installed-by-vpnhost"), text: format!("{}\n{list}", root.display()) }
    }

    fn is_here(&self) -> bool {
        fs::read_to_string(&self.note).is_ok_and(|text| text == self.text)
    }

    fn note(&self) -> Result<(), BuildError> {
        fs::write(&self.note, &self.text).map_err(|source| file("write", &self.note, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_moved_or_wants_something_else_is_installed_anew() {
        let room = tempfile::tempdir().unwrap();
        let here = Installed::new(room.path(), Path::new("/a"), "componentize-py==1");
        assert!(!here.is_here());
        here.note().unwrap();
        assert!(here.is_here());
        assert!(!Installed::new(room.path(), Path::new("/b"), "componentize-py==1").is_here());
        assert!(!Installed::new(room.path(), Path::new("/a"), "componentize-py==2").is_here());
    }

    #[test]
    fn what_is_installed_is_named() {
        assert_eq!(
            names("# the compiler\ncomponentize-py==0.25.1\n\nattrs==1\n"),
            "componentize-py==0.25.1, attrs==1"
        );
    }
}
