//! The one crate that knows everything: command line, configuration, and what they start.

#![allow(dead_code, unused_imports)]

mod backends;
mod check;
mod cli;
mod config;
mod exit;
mod keygen;
mod limits;
mod manual;
mod plugins;
mod roles;

use std::process::ExitCode;

use cli::{Cli, Crypto, Global, Plugin, Verb};
use exit::{Failure, Outcome};

fn main() -> ExitCode {
    exit::end(exit::without_panic(|| match cli::parse(std::env::args_os()) {
        Ok(cli) => dispatch(cli),
        Err(error) => exit::of_clap(&error),
    }))
}

/// Gives each verb to the room that does it.
fn dispatch(Cli { global, verb }: Cli) -> Outcome {
    match verb {
        Verb::Plugin(verb) => plugin(verb, &global),
        Verb::Crypto(verb) => crypto(verb, &global),
        Verb::Reauth { .. } => Err(Failure::not_in_this_version("reauth")),
        Verb::Roam { .. } => Err(Failure::not_in_this_version("roam")),
        Verb::Check(options) => check::run(&options, &global),
        Verb::Keygen(options) => keygen::run(&options, &global),
        Verb::Completions { shell } => manual::completions(shell),
        Verb::Man => manual::man(),
        Verb::Run(_)
        | Verb::Up { .. }
        | Verb::Down { .. }
        | Verb::Status { .. }
        | Verb::List { .. }
        | Verb::Rekey { .. }
        | Verb::Terminate { .. }
        | Verb::Ping { .. }
        | Verb::Reload
        | Verb::Explain { .. }
        | Verb::Cleanup => Err(Failure::not_in_this_version("this verb")),
    }
}

fn plugin(verb: Plugin, global: &Global) -> Outcome {
    let name = match verb {
        Plugin::Inspect { file } => return plugins::show(&file, global),
        Plugin::New(_) => "new",
        Plugin::Build(_) => "build",
        Plugin::Test(_) => "test",
        Plugin::Bench(_) => "bench",
        Plugin::Load(_) => "load",
        Plugin::Unload(_) => "unload",
        Plugin::Replay(_) => "replay",
    };
    Err(Failure::not_in_this_version(format!("plugin {name}")))
}

fn crypto(verb: Crypto, global: &Global) -> Outcome {
    let name = match verb {
        Crypto::List => return backends::list(global),
        Crypto::Test(_) => "test",
        Crypto::Bench(_) => "bench",
        Crypto::Use(_) => "use",
    };
    Err(Failure::not_in_this_version(format!("crypto {name}")))
}
