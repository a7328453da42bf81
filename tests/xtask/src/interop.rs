//! The stories of `tests/netns`: vpnhost in network namespaces, against strongSwan and against itself.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
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
}

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if options.list {
        stories::all().iter().for_each(|story| println!("{}", story.name));
        return Ok(Outcome::Passed);
    }
    tell_all(&stories::all(), &options.words)
}

/// Tells stories, where what they need is here.
pub(crate) fn tell_all(stories: &[Story], words: &[String]) -> Result<Outcome> {
    let needed = [tools::NETWORK, tools::STRONGSWAN, tools::TSHARK];
    if let Some(skip) = tools::network_skip(&needed) {
        return Ok(skip);
    }
    let ground = Ground::new(&vpnhost()?, &build_plugins()?, &crate::target().join("netns"));
    let (passed, failed) = tell(stories, words, &ground)?;
    Ok(Outcome::Counted { passed, failed })
}

/// Builds the binary and returns where it lies. With the features of the whole workspace, so that wasmtime and
/// all else below it is the one that the tests were built with.
pub(crate) fn vpnhost() -> Result<PathBuf> {
    let build = ["build", "--release", "--workspace", "--bin", "vpnhost"];
    logged("build vpnhost", Command::new("cargo").args(build))?;
    Ok(crate::target().join("release/vpnhost"))
}
