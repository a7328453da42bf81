//! `cargo xtask lab`: the namespaces of the tests, to experiment in by hand.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use vpnhost_netns::judge::judge;
use vpnhost_netns::{Lab, Topology, namespace, stream, traffic};

use crate::steps::Outcome;
use crate::tools;

/// What the names of the hand-made lab's namespaces begin with.
const PREFIX: &str = "lab-";

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Builds lab-carol, lab-moon, lab-alice (and lab-inet, unless the link is direct): carol — moon — alice
    Up {
        #[arg(value_enum, default_value_t = Shape::Direct)]
        topology: Shape,
    },
    /// Ends what runs in them and removes them
    Down,
    /// Lets tshark decrypt a capture with the keys that vpnhost wrote, and tells what it saw
    Judge { capture: PathBuf, keylog: PathBuf },
    /// Runs a command in one of them: lab exec carol ping 10.20.0.10
    Exec {
        role: String,
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Shape {
    Direct,
    Nat,
    TwoPaths,
    TwoPathsNat,
}

pub(crate) fn run(options: &Options) -> Result<Outcome> {
    if let Some(skip) = tools::network_skip(&[tools::NETWORK]) {
        return Ok(skip);
    }
    match &options.action {
        Action::Up { topology } => up(*topology)?,
        Action::Down => down()?,
        Action::Judge { capture, keylog } => println!("{:#?}", judge(capture, keylog)?),
        Action::Exec { role, command } => exec(role, command)?,
    }
    Ok(Outcome::Passed)
}

fn up(shape: Shape) -> Result<()> {
    down()?;
    let topology = match shape {
        Shape::Direct => Topology::Direct,
        Shape::Nat => Topology::Nat,
        Shape::TwoPaths => Topology::TwoPaths,
        Shape::TwoPathsNat => Topology::TwoPathsNat,
    };
    let lab = Lab::build_as(PREFIX, topology, &crate::target().join("netns/lab"))?;
    println!("{} is up: {}", topology.name(), namespace::named(PREFIX)?.join(" "));
    println!("carol {} reaches moon at {}", topology.carol(), vpnhost_netns::lab::MOON);
    println!("alice {} is behind moon and reached by a tunnel only", vpnhost_netns::lab::ALICE);
    lab.leave();
    Ok(())
}

fn down() -> Result<()> {
    namespace::named(PREFIX)?.iter().try_for_each(|name| namespace::remove(name))
}

fn exec(role: &str, command: &[String]) -> Result<()> {
    let name = format!("{PREFIX}{role}");
    if !namespace::named(PREFIX)?.contains(&name) {
        bail!("there is no namespace {name} (cargo xtask lab up)");
    }
    let status = Command::new("ip").args(["netns", "exec", &name]).args(command).status().context("ip")?;
    if !status.success() {
        bail!("{}: {status}", command.join(" "));
    }
    Ok(())
}

#[derive(clap::Args)]
pub(crate) struct TrafficOptions {
    #[command(subcommand)]
    end: End,
}

#[derive(clap::Subcommand)]
enum End {
    /// Takes one connection and prints how much came and its SHA-256
    Receive { address: String },
    /// Sends at least so many octets, and on until standard input closes
    Send { address: String, octets: u64, per_second: u64 },
    /// Sends numbered packets, each interval one, until standard input closes, and prints which were answered when
    Stream { target: String, interval_ms: u64 },
    /// Answers such packets until standard input closes
    Echo { address: String },
    /// Sends a datagram so often, each time with another number in its first octets
    Flood { address: String, datagram: String, times: u32 },
    /// Answers every DNS question with one address until standard input closes
    Resolve { address: String, answer: Ipv4Addr },
    /// Asks the first server of /etc/resolv.conf for a name, and prints the address
    LookUp { name: String },
    /// Sets up so many IKE SAs with a gateway and holds them until standard input closes
    Crowd { gateway: String, count: usize },
    /// Begins IKE SAs for so many seconds in the names of others
    Spoof { gateway: String, seconds: u64 },
    /// Begins so many IKE SAs from one address, and returns the cookies
    ReturnCookies { gateway: String, count: u64 },
    /// Holds a UDP port until standard input closes
    Occupy { address: String },
}

pub(crate) fn traffic(options: &TrafficOptions) -> Result<Outcome> {
    match &options.end {
        End::Receive { address } => traffic::receive(address)?,
        End::Flood { address, datagram, times } => traffic::flood(address, datagram, *times)?,
        End::Crowd { gateway, count } => vpnhost_netns::load::hold(gateway, *count)?,
        End::Spoof { gateway, seconds } => vpnhost_netns::flood::spoof(gateway, *seconds)?,
        End::ReturnCookies { gateway, count } => vpnhost_netns::flood::return_cookies(gateway, *count)?,
        End::Stream { target, interval_ms } => stream::send(target, Duration::from_millis(*interval_ms))?,
        End::Echo { address } => stream::echo(address)?,
        End::Occupy { address } => traffic::occupy(address)?,
        End::Resolve { address, answer } => traffic::resolve(address, *answer)?,
        End::LookUp { name } => println!("{}", traffic::look_up(name)?),
        End::Send { address, octets, per_second } => traffic::send(address, *octets, *per_second)?,
    }
    Ok(Outcome::Passed)
}
