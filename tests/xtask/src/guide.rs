//! The guide of `plugins/README.md` in an empty folder, for each language: a plugin is begun, built and looked at, by the
//! commands that stand there. Then the worked examples in that language are built, each in a folder of its own, and what
//! misbehaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::steps::{Outcome, logged};
use crate::tools::{self, Tool};
use crate::{interop, root, target};

/// A language of the guide.
pub(crate) struct Language {
    /// As the guide's marker and `plugin new --lang` say it.
    word: &'static str,
    /// What has to be there; the rest is installed by the guide itself.
    tools: &'static [Tool],
    /// Worked examples in `plugins`.
    examples: &'static [&'static str],
    /// The author's file, where a test has one that misbehaves.
    main: Option<&'static str>,
}

pub(crate) const RUST: Language = Language { word: "rust", tools: &[], examples: &[], main: None };
pub(crate) const PYTHON: Language =
    Language { word: "python", tools: tools::PYTHON, examples: &["guest-list"], main: Some("plugin.py") };
pub(crate) const JAVASCRIPT: Language =
    Language { word: "js", tools: tools::NODE, examples: &["thrifty-suites"], main: Some("plugin.js") };
pub(crate) const C: Language =
    Language { word: "c", tools: tools::PYTHON, examples: &["voice-first"], main: Some("plugin.c") };

/// Runs each command of the guide for a language, and builds what else there is in it; counts both. The components are
/// kept beside those of the other plugins, where the tests find them.
pub(crate) fn run(language: &Language) -> Result<Outcome> {
    if let Some(missing) = tools::missing(&[language.tools]) {
        return Ok(Outcome::Skipped(missing));
    }
    let program = interop::vpnhost()?;
    let programs = program.parent().context("the program lies somewhere")?;
    let folder = tempfile::tempdir().context("a folder")?;
    let commands = commands(language.word)?;
    let (mut here, mut passed) = (folder.path().to_owned(), 0);
    for command in &commands {
        match command.strip_prefix("cd ") {
            Some(directory) => here = here.join(directory),
            None => step(command, language.word, &here, programs)?,
        }
        passed += 1;
    }
    ensure!(passed >= 5, "the guide for {} has {passed} commands only", language.word);
    let Some(main) = language.main else {
        return Ok(Outcome::Counted { passed, failed: 0, failures: Vec::new() });
    };
    keep(&built(&here)?, &format!("template-{}", language.word))?;
    for example in language.examples {
        let source = root().join("plugins").join(example);
        let copy = folder.path().join(example);
        for file in ["wit/plugin.wit", main, "requirements.txt", "package.json", "package-lock.json"] {
            copy_if_there(&source.join(file), &copy.join(file))?;
        }
        step("vpnhost plugin build", example, &copy, programs)?;
        keep(&built(&copy)?, example)?;
        passed += 1;
    }
    // The project of the guide, whose tools are installed, with another main file.
    copy_if_there(&root().join("tests/plugins/faulty").join(main), &here.join(main))?;
    step("vpnhost plugin build", &format!("faulty-{}", language.word), &here, programs)?;
    keep(&built(&here)?, &format!("faulty-{}", language.word))?;
    Ok(Outcome::Counted { passed: passed + 1, failed: 0, failures: Vec::new() })
}

/// Returns the commands that stand in the guide for a language.
fn commands(word: &str) -> Result<Vec<String>> {
    let page = fs::read_to_string(root().join("plugins/README.md")).context("plugins/README.md")?;
    let begin = format!("<!-- guide: {word} -->\n```sh\n");
    let block = page.split_once(&begin).and_then(|(_, rest)| rest.split_once("```")).map(|(block, _)| block);
    let block = block.with_context(|| format!("plugins/README.md has no guide for {word}"))?;
    let commands =
        block.lines().map(|line| line.split_once(" #").map_or(line, |(command, _)| command).trim());
    Ok(commands.map(str::to_owned).collect())
}

/// Returns the one component that a project has built.
fn built(project: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(project.join("target/plugins")).context("the components")?;
    let files: Vec<PathBuf> = entries.map(|entry| entry.map(|it| it.path())).collect::<Result<_, _>>()?;
    ensure!(files.len() == 1, "one component was expected, not {files:?}");
    files.into_iter().next().context("one component")
}

fn keep(component: &Path, name: &str) -> Result<()> {
    let kept = target().join("plugins");
    fs::create_dir_all(&kept)?;
    let path = kept.join(format!("{name}.wasm"));
    fs::copy(component, &path).with_context(|| format!("{}", path.display())).map(drop)
}

fn copy_if_there(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        let parent = to.parent().context("a file lies somewhere")?;
        fs::create_dir_all(parent)?;
        fs::copy(from, to).with_context(|| format!("{}", from.display()))?;
    }
    Ok(())
}

/// Runs a command with the program that was just built first on the path.
fn step(command: &str, of: &str, here: &Path, programs: &Path) -> Result<()> {
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
    logged(&format!("guide-{of}-{name}"), &mut shell)
        .with_context(|| format!("`{command}` in the guide for {of}"))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_commands_for_each_language() {
        for language in [RUST, PYTHON, JAVASCRIPT, C] {
            let commands = commands(language.word).unwrap();
            let builds = commands.iter().any(|command| command.starts_with("vpnhost plugin build"));
            assert!(builds, "{}: {commands:?}", language.word);
        }
    }

    #[test]
    fn every_example_in_a_language_is_in_the_guides_steps() {
        let built = [PYTHON, JAVASCRIPT, C].map(|language| (language.main, language.examples));
        for entry in fs::read_dir(root().join("plugins")).unwrap() {
            let folder = entry.unwrap().path();
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            for (main, examples) in &built {
                if folder.join(main.unwrap()).is_file() && !name.starts_with("template-") {
                    assert!(examples.contains(&name.as_str()), "{name}");
                }
            }
        }
    }
}
