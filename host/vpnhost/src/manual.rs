//! `vpnhost completions SHELL` and `vpnhost man`: written from the command line's own description.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::cli::{self, Shell};
use crate::exit::{self, Outcome};

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) -> Outcome {
    exit::print(script(shell))
}

fn script(shell: Shell) -> String {
    use clap_complete::{generate, shells};
    let (mut command, mut script) = (cli::command(), Vec::new());
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, "vpnhost", &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, "vpnhost", &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, "vpnhost", &mut script),
    }
    String::from_utf8_lossy(&script).into_owned()
}

/// Prints the manual page.
pub(crate) fn man() -> Outcome {
    exit::print(page())
}

fn page() -> String {
    let mut command = cli::command();
    command.build();
    let mut page = format!(".TH VPNHOST 8 \"\" \"vpnhost {}\"\n", env!("CARGO_PKG_VERSION"));
    section(&mut page, "NAME");
    paragraph(&mut page, &format!("vpnhost - {}", about(&command)));
    section(&mut page, "SYNOPSIS");
    page.push_str(".B vpnhost\n[GLOBAL OPTIONS] [VERB] [OPTIONS]\n");
    section(&mut page, "DESCRIPTION");
    paragraph(&mut page, &command.get_long_about().map(ToString::to_string).unwrap_or_default());
    section(&mut page, "GLOBAL OPTIONS");
    command.get_arguments().filter(|it| it.is_global_set()).for_each(|it| argument(&mut page, it));
    section(&mut page, "VERBS");
    verbs(&mut page, &command, "vpnhost");
    section(&mut page, "EXIT STATUS");
    for (code, meaning) in [
        ("0", "Done."),
        ("1", "The operation failed."),
        ("2", "The command line or the configuration is wrong."),
        ("3", "No daemon answers on the control socket."),
    ] {
        entry(&mut page, code, meaning);
    }
    section(&mut page, "FILES");
    entry(&mut page, cli::CONFIG, "The configuration.");
    entry(&mut page, cli::CONTROL, "The control socket.");
    section(&mut page, "EXAMPLES");
    for (title, text) in [
        ("A client's configuration:", include_str!("../examples/client.toml")),
        ("A gateway's configuration:", include_str!("../examples/gateway.toml")),
    ] {
        paragraph(&mut page, title);
        let _ = writeln!(page, ".nf\n{}\n.fi", escaped(text.trim_end()));
    }
    page
}

/// Writes every verb that takes no further verb, with its options.
fn verbs(page: &mut String, command: &Command, name: &str) {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let name = format!("{name} {}", verb.get_name());
        if verb.has_subcommands() {
            verbs(page, verb, &name);
            continue;
        }
        let own = || verb.get_arguments().filter(|it| !it.is_global_set() && !it.is_hide_set());
        let mut usage = name.clone();
        for positional in own().filter(|it| it.is_positional()) {
            let value = positional.get_id().as_str().to_uppercase();
            let _ = if positional.is_required_set() {
                write!(usage, " {value}")
            } else {
                write!(usage, " [{value}]")
            };
        }
        let _ = writeln!(page, ".SS {}", escaped(&usage));
        paragraph(page, &about(verb));
        own()
            .filter(|it| it.get_id() != "help" && it.get_id() != "version")
            .for_each(|it| argument(page, it));
    }
}

fn argument(page: &mut String, argument: &Arg) {
    let mut names = Vec::new();
    names.extend(argument.get_short().map(|short| format!("-{short}")));
    names.extend(argument.get_long().map(|long| format!("--{long}")));
    let value = argument.get_value_names().and_then(|names| names.first());
    let label = match value.filter(|_| argument.get_action().takes_values()) {
        Some(value) if argument.is_positional() => value.to_string(),
        Some(value) => format!("{} {value}", names.join(", ")),
        None => names.join(", "),
    };
    let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<String> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !possible.is_empty() && argument.get_action().takes_values() {
        let _ = write!(help, ": {}", possible.join(", "));
    }
    if let [default] = argument.get_default_values()
        && argument.get_action().takes_values()
    {
        let _ = write!(help, " (default {})", default.to_string_lossy());
    }
    entry(page, &label, &help);
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, ".SH {title}");
}

fn paragraph(page: &mut String, text: &str) {
    let _ = writeln!(page, ".PP\n{}", escaped(text));
}

fn entry(page: &mut String, label: &str, text: &str) {
    let _ = writeln!(page, ".TP\n.B {}\n{}", escaped(label), escaped(text));
}

/// Keeps roff from reading a text as its own: backslashes, hyphens, and dots and quotes that begin a line.
fn escaped(text: &str) -> String {
    let escape = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_every_verb() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for verb in ["status", "explain", "inspect", "terminate"] {
                assert!(script.contains(verb), "{shell:?} lacks {verb}");
            }
        }
    }

    #[test]
    fn the_manual_page_tells_every_verb_and_exit_code() {
        let page = page();
        for text in [
            ".SS vpnhost up NAME\n",
            ".SS vpnhost plugin inspect FILE\n",
            ".SS vpnhost status [NAME]\n",
            ".B \\-\\-plugin [ROLE=]FILE.wasm\n",
            ".B /etc/vpnhost/vpnhost.toml\n",
            "remote_ts = [\"10.20.0.0/24\"]",
        ] {
            assert!(page.contains(text), "{text} is missing in {page}");
        }
        assert!(!page.contains(".SS vpnhost help"), "each verb stands here once");
        assert!(page.lines().all(|line| !line.starts_with("'")));
    }
}
