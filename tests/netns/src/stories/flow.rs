//! What flows while something else happens: the first packet wakes a connection, and a transfer goes on while the keys
//! under it change for two minutes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::session::{PLAYERS, inner_address};
use crate::capture::{Capture, packets, segments};
use crate::peers::{End, Pair, Peer, Player, SaCount, Tunnel, start};
use crate::story::{Ground, Story};
use crate::traffic::{Load, Transfer};
use crate::witness::{Stalls, Witness};
use crate::{Lab, Topology, Vpnhost, lab, suite};

const IKE: &str = suite::IKE[4];
const ESP: &str = "aes128gcm16";
const SOON: Duration = Duration::from_secs(15);
/// How long a transfer goes on while keys change.
const REKEYED_FOR: Duration = Duration::from_secs(120);
/// What it carries in a second: enough that several packets are under way at each change of keys.
const PER_SECOND: u64 = 2_000_000;
/// What is behind the client where it has no virtual address.
const BEHIND_CAROL: &str = "10.40.0.1/32";
/// The longest pause of a transfer, without what the whole machine stood still in it.
const STALL: f64 = 1.0;

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for (gateway, name) in [(Player::Strongswan, "strongswan"), (Player::Ours, "ours")] {
        stories.push(Story::new(format!("first-packet-{name}"), move |g: &Ground| first_packet(g, gateway)));
    }
    stories.push(Story::new("first-packet-in-vain", first_packet_in_vain));
    stories.push(Story::new("rekey-under-tcp", both_roles));
    stories
}

/// Ours as client and ours as gateway, beside each other: it takes two minutes, not four.
fn both_roles(ground: &Ground) -> Result<()> {
    std::thread::scope(|scope| {
        let told = PLAYERS.map(|(client, gateway, role)| {
            let story = move || rekey_under_tcp(ground, role, (client, gateway)).context(role);
            scope.spawn(story)
        });
        for role in told {
            role.join().map_err(|_| anyhow!("a panic"))??;
        }
        Ok(())
    })
}

/// A tunnel that its first packet brings up.
fn sleeping(ground: &Ground) -> Tunnel {
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, ESP);
    tunnel.virtual_addresses = (false, false);
    "on-traffic".clone_into(&mut tunnel.start);
    // An address of its own: strongSwan's user-space ESP cannot have its peer's outside address in a tunnel.
    BEHIND_CAROL.clone_into(&mut tunnel.behind_client);
    tunnel
}

/// The very first ping is answered: it waits until the tunnel is up, and nothing of it is seen in clear.
fn first_packet(ground: &Ground, gateway: Player) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let tunnel = sleeping(ground);
    lab.carol.run(&format!("ip address add {BEHIND_CAROL} dev lo"))?;
    let gateway = start(gateway, &lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    ensure!(client.sas()? == SaCount::NONE, "a tunnel is up before there is traffic");
    let capture = Capture::start(&lab.carol, "eth0", &lab.dir().join("outside.pcap"))?;
    let said = lab.carol.run(&format!("ping -n -c 1 -W 10 {}", lab::ALICE)).context("the first ping")?;
    ensure!(said.contains("1 received"), "the first ping has no answer: {said}");
    ensure!(client.sas()? == SaCount::ONE, "no tunnel is up");
    let status = client.json(&["status"])?;
    let counter = |name: &str| status["counters"][name].as_u64();
    ensure!(counter("waited").is_some_and(|count| count >= 1), "nothing waited: {}", status["counters"]);
    let file = capture.finish()?;
    let clear = packets(&file, &format!("icmp and host {}", lab::ALICE))?;
    ensure!(clear.is_empty(), "seen in clear: {clear:?}");
    client.end()?;
    gateway.stop()
}

/// Where no gateway answers, what waits goes nowhere and is counted.
fn first_packet_in_vain(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    lab.carol.run(&format!("ip address add {BEHIND_CAROL} dev lo"))?;
    let client = Vpnhost::start(&lab, End::Client, &sleeping(ground))?;
    let capture = Capture::start(&lab.carol, "eth0", &lab.dir().join("outside.pcap"))?;
    let ping = format!("ping -n -c 3 -i 0.2 -W 2 {}", lab::ALICE);
    ensure!(!lab.carol.succeeds(&ping), "a ping is answered without a gateway");
    client.verb(&["down", crate::peers::CONNECTION])?;
    crate::wait::until_true("the packets that waited to be dropped", SOON, || {
        let status = client.json(&["status"])?;
        Ok(status["counters"]["drop_set_up_failed"].as_u64() >= Some(3))
    })?;
    let file = capture.finish()?;
    let clear = packets(&file, &format!("icmp and host {}", lab::ALICE))?;
    ensure!(clear.is_empty(), "seen in clear: {clear:?}");
    client.end().map(drop)
}

/// Both ends renew the keys of the Child SA about every ten seconds and those of the IKE SA about every thirty, by their
/// own clocks, while a transfer goes on for two minutes: nothing of it is wrong, it never stops for a second, and nothing
/// stays behind.
fn rekey_under_tcp(ground: &Ground, role: &str, players: (Player, Player)) -> Result<()> {
    let lab = Lab::build_beside(&role[..1], Topology::Direct, &ground.dir.join(role))?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, ESP);
    // Each end renews the earlier the younger its jitter makes it: now one end begins, now the other, now both.
    "rekey = \"30s\"".clone_into(&mut tunnel.connection);
    "rekey = \"10s\"".clone_into(&mut tunnel.child);
    tunnel.swanctl = (
        "    rekey_time = 30s\n    rand_time = 4s\n    over_time = 20s\n".to_owned(),
        "        rekey_time = 10s\n        rand_time = 2s\n        life_time = 30s\n".to_owned(),
    );
    let pair = Pair::start(&lab, players, &tunnel)?;
    pair.client.up().context("set-up")?;
    pair.expect(SaCount::ONE, SOON)?;
    let inner = inner_address(&lab)?;
    let capture = Capture::start_short(&lab.alice, "eth0", &lab.dir().join("inside.pcap"))?;
    let witness = Witness::start();
    let load = Load { octets: PER_SECOND * REKEYED_FOR.as_secs(), per_second: PER_SECOND };
    let mut up = Transfer::start(&lab.carol, &lab.alice, &format!("{}:5001", lab::ALICE), load, lab.dir())?;
    let mut down = Transfer::start(&lab.alice, &lab.carol, &format!("{inner}:5002"), load, lab.dir())?;
    let (mut children, mut ikes) = (BTreeSet::new(), BTreeSet::new());
    let end = Instant::now() + REKEYED_FOR;
    while Instant::now() < end {
        let (child, ike) = pair.gateway.spis()?;
        children.insert(child);
        ikes.insert(ike);
        up.check_under_way()?;
        down.check_under_way()?;
        std::thread::sleep(Duration::from_secs(1));
    }
    for (transfer, way) in [(up, "to alice"), (down, "from alice")] {
        transfer.finish(SOON * 4).with_context(|| format!("transfer {way}"))?;
    }
    let (file, stalls) = (capture.finish()?, witness.finish()?);
    for (port, way) in [(5001, "to alice"), (5002, "from alice")] {
        let pause = longest_pause(&file, port, &stalls).with_context(|| format!("transfer {way}"))?;
        println!(
            "         {role}, {way}: {} Child SAs, {} IKE SAs, longest pause {pause:.3} s",
            children.len(),
            ikes.len()
        );
        ensure!(pause < STALL, "the transfer {way} stood still for {pause:.3} s");
    }
    ensure!(children.len() >= 10, "only {} Child SAs in two minutes", children.len());
    ensure!(ikes.len() >= 4, "only {} IKE SAs in two minutes", ikes.len());
    pair.expect(SaCount::ONE, SOON).context("after two minutes of rekeying")?;
    pair.client.stop()?;
    pair.gateway.stop()
}

/// Returns the longest time, in seconds, in which a connection to a port made no progress, without what the machine stood
/// still: no segment with octets that had not been seen.
fn longest_pause(file: &Path, port: u16, stalls: &Stalls) -> Result<f64> {
    let lines = segments(file, &format!("tcp dst port {port} and tcp[tcpflags] & (tcp-syn|tcp-fin) == 0"))?;
    let (mut last, mut highest, mut longest) = (None, None, 0_f64);
    for line in lines {
        let Some((at, upto)) = segment(&line) else { continue };
        // Sequence numbers go round: what lies less than half of them ahead is new.
        if highest.is_some_and(|highest: u32| !(1..1 << 31).contains(&upto.wrapping_sub(highest))) {
            continue;
        }
        longest = longest.max(last.map_or(0.0, |last| at - last - stalls.within(last, at)));
        (last, highest) = (Some(at), Some(upto));
    }
    last.context("nothing was captured")?;
    Ok(longest)
}

/// Reads the time and the end of a segment that carries octets, from a line of tcpdump.
fn segment(line: &str) -> Option<(f64, u32)> {
    let at = line.split_whitespace().next()?.parse().ok()?;
    let range = line.split("seq ").nth(1)?.split(',').next()?;
    let (_, upto) = range.split_once(':')?;
    Some((at, upto.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_read_and_an_acknowledgement_is_none() {
        let line =
            "1700000000.250000 IP 10.30.0.1.40000 > 10.20.0.10.5001: Flags [.], seq 7:1355, ack 1, win 501";
        assert_eq!(segment(line), Some((1_700_000_000.25, 1355)));
        assert_eq!(segment("1700000000.25 IP a.1 > b.2: Flags [.], ack 7, win 1, length 0"), None);
    }
}
