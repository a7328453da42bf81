//! Programs that the tasks need: are they here, and what installs them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::Outcome;

/// A program, and the Debian and Ubuntu packages that bring it with all that the tests want of it.
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) packages: &'static [&'static str],
}

/// What the tests in network namespaces need.
pub(crate) const NETWORK: &[Tool] = &[
    Tool { program: "ip", packages: &["iproute2"] },
    Tool { program: "ping", packages: &["iputils-ping"] },
    Tool { program: "nft", packages: &["nftables"] },
    Tool { program: "conntrack", packages: &["conntrack"] },
    Tool { program: "tcpdump", packages: &["tcpdump"] },
    Tool { program: "sysctl", packages: &["procps"] },
    Tool { program: "setpriv", packages: &["util-linux"] },
];

/// The IKEv2 implementation that ours is tested against.
pub(crate) const STRONGSWAN: &[Tool] = &[
    Tool {
        program: "charon-systemd",
        packages: &[
            "charon-systemd",
            "libcharon-extauth-plugins",
            "libcharon-extra-plugins",
            "libstrongswan-standard-plugins",
        ],
    },
    Tool { program: "swanctl", packages: &["strongswan-swanctl", "libstrongswan-extra-plugins"] },
];

/// The judge of recorded sessions.
pub(crate) const TSHARK: &[Tool] = &[Tool { program: "tshark", packages: &["tshark"] }];

/// What measures throughput.
pub(crate) const IPERF: &[Tool] = &[Tool { program: "iperf3", packages: &["iperf3"] }];

/// What virtual environments are made with: the scapy judge's, and those of plugins in Python and C.
pub(crate) const PYTHON: &[Tool] = &[Tool { program: "python3", packages: &["python3", "python3-venv"] }];

/// What plugins in JavaScript are built with.
pub(crate) const NODE: &[Tool] =
    &[Tool { program: "node", packages: &["nodejs"] }, Tool { program: "npm", packages: &["npm"] }];

/// A compiler for WebAssembly where rustup has none (build-std needs the sources and a linker).
pub(crate) const GUEST: &[Tool] = &[
    Tool { program: "/usr/bin/rustc", packages: &["rustc-web", "cargo-web", "rust-web-src"] },
    Tool { program: "wasm-ld-19", packages: &["lld-19"] },
];

/// Returns where a program lies, looking also where only root's PATH leads.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Returns what to say when one of these is missing, `None` when all are here.
pub(crate) fn missing(tools: &[&[Tool]]) -> Option<String> {
    let absent: Vec<&Tool> = tools.iter().copied().flatten().filter(|t| find(t.program).is_none()).collect();
    if absent.is_empty() {
        return None;
    }
    let names: Vec<&str> = absent.iter().map(|t| t.program).collect();
    let packages: Vec<&str> = absent.iter().flat_map(|t| t.packages).copied().collect();
    Some(format!("{} missing (install with: apt-get install {})", names.join(", "), packages.join(" ")))
}

/// Returns a skip when something that network tests need is missing: these tools, root, TUN.
pub(crate) fn network_skip(tools: &[&[Tool]]) -> Option<Outcome> {
    if !is_root() {
        return Some(Outcome::Skipped("network namespaces need root (run with sudo -E)".to_owned()));
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        return Some(Outcome::Skipped("there is no /dev/net/tun (install with: modprobe tun)".to_owned()));
    }
    missing(tools).map(Outcome::Skipped)
}

/// Returns whether this process is root.
pub(crate) fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|s| {
        s.lines().any(|l| l.strip_prefix("Uid:").is_some_and(|u| u.split('\t').nth(2) == Some("0")))
    })
}

/// Installs with apt-get what is missing of these; needs root.
pub(crate) fn install(tools: &[&[Tool]]) -> Result<()> {
    let packages: Vec<&str> = tools
        .iter()
        .copied()
        .flatten()
        .filter(|tool| find(tool.program).is_none())
        .flat_map(|tool| tool.packages)
        .copied()
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() || !is_root() {
        bail!("cannot install {} here: that needs apt-get and root", packages.join(" "));
    }
    println!("installing {}", packages.join(" "));
    apt(&["update"])?;
    // One at a time: what one distribution lacks must not keep the rest away.
    for package in packages {
        if let Err(error) = apt(&["install", "--yes", "--no-install-recommends", package]) {
            println!("could not install {package}: {error:#}");
        }
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["--quiet=2", "-o", "DPkg::Lock::Timeout=120"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .context("cannot start apt-get")?;
    if !output.status.success() {
        bail!("apt-get {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_installs_every_package_that_a_task_asks_for() {
        let script = include_str!("../../../.ci/run");
        let words: Vec<&str> = script.split([' ', '\n', ';']).collect();
        for tool in [NETWORK, STRONGSWAN, TSHARK, IPERF, PYTHON, NODE, GUEST].into_iter().flatten() {
            for package in tool.packages {
                assert!(words.contains(package), ".ci/run does not install {package}");
            }
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        const NONE: &[Tool] = &[Tool { program: "no-such-program", packages: &["no-such-package"] }];
        let text = missing(&[NONE]).unwrap();
        assert!(text.contains("no-such-program") && text.contains("apt-get install no-such-package"));
    }
}
