//! `cargo xtask bench`: TCP throughput and round trips through our tunnel, through strongSwan's (user-space ESP) and
//! over the plain veth, in one run: only the ratios mean something on another machine.

pub(crate) mod load;

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use vpnhost_netns::peers::{Pair, Player, Tunnel};
use vpnhost_netns::{Lab, Running, Topology, lab, traffic, wait};

use crate::interop;
use crate::steps::Outcome;
use crate::tools;

/// The suite of the measure.
const IKE: &str = "aes128gcm16-prfsha256-x25519";
const ESP: &str = "aes128gcm16";
/// The gateway's address in the network behind it, which only the tunnel reaches.
const INNER_MOON: &str = "10.20.0.1";
const RUNS: usize = 3;
const PINGS: u32 = 200;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is measured; without it throughput and round trips
    #[command(subcommand)]
    what: Option<What>,
    /// Prints one JSON document instead of a table
    #[arg(long)]
    json: bool,
    /// Seconds of one iperf3 run
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Options of `vpnhost run`, such as --crypto=rustcrypto
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    host_option: Vec<String>,
}

#[derive(clap::Subcommand)]
enum What {
    /// Memory and time that many IKE SAs take, beside strongSwan's
    Load(load::Options),
}

/// What was measured of one way between two hosts: medians.
struct Row {
    name: &'static str,
    up: f64,
    down: f64,
    ping: f64,
}

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if let Some(What::Load(load)) = &options.what {
        return load::run(load);
    }
    let needed = [tools::NETWORK, tools::STRONGSWAN, tools::IPERF];
    if let Some(skip) = tools::network_skip(&needed) {
        return Ok(skip);
    }
    lab::sweep()?;
    let mut tunnel = Tunnel::new(&interop::vpnhost()?, IKE, ESP);
    tunnel.program.options.clone_from(&options.host_option);
    let lab = Lab::build(Topology::Direct, &crate::target().join("netns/bench"))?;
    let mut rows = vec![measure(&lab, "veth, no tunnel", lab::MOON, options)?];
    let progress = |rows: &[Row]| eprintln!("measured: {}", rows.last().map_or("", |row| row.name));
    progress(&rows);
    for (name, player) in [("strongSwan", Player::Strongswan), ("vpnhost", Player::Ours)] {
        let pair = Pair::start(&lab, (player, player), &tunnel)?;
        pair.client.up().with_context(|| format!("set-up of {name}"))?;
        rows.push(measure(&lab, name, INNER_MOON, options).with_context(|| name)?);
        progress(&rows);
        pair.client.stop()?;
        pair.gateway.stop()?;
    }
    if options.json {
        print_json(&rows)
    } else {
        print_table(&rows)
    }
    Ok(Outcome::Passed)
}

fn measure(lab: &Lab, name: &'static str, target: &str, options: &Options) -> Result<Row> {
    let ping = traffic::ping(&lab.carol, target, PINGS)?;
    let series = |extra: &str| {
        (0..RUNS).map(|_| iperf(lab, target, options.seconds, extra)).collect::<Result<Vec<f64>>>()
    };
    Ok(Row { name, ping, up: median(series("")?), down: median(series("-R")?) })
}

/// One run of iperf3 from carol; returns what was received, in Mbit/s.
fn iperf(lab: &Lab, target: &str, seconds: u32, extra: &str) -> Result<f64> {
    let mut command = lab.moon.command("iperf3");
    command.args(["--server", "--one-off", "--forceflush", "--port", "5999"]);
    let mut server = Running::start(&mut command, &lab.dir().join("iperf3-server.log"))?;
    server.wait_log("Server listening", Duration::from_secs(5))?;
    let line = format!("iperf3 --json -C cubic -c {target} --port 5999 -t {seconds} {extra}");
    let text = lab.carol.run(&line)?;
    wait::until("the end of iperf3's server", Duration::from_secs(10), || server.ended())?;
    let value: Value = serde_json::from_str(&text).context("iperf3 --json")?;
    let received =
        value["end"]["sum_received"]["bits_per_second"].as_f64().context("iperf3 measured nothing")?;
    Ok(received / 1e6)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print_table(rows: &[Row]) {
    println!("one TCP stream, cubic, both ends on this machine; medians of {RUNS}; {ESP}\n");
    println!("{:18} {:>12} {:>12} {:>10}", "", "up Mbit/s", "down Mbit/s", "ping ms");
    for row in rows {
        println!("{:18} {:12.0} {:12.0} {:10.3}", row.name, row.up, row.down, row.ping);
    }
    if let [veth, strongswan, ours] = rows {
        println!(
            "\nvpnhost : strongSwan  {:.2} up, {:.2} down",
            ours.up / strongswan.up,
            ours.down / strongswan.down
        );
        println!("vpnhost : veth        {:.3} up, {:.3} down", ours.up / veth.up, ours.down / veth.down);
        println!("ping vpnhost - veth   {:.3} ms", ours.ping - veth.ping);
    }
}

fn print_json(rows: &[Row]) {
    let row =
        |row: &Row| json!({"name": row.name, "up_mbit": row.up, "down_mbit": row.down, "ping_ms": row.ping});
    let mut document = json!({"esp": ESP, "runs": RUNS, "rows": rows.iter().map(row).collect::<Vec<_>>()});
    if let [_, strongswan, ours] = rows {
        document["ratio_to_strongswan"] =
            json!({"up": ours.up / strongswan.up, "down": ours.down / strongswan.down});
    }
    println!("{document}");
}
