//! `cargo xtask bench load`: what many IKE SAs cost a gateway that knows many users, ours and strongSwan's, under the same
//! load in one run. The load comes from the same machine: only the two rows of a run may be compared.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use vpnhost_netns::peers::{End, Tunnel};
use vpnhost_netns::strongswan::Strongswan;
use vpnhost_netns::vpnhost::Files;
use vpnhost_netns::{Lab, Running, Topology, lab, load};

use crate::steps::Outcome;
use crate::{interop, tools};

/// How long all set-ups may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// Ticks of processor time in a second, as /proc tells them on Linux.
const TICKS: f64 = 100.0;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Prints one JSON document instead of a table
    #[arg(long)]
    json: bool,
    /// IKE SAs that are set up and held, each with a Child SA
    #[arg(long, default_value_t = 2000)]
    sas: usize,
    /// Takes the binary as it lies in target, without a look whether it is new
    #[arg(long)]
    built: bool,
    /// Users that the gateway has secrets of
    #[arg(long, default_value_t = 10_000)]
    users: usize,
}

impl Options {
    /// Returns what CI does, so that the measure itself does not rot.
    pub(crate) fn small() -> Self {
        Self { json: false, built: false, sas: 100, users: 500 }
    }
}

/// What was measured of one gateway.
struct Row {
    name: &'static str,
    /// Set-ups in a second, as the initiators saw them.
    rate: f64,
    /// Milliseconds of processor time of the gateway for each.
    processor: f64,
    /// Resident kB before the first, and with all.
    resident: (u64, u64),
    /// The most that was resident at any time.
    peak: u64,
}

impl Row {
    /// Resident kB for each IKE SA with its Child SA.
    fn each(&self, sas: usize) -> f64 {
        self.resident.1.saturating_sub(self.resident.0) as f64 / sas as f64
    }
}

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let needed = [tools::NETWORK, tools::STRONGSWAN];
    if let Some(skip) = tools::network_skip(&needed) {
        return Ok(skip);
    }
    lab::sweep()?;
    let program = if options.built { crate::target().join("release/vpnhost") } else { interop::vpnhost()? };
    let rows = measure(&program, options)?;
    match options.json {
        true => print_json(&rows, options),
        false => print_table(&rows, options),
    }
    Ok(Outcome::Passed)
}

fn measure(program: &Path, options: &Options) -> Result<[Row; 2]> {
    ensure!(
        options.sas <= options.users,
        "each IKE SA is of a user of its own: --users {} or more",
        options.sas
    );
    let lab = Lab::build(Topology::Direct, &crate::target().join("netns/bench-load"))?;
    lab.carol.run(&format!("ip route add local {} dev lo", load::ADDRESSES))?;
    lab.moon.run(&format!("ip route add {} via {}", load::ADDRESSES, Topology::Direct.carol()))?;
    let tunnel = Tunnel::new(program, load::IKE, load::ESP);
    let theirs = strongswan(&lab, &tunnel, options).context("strongSwan")?;
    let ours = vpnhost(&lab, &tunnel, options).context("vpnhost")?;
    Ok([theirs, ours])
}

fn strongswan(lab: &Lab, tunnel: &Tunnel, options: &Options) -> Result<Row> {
    let gateway = Strongswan::start_with(lab, End::Gateway, tunnel, &load::swanctl_conf(options.users))?;
    let pid = gateway.pid().context("it has ended")?;
    let row = under_load(lab, "strongSwan", pid, options);
    vpnhost_netns::peers::Peer::stop(Box::new(gateway))?;
    row
}

fn vpnhost(lab: &Lab, tunnel: &Tunnel, options: &Options) -> Result<Row> {
    let files = Files::write(lab, End::Gateway, tunnel)?;
    let secrets = lab.dir().join("secrets");
    std::fs::write(&secrets, load::secrets(options.users))?;
    vpnhost_netns::command::run(Command::new("chmod").arg("600").arg(&secrets))?;
    let control = files.control().display().to_string();
    std::fs::write(files.config(), load::vpnhost_toml(&control, &secrets.display().to_string()))?;
    let gateway = files.start()?;
    let pid = gateway.pid().context("it has ended")?;
    let row = under_load(lab, "vpnhost", pid, options);
    gateway.end()?;
    row
}

/// Sets up and holds all SAs, and looks at the process meanwhile.
fn under_load(lab: &Lab, name: &'static str, pid: u32, options: &Options) -> Result<Row> {
    let before = Process::read(pid)?;
    let mut command = lab.carol.command(std::env::current_exe()?);
    command.args(["traffic", "crowd", lab::MOON, &options.sas.to_string()]);
    let mut crowd = Running::start(&mut command, &lab.dir().join(format!("crowd-{name}.log")))?;
    crowd.wait_log("seconds ", PATIENCE)?;
    let after = Process::read(pid)?;
    let log = crowd.log();
    let seconds: f64 =
        log.split_whitespace().last().unwrap_or_default().parse().context("no time printed")?;
    crowd.close_input();
    crowd.wait(Duration::from_secs(30))?;
    let sas = options.sas as f64;
    Ok(Row {
        name,
        rate: sas / seconds,
        processor: (after.ticks - before.ticks) / TICKS * 1e3 / sas,
        resident: (before.resident, after.resident),
        peak: after.peak,
    })
}

/// What the kernel tells of a process.
struct Process {
    resident: u64,
    peak: u64,
    ticks: f64,
}

impl Process {
    fn read(pid: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context(name.to_owned())?;
            Ok::<u64, anyhow::Error>(line.trim().trim_end_matches(" kB").parse()?)
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the name, which may hold anything: user time is the 12th field, system time the 13th.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        Ok(Self { resident: field("VmRSS:")?, peak: field("VmHWM:")?, ticks: ticks(11) + ticks(12) })
    }
}

fn print_table(rows: &[Row], options: &Options) {
    let Options { sas, users, .. } = options;
    println!("{sas} IKE SAs with a Child SA each, {users} users by secret; {}, {}\n", load::IKE, load::ESP);
    println!(
        "{:12} {:>12} {:>14} {:>14} {:>14} {:>14} {:>12}",
        "", "set-ups/s", "ms each (CPU)", "kB before", "kB with all", "kB at most", "kB per SA"
    );
    for row in rows {
        println!(
            "{:12} {:12.0} {:14.2} {:14} {:14} {:14} {:12.1}",
            row.name,
            row.rate,
            row.processor,
            row.resident.0,
            row.resident.1,
            row.peak,
            row.each(*sas)
        );
    }
}

fn print_json(rows: &[Row], options: &Options) {
    let row = |row: &Row| {
        json!({
            "name": row.name, "setups_per_second": row.rate, "cpu_ms_per_setup": row.processor,
            "rss_kb_before": row.resident.0, "rss_kb_after": row.resident.1, "rss_kb_peak": row.peak,
            "kb_per_sa": row.each(options.sas),
        })
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    println!("{}", json!({"sas": options.sas, "users": options.users, "rows": rows}));
}
