//! The one crate that knows everything: command line, configuration, and what they start.

mod algorithms;
mod authoring;
mod backends;
mod certs;
mod check;
mod cleanup;
mod cli;
mod config;
mod control;
mod daemon;
mod decisions;
mod exit;
mod explain;
mod gateways;
mod grade;
mod keygen;
mod keylog;
mod limits;
mod list;
mod lists;
mod logging;
mod manual;
mod notify;
mod plugins;
mod roles;
mod run;
mod status;
mod text;
mod wiring;

use std::process::ExitCode;

use cli::{Cli, Crypto, Global, Plugin, Verb};
use control::order;
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
        Verb::Check(options) => check::run(&options, &global),
        Verb::Keygen(options) => keygen::run(&options, &global),
        Verb::Completions { shell } => manual::completions(shell),
        Verb::Man => manual::man(),
        Verb::Run(options) => run::run(options, &global),
        Verb::Up { name } => order::of_connection(&global, "/up", &name),
        Verb::Down { name } => order::of_connection(&global, "/down", &name),
        Verb::Roam { name, path } => order::of_path(&global, "/roam", &name, path),
        Verb::Ping { name, path } => order::of_path(&global, "/ping", &name, path),
        Verb::Rekey { name, part } => order::of_part(&global, "/rekey", &name, &part),
        Verb::Reauth { name } => order::of_connection(&global, "/reauth", &name),
        Verb::Terminate { name, part } => order::of_part(&global, "/terminate", &name, &part),
        Verb::Reload => order::reload(&global),
        Verb::Status { name } => status::show(name.as_deref(), &global),
        Verb::List { what } => list::show(what, &global),
        Verb::Explain { name, log: Some(log) } => explain::recorded(&log, name.as_deref(), &global),
        Verb::Explain { name, log: None } => explain::show(name.as_deref(), &global),
        Verb::Cleanup => cleanup::run(&global),
    }
}

fn plugin(verb: Plugin, global: &Global) -> Outcome {
    match verb {
        Plugin::Inspect { file, keys } => plugins::show(&file, &keys, global),
        Plugin::New(options) => authoring::begin(&options, global),
        Plugin::Build { dir } => authoring::build(&dir, global),
        Plugin::Test(options) => plugins::test::run(&options, global),
        Plugin::Bench(options) => plugins::bench::run(&options, global),
        Plugin::Replay(options) => plugins::replay::run(&options, global),
        Plugin::Load(options) => plugins::order::load(&options, global),
        Plugin::Unload { name } => order::of_plugin(global, "/plugins/unload", &[("name", &name)]),
        Plugin::Promote { name } => order::of_plugin(global, "/plugins/promote", &[("name", &name)]),
        Plugin::Rollback { name } => order::of_plugin(global, "/plugins/rollback", &[("name", &name)]),
    }
}

fn crypto(verb: Crypto, global: &Global) -> Outcome {
    let name = match verb {
        Crypto::List => return algorithms::list(global),
        Crypto::Test(_) => "test",
        Crypto::Bench(_) => "bench",
        Crypto::Use(_) => "use",
    };
    Err(Failure::not_in_this_version(format!("crypto {name}")))
}
