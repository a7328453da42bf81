//! JavaScript: componentize-qjs runs the module up to its exports, and puts it and QuickJS, as they are then, into the
//! component. The engine's imports of WASI become traps.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::BuildError;
use crate::component::file;
use crate::make::Job;
use crate::tool::{node_packages, run, said};
use crate::world::{WIT, World};

pub(crate) fn build(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let programs = node_packages(job)?;
    (job.say)(&format!("building {} with componentize-qjs", job.world.name()));
    // Modules are found below the project's directory only, wherever its parts go.
    let entry = job.root.join(ENTRY);
    let output = job.bindings.join("component.wasm");
    fs::write(&entry, exporting(job.world)).map_err(|source| file("write", &entry, source))?;
    let mut tool = Command::new(programs.join("componentize-qjs"));
    tool.current_dir(job.root)
        .args(["--wit", WIT, "--world", job.world.world(), "--js", ENTRY, "--module-root", "."])
        .args(["--sync", "--stub-wasi", "--output"])
        .arg(&output);
    let done = run("componentize-qjs", &mut tool);
    fs::remove_file(&entry).map_err(|source| file("remove", &entry, source))?;
    let done = done?;
    if !done.status.success() {
        (job.say)(mistake(&said(&done)));
        return Err(BuildError::Compile { path: job.root.to_owned() });
    }
    fs::read(&output).map_err(|source| file("read", &output, source))
}

/// What the component begins with.
const ENTRY: &str = "vendor/entry.js";

/// Returns a module that exports what `plugin.js` does, and says what is missing: the tool would leave that to the first
/// call.
fn exporting(world: &World) -> String {
    let mut text =
        String::from("import * as plugin from \"../plugin.js\";\nexport * from \"../plugin.js\";\n");
    for name in world.exports() {
        let name = camel(name);
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "if (!plugin.{name}) throw new Error(\"plugin.js does not export {name}, which wit/ says that it does\");"
        );
    }
    text
}

fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &first.into_iter().chain(letters).collect::<String>()
    })
}

/// Returns what QuickJS said of the program.
fn mistake(said: &str) -> &str {
    said.split_once("user JavaScript module: ").map_or(said, |(_, rest)| rest).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_named_as_javascript_names_them() {
        assert_eq!(camel("describe"), "describe");
        assert_eq!(camel("rank-paths"), "rankPaths");
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let said = "Stubbing WASI imports...\nError: : Failed to evaluate user JavaScript module: Failed to declare JavaScript module: \
                    Error: variable name expected\n    at /plugin.js:2:5";
        assert_eq!(
            mistake(said),
            "Failed to declare JavaScript module: Error: variable name expected\n    at /plugin.js:2:5"
        );
    }
}
