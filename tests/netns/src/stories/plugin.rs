//! WebAssembly plugins in a running host: their effect can be seen, and what a hostile one costs is nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::peers::{CONNECTION, End, Pair, Player, SaCount, Tunnel, start};
use crate::story::{Ground, Story};
use crate::traffic::{PingStream, ping};
use crate::vpnhost::found;
use crate::{Topology, Vpnhost, lab};

const SOON: Duration = Duration::from_secs(15);

/// How the hostile plugin can misbehave.
const HOSTILE: [&str; 6] = ["loop", "trap", "hoard", "recurse", "lie", "flood"];

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = vec![
        Story::new("plugin-strongest-first", strongest_first),
        Story::new("plugin-office-hours", office_hours),
    ];
    for name in HOSTILE {
        stories.push(Story::new(format!("plugin-hostile-{name}"), move |g: &Ground| hostile(g, name)));
    }
    stories
}

/// Returns the table of the configuration that loads a plugin.
pub(super) fn table(ground: &Ground, name: &str, more: &str) -> String {
    let path = ground.plugins.join(format!("{name}.wasm"));
    format!("[[plugin]]\nname = \"{name}\"\npath = \"{}\"\n{more}\n", path.display())
}

/// The client offers the weaker suite first; the gateway takes it, unless the plugin ranks.
fn strongest_first(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let both = "aes128gcm16-prfsha256-x25519,aes256gcm16-prfsha384-x25519";
    for (with_plugin, bits) in [(false, "128"), (true, "256")] {
        let mut tunnel = Tunnel::new(&ground.vpnhost, both, "aes128gcm16");
        if with_plugin {
            tunnel.tables.1 = table(ground, "strongest-first", "");
        }
        let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
        let client = start(Player::Strongswan, &lab, End::Client, &tunnel)?;
        client.up()?;
        ping(&lab.carol, lab::ALICE, 3)?;
        let status = gateway.json(&["status"])?;
        let sa = found(&status, "ike_sas").first().map(ToString::to_string).context("no IKE SA in status")?;
        ensure!(sa.contains(&format!("aes{bits}gcm16")), "plugin: {with_plugin}; the suite is another: {sa}");
        if with_plugin {
            let text = gateway.verb(&["explain"])?;
            ensure!(text.contains("strongest-first"), "explain does not name the plugin: {text}");
        }
        client.stop()?;
        gateway.end()?;
    }
    Ok(())
}

/// Returns a plugin that opens on a weekday that is neither today nor next to it, whatever the time zone.
pub(super) fn closed_today(ground: &Ground) -> Result<String> {
    let day = run(std::process::Command::new("date").args(["-d", "+3 days", "+%a"]).env("LC_ALL", "C"))?;
    let day = day.trim().to_lowercase();
    let settings = format!("settings = {{ from = \"08:00\", to = \"18:00\", days = [\"{day}\"] }}");
    Ok(table(ground, "office-hours", &settings))
}

fn office_hours(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha384-x25519", "aes128gcm16");
    tunnel.tables.1 = closed_today(ground)?;
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = start(Player::Strongswan, &lab, End::Client, &tunnel)?;
    ensure!(client.up().is_err(), "the peer is let in outside office hours");
    ensure!(client.log().contains("AUTHENTICATION_FAILED"), "the peer is not told AUTHENTICATION_FAILED");
    for text in [gateway.verb(&["explain"])?, gateway.verb(&["status"])?, crate::peers::Peer::log(&gateway)] {
        ensure!(text.contains("outside office hours"), "the reason is missing in: {text}");
    }
    ensure!(crate::peers::Peer::sas(&gateway)? == SaCount::NONE, "an SA stays");
    client.stop()?;
    gateway.end().map(drop)
}

/// A tunnel with a hostile plugin at both of its ends: it comes up, is rekeyed, and loses no packet; explain names
/// the plugin.
fn hostile(ground: &Ground, name: &str) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha384-x25519", "aes128gcm16");
    // Who fails to answer for a peer refuses it, unless the operator says otherwise.
    let grant = "grant = [\"kv\", \"metrics\", \"data\"]";
    let settings = format!("settings = {{ behaviour = {name:?} }}\non_failure = \"native\"\n{grant}");
    let table = table(ground, "hostile", &settings);
    tunnel.tables = (table.clone(), table);
    let pair = Pair::start(&lab, (Player::Ours, Player::Ours), &tunnel)?;
    pair.client.up().context("set-up")?;
    pair.expect(SaCount::ONE, SOON)?;
    let pings = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("pings.log"))?;
    for _ in 0..3 {
        pair.client.rekey_child()?;
        pair.gateway.rekey_child()?;
        pair.gateway.rekey_ike()?;
    }
    std::thread::sleep(Duration::from_secs(1));
    pings.finish()?.check_none_lost()?;
    pair.expect(SaCount::ONE, SOON)?;
    ensure!(explains(&lab, End::Gateway, &tunnel, "hostile")?, "explain does not name the plugin");
    pair.client.stop()?;
    pair.gateway.stop()
}

/// Tells whether `explain` of a running end names a word.
fn explains(lab: &crate::Lab, end: End, tunnel: &Tunnel, word: &str) -> Result<bool> {
    let files = crate::vpnhost::Files::write(lab, end, tunnel)?;
    let output = files.verb(&["explain", CONNECTION])?;
    Ok(crate::command::said(&output).contains(word))
}
