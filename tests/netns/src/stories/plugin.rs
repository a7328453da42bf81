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

/// How the hostile plugin can misbehave, and what is seen of it.
const HOSTILE: [(&str, Seen); 11] = [
    ("loop", Seen::Failures),
    ("dawdle", Seen::Failures),
    ("trap", Seen::Failures),
    ("hoard", Seen::Failures),
    ("recurse", Seen::Failures),
    ("giant", Seen::Failures),
    ("store-spree", Seen::Failures),
    ("store-flood", Seen::Answers),
    ("lie", Seen::OffTheMenu),
    ("flood", Seen::Answers),
    ("configure-loop", Seen::NotLoaded),
];

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = vec![
        Story::new("plugin-strongest-first", strongest_first),
        Story::new("plugin-office-hours", office_hours),
    ];
    for (name, seen) in HOSTILE {
        stories.push(Story::new(format!("plugin-hostile-{name}"), move |g: &Ground| hostile(g, name, seen)));
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

/// A tunnel whose plugin, at both ends, begins to misbehave and ceases again while packets flow and keys change: no packet
/// and no SA is lost before, during and after, and the operator sees what it does.
fn hostile(ground: &Ground, name: &str, seen: Seen) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let behaving = |behaviour: &str| {
        let mut tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha384-x25519", "aes128gcm16");
        // Who fails to answer for a peer refuses it, unless the operator says otherwise.
        let grant = "grant = [\"kv\", \"metrics\", \"data\"]";
        let settings =
            format!("settings = {{ behaviour = {behaviour:?} }}\non_failure = \"native\"\n{grant}");
        // One of another name is another plugin: what takes the place of one that is asked would not be taken, since it
        // fails at the last questions.
        let table =
            table(ground, "hostile", &settings).replace("\"hostile\"", &format!("\"hostile-{behaviour}\""));
        tunnel.tables = (table.clone(), table);
        tunnel
    };
    let pair = Pair::start(&lab, (Player::Ours, Player::Ours), &behaving("abstain"))?;
    pair.client.up().context("set-up")?;
    pair.expect(SaCount::ONE, SOON)?;
    let mut figures = Vec::new();
    let mut told = String::new();
    for phase in ["before", "during", "after"] {
        let behaviour = if phase == "during" { name } else { "abstain" };
        let taken = [&pair.client, &pair.gateway].map(|end| end.configure(&behaving(behaviour)));
        let is_refused = taken.iter().all(Result::is_err);
        ensure!(is_refused == (phase == "during" && seen == Seen::NotLoaded), "{phase}: {taken:?}");
        let pings = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join(format!("{phase}.log")))?;
        for _ in 0..2 {
            pair.client.rekey_child()?;
            pair.gateway.rekey_child()?;
            pair.gateway.rekey_ike()?;
        }
        std::thread::sleep(Duration::from_millis(500));
        let pings = pings.finish()?;
        pings.check_none_lost().context(phase)?;
        pair.expect(SaCount::ONE, SOON).context(phase)?;
        figures.push(format!("{phase} 0 of {} pings, median {:.2} ms", pings.sent, pings.median()));
        if phase == "during" {
            told = seen.check(&*pair.gateway)?;
        }
    }
    println!("         {name}: lost {}; one SA throughout; the operator sees {told}", figures.join("; "));
    pair.client.stop()?;
    pair.gateway.stop()
}

/// What the operator sees of a plugin that misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Failures, counted and told.
    Failures,
    /// Answers that were not taken.
    OffTheMenu,
    /// Nothing but its answers: it is held to its bounds, which takes its time, maybe all that it has.
    Answers,
    /// It is not loaded, and the reload says why.
    NotLoaded,
}

impl Seen {
    fn check(self, gateway: &dyn crate::peers::Peer) -> Result<String> {
        let gateway = gateway.as_vpnhost().context("ours")?;
        let status = gateway.json(&["list", "plugins"])?;
        let plugin = *found(&status, "plugins").first().context("no plugin is told of")?;
        let count = |key: &str| plugin[key].as_u64().unwrap_or(0);
        let (failed, off, answered) = (count("failed"), count("off_the_menu"), count("answered"));
        let as_expected = match self {
            Self::Failures => failed > 0,
            Self::OffTheMenu => off > 0 && failed == 0,
            Self::Answers => answered + failed > 0 && off == 0,
            Self::NotLoaded => failed == 0 && off == 0,
        };
        ensure!(as_expected, "{self:?} expected: {plugin}");
        let text = gateway.verb(&["explain", CONNECTION])?;
        let mut lines = text.lines().rev();
        let line = match self {
            Self::Failures | Self::OffTheMenu => {
                lines.find(|line| line.contains("hostile")).context(text.clone())?
            }
            Self::NotLoaded => "the reload refused",
            Self::Answers => "its answers",
        };
        Ok(format!("{failed} failures, {off} off the menu: {}", line.trim()))
    }
}
