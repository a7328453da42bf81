//! The gateway is killed and started again: with its state it proves that its SAs are gone (RFC 6290), without it the client
//! finds out by a negotiation beside. tshark judges what is said in clear.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::capture::Capture;
use crate::command::run;
use crate::datagram::{self, Kind};
use crate::peers::{CONNECTION, End, Peer as _, Player, SaCount, Tunnel, start};
use crate::story::{Ground, Story};
use crate::traffic::{PingStream, now, ping};
use crate::{Topology, Vpnhost, lab, wait};

const IKE_SA_INIT: u8 = 34;
/// RFC 7296, 3.10.1, and RFC 6290, 4.1.
const INVALID_SPI: u16 = 11;
const QUICK_CRASH_DETECTION: u16 = 16419;
const SOON: Duration = Duration::from_secs(15);
/// What the issue allows from when the gateway is up again.
const BACK: f64 = 2.0;
/// What `explain` says of a proof.
const PROVED: &str = "its token proves it";

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for topology in [Topology::Direct, Topology::Nat] {
        for (kept, name) in [(true, "kept"), (false, "lost")] {
            stories.push(Story::new(format!("crash-{}-state-{name}", topology.name()), move |g: &Ground| {
                crash(g, topology, kept)
            }));
        }
    }
    stories.push(Story::new("crash-told-to-strongswan", told_to_strongswan));
    stories
}

/// A strongSwan client sends ESP to a gateway of ours that lost its SAs: it is told so in clear, and stays what it was.
fn told_to_strongswan(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha256-x25519", "aes128gcm16");
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = start(Player::Strongswan, &lab, End::Client, &tunnel)?;
    client.up()?;
    ping(&lab.carol, lab::ALICE, 3)?;
    let capture = Capture::start(&lab.carol, "eth0", &lab.dir().join("told.pcap"))?;
    let gateway = gateway.kill()?.start().context("the gateway after kill -9")?;
    let one = format!("ping -n -c 10 -i 0.2 -W 1 {}", lab::ALICE);
    ensure!(!lab.carol.succeeds(&one), "the SAs are gone");
    let said = notifies(&capture.finish()?, INVALID_SPI)?;
    ensure!((1..=4).contains(&said.len()), "said so {} times", said.len());
    println!("         tshark: {}", said[0]);
    ensure!(client.sas()? == SaCount::ONE, "it knows no better than before: {:?}", client.sas()?);
    client.crash()?;
    gateway.end().map(drop)
}

fn crash(ground: &Ground, topology: Topology, kept: bool) -> Result<()> {
    let lab = ground.lab(topology)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha256-x25519", "aes128gcm16");
    "up".clone_into(&mut tunnel.start);
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    wait::until_true("the SAs", SOON, || Ok(client.sas()? == SaCount::ONE))?;
    ping(&lab.carol, lab::ALICE, 5)?;
    let file = lab.dir().join("crash.pcap");
    let capture = Capture::start(&lab.carol, "eth0", &file)?;
    let pings = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("pings.log"))?;
    let (old, state) = (client.spis()?.1, gateway.files().state());
    let killed = now();
    let files = gateway.kill()?;
    if !kept {
        std::fs::remove_dir_all(&state)?;
    }
    // How soon the client asks again depends on how long the gateway was away; from then on it is each second.
    wait::until_true("a negotiation beside", SOON, || negotiates(&file, killed))?;
    let gateway = files.start().context("the gateway after kill -9")?;
    let ready = now();
    let back = pings.answered_after(ready, SOON).context("a ping after the crash")?;
    wait::until_true("one IKE SA at both ends", SOON, || {
        Ok(client.sas()? == SaCount::ONE && gateway.sas()? == SaCount::ONE)
    })?;
    ensure!(client.spis()?.1 != old, "the IKE SA outlived its peer");
    drop(pings.finish()?);
    let explained = client.verb(&["explain", CONNECTION])?;
    let said = notifies(&capture.finish()?, QUICK_CRASH_DETECTION)?;
    println!(
        "         back {:.0} ms after the gateway was ready; tokens in clear: {}",
        back * 1e3,
        said.len()
    );
    said.first().into_iter().for_each(|token| println!("         tshark: {token}"));
    ensure!(back <= BACK, "it took {back:.2} s");
    // Under another secret a token is said, too: it proves nothing.
    ensure!(!said.is_empty(), "no token was said in clear");
    ensure!(explained.contains(PROVED) == kept, "explain: {explained}");
    gateway.end()?;
    client.end().map(drop)
}

/// Tells whether an IKE_SA_INIT was seen since a time.
fn negotiates(file: &Path, since: f64) -> Result<bool> {
    let begins = |kind| matches!(kind, Kind::Ike(header) if header.exchange == IKE_SA_INIT);
    Ok(datagram::read(file)?.iter().any(|datagram| datagram.at >= since && begins(datagram.kind)))
}

/// Returns how tshark, which has no keys here, names what a capture says in clear of a kind.
fn notifies(file: &Path, kind: u16) -> Result<Vec<String>> {
    let filter = format!("isakmp.notify.msgtype == {kind}");
    let text =
        run(Command::new("tshark").arg("-n").arg("-r").arg(file).args(["-Y", &filter, "-O", "isakmp"]))?;
    ensure!(!text.contains("Malformed"), "{text}");
    let names = text.lines().filter(|line| line.contains(&format!("({kind})")));
    Ok(names.map(|line| line.trim().to_owned()).collect())
}
