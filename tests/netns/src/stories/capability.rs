//! The rights that the unit vpnhost.service leaves: three capabilities, no new ones, a file system that is read only.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::leak::{expect_traces, traces};
use crate::capture::{Capture, packets};
use crate::command::said;
use crate::peers::{CONNECTION, End, Peer as _, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Lab, Topology, Vpnhost, lab};

/// The capabilities in setpriv's words, and as the kernel shows them.
const CAPABILITIES: &str = "-all,+net_admin,+net_raw,+net_bind_service";
const SHOWN: &str = "0000000000003400";

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![Story::new("capability-three-suffice", three_suffice)]
}

/// Both ends go through a life with raw ESP, a virtual address, a masquerading pool, a crash and a cleanup.
fn three_suffice(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let before = (traces(&lab.carol)?, traces(&lab.moon)?);
    let confined = confined(&lab, &ground.vpnhost)?;
    let mut tunnel = Tunnel::new(&confined, "aes256gcm16-prfsha384-x25519", "aes128gcm16");
    tunnel.encapsulation = "auto".to_owned();
    "masquerade = true".clone_into(&mut tunnel.tables.1);
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    for daemon in [&gateway, &client] {
        let pid = daemon.pid().context("it runs")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapAmb:"] {
            ensure!(line(set) == Some(SHOWN), "{set} {SHOWN} expected: {status}");
        }
        ensure!(line("NoNewPrivs:") == Some("1"), "new privileges are possible: {status}");
    }
    let capture = Capture::start(&lab.moon, "eth0", &lab.dir().join("outside.pcap"))?;
    client.verb(&["up", CONNECTION])?;
    ping(&lab.carol, lab::ALICE, 10)?;
    let raw = packets(&capture.finish()?, "ip proto 50")?.len();
    ensure!(raw >= 20, "{raw} packets of raw ESP");
    ensure!(lab.moon.run("nft list ruleset")?.contains("masquerade"), "the pool is not masqueraded");

    let files = client.kill()?;
    ensure!(lab.carol.run("nft list tables")?.contains("vpnhost_vpn0"), "nothing blocks after a crash");
    let output = files.verb(&["cleanup"])?;
    ensure!(output.status.success(), "cleanup: {}", said(&output));
    expect_traces(&lab.carol, &before.0).context("after cleanup")?;

    let client = files.start()?;
    client.up().context("set-up after the crash")?;
    ping(&lab.carol, lab::ALICE, 3)?;
    client.end()?;
    expect_traces(&lab.carol, &before.0).context("carol")?;
    gateway.end()?;
    expect_traces(&lab.moon, &before.1).context("moon")
}

/// Writes a program that is vpnhost with no more than these rights. `ip netns exec` gives it mounts of its own.
fn confined(lab: &Lab, vpnhost: &Path) -> Result<PathBuf> {
    let sockets = lab.socket("x");
    let written = [lab.dir(), sockets.parent().context("a directory")?].map(|dir| dir.display().to_string());
    let script = format!(
        "#!/bin/sh -e\nfor dir in {}; do mount --bind $dir $dir; done\nmount -o remount,bind,ro /\n\
         exec setpriv --bounding-set={CAPABILITIES} --inh-caps={CAPABILITIES} --ambient-caps={CAPABILITIES} \
         --no-new-privs {} \"$@\"\n",
        written.join(" "),
        vpnhost.display(),
    );
    let path = lab.dir().join("confined");
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
