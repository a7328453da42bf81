//! The gateway's name leads elsewhere: the client finds it there (RFC 7296 says nothing of names; RFC 4555 §3.5 leaves what
//! neither end's addresses solve to a new negotiation).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::mobility::mobile;
use crate::peers::{End, Player, SaCount, start};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::translator::dns::Dns;
use crate::{Topology, lab, wait};

const NAME: &str = "moon.lab.example";
/// Where the gateway goes.
const OTHER: &str = "10.10.0.2";
/// The least that an answer counts, whatever its TTL, and a moment more.
const COUNTS: Duration = Duration::from_secs(32);
const SOON: Duration = Duration::from_secs(45);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![Story::new("name-leads-elsewhere-ours", leads_elsewhere)]
}

/// The gateway gets another address, of which only the DNS tells; the client's tunnel is there again, without an order.
/// While the answer counts, and while nothing happens, nobody is asked.
fn leads_elsewhere(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Nat)?;
    let dns = Dns::start(lab.router()?, 1, None)?;
    dns.set(NAME, &[lab::MOON.parse()?]);
    std::fs::write(lab.carol.resolv_conf(), "nameserver 10.1.0.1\n")?;
    let mut tunnel = mobile(ground);
    NAME.clone_into(&mut tunnel.gateway);
    let gateway = start(Player::Ours, &lab, End::Gateway, &tunnel)?;
    let client = start(Player::Ours, &lab, End::Client, &tunnel)?;
    client.up().context("set-up")?;
    ping(&lab.carol, lab::ALICE, 5)?;
    ensure!(dns.asked(NAME) > 0, "the name was not asked for");
    std::thread::sleep(COUNTS);
    let asked = dns.asked(NAME);
    ensure!(asked == 0, "at rest the name was asked for {asked} times");

    gateway.crash()?;
    // The kernel takes a secondary address away with its primary one.
    lab.moon.run(&format!("ip addr del {}/24 dev eth0", lab::MOON))?;
    lab.moon.run(&format!("ip addr add {OTHER}/24 dev eth0"))?;
    lab.moon.run("ip route replace default via 10.10.0.254 dev eth0")?;
    dns.set(NAME, &[OTHER.parse()?]);
    let _gateway = start(Player::Ours, &lab, End::Gateway, &tunnel)?;
    let before = client.spis()?;
    wait::until_true("a tunnel to the new address", SOON, || {
        Ok(ping(&lab.carol, lab::ALICE, 1).is_ok() && client.spis()? != before)
    })?;
    ensure!(dns.asked(NAME) > 0, "the name was not asked for again");
    ensure!(client.sas()? == SaCount::ONE, "{:?}", client.sas()?);
    client.stop()
}
