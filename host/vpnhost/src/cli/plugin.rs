//! The verbs of `plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use vpnhost_plugin_host::{PluginKey, SettingValue};

use crate::limits;

/// Verbs of `plugin`.
#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Show what a component is: its questions, settings, imports, size
    Inspect {
        /// The component
        file: PathBuf,
        /// A public key of minisign that must have signed it, as in `[host] plugin_keys`; may be given again
        #[arg(long = "key", value_name = "KEY", value_parser = plugin_key)]
        keys: Vec<PluginKey>,
    },
    /// Begin a plugin: a project that builds at once
    New(NewPlugin),
    /// Build a plugin: target/plugins/NAME.wasm
    Build {
        /// The project's directory
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Test a plugin: all that a host may ask, a hostile host, and scenarios of its author's
    Test(TestPlugin),
    /// Measure a plugin beside the built-in policy
    Bench(BenchPlugin),
    /// Have a component answer in the daemon from now on, or try it beside the one that does
    Load(LoadPlugin),
    /// Take a plugin out of the daemon, until its configuration is read again
    Unload {
        /// The plugin
        name: String,
    },
    /// Have a component that is on trial answer from now on
    Promote {
        /// The plugin that it is tried beside
        name: String,
    },
    /// End a trial; or have the component answer again that did before
    Rollback {
        /// The plugin
        name: String,
    },
    /// Put recorded questions to a plugin, or check that a log of decisions is whole
    Replay(Replay),
}

/// Arguments of `plugin load`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadPlugin {
    /// The component
    pub(crate) file: PathBuf,
    /// The plugin whose place it takes, with its settings and its store [default: the one named as the file is; where
    /// there is none it is a plugin more, asked before the others]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only compare: it is asked everything and decides nothing
    #[arg(long, conflicts_with = "canary")]
    pub(crate) shadow: bool,
    /// Have it decide for so many of a hundred connections, always the same ones
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) canary: Option<u8>,
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    number.filter(|it| (1..=100).contains(it)).ok_or_else(|| "must be 1% to 100%".to_owned())
}

/// How a plugin is set up that no daemon runs.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Setup {
    /// A setting: KEY=VALUE, the value as in the configuration; may be given again
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, SettingValue)>,
    /// The most memory that it may take [default: 16MiB, or what the configuration says]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(crate) memory: Option<usize>,
    /// A configuration: settings, memory, grants and tables are what it gives the plugin of that name or file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Which plugin, by its name in the configuration, and in the log [default: that of the file; in the log whoever is
    /// the same component, or else has its name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

fn setting(text: &str) -> Result<(String, SettingValue), String> {
    let (key, value) = text.split_once('=').ok_or("has no `=` between a key and a value")?;
    // What is no value as TOML writes it is a text that needs no quotes.
    let read = toml::from_str::<serde_json::Value>(&format!("v = {value}")).ok();
    let read = read.map(|mut it| it["v"].take());
    // Times and dates are texts here, which TOML reads as something else.
    let read = read.filter(|it| !it.is_object() || value.starts_with('{'));
    let value = read.unwrap_or_else(|| value.into());
    vpnhost_plugin_lab::scenario::setting(&value)
        .map(|it| (key.to_owned(), it))
        .map_err(|wrong| wrong.to_string())
}

fn memory(text: &str) -> Result<usize, String> {
    let octets = crate::config::size(text)?;
    if !limits::PLUGIN_MEMORY.contains(&octets) {
        return Err("must be 1MiB to 4GiB".to_owned());
    }
    usize::try_from(octets).map_err(|error| error.to_string())
}

/// Arguments of `plugin test`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TestPlugin {
    /// The component
    pub(crate) file: PathBuf,
    /// Files of scenarios, TOML or JSON
    pub(crate) scenarios: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

/// Arguments of `plugin bench`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchPlugin {
    /// The component
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

/// Arguments of `plugin replay`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Replay {
    /// The log of decisions; the files that it grew out of (LOG.1, …) are read before it
    pub(crate) log: PathBuf,
    /// The component that the questions are put to
    #[arg(long, value_name = "FILE.wasm", required_unless_present = "verify")]
    pub(crate) plugin: Option<PathBuf>,
    /// Check that every line follows the one before
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

/// Arguments of `plugin new`.
#[derive(Args, Debug)]
pub(crate) struct NewPlugin {
    /// Its name: letters, digits, hyphens
    pub(crate) name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value_t)]
    pub(crate) lang: Language,
    /// Where; NAME by default
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust
    #[default]
    Rust,
    /// Python
    Python,
    /// JavaScript
    Js,
    /// C
    C,
}

impl Language {
    /// Returns it as it is written on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
            Self::C => "c",
        }
    }
}

fn plugin_key(text: &str) -> Result<PluginKey, String> {
    let held = || std::fs::read_to_string(text).ok().and_then(|held| PluginKey::parse(&held));
    PluginKey::parse(text)
        .or_else(held)
        .ok_or_else(|| "is no public key of minisign, and no file that holds one".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_on_the_command_line_is_what_it_would_be_in_the_configuration_and_a_text_needs_no_quotes() {
        let text = |text: &str| SettingValue::Text(text.to_owned());
        for (written, value) in [
            ("08:00", text("08:00")),
            ("\"3\"", text("3")),
            ("3", SettingValue::Integer(3)),
            ("1.5", SettingValue::Number(1.5)),
            ("true", SettingValue::Flag(true)),
            ("[\"a\",\"b\"]", SettingValue::Texts(vec!["a".to_owned(), "b".to_owned()])),
            ("a=b c", text("a=b c")),
            ("", text("")),
        ] {
            assert_eq!(setting(&format!("k={written}")), Ok(("k".to_owned(), value)), "{written}");
        }
        assert!(setting("k").is_err() && setting("k={a=1}").is_err());
    }
}
