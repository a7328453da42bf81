//! Python: componentize-py runs the program up to its answers, and puts it and the interpreter, as they are then, into the
//! component. The interpreter's imports of WASI become traps.

use std::fs;
use std::process::Command;

use crate::BuildError;
use crate::component::file;
use crate::make::Job;
use crate::tool::{python_packages, run, said};
use crate::world::WIT;

pub(crate) fn build(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let programs = python_packages(job)?;
    (job.say)(&format!("building {} with componentize-py: ten seconds", job.world.name()));
    let output = job.bindings.join("component.wasm");
    let mut tool = Command::new(programs.join("componentize-py"));
    tool.current_dir(job.root)
        .args(["-d", WIT, "-w", job.world.world(), "componentize", "--stub-wasi"])
        .args(["-p", ".", "-p", "vendor", "plugin", "-o"])
        .arg(&output);
    let done = run("componentize-py", &mut tool)?;
    if !done.status.success() {
        (job.say)(&mistake(&said(&done)));
        return Err(BuildError::Compile { path: job.root.to_owned() });
    }
    fs::read(&output).map_err(|source| file("read", &output, source))
}

/// Returns what Python said of the program; the tool's own backtraces stand around it.
fn mistake(said: &str) -> String {
    let said = said.split_once("AssertionError: ").map_or(said, |(_, rest)| rest);
    let said = ["\nCaused by:", "\nStack backtrace:"]
        .iter()
        .fold(said, |said, end| said.split_once(end).map_or(said, |(before, _)| before));
    // The folders of the program, in the order that they were named.
    said.trim().replace("File \"/0/", "File \"").replace("File \"/1/", "File \"vendor/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_as_python_tells_it() {
        let said = "Traceback (most recent call last):\n  File \"/x/.venv/bin/componentize-py\", line 8, in <module>\n\
                    \x20   sys.exit(script())\nAssertionError: Traceback (most recent call last):\n  File \"/0/plugin.py\", line 1, in <module>\n\
                    \x20   import nothere\nModuleNotFoundError: No module named 'nothere'\n\n\nCaused by:\n    ModuleNotFoundError: No module\n\n\
                    Stack backtrace:\n   0: <anyhow::Error>::msg";
        assert_eq!(
            mistake(said),
            "Traceback (most recent call last):\n  File \"plugin.py\", line 1, in <module>\n    import nothere\n\
             ModuleNotFoundError: No module named 'nothere'"
        );
        assert_eq!(mistake("no such option: -q"), "no such option: -q");
    }
}
