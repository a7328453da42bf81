//! `vpnhost plugin new` and `plugin build`: from nothing to a component.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::json;
use vpnhost_plugin_build::{BuildError, Language, Project};

use crate::cli::{self, Global, NewPlugin};
use crate::exit::{self, Failure, Outcome};
use crate::plugins;

/// `vpnhost plugin new NAME`.
pub(crate) fn begin(options: &NewPlugin, global: &Global) -> Outcome {
    let language = match options.lang {
        cli::Language::Rust => Language::Rust,
        cli::Language::Python => Language::Python,
        cli::Language::Js => Language::JavaScript,
        cli::Language::C => Language::C,
    };
    let directory = options.dir.clone().unwrap_or_else(|| options.name.clone().into());
    let begun = vpnhost_plugin_build::begin(&directory, &options.name, language);
    let project = begun.map_err(|error| refused(&error))?;
    let component = absolute(&project.component());
    let block = block(&project, &component);
    if global.json {
        let document = json!({
            "name": project.name,
            "language": options.lang.word(),
            "directory": absolute(&directory),
            "files": project.files,
            "component": component,
            "configuration": block,
        });
        return exit::print(format_args!("{document}\n"));
    }
    let shown = directory.display();
    let (with_test, test) =
        if language == Language::Rust { (", with its test", "  cargo test\n") } else { ("", "") };
    exit::print(format_args!(
        "{shown}: a plugin in {language} that ranks paths{with_test}; {} files\n\n  cd {shown}\n{test}  vpnhost plugin build\n\n\
         and in the configuration:\n\n{block}",
        project.files
    ))
}

/// `vpnhost plugin build [DIR]`.
pub(crate) fn build(directory: &Path, global: &Global) -> Outcome {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| directory.join("target"), PathBuf::from);
    let components =
        vpnhost_plugin_build::make(&absolute(directory), &absolute(&target), &|line| eprintln!("{line}"));
    for component in components.map_err(|error| refused(&error))? {
        plugins::show(&component, &[], global)?;
    }
    Ok(())
}

/// The lines of the configuration that load a plugin.
fn block(project: &Project, component: &Path) -> String {
    let Project { name, language, .. } = project;
    format!(
        "[[plugin]]\nname   = {name:?}\npath   = {:?}\nmemory = {:?}\n",
        component.display().to_string(),
        language.memory()
    )
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn refused(error: &BuildError) -> Failure {
    let failure = match error {
        BuildError::Name { .. } => Failure::usage(error.to_string()),
        BuildError::NoCompiler
        | BuildError::NoLinker
        | BuildError::Cargo { .. }
        | BuildError::Tool { .. }
        | BuildError::NoCCompiler
        | BuildError::Venv { .. }
        | BuildError::Install { .. }
        | BuildError::NoProject { .. }
        | BuildError::Wit { .. }
        | BuildError::Metadata { .. }
        | BuildError::NoPlugin { .. }
        | BuildError::Compile { .. }
        | BuildError::Encode { .. }
        | BuildError::Exists { .. }
        | BuildError::File { .. } => Failure::failed(error.to_string()),
    };
    let failure = match exit::causes(error) {
        Some(why) => failure.because(why),
        None => failure,
    };
    match error.hints() {
        [] => failure,
        hints => failure.hint(hints.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_a_configuration_that_is_understood() {
        for language in Language::ALL {
            let (directory, name) = (PathBuf::from("q"), "quickest-first".to_owned());
            let project = Project { directory, name, language, files: 1 };
            let block = block(&project, Path::new("/srv/a \"b\"/quickest-first.wasm"));
            let document: toml::Table = block.parse().unwrap();
            let plugin = &document["plugin"][0];
            assert_eq!(plugin["path"].as_str(), Some("/srv/a \"b\"/quickest-first.wasm"));
            assert_eq!(plugin["memory"].as_str(), Some(language.memory()));
        }
    }

    #[test]
    fn what_cannot_be_built_says_what_may_be_done() {
        let empty = tempfile::tempdir().unwrap();
        let error = Language::of(empty.path()).unwrap_err();
        let text = refused(&error).to_string();
        assert!(text.contains("holds no plugin") && text.contains("vpnhost plugin new"), "{text}");
        let text = refused(&BuildError::NoCompiler).to_string();
        assert!(text.contains("rustup target add wasm32-unknown-unknown"), "{text}");
    }
}
