//! The keepalive follows what the NAT before the client remembers, which is learned on a port of its own; and what comes
//! from the gateway's side after silence arrives.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::mobility::mobile;
use crate::peers::{End, Peer as _, SaCount, Tunnel};
use crate::roam::nat::{CONFIGURED, LEARNED, LIFETIME, SILENCES, known, learn, reaches_after};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Topology, Vpnhost, lab, wait};

const SOON: Duration = Duration::from_secs(15);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![Story::new("keepalive-nat-30-ours", nat_of_30)]
}

/// A NAT forgets after 30 s: the client learns it, its keepalive stays below that, and no packet that comes first from the
/// gateway's side is lost. After a restart it knows all that at once.
fn nat_of_30(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Nat)?;
    lab.set_nat_lifetimes(LIFETIME, LIFETIME)?;
    let tunnel = Tunnel { connection: format!("keepalive = {CONFIGURED:?}\n"), ..mobile(ground) };
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    client.up().context("set-up")?;
    ping(&lab.carol, lab::ALICE, 5)?;
    ensure!(known(&client)? == [Value::from(16_000), Value::Null, Value::Null], "{:?}", known(&client)?);
    println!("         learned after {} s", learn(&client)?.as_secs());
    ensure!(known(&client)? == LEARNED.map(Value::from), "{:?}", known(&client)?);
    SILENCES.into_iter().try_for_each(|silence| reaches_after(&lab, silence))?;
    ensure!(client.spis()?.1 == gateway.spis()?.1, "another IKE SA");
    ensure!(client.sas()? == SaCount::ONE && gateway.sas()? == SaCount::ONE, "one IKE SA is enough");

    let client = client.end()?.start()?;
    client.up().context("set-up after a restart")?;
    wait::until_true("what was learned before", SOON, || Ok(known(&client)? == LEARNED.map(Value::from)))
}
