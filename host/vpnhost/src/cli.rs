//! The command line: every verb and option, nothing of what they do.

mod plugin;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use vpnhost_policy::QuestionSet;

pub(crate) use self::plugin::{
    BenchPlugin, Language, LoadPlugin, NewPlugin, Plugin, Replay, Setup, TestPlugin,
};
use crate::control::ends::Ends;
use crate::{limits, roles};

/// Where the configuration lies unless the operator says otherwise.
pub(crate) const CONFIG: &str = "/etc/vpnhost/vpnhost.toml";
/// Where the control socket lies unless the operator says otherwise.
pub(crate) const CONTROL: &str = "/run/vpnhost/control.sock";
/// Where what survives a restart lies unless the operator says otherwise.
pub(crate) const STATE: &str = "/var/lib/vpnhost";

/// A user-space IPsec VPN host whose policy is programmed in WebAssembly
///
/// Without a verb it is the daemon: `vpnhost --plugin FILE.wasm` is `vpnhost run --plugin FILE.wasm`.
#[derive(Debug, Parser)]
#[command(name = "vpnhost", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// The control socket of the daemon [default: /run/vpnhost/control.sock, for the daemon that of its file]
    #[arg(long, global = true, value_name = "PATH", value_parser = socket_path)]
    pub(crate) control: Option<PathBuf>,
    /// Print JSON: one document, or one a line for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more; twice for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Global {
    /// Returns the control socket that a verb talks to.
    pub(crate) fn control(&self) -> PathBuf {
        self.control.clone().unwrap_or_else(|| PathBuf::from(CONTROL))
    }
}

fn socket_path(text: &str) -> Result<PathBuf, String> {
    match text.len() {
        0 => Err("is empty".to_owned()),
        1..=limits::SOCKET_OCTETS => Ok(PathBuf::from(text)),
        octets => Err(format!(
            "a socket's path has at most {} octets, this one has {octets}",
            limits::SOCKET_OCTETS
        )),
    }
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the daemon in the foreground
    Run(Run),
    /// Tell everything that is wrong with a configuration; exit 0 only if it would run
    Check(Check),
    /// Initiate a connection and wait for the outcome
    Up {
        /// The connection
        name: String,
    },
    /// Take a connection down and keep it down
    Down {
        /// The connection
        name: String,
    },
    /// Show the state of all connections, or of one
    Status {
        /// The connection
        name: Option<String>,
    },
    /// List connections, SAs, paths, certificates, plugins or backends
    List {
        /// What to list
        what: What,
    },
    /// Rekey a connection's Child SAs, or one of them, or its IKE SA
    Rekey {
        /// The connection
        name: String,
        #[command(flatten)]
        part: Part,
    },
    /// Authenticate a connection anew, beside the tunnel that is up, and wait for the outcome
    Reauth {
        /// The connection
        name: String,
    },
    /// Delete a connection's SAs, or one Child SA
    Terminate {
        /// The connection
        name: String,
        #[command(flatten)]
        part: Part,
    },
    /// Move a connection to the best path that works, or to one that is named
    Roam {
        /// The connection
        name: String,
        /// The path by its addresses, as `list paths` shows them
        #[arg(long, value_name = "LOCAL-REMOTE")]
        path: Option<Ends>,
    },
    /// Check that a connection's peer is alive, and show the round-trip time
    Ping {
        /// The connection
        name: String,
        /// Another path than that in use, by its addresses
        #[arg(long, value_name = "LOCAL-REMOTE")]
        path: Option<Ends>,
    },
    /// Read the configuration again; what did not change is not touched
    Reload,
    /// Tell the decisions and messages that led to the present state
    Explain {
        /// The connection; `-` for those who belong to none
        name: Option<String>,
        /// Tell the last decisions of a log of them, without a daemon
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
    },
    /// Inspect, build, test, load and unload WebAssembly policies
    #[command(subcommand)]
    Plugin(Plugin),
    /// List, test, measure and choose crypto backends
    #[command(subcommand)]
    Crypto(Crypto),
    /// Remove what a killed daemon left: routes, rules, firewall table, DNS
    Cleanup,
    /// Make a random pre-shared key
    Keygen(Keygen),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// Options of the daemon.
#[derive(Args, Clone, Debug)]
pub(crate) struct Run {
    /// The configuration
    #[arg(long, short, value_name = "FILE", default_value = CONFIG)]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// How logs are written to standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log: LogFormat,
}

/// What the command line lays over the configuration.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Choice {
    /// A WebAssembly policy, asked before those of the configuration; may be repeated
    /// (ROLE: ike-policy, address-selection, liveness)
    #[arg(long = "plugin", value_name = "[ROLE=]FILE.wasm")]
    pub(crate) plugins: Vec<PluginOption>,
    /// The crypto backends in order, instead of those of the configuration
    #[arg(long, value_name = "NAME[,...]", value_delimiter = ',')]
    pub(crate) crypto: Vec<String>,
}

/// Options of `check`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Check {
    /// The configuration
    #[arg(default_value = CONFIG)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

/// A plugin named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PluginOption {
    /// The questions of its role; `None` where no role was given.
    pub(crate) questions: Option<QuestionSet>,
    /// Its file.
    pub(crate) path: PathBuf,
}

impl FromStr for PluginOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (questions, path) = match text.split_once('=') {
            // A path with an equals sign in it is no role: `./a=b.wasm`.
            Some((role, path)) if !role.contains(['/', '.']) => (Some(roles::questions_of(role)?), path),
            Some(_) | None => (None, text),
        };
        if path.is_empty() {
            return Err("a file is missing".to_owned());
        }
        Ok(Self { questions, path: PathBuf::from(path) })
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One document a line.
    Json,
}

/// Which part of a connection is meant.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub(crate) struct Part {
    /// The IKE SA
    #[arg(long)]
    pub(crate) ike: bool,
    /// One child
    #[arg(long, value_name = "CHILD")]
    pub(crate) child: Option<String>,
}

/// What `list` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Configured connections
    Conns,
    /// IKE and Child SAs
    Sas,
    /// Where SAs run and where they could, and this machine's addresses
    Paths,
    /// Certificates of peers and of this host, CAs, revocation lists
    Certs,
    /// Loaded plugins
    Plugins,
    /// Crypto backends in use
    Backends,
}

/// Verbs of `crypto`.
#[derive(Debug, Subcommand)]
pub(crate) enum Crypto {
    /// List the backends of this program, their algorithms, and what failed its known answers
    List,
    /// Test a backend (not in this version: list does)
    Test(Later),
    /// Measure a backend (not in this version)
    Bench(Later),
    /// Change the daemon's backend (not in this version: reload)
    Use(Later),
}

/// Arguments of a verb that is known but not built yet.
#[derive(Args, Debug)]
pub(crate) struct Later {
    /// Whatever it will take
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// Options of `keygen`.
#[derive(Args, Debug)]
pub(crate) struct Keygen {
    /// Where the key is written (mode 0600); an existing file is not overwritten
    pub(crate) file: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub(crate) force: bool,
}

/// A shell that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// Reads a command line; the program's name is the first argument.
///
/// # Errors
/// What clap finds wrong, and its texts for `--help` and `--version`.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(with_verb(arguments.into_iter().collect()))
}

/// Writes `run` where no verb stands: before the first argument that is no global option.
fn with_verb(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        match width_of_global(argument) {
            0 => break,
            width => at += width,
        }
    }
    let asks = |argument: &OsStr| ["-h", "--help", "-V", "--version"].iter().any(|&it| argument == it);
    let is_verb = |argument: &OsStr| !argument.to_string_lossy().starts_with('-');
    match arguments.get(at) {
        Some(argument) if is_verb(argument) || asks(argument) => {}
        Some(_) | None => arguments.insert(at.min(arguments.len()), OsString::from("run")),
    }
    arguments
}

/// Returns how many arguments a global option takes up; none if it is not global.
fn width_of_global(argument: &OsStr) -> usize {
    let text = argument.to_string_lossy();
    let is_verbose = text.len() > 1 && text.starts_with('-') && text[1..].bytes().all(|b| b == b'v');
    match &*text {
        "--control" => 2,
        "--json" | "--verbose" => 1,
        text if text.starts_with("--control=") || is_verbose => 1,
        _ => 0,
    }
}

/// Returns the whole command, for completions and the manual page.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn without_a_verb_it_is_the_daemon() {
        for line in [
            "vpnhost",
            "vpnhost --plugin a.wasm",
            "vpnhost run --plugin a.wasm",
            "vpnhost --control /tmp/c -vv --config /tmp/f",
            "vpnhost --control=/tmp/c --json",
            "vpnhost --control",
        ] {
            match read(line) {
                Ok(cli) => assert!(matches!(cli.verb, Verb::Run(_)), "{line}"),
                Err(error) => assert!(line.ends_with("--control"), "{line}: {error}"),
            }
        }
    }

    #[test]
    fn global_options_may_stand_anywhere() {
        for line in ["vpnhost --json --control /c status", "vpnhost status --json --control /c"] {
            let cli = read(line).unwrap();
            assert!(cli.global.json, "{line}");
            assert_eq!(cli.global.control(), PathBuf::from("/c"), "{line}");
        }
        assert_eq!(read("vpnhost status").unwrap().global.control(), PathBuf::from(CONTROL));
        let long = format!("vpnhost status --control /{}", "c".repeat(limits::SOCKET_OCTETS));
        assert!(read(&long).unwrap_err().to_string().contains("at most 107 octets, this one has 108"));
    }

    #[test]
    fn every_verb_of_the_contract_is_read() {
        for line in [
            "check",
            "check f",
            "up a",
            "down a",
            "status",
            "status a",
            "list conns",
            "list sas",
            "list paths",
            "list certs",
            "list plugins",
            "list backends",
            "rekey a",
            "rekey a --ike",
            "rekey a --child b",
            "reauth a",
            "terminate a",
            "terminate a --child b",
            "terminate a --ike",
            "roam a",
            "roam a --path 10.0.0.1-10.0.0.2",
            "ping a",
            "ping a --path 2001:db8::1-2001:db8::2",
            "reload",
            "explain",
            "explain a",
            "explain a --log f",
            "plugin inspect f",
            "plugin new a",
            "plugin new a --lang rust --dir d",
            "plugin build",
            "plugin build d",
            "plugin test f",
            "plugin test f s.toml t.json --set from=08:00 --set n=3 --memory 64MiB --config c --name n",
            "plugin bench f",
            "plugin load f",
            "plugin unload f",
            "plugin replay f --verify",
            "plugin replay f --plugin p --name n --json",
            "plugin replay f --plugin p --set a=b",
            "crypto list",
            "crypto test",
            "crypto bench -x",
            "crypto use a",
            "cleanup",
            "keygen f",
            "completions bash",
            "man",
            "run --crypto a,b --log json --plugin liveness=f",
        ] {
            let cli = read(&format!("vpnhost {line}"));
            assert!(cli.is_ok(), "{line}: {}", cli.unwrap_err());
        }
        for line in [
            "stauts",
            "up",
            "rekey a --ike --child b",
            "list bonds",
            "roam a --path eth0",
            "run --plugin livenes=f",
            "plugin test",
            "plugin replay f",
            "plugin bench f --set a",
            "plugin bench f --memory 1",
        ] {
            assert!(read(&format!("vpnhost {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn help_is_a_verb_too() {
        for line in
            ["vpnhost help", "vpnhost help rekey", "vpnhost plugin help inspect", "vpnhost rekey --help"]
        {
            let kind = read(line).unwrap_err().kind();
            assert_eq!(kind, clap::error::ErrorKind::DisplayHelp, "{line}");
        }
    }

    #[test]
    fn a_plugin_option_has_a_role_or_only_a_file() {
        let option = |text: &str| text.parse::<PluginOption>();
        assert_eq!(option("a.wasm").unwrap(), PluginOption { questions: None, path: "a.wasm".into() });
        assert_eq!(option("./a=b.wasm").unwrap().path, PathBuf::from("./a=b.wasm"));
        let liveness = option("liveness=/x/a.wasm").unwrap();
        assert_eq!(liveness.path, PathBuf::from("/x/a.wasm"));
        assert_eq!(liveness.questions, Some(roles::questions_of("liveness").unwrap()));
        assert!(option("livness=a.wasm").unwrap_err().contains("liveness"));
        assert!(option("liveness=").is_err());
    }
}
