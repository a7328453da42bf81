//! `cargo xtask arrows`: which crate may depend on which, as data, checked against `cargo tree`.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::Outcome;

/// A row of the table: a crate, ours that it may name, others that must not stand below it, however deep.
struct Row {
    name: &'static str,
    may: &'static [&'static str],
    never: &'static [&'static str],
}

/// Names that nothing pure may reach.
const IO: &[&str] = &["tokio", "mio", "socket2", "rtnetlink", "wasmtime", "getrandom", "libc", "axum"];
const NO_RUNTIME: &[&str] = &["tokio", "mio", "rtnetlink", "wasmtime", "axum"];
const MODEL: &str = "vpnhost-model";
const CRYPTO: &str = "vpnhost-crypto";
const POLICY: &str = "vpnhost-policy";

const TABLE: &[Row] = &[
    // Nouns and vocabularies.
    Row { name: MODEL, may: &[], never: IO },
    Row { name: CRYPTO, may: &[MODEL], never: IO },
    Row { name: POLICY, may: &[MODEL], never: IO },
    // Machines.
    Row { name: "vpnhost-ipsec", may: &[MODEL, CRYPTO], never: IO },
    Row { name: "vpnhost-pki", may: &[MODEL, CRYPTO], never: IO },
    Row { name: "vpnhost-ike", may: &[MODEL, CRYPTO, POLICY, "vpnhost-pki"], never: IO },
    // Methods.
    Row { name: "vpnhost-eap", may: &[MODEL, CRYPTO, "vpnhost-ike", "vpnhost-pki"], never: NO_RUNTIME },
    // Minds.
    Row { name: "vpnhost-policy-standard", may: &[MODEL, POLICY], never: IO },
    // What minds have said, written down.
    Row { name: "vpnhost-record", may: &[MODEL, POLICY], never: NO_RUNTIME },
    // Backends.
    Row { name: "vpnhost-rustcrypto", may: &[MODEL, CRYPTO], never: NO_RUNTIME },
    Row { name: "vpnhost-aws-lc", may: &[MODEL, CRYPTO], never: NO_RUNTIME },
    Row { name: "vpnhost-null", may: &[MODEL, CRYPTO], never: NO_RUNTIME },
    Row { name: "vpnhost-known-answers", may: &[MODEL, CRYPTO], never: NO_RUNTIME },
    // Boxes.
    Row { name: "vpnhost-plugin-host", may: &[MODEL, POLICY], never: &["tokio", "rtnetlink", "axum"] },
    Row {
        name: "vpnhost-plugin-lab",
        may: &[MODEL, POLICY, "vpnhost-policy-standard", "vpnhost-record", "vpnhost-plugin-host"],
        never: &["tokio", "rtnetlink", "axum"],
    },
    Row { name: "vpnhost-plugin-build", may: &[], never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-sdk", may: &[MODEL, POLICY], never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-standard", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-template", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-prefer-wired", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-office-hours", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-strongest-first", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-lowest-rtt", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-cheapest", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-sticky", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-keen", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-learned-keepalive", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-strict-modern", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-legacy-mobile", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-geo-fence", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-one-device-per-user", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-hostile", may: BOXED, never: NO_RUNTIME },
    Row { name: "vpnhost-plugin-successor", may: BOXED, never: NO_RUNTIME },
    // Driver.
    Row {
        name: "vpnhost-driver",
        may: &[MODEL, CRYPTO, POLICY, "vpnhost-ike", "vpnhost-ipsec"],
        never: &["wasmtime", "axum"],
    },
];

/// What a plugin may name of ours.
const BOXED: &[&str] = &["vpnhost-plugin-sdk", "vpnhost-policy-standard", POLICY, MODEL];

/// Crates that may name all of ours: the binary and what stands beside the house.
const FREE: &[&str] =
    &["vpnhost", "vpnhost-tests", "vpnhost-kit", "vpnhost-netns", "vpnhost-netns-esp", "xtask"];

/// Crates of others that only these of ours may name themselves.
const RESERVED: &[(&str, &[&str])] = &[
    ("tokio", &["vpnhost-driver", "vpnhost"]),
    ("wasmtime", &["vpnhost-plugin-host"]),
    ("rtnetlink", &["vpnhost-driver"]),
    ("axum", &["vpnhost"]),
    ("rustls", &["vpnhost-eap"]),
    ("libloading", &["vpnhost-crypto-dynamic"]),
    ("wit-bindgen", &["vpnhost-plugin-sdk"]),
    ("wit-component", &["vpnhost-plugin-build"]),
];

pub(crate) fn run() -> Result<Outcome> {
    let members = members()?;
    let mut faults = Vec::new();
    for name in &members {
        let direct = tree(name, Some(1))?;
        faults.extend(reserved_faults(name, &direct));
        if FREE.contains(&name.as_str()) {
            continue;
        }
        match TABLE.iter().find(|row| row.name == name) {
            Some(row) => faults.extend(row_faults(row, &direct, &tree(name, None)?, &members)),
            None => faults.push(format!("{name} has no row in the table of tests/xtask/src/arrows.rs")),
        }
    }
    if !faults.is_empty() {
        bail!("forbidden arrows:\n  {}", faults.join("\n  "));
    }
    println!("          {} crates, every arrow allowed", members.len());
    Ok(Outcome::Passed)
}

fn row_faults(
    row: &Row,
    direct: &BTreeSet<String>,
    all: &BTreeSet<String>,
    ours: &BTreeSet<String>,
) -> Vec<String> {
    let sideways = direct
        .iter()
        .filter(|name| ours.contains(*name) && !row.may.contains(&name.as_str()))
        .map(|name| format!("{} -> {name}", row.name));
    let below =
        row.never.iter().filter(|name| all.contains(**name)).map(|name| {
            format!("{} -> … -> {name} (cargo tree -e normal -p {} -i {name})", row.name, row.name)
        });
    sideways.chain(below).collect()
}

fn reserved_faults(name: &str, direct: &BTreeSet<String>) -> Vec<String> {
    RESERVED
        .iter()
        .filter(|(crate_name, by)| direct.contains(*crate_name) && !by.contains(&name) && name != "xtask")
        .map(|(crate_name, by)| format!("{name} -> {crate_name} (only {} may)", by.join(", ")))
        .collect()
}

/// Returns the names of the workspace's members.
pub(crate) fn members() -> Result<BTreeSet<String>> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"])?;
    let value: serde_json::Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
    let packages = value["packages"].as_array().context("cargo metadata names no packages")?;
    Ok(packages.iter().filter_map(|p| p["name"].as_str()).map(str::to_owned).collect())
}

/// Returns the names of what a crate depends on, itself left out.
fn tree(name: &str, depth: Option<u32>) -> Result<BTreeSet<String>> {
    let mut arguments = vec!["tree", "-e", "normal", "--prefix", "none", "--no-dedupe", "-p", name];
    let depth = depth.map(|d| d.to_string());
    if let Some(depth) = &depth {
        arguments.extend(["--depth", depth]);
    }
    let text = cargo(&arguments)?;
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|found| *found != name).map(str::to_owned).collect())
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let output =
        Command::new("cargo").args(arguments).current_dir(crate::root()).output().context("cargo")?;
    if !output.status.success() {
        bail!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_sideways_arrow_is_named() {
        let row = TABLE.iter().find(|r| r.name == "vpnhost-ike").unwrap();
        let ours = set(&["vpnhost-ipsec", MODEL]);
        let faults = row_faults(row, &set(&["vpnhost-ipsec", MODEL]), &set(&[]), &ours);
        assert_eq!(faults, ["vpnhost-ike -> vpnhost-ipsec"]);
    }

    #[test]
    fn a_runtime_deep_below_a_machine_is_named() {
        let row = TABLE.iter().find(|r| r.name == "vpnhost-ipsec").unwrap();
        let faults = row_faults(row, &set(&[]), &set(&["tokio"]), &set(&[]));
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("vpnhost-ipsec -> … -> tokio"));
    }

    #[test]
    fn only_the_plugin_host_names_wasmtime() {
        assert_eq!(reserved_faults("vpnhost-driver", &set(&["wasmtime"])).len(), 1);
        assert!(reserved_faults("vpnhost-plugin-host", &set(&["wasmtime"])).is_empty());
    }

    #[test]
    fn every_row_points_to_rows() {
        for name in TABLE.iter().flat_map(|row| row.may) {
            assert!(TABLE.iter().any(|row| row.name == *name), "{name} has no row");
        }
    }
}
