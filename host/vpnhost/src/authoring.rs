//! `vpnhost plugin new` and `plugin build`: from nothing to a component.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::json;
use vpnhost_plugin_build::{BuildError, Toolchain};

use crate::cli::{Global, Language, NewPlugin};
use crate::exit::{self, Failure, Outcome};
use crate::plugins;

/// The memory that a plugin in Rust is given, as the block in the configuration says it.
const MEMORY: &str = "16MiB";

/// `vpnhost plugin new NAME`.
pub(crate) fn begin(options: &NewPlugin, global: &Global) -> Outcome {
    if options.lang != Language::Rust {
        return Err(Failure::not_in_this_version(format!("plugin new --lang {}", options.lang.word())));
    }
    let directory = options.dir.clone().unwrap_or_else(|| options.name.clone().into());
    let project = vpnhost_plugin_build::begin(&directory, &options.name).map_err(|error| refused(&error))?;
    let component = absolute(&project.component());
    let block = block(&project.name, &component);
    if global.json {
        let document = json!({
            "name": project.name,
            "directory": absolute(&directory),
            "files": project.files,
            "component": component,
            "configuration": block,
        });
        return exit::print(format_args!("{document}\n"));
    }
    let shown = directory.display();
    exit::print(format_args!(
        "{shown}: a plugin that ranks paths, with its test; {} files\n\n  cd {shown}\n  cargo test\n  vpnhost plugin build\n\n\
         and in the configuration:\n\n{block}",
        project.files
    ))
}

/// `vpnhost plugin build [DIR]`.
pub(crate) fn build(directory: &Path, global: &Global) -> Outcome {
    let packages = vpnhost_plugin_build::packages(directory).map_err(|error| refused(&error))?;
    let toolchain = Toolchain::find().map_err(|error| refused(&error))?;
    let slow =
        if toolchain.builds_std() { ", with its standard library: a minute the first time" } else { "" };
    let names: Vec<&str> = packages.iter().map(|package| package.component()).collect();
    eprintln!("building {} with {}{slow}", names.join(", "), toolchain.rustc().display());
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| directory.join("target"), PathBuf::from);
    let (root, target) = (absolute(directory), absolute(&target));
    let components = vpnhost_plugin_build::build(&toolchain, &root, &target, &packages);
    for component in components.map_err(|error| refused(&error))? {
        plugins::show(&component, &[], global)?;
    }
    Ok(())
}

/// The lines of the configuration that load a plugin.
fn block(name: &str, component: &Path) -> String {
    format!(
        "[[plugin]]\nname   = {name:?}\npath   = {:?}\nmemory = {MEMORY:?}\n",
        component.display().to_string()
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
        let block = block("quickest-first", Path::new("/srv/a \"b\"/quickest-first.wasm"));
        let document: toml::Table = block.parse().unwrap();
        let plugin = &document["plugin"][0];
        assert_eq!(plugin["path"].as_str(), Some("/srv/a \"b\"/quickest-first.wasm"));
        assert_eq!(plugin["memory"].as_str(), Some("16MiB"));
    }

    #[test]
    fn what_cannot_be_built_says_what_may_be_done() {
        let empty = tempfile::tempdir().unwrap();
        let error = vpnhost_plugin_build::packages(empty.path()).unwrap_err();
        let text = refused(&error).to_string();
        assert!(text.contains("is no package of cargo") && text.contains("vpnhost plugin new"), "{text}");
        let text = refused(&BuildError::NoCompiler).to_string();
        assert!(text.contains("rustup target add wasm32-unknown-unknown"), "{text}");
    }
}
