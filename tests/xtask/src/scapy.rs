//! Independent judges in Python, in a virtual environment below target: scapy of ESP (`tests/netns/esp/judge.py`) and of
//! moves behind a NAT and back (`tests/netns/ike/moves.py`), and the cryptography package of a recorded IKE_AUTH with DSS
//! (`tests/netns/ike/dss.py`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use vpnhost_netns::lab;
use vpnhost_netns::stories::mobility::recorded_moves;
use vpnhost_netns::story::Ground;

use crate::interop;
use crate::steps::{Outcome, logged, logged_status};
use crate::test::count_before;
use crate::tools;

/// Lets scapy and our ESP open each other's packets, and an exchange with DSS be verified; counts.
pub(crate) fn run() -> Result<Outcome> {
    with_python(|python| {
        let esp = shown(python, "esp_oracle", "tests/netns/esp/judge.py")?;
        let dss = shown(python, "dss_exchange", "tests/netns/ike/dss.py")?;
        Ok(Outcome::Counted { passed: esp.0 + dss.0, failed: esp.1 + dss.1, failures: Vec::new() })
    })
}

/// Moves behind a NAT and back, and lets scapy read what both ends saw; counts.
pub(crate) fn moves() -> Result<Outcome> {
    if let Some(skip) = tools::network_skip(&[tools::NETWORK]) {
        return Ok(skip);
    }
    with_python(|python| {
        lab::sweep()?;
        let mut ground = Ground::new(&interop::vpnhost()?, Path::new(""), &crate::target().join("netns"));
        ground.dir = ground.root.join("recorded-moves");
        let recorded = recorded_moves(&ground).context("moves")?;
        let seen = [&recorded.client, &recorded.gateway, &recorded.keys].map(PathBuf::as_path);
        let (passed, failed) = judged(python, "moves", "tests/netns/ike/moves.py", &seen)?;
        if failed == 0 && std::env::var_os("VPNHOST_KEEP").is_none() {
            std::fs::remove_dir_all(&ground.dir)?;
        }
        Ok(Outcome::Counted { passed, failed, failures: Vec::new() })
    })
}

/// Does something with the virtual environment's Python, where it is to be had.
fn with_python(judge: impl FnOnce(&Path) -> Result<Outcome>) -> Result<Outcome> {
    if let Some(text) = tools::missing(&[tools::PYTHON]) {
        return Ok(Outcome::Skipped(text));
    }
    match environment(&crate::root().join("tests/netns/esp/requirements.txt")) {
        Ok(python) => judge(&python),
        Err(error) => Ok(Outcome::Skipped(format!("scapy is not to be had here: {error:#}"))),
    }
}

/// Builds an example that shows what is to be judged, and lets a script judge it.
fn shown(python: &Path, example: &str, script: &str) -> Result<(usize, usize)> {
    let build = ["build", "--release", "--workspace", "--example", example];
    logged(&format!("build {example}"), Command::new("cargo").args(build))?;
    judged(python, example, script, &[&crate::target().join("release/examples").join(example)])
}

/// Lets a script judge; returns how much is right and how much is not.
fn judged(python: &Path, name: &str, script: &str, arguments: &[&Path]) -> Result<(usize, usize)> {
    let mut judge = Command::new(python);
    judge.arg(crate::root().join(script)).args(arguments);
    let (status, text) = logged_status(&format!("judge {name}"), &mut judge)?;
    let sum = text.lines().rev().find(|line| line.contains(" passed, ")).unwrap_or_default();
    let (passed, failed) = (count_before(sum, "passed"), count_before(sum, "failed"));
    if passed == 0 || (failed == 0 && !status.success()) {
        bail!("the judge itself failed: {status}");
    }
    Ok((passed, failed))
}

/// Makes the virtual environment, unless it is there already with just these requirements; returns its Python.
fn environment(requirements: &Path) -> Result<PathBuf> {
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let directory = crate::target().join("scapy");
    let (python, stamp) = (directory.join("bin/python"), directory.join("installed.txt"));
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let venv = ["-m", "venv", "--clear"];
    logged("venv", Command::new("python3").args(venv).arg(&directory))
        .context("python3 -m venv (install with: apt-get install python3-venv)")?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "-r"];
    logged("pip", Command::new(&python).args(pip).arg(requirements)).context("pip install")?;
    std::fs::write(stamp, wanted)?;
    Ok(python)
}
