//! `cargo xtask demo`: two hosts in network namespaces, a NAT between them, a real tunnel, policy in WebAssembly at the
//! gateway, and what it measured.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vpnhost_netns::capture::{Capture, lengths};
use vpnhost_netns::peers::{CONNECTION, End, Peer as _, Tunnel};
use vpnhost_netns::traffic::{self, Load, Transfer};
use vpnhost_netns::vpnhost::found;
use vpnhost_netns::{Lab, Topology, Vpnhost, lab, stories};

use crate::steps::Outcome;
use crate::{build_plugins, interop, tools};

/// What each measured transfer carries.
const OCTETS: u64 = 200_000_000;
/// As fast as it goes.
const UNPACED: u64 = 100_000_000_000;
/// What an IPv4 and a UDP header add to what tcpdump counts.
const HEADERS: usize = 28;

/// Two suites, the weaker first: the plugin at the gateway turns them round.
const IKE: &str = "aes128gcm16-prfsha256-x25519,aes256gcm16-prfsha384-x25519";
const ESP: &str = "aes128gcm16,aes256gcm16";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Installs what is missing, with apt-get
    #[arg(long)]
    install: bool,
}

/// What is told at the end: a label and what was seen.
struct Table(Vec<(String, String)>);

impl Table {
    fn row(&mut self, label: &str, value: impl Into<String>) {
        self.0.push((label.to_owned(), value.into()));
    }
}

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if options.install || (tools::is_root() && tools::missing(&[tools::NETWORK]).is_some()) {
        tools::install(&[tools::NETWORK, tools::GUEST])?;
    }
    if !tools::is_root() {
        return as_ordinary_user();
    }
    if let Some(skip) = tools::network_skip(&[tools::NETWORK]) {
        return Ok(skip);
    }
    say("building the host and the plugins");
    let (program, plugins) = (interop::vpnhost()?, build_plugins::build_plugins()?);
    let began = Instant::now();
    lab::sweep()?;
    let lab = Lab::build(Topology::Nat, &crate::target().join("netns/demo"))?;
    say(
        "carol 10.1.0.10 ── NAT 10.10.0.254 ── 10.10.0.1 moon 10.20.0.1 ── 10.20.0.10 alice, in network namespaces",
    );
    let mut tunnel = Tunnel::new(&program, IKE, ESP);
    tunnel.tables.1 = gateway_plugins(&plugins);
    let mut table = Table(Vec::new());
    story(&lab, tunnel, &mut table)?;
    drop(lab);
    let lab = Lab::build(Topology::Direct, &crate::target().join("netns/demo"))?;
    say("carol has a second link; the component sticky, loaded while the tunnel is up, is told to prefer it");
    let mut tunnel = Tunnel::new(&program, IKE, ESP);
    "    mobike = yes\n".clone_into(&mut tunnel.swanctl.0);
    table.row("roam under a plugin", stories::roam::by_plugin(&lab, &tunnel, &plugins.join("sticky.wasm"))?);
    drop(lab);
    println!("\n{}", "─".repeat(78));
    for (label, value) in &table.0 {
        println!("{label:28} {value}");
    }
    println!("{}", "─".repeat(78));
    println!("done in {:.0} s; the namespaces are gone", began.elapsed().as_secs_f64());
    Ok(Outcome::Passed)
}

/// Shows the same in a user namespace, where an ordinary user may make network namespaces and TUN devices.
fn as_ordinary_user() -> Result<Outcome> {
    say("not root: building, then the same in a user namespace of this user's own");
    interop::vpnhost()?;
    build_plugins::build_plugins()?;
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc"]);
        // `ip netns` keeps its names in /run/netns.
        command.args(["sh", "-c", &format!("mount -t tmpfs tmpfs /run && {script}"), "sh"]);
        command
    };
    let possible = unshare("ip netns add probe && ip netns del probe").output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return Ok(Outcome::Skipped(
            "no user namespaces for ordinary users here (run with sudo -E)".to_owned(),
        ));
    }
    let program = std::env::current_exe()?;
    let status = unshare("exec \"$@\"").arg(program).arg("demo").status().context("unshare")?;
    ensure!(status.success(), "the demonstration failed: {status}");
    Ok(Outcome::Passed)
}

fn gateway_plugins(plugins: &std::path::Path) -> String {
    let file = |name: &str| plugins.join(format!("{name}.wasm")).display().to_string();
    let days = "[\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]";
    format!(
        "[[plugin]]\nname = \"strongest-first\"\npath = {:?}\n\n\
         [[plugin]]\nname = \"office-hours\"\npath = {:?}\n\
         settings = {{ from = \"00:00\", to = \"00:00\", days = {days} }}\n",
        file("strongest-first"),
        file("office-hours"),
    )
}

fn story(lab: &Lab, mut tunnel: Tunnel, table: &mut Table) -> Result<()> {
    say(
        "moon starts as gateway with two plugins: strongest-first ranks proposals, office-hours lets peers in",
    );
    let gateway = Vpnhost::start(lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(lab, End::Client, &tunnel)?;
    set_up(lab, &client, table)?;
    decisions(&gateway, table)?;
    let inner = stories::session::inner_address(lab)?;
    say(&format!("carol is {inner} inside; pings alice through the tunnel"));
    table.row(
        "round trip, carol to alice",
        format!("{:.3} ms (median of 100)", traffic::ping(&lab.carol, lab::ALICE, 100)?),
    );
    measure(lab, &inner, "aws-lc over rustcrypto", table)?;
    say("both SAs are rekeyed under a stream of 200 pings a second");
    table.row("rekeying", rekeyed(lab, &client, &gateway)?);
    say("carol takes the tunnel down and comes back with another crypto backend: rustcrypto alone");
    client.end()?;
    tunnel.program.options = vec!["--crypto".to_owned(), "rustcrypto".to_owned()];
    let client = Vpnhost::start(lab, End::Client, &tunnel)?;
    client.up()?;
    traffic::ping(&lab.carol, lab::ALICE, 5)?;
    measure(lab, &stories::session::inner_address(lab)?, "rustcrypto at carol", table)?;
    client.end()?;
    gateway.end().map(drop)
}

/// Sets the tunnel up under a capture, and tells what it cost on the wire.
fn set_up(lab: &Lab, client: &Vpnhost, table: &mut Table) -> Result<()> {
    let capture = Capture::start(&lab.carol, "eth0", &lab.dir().join("set-up.pcap"))?;
    let began = Instant::now();
    client.verb(&["up", CONNECTION])?;
    let took = began.elapsed();
    let file = capture.finish()?;
    // IKE on port 4500 begins with four zero octets (RFC 3948, 2.2); ESP is not counted.
    let filter = "udp port 500 or (udp port 4500 and udp[4:2] > 9 and udp[8:4] = 0)";
    let lengths = lengths(&file, filter)?;
    let octets: usize = lengths.iter().map(|length| length + HEADERS).sum();
    say(&format!("carol is connected after {:.0} ms", took.as_secs_f64() * 1e3));
    table.row(
        "set-up",
        format!("{} messages, {octets} octets, {:.0} ms", lengths.len(), took.as_secs_f64() * 1e3),
    );
    Ok(())
}

/// Tells who decided what at the gateway.
fn decisions(gateway: &Vpnhost, table: &mut Table) -> Result<()> {
    let status = gateway.json(&["status"])?;
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or("?").to_owned();
    for decision in found(&status, "decisions") {
        let label = format!("moon: {}", text(decision, "question"));
        table.row(&label, format!("{} ({})", text(decision, "outcome"), text(decision, "by")));
    }
    Ok(())
}

fn measure(lab: &Lab, inner: &str, backend: &str, table: &mut Table) -> Result<()> {
    say(&format!("{} MB to alice and back, checksums compared ({backend})", OCTETS / 1_000_000));
    let load = Load { octets: OCTETS, per_second: UNPACED };
    let limit = Duration::from_secs(60);
    let to = format!("{}:5001", lab::ALICE);
    let up = Transfer::start(&lab.carol, &lab.alice, &to, load, lab.dir())?.finish(limit)?;
    let from = format!("{inner}:5002");
    let down = Transfer::start(&lab.alice, &lab.carol, &from, load, lab.dir())?.finish(limit)?;
    let rate = |carried: traffic::Carried| carried.octets as f64 * 8e-6 / carried.seconds;
    table.row(
        "throughput, one TCP stream",
        format!("{:.0} / {:.0} Mbit/s up / down ({backend})", rate(up), rate(down)),
    );
    Ok(())
}

fn rekeyed(lab: &Lab, client: &Vpnhost, gateway: &Vpnhost) -> Result<String> {
    let pings = traffic::PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("pings.log"))?;
    client.rekey_child().context("rekey of the Child SA")?;
    gateway.rekey_ike().context("rekey of the IKE SA")?;
    std::thread::sleep(Duration::from_secs(1));
    let pings = pings.finish()?;
    pings.check_none_lost().context("pings over the rekeys")?;
    Ok(format!("Child SA by carol, IKE SA by moon: {} of {} pings lost", pings.lost.len(), pings.sent))
}

fn say(text: &str) {
    println!("• {text}");
}
