//! Independent judges in Python, in a virtual environment below target: scapy of ESP (`tests/netns/esp/judge.py`), and the
//! cryptography package of a recorded IKE_AUTH with DSS (`tests/netns/ike/dss.py`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::{Outcome, logged, logged_status};
use crate::test::count_before;
use crate::tools;

/// Lets scapy and our ESP open each other's packets, and an exchange with DSS be verified; counts.
pub(crate) fn run() -> Result<Outcome> {
    if let Some(text) = tools::missing(&[tools::PYTHON]) {
        return Ok(Outcome::Skipped(text));
    }
    let directory = crate::root().join("tests/netns/esp");
    let python = match environment(&directory.join("requirements.txt")) {
        Ok(python) => python,
        Err(error) => return Ok(Outcome::Skipped(format!("scapy is not to be had here: {error:#}"))),
    };
    let esp = judged(&python, "esp_oracle", &directory.join("judge.py"))?;
    let dss = judged(&python, "dss_exchange", &crate::root().join("tests/netns/ike/dss.py"))?;
    Ok(Outcome::Counted { passed: esp.0 + dss.0, failed: esp.1 + dss.1 })
}

/// Builds an example that shows what is to be judged, and lets a script judge it; returns how much is right and how much
/// is not.
fn judged(python: &Path, example: &str, script: &Path) -> Result<(usize, usize)> {
    let build = ["build", "--release", "--workspace", "--example", example];
    logged(&format!("build {example}"), Command::new("cargo").args(build))?;
    let shown = crate::target().join("release/examples").join(example);
    let mut judge = Command::new(python);
    let (status, text) = logged_status(&format!("judge {example}"), judge.arg(script).arg(shown))?;
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
