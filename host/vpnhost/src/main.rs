//! The one crate that knows everything: command line, configuration, and what they start.

#![allow(dead_code, unused_imports)]

mod backends;
mod cli;
mod config;
mod exit;
mod limits;
mod roles;

use std::process::ExitCode;

use cli::{Cli, Crypto, Global, Plugin, Verb};
use exit::{Failure, Outcome};

fn main() -> ExitCode {
    let outcome = match cli::parse(std::env::args_os()) {
        Ok(cli) => dispatch(cli),
        Err(error) => exit::of_clap(&error),
    };
    exit::end(outcome)
}

/// Gives each verb to the room that does it.
fn dispatch(Cli { global, verb }: Cli) -> Outcome {
    match verb {
        Verb::Plugin(verb) => plugin(verb, &global),
        Verb::Crypto(verb) => crypto(verb, &global),
        Verb::Reauth { .. } => Err(Failure::not_in_this_version("reauth")),
        Verb::Roam { .. } => Err(Failure::not_in_this_version("roam")),
        Verb::Run(_)
        | Verb::Check(_)
        | Verb::Up { .. }
        | Verb::Down { .. }
        | Verb::Status { .. }
        | Verb::List { .. }
        | Verb::Rekey { .. }
        | Verb::Terminate { .. }
        | Verb::Ping { .. }
        | Verb::Reload
        | Verb::Explain { .. }
        | Verb::Cleanup
        | Verb::Keygen(_)
        | Verb::Completions { .. }
        | Verb::Man => Err(Failure::not_in_this_version("this verb")),
    }
}

fn plugin(verb: Plugin, _global: &Global) -> Outcome {
    let name = match verb {
        Plugin::Inspect { .. } => "inspect",
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

fn crypto(verb: Crypto, _global: &Global) -> Outcome {
    let name = match verb {
        Crypto::List => "list",
        Crypto::Test(_) => "test",
        Crypto::Bench(_) => "bench",
        Crypto::Use(_) => "use",
    };
    Err(Failure::not_in_this_version(format!("crypto {name}")))
}
