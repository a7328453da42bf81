//! The stories of `tests/netns`: vpnhost in network namespaces, against strongSwan and against itself.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use vpnhost_netns::stories;
use vpnhost_netns::story::{Ground, Story, tell};

use crate::build_plugins::build_plugins;
use crate::steps::{Outcome, logged};
use crate::tools;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Tells only stories whose name contains one of these
    words: Vec<String>,
    /// Prints the names of the stories
    #[arg(long)]
    list: bool,
    /// Takes the binary and the plugins as they lie in target, without a look whether they are new
    #[arg(long)]
    built: bool,
}

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if options.list {
        stories::all().iter().for_each(|story| println!("{}", story.name));
        return Ok(Outcome::Passed);
    }
    tell_words(&stories::all(), &options.words, options.built)
}

/// Tells stories, where what they need is here.
pub(crate) fn tell_all(stories: &[Story]) -> Result<Outcome> {
    tell_words(stories, &[], false)
}

fn tell_words(stories: &[Story], words: &[String], built: bool) -> Result<Outcome> {
    let needed = [tools::NETWORK, tools::STRONGSWAN, tools::TSHARK];
    if let Some(skip) = tools::network_skip(&needed) {
        return Ok(skip);
    }
    let (program, plugins) = match built {
        true => (crate::target().join("release/vpnhost"), crate::target().join("plugins")),
        false => (vpnhost()?, build_plugins()?),
    };
    let ground = Ground::new(&program, &plugins, &crate::target().join("netns"));
    let (passed, failures) = tell(stories, words, &ground)?;
    let failed = failures.len();
    ensure!(passed + failed > 0, "no story's name contains {}", words.join(" or "));
    Ok(Outcome::Counted { passed, failed, failures })
}

/// Builds the binary and returns where it lies. With the features of the whole workspace, so that wasmtime and
/// all else below it is the one that the tests were built with.
pub(crate) fn vpnhost() -> Result<PathBuf> {
    let build = ["build", "--release", "--workspace", "--bin", "vpnhost"];
    logged("build vpnhost", Command::new("cargo").args(build))?;
    Ok(crate::target().join("release/vpnhost"))
}
