//! A flood of IKE_SA_INITs at a gateway that runs (RFC 8019 §4): it keeps nothing of those who do not return their
//! cookie, only so much of one who does, and who belongs there gets in all the while.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::flood::{RETURNING, SPOOFED};
use crate::peers::{End, Peer, Player, SaCount, Tunnel, start};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Lab, Running, Topology, Vpnhost, lab, load, wait};

const SOON: Duration = Duration::from_secs(20);
/// How long strangers send in others' names.
const SECONDS: &str = "6";
/// What the gateway keeps at most of one source that returns cookies: `HALF_OPEN_PER_SOURCE` of `ike`.
const PER_SOURCE: u64 = 1024;
/// Half-open IKE SAs from which on all have to return a cookie, and some that were under way.
const WITHOUT_COOKIE: u64 = 64;
/// How much the gateway may grow by, in kB.
const GROWTH: u64 = 48 * 1024;

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![Story::new("flood-spoofed", spoofed), Story::new("flood-with-cookies", with_cookies)]
}

/// A gateway of ours that anybody may ask, and the strangers' addresses at carol.
fn ground(ground: &Ground) -> Result<(Lab, Tunnel, Vpnhost)> {
    let lab = ground.lab(Topology::Direct)?;
    for addresses in [SPOOFED, RETURNING] {
        lab.carol.run(&format!("ip route add local {addresses} dev lo"))?;
        lab.moon.run(&format!("ip route add {addresses} via {}", Topology::Direct.carol()))?;
    }
    let tunnel = Tunnel::new(&ground.vpnhost, load::IKE, load::ESP);
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    Ok((lab, tunnel, gateway))
}

fn strangers(lab: &Lab, arguments: [&str; 3]) -> Result<Running> {
    let mut command = lab.carol.command(std::env::current_exe()?);
    command.arg("traffic").args(arguments);
    Running::start(&mut command, &lab.dir().join(format!("{}.log", arguments[0])))
}

fn counter(gateway: &Vpnhost, name: &str) -> Result<u64> {
    let status = gateway.json(&["status"])?;
    status["counters"][name].as_u64().with_context(|| format!("status has no counter {name}: {status}"))
}

/// Resident kB.
fn resident(gateway: &Vpnhost) -> Result<u64> {
    let pid = gateway.pid().context("the gateway has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Who belongs there comes, with one player after the other.
fn gets_in(lab: &Lab, tunnel: &Tunnel, gateway: &Vpnhost) -> Result<()> {
    for player in [Player::Ours, Player::Strongswan] {
        let client = start(player, lab, End::Client, tunnel)?;
        client.up().with_context(|| format!("{player:?} amid the flood"))?;
        ping(&lab.carol, lab::ALICE, 1)?;
        client.stop()?;
        wait::until_true("no SA at the gateway", SOON, || Ok(gateway.sas()? == SaCount::NONE))?;
    }
    Ok(())
}

fn spoofed(story: &Ground) -> Result<()> {
    let (lab, tunnel, gateway) = ground(story)?;
    let before = resident(&gateway)?;
    let mut flood = strangers(&lab, ["spoof", lab::MOON, SECONDS])?;
    flood.wait_log("flooding", SOON)?;
    wait::until_true("cookies are asked for", SOON, || Ok(counter(&gateway, "ike_cookies_asked")? > 1000))?;
    gets_in(&lab, &tunnel, &gateway)?;
    let mut most = 0;
    while flood.ended()?.is_none() {
        most = most.max(counter(&gateway, "ike_half_open")?);
        std::thread::sleep(Duration::from_millis(50));
    }
    ensure!(most <= WITHOUT_COOKIE, "{most} are half open without a cookie");
    let sent: u64 =
        flood.log().lines().find_map(|line| line.strip_prefix("sent ")?.parse().ok()).context("sent")?;
    let (asked, grown) =
        (counter(&gateway, "ike_cookies_asked")?, resident(&gateway)?.saturating_sub(before));
    ensure!(sent > 5000, "{sent} are no flood");
    ensure!(grown < GROWTH, "the gateway has grown by {grown} kB in a flood of {sent} ({asked} cookies)");
    gets_in(&lab, &tunnel, &gateway)?;
    gateway.end().map(drop)
}

fn with_cookies(story: &Ground) -> Result<()> {
    let (lab, tunnel, gateway) = ground(story)?;
    let before = resident(&gateway)?;
    let mut flood = strangers(&lab, ["return-cookies", lab::MOON, "100000"])?;
    // It ends when it is shut out.
    let ended = flood.wait(Duration::from_secs(60))?;
    ensure!(ended.success(), "{}", flood.log());
    let half_open = counter(&gateway, "ike_half_open")?;
    ensure!((2..=PER_SOURCE).contains(&half_open), "{half_open} of one source are half open");
    ensure!(counter(&gateway, "ike_inits_dropped")? > 0, "nothing was dropped: {}", flood.log());
    gets_in(&lab, &tunnel, &gateway)?;
    let grown = resident(&gateway)?.saturating_sub(before);
    ensure!(grown < GROWTH, "the gateway has grown by {grown} kB for {half_open} half-open IKE SAs");
    wait::until_true("what is half open ends", Duration::from_secs(60), || {
        Ok(counter(&gateway, "ike_half_open")? == 0)
    })?;
    gateway.end().map(drop)
}
