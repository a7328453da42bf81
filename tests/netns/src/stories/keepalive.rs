//! The keepalive follows what the NAT before the client remembers, which is learned on a port of its own; and what comes
//! from the gateway's side after silence arrives.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::mobility::mobile;
use crate::peers::{End, Peer as _, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::vpnhost::found;
use crate::{Lab, Topology, Vpnhost, lab, wait};

const SOON: Duration = Duration::from_secs(15);
/// How long the search may take: some silences, those that fail twice.
const SEARCH: Duration = Duration::from_secs(240);
/// What the keepalive is configured as. Silences of 16, 32 (fails), 24 and 28 s are tried then.
const CONFIGURED: &str = "16s";
/// Nine tenths of what the NAT remembered; that; and what it forgot in.
const LEARNED: [u32; 3] = [25_200, 28_000, 32_000];

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![Story::new("keepalive-nat-30-ours", nat_of_30)]
}

/// A NAT forgets after 30 s: the client learns it, its keepalive stays below that, and no packet that comes first from the
/// gateway's side is lost. After a restart it knows all that at once.
fn nat_of_30(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Nat)?;
    lab.set_nat_lifetimes(30, 30)?;
    let tunnel = Tunnel { connection: format!("keepalive = {CONFIGURED:?}\n"), ..mobile(ground) };
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    client.up().context("set-up")?;
    ping(&lab.carol, lab::ALICE, 5)?;
    ensure!(known(&client)? == [Value::from(16_000), Value::Null, Value::Null], "{:?}", known(&client)?);
    let began = std::time::Instant::now();
    wait::until_true("what the NAT remembers", SEARCH, || {
        Ok(client.log().contains("the NAT remembered for 28 s and forgot within 32 s"))
    })?;
    println!("         learned after {} s", began.elapsed().as_secs());
    ensure!(known(&client)? == LEARNED.map(Value::from), "{:?}", known(&client)?);
    // Close to the keepalive's period, before it and after it.
    for silence in [24, 28] {
        reaches_after(&lab, Duration::from_secs(silence))?;
    }
    ensure!(client.spis()?.1 == gateway.spis()?.1, "another IKE SA");
    ensure!(client.sas()? == SaCount::ONE && gateway.sas()? == SaCount::ONE, "one IKE SA is enough");

    let client = client.end()?.start()?;
    client.up().context("set-up after a restart")?;
    wait::until_true("what was learned before", SOON, || Ok(known(&client)? == LEARNED.map(Value::from)))
}

/// Returns the keepalive in use, and what the NAT is known to have remembered and forgotten, in milliseconds.
fn known(client: &Vpnhost) -> Result<[Value; 3]> {
    let status = client.json(&["status"])?;
    let sa = found(&status, "ike_sas").first().copied().cloned().context("no IKE SA")?;
    Ok(["keepalive_ms", "nat_remembered_ms", "nat_forgot_ms"].map(|key| sa[key].clone()))
}

/// Fails unless a packet from behind the gateway reaches the client after silence.
fn reaches_after(lab: &Lab, silence: Duration) -> Result<()> {
    std::thread::sleep(silence);
    let inner = lab.inner_address()?;
    ping(&lab.alice, &inner, 1).with_context(|| format!("after {} s of silence", silence.as_secs())).map(drop)
}
