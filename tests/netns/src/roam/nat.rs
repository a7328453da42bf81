//! A NAT that forgets after 30 s: what a client learns of it, and whether what comes first from the gateway's side arrives.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::scene::rounded;
use super::{Column, Ground, Values};
use crate::capture::Capture;
use crate::datagram::{self, Datagram, Kind};
use crate::peers::{Pair, Peer as _, SaCount};
use crate::traffic::{now, ping};
use crate::vpnhost::found;
use crate::{Lab, Topology, Vpnhost, lab, wait};

/// For how many seconds the NAT remembers.
pub(crate) const LIFETIME: u32 = 30;
/// What the keepalive is configured as. Silences of 16, 32 (fails), 24 and 28 s are tried then.
pub(crate) const CONFIGURED: &str = "16s";
/// Nine tenths of what the NAT remembered; that; and what it forgot in.
pub(crate) const LEARNED: [u32; 3] = [25_200, 28_000, 32_000];
/// Silences before the first packet from outside: close to the keepalive's period, before it and after it.
pub(crate) const SILENCES: [u64; 2] = [24, 28];
/// One with more than one keepalive in it.
const LONG_SILENCE: u64 = 55;
/// How long the search may take: some silences, those that fail twice.
const SEARCH: Duration = Duration::from_secs(240);
/// How long who learns nothing is watched instead: some keepalives.
const UNLEARNED: Duration = Duration::from_secs(65);
/// The port of IKE and ESP behind a NAT.
const PORT: u16 = 4500;
/// Whatever follows another packet so soon, in seconds, follows it for reasons of its own.
const AT_ONCE: f64 = 5.0;
const SOON: Duration = Duration::from_secs(20);

/// Waits until a client knows what the NAT remembers, and returns how long that took.
pub(crate) fn learn(client: &Vpnhost) -> Result<Duration> {
    let began = Instant::now();
    wait::until_true("what the NAT remembers", SEARCH, || {
        Ok(client.log().contains("the NAT remembered for 28 s and forgot within 32 s"))
    })?;
    Ok(began.elapsed())
}

/// Returns the keepalive in use, and what the NAT is known to have remembered and forgotten, in milliseconds.
pub(crate) fn known(client: &Vpnhost) -> Result<[Value; 3]> {
    let status = client.json(&["status"])?;
    let sa = found(&status, "ike_sas").first().copied().cloned().context("no IKE SA")?;
    Ok(["keepalive_ms", "nat_remembered_ms", "nat_forgot_ms"].map(|key| sa[key].clone()))
}

/// Fails unless a packet from behind the gateway reaches the client after silence.
pub(crate) fn reaches_after(lab: &Lab, silence: u64) -> Result<()> {
    std::thread::sleep(Duration::from_secs(silence));
    let inner = lab.inner_address()?;
    ping(&lab.alice, &inner, 1).with_context(|| format!("after {silence} s of silence")).map(drop)
}

/// Counts keepalives before and after what there is to learn was learned, and packets from outside that were lost then.
pub(super) fn learn_30(ground: &Ground, column: Column, _: u32) -> Result<Values> {
    let lab = Lab::build_beside(&column.slug(), Topology::Nat, &ground.dir)?;
    lab.set_nat_lifetimes(LIFETIME, LIFETIME)?;
    lab.cut_batches()?;
    let mut tunnel = column.tunnel(ground);
    tunnel.connection += &format!("keepalive = {CONFIGURED:?}\n");
    let pair = Pair::start(&lab, (column.player(), column.player()), &tunnel)?;
    pair.client.up().context("set-up")?;
    wait::until_true("the SAs", SOON, || Ok(pair.client.sas()? == SaCount::ONE))?;
    ping(&lab.carol, lab::ALICE, 3)?;
    let file = lab.dir().join("outside.pcap");
    let capture = Capture::start_short(&lab.moon, "eth0", &file)?;
    let mut values = Values::new();
    match pair.client.as_vpnhost() {
        Some(client) => {
            let took = learn(client)?;
            values.insert("learned after s", Some(took.as_secs_f64().round()));
            values.insert("keepalive ms", known(client)?[0].as_f64());
        }
        None => std::thread::sleep(UNLEARNED),
    }
    let learned = now();
    let silences = || SILENCES.into_iter().chain([LONG_SILENCE]);
    let lost = silences().filter(|silence| reaches_after(&lab, *silence).is_err()).count();
    values.insert("inbound lost", Some(lost as f64));
    drop(pair);
    let [before, after] = hourly(&capture.finish()?, learned)?;
    values.insert("keepalives/h before", before);
    values.insert("keepalives/h after", after);
    Ok(values)
}

/// Returns how many keepalives an hour of silence has, by how long the client was silent before each, until a time and since.
/// A request that goes out in the place of one counts.
fn hourly(file: &Path, time: f64) -> Result<[Option<f64>; 2]> {
    let gateway: std::net::IpAddr = lab::MOON.parse()?;
    let seen = datagram::read(file)?;
    // The NAT leaves the port as it is; silences are tried on another.
    let client: Vec<&Datagram> = seen.iter().filter(|it| it.from != gateway && it.port == PORT).collect();
    let keeps = |kind| matches!(kind, Kind::Keepalive | Kind::Ike(_));
    let rate = |is_wanted: &dyn Fn(f64) -> bool| {
        let pairs = client.windows(2).filter(|pair| keeps(pair[1].kind) && is_wanted(pair[1].at));
        let silences = pairs.map(|pair| pair[1].at - pair[0].at).filter(|silence| *silence > AT_ONCE);
        let mut silences: Vec<f64> = silences.collect();
        silences.sort_by(f64::total_cmp);
        silences.get(silences.len() / 2).map(|silence| rounded(3600.0 / silence))
    };
    Ok([rate(&|at| at < time), rate(&|at| at >= time)])
}
