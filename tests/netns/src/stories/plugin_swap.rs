//! Components that take each other's place in a running host: no SA and no question is lost. Under a load that fills the
//! kernel's queues a ping may be: the kernel counts what it drops, but not whether a ping was among it, so that check is weak.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::plugin::table;
use crate::peers::{Pair, Peer, Player, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::{Load, PingStream, Transfer};
use crate::vpnhost::found;
use crate::{Lab, Topology, Vpnhost, lab, wait};

const IKE: &str = "aes128gcm16-prfsha256-x25519,aes256gcm16-prfsha384-x25519";
const ESP: &str = "aes128gcm16";
const SOON: Duration = Duration::from_secs(15);
/// What is carried meanwhile, as fast as the machine does it.
const LOAD: Load = Load { octets: 200 << 20, per_second: u64::MAX };
/// How often each policy is replaced.
const SWAPS: usize = 10;
/// The longest that a component may take from when it is ready until it answers, in microseconds: a call of the one before
/// may be under way, for its deadline at most.
const LONGEST_MICROS: u64 = 50_000;
/// What half of the swaps take at most.
const MEDIAN_MICROS: u64 = 2_000;

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![
        Story::new("plugin-swap-under-load", under_load),
        Story::new("plugin-swap-fails", fails),
        Story::new("plugin-swap-trial", trial),
        Story::new("plugin-swap-watched", watched),
    ]
}

fn file(ground: &Ground, name: &str) -> Result<String> {
    let path = ground.plugins.join(format!("{name}.wasm"));
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

/// An address policy at the client, an IKE policy at the gateway.
fn pair(ground: &Ground, lab: &Lab, more: &str) -> Result<(Tunnel, Pair)> {
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, ESP);
    tunnel.tables.0 = table(ground, "sticky", more);
    tunnel.tables.1 = table(ground, "strongest-first", more);
    let pair = Pair::start(lab, (Player::Ours, Player::Ours), &tunnel)?;
    pair.client.up().context("set-up")?;
    pair.expect(SaCount::ONE, SOON)?;
    Ok((tunnel, pair))
}

fn ours(peer: &dyn Peer) -> Result<&Vpnhost> {
    peer.as_vpnhost().context("ours")
}

/// Returns what is told of the plugin.
fn plugin(peer: &dyn Peer) -> Result<Value> {
    let status = ours(peer)?.json(&["list", "plugins"])?;
    found(&status, "plugins").first().map(|it| (*it).clone()).context("no plugin is told of")
}

/// Swaps, and returns how long that took, in microseconds.
fn swap(ground: &Ground, peer: &dyn Peer, name: &str, by: &str) -> Result<u64> {
    let text = ours(peer)?.verb(&["plugin", "load", &file(ground, by)?, "--name", name])?;
    let micros = text.split(" µs after it was ready").next().and_then(|it| it.split_whitespace().last());
    micros.and_then(|it| it.parse().ok()).with_context(|| format!("no time is told: {text}"))
}

/// Counts the packets of the tunnel that both ends' kernels dropped since a queue was full: of the TUN, of a socket.
fn full_queues(lab: &Lab) -> Result<u64> {
    let mut all = 0;
    for space in [&lab.carol, &lab.moon] {
        let tun = space
            .run("cat /sys/class/net/vpn0/statistics/tx_dropped /sys/class/net/vpn0/statistics/rx_dropped")?;
        for count in tun.split_whitespace() {
            all += count.parse::<u64>()?;
        }
        let snmp = space.run("cat /proc/net/snmp")?;
        let mut udp = snmp.lines().filter(|line| line.starts_with("Udp: "));
        let (names, counts) = udp.next().zip(udp.next()).context("no counters of UDP")?;
        let of_queue = |name: &str| name == "RcvbufErrors" || name == "SndbufErrors";
        for (_, count) in names.split(' ').zip(counts.split(' ')).filter(|(name, _)| of_queue(name)) {
            all += count.parse::<u64>()?;
        }
    }
    Ok(all)
}

/// While a transfer goes as fast as it can and pings go every 5 ms, the policies at both ends are replaced again and again,
/// and decide: keys change meanwhile.
fn under_load(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (_, pair) = pair(ground, &lab, "")?;
    let full_before = full_queues(&lab)?;
    let pings = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("pings.log"))?;
    let address = format!("{}:7001", lab::ALICE);
    let mut transfer = Transfer::start(&lab.carol, &lab.alice, &address, LOAD, lab.dir())?;
    let mut micros = Vec::new();
    for turn in 0..SWAPS {
        let (ways, suites) = match turn % 2 {
            0 => ("lowest-rtt", "strict-modern"),
            _ => ("sticky", "strongest-first"),
        };
        micros.push(swap(ground, &*pair.client, "sticky", ways)?);
        micros.push(swap(ground, &*pair.gateway, "strongest-first", suites)?);
        if turn % 3 == 0 {
            pair.client.rekey_child()?;
            pair.client.rekey_ike()?;
        }
    }
    transfer.check_under_way()?;
    let carried = transfer.finish(Duration::from_secs(300))?;
    let pings = pings.finish()?;
    let full = full_queues(&lab)? - full_before;
    micros.sort_unstable();
    let (median, slowest) = (micros[micros.len() / 2], micros[micros.len() - 1]);
    println!(
        "         {} swaps under {:.0} Mbit/s: median {median} µs, slowest {slowest} µs from ready to active; {} of {} pings \
         lost, {full} packets found a queue of the kernel full, longest pause of the transfer {:.0} ms",
        micros.len(),
        carried.octets as f64 * 8e-6 / carried.seconds,
        pings.lost.len(),
        pings.sent,
        carried.stall * 1e3,
    );
    // As fast as it can is at times faster than the kernel's queues are emptied, swaps or none; it counts what it drops.
    ensure!(
        pings.lost.len() as u64 <= full,
        "{} pings are lost, and {full} were by the load",
        pings.lost.len()
    );
    ensure!(
        median <= MEDIAN_MICROS && slowest <= LONGEST_MICROS,
        "a swap took {slowest} µs, half of them {median} µs"
    );
    pair.expect(SaCount::ONE, SOON)?;
    let told = plugin(&*pair.client)?;
    ensure!(
        told["failed"] == 0 && told["off_the_menu"] == 0 && told["refused"] == 0,
        "questions failed: {told}"
    );
    pair.client.stop()?;
    pair.gateway.stop()
}

/// What cannot take over leaves the other where it is: one that does not start, and one that is no component.
fn fails(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (_, pair) = pair(ground, &lab, "")?;
    let before = plugin(&*pair.client)?;
    let text = lab.dir().join("text.wasm");
    std::fs::write(&text, "this is a text")?;
    let text = text.to_str().context("a path that is no text")?;
    for (file, why) in [
        (file(ground, "office-hours")?, "refuses its settings"),
        (text.to_owned(), "is not a WebAssembly component"),
    ] {
        let output = ours(&*pair.client)?.files().verb(&["plugin", "load", &file, "--name", "sticky"])?;
        let said = crate::command::said(&output);
        ensure!(output.status.code() == Some(1) && said.contains(why), "{file}: {}: {said}", output.status);
    }
    let output = ours(&*pair.client)?.files().verb(&["plugin", "rollback", "stikcy"])?;
    let said = crate::command::said(&output);
    ensure!(output.status.code() == Some(1) && said.contains("did you mean sticky?"), "{said}");
    ensure!(plugin(&*pair.client)?["sha256"] == before["sha256"], "another component answers");
    crate::traffic::ping(&lab.carol, lab::ALICE, 3)?;
    pair.client.stop()?;
    pair.gateway.stop()
}

/// A component is compared, decides for a share, takes over, and is taken back; one more is added and taken out.
fn trial(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (_, pair) = pair(ground, &lab, "")?;
    let gateway = ours(&*pair.gateway)?;
    let other = file(ground, "strict-modern")?;
    let before = plugin(&*pair.gateway)?["sha256"].clone();
    gateway.verb(&["plugin", "load", &other, "--name", "strongest-first", "--shadow"])?;
    pair.client.rekey_ike()?;
    wait::until_true("a comparison", SOON, || {
        Ok(plugin(&*pair.gateway)?["trial"]["asked"].as_u64().is_some_and(|asked| asked > 0))
    })?;
    let told = plugin(&*pair.gateway)?;
    ensure!(told["trial"]["kind"] == "shadow" && told["trial"]["differs"] != 0, "{told}");
    ensure!(
        told["trial"]["last"].as_str().is_some_and(|last| last.starts_with("rank-proposals of ")),
        "{told}"
    );
    ensure!(told["sha256"] == before, "the shadow decides: {told}");
    gateway.verb(&["plugin", "load", &other, "--name", "strongest-first", "--canary", "100%"])?;
    pair.client.rekey_ike()?;
    let told = plugin(&*pair.gateway)?;
    ensure!(told["trial"]["kind"] == "canary 100 %" && told["trial"]["asked"] != 0, "{told}");
    gateway.verb(&["plugin", "promote", "strongest-first"])?;
    let told = plugin(&*pair.gateway)?;
    ensure!(told["sha256"] != before && told["previous"] == before && told["trial"].is_null(), "{told}");
    gateway.verb(&["plugin", "rollback", "strongest-first"])?;
    ensure!(plugin(&*pair.gateway)?["sha256"] == before, "the one before does not answer");
    gateway.verb(&["plugin", "load", &file(ground, "keen")?])?;
    ensure!(plugin(&*pair.gateway)?["name"] == "keen", "the new one is not asked first");
    gateway.verb(&["plugin", "unload", "keen"])?;
    ensure!(plugin(&*pair.gateway)?["name"] == "strongest-first", "it is still asked");
    pair.expect(SaCount::ONE, SOON)?;
    pair.client.stop()?;
    pair.gateway.stop()
}

/// A file that is watched is taken once it has been replaced, and one that is broken is not.
fn watched(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let path = lab.dir().join("policy.wasm");
    std::fs::copy(file(ground, "sticky")?, &path)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, ESP);
    tunnel.tables.0 = format!("[[plugin]]\nname = \"ways\"\npath = \"{}\"\nwatch = true\n", path.display());
    let pair = Pair::start(&lab, (Player::Ours, Player::Ours), &tunnel)?;
    pair.client.up()?;
    let before = plugin(&*pair.client)?["sha256"].clone();
    std::fs::write(&path, "half a file")?;
    wait::until_true("a refusal", SOON, || {
        Ok(pair.client.log().contains("a plugin's file has changed and is not taken"))
    })?;
    ensure!(plugin(&*pair.client)?["sha256"] == before, "what is broken answers");
    std::fs::copy(file(ground, "lowest-rtt")?, &path)?;
    wait::until_true("a swap", SOON, || Ok(plugin(&*pair.client)?["sha256"] != before))?;
    pair.expect(SaCount::ONE, SOON)?;
    pair.client.stop()?;
    pair.gateway.stop()
}
