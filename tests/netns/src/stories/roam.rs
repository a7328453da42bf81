//! What an operator sees of the paths, and does about them: `list paths`, `ping --path`, `roam`, and `explain` of a move.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::peers::{CONNECTION, End, Peer as _, Player, Tunnel, start};
use crate::story::{Ground, Story};
use crate::traffic::{PingStream, ping};
use crate::vpnhost::expect_error;
use crate::{Lab, Topology, Vpnhost, lab, suite, wait};

const SOON: Duration = Duration::from_secs(30);
/// A path over a second link to the gateway.
const SECOND: &str = "10.2.0.10-10.10.0.1";

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![
        Story::new("roam-by-hand-ours", |g: &Ground| by_hand(g, Player::Ours)),
        Story::new("roam-by-hand-initiator", |g: &Ground| by_hand(g, Player::Strongswan)),
        Story::new("roam-refused-by-hand-ours", refused),
        Story::new("roam-from-a-metered-link-ours", metered),
        Story::new("roam-by-plugin-ours", |g: &Ground| {
            let lab = g.lab(Topology::Direct)?;
            let (tunnel, sticky) = (tunnel(g), g.plugins.join("sticky.wasm"));
            by_plugin(&lab, &tunnel, &sticky).map(|told| println!("         {told}"))
        }),
    ]
}

fn tunnel(ground: &Ground) -> Tunnel {
    let mut tunnel = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes128gcm16");
    // The last line of a key counts.
    "    mobike = yes\n".clone_into(&mut tunnel.swanctl.0);
    tunnel
}

/// Lays a second link between client and gateway, whose routes come after those of the first.
pub(super) fn lay_second_link(lab: &Lab) -> Result<()> {
    let (carol, moon) = (&lab.carol, &lab.moon);
    carol.run(&format!("ip link add eth1 type veth peer name eth2 netns {}", moon.name()))?;
    for (space, interface, address) in [(carol, "eth1", "10.2.0.10/24"), (moon, "eth2", "10.2.0.1/24")] {
        space.run(&format!("ip addr add {address} dev {interface}"))?;
        space.run(&format!("ip link set {interface} up"))?;
    }
    carol.run("ip route add default via 10.2.0.1 dev eth1 metric 200").map(drop)
}

/// Returns what `list paths` tells of a path.
fn path(host: &Vpnhost, ends: &str) -> Result<Option<Value>> {
    let list = host.json(&["list", "paths"])?;
    let ip = |end: &Value| end.as_str().and_then(|text| text.rsplit_once(':')).map(|(ip, _)| ip.to_owned());
    let is_it = |path: &&Value| match (ip(&path["local"]), ip(&path["remote"])) {
        (Some(local), Some(remote)) => format!("{local}-{remote}") == ends,
        _ => false,
    };
    Ok(list["paths"].as_array().and_then(|paths| paths.iter().find(is_it)).cloned())
}

/// Waits until a path works: the peer was asked something on it, and answered.
pub(super) fn works(host: &Vpnhost, ends: &str) -> Result<()> {
    wait::until_true(&format!("an answer on {ends}"), SOON, || {
        Ok(path(host, ends)?.is_some_and(|path| path["standing"] == "works"))
    })
}

/// Returns the entries of a kind.
fn told(host: &Vpnhost, kind: &str) -> Result<Vec<Value>> {
    let text = host.verb(&["--json", "explain", CONNECTION])?;
    let entries = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(entries.into_iter().filter(|entry| entry["kind"] == kind).collect())
}

fn by_hand(ground: &Ground, gateway: Player) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    lay_second_link(&lab)?;
    let tunnel = tunnel(ground);
    let _gateway = start(gateway, &lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    client.verb(&["up", CONNECTION])?;
    let status = client.verb(&["status", CONNECTION])?;
    ensure!(status.contains("MOBIKE, this host chooses"), "{status}");
    wait::until("the second path", SOON, || path(&client, SECOND))?;

    let answer = client.verb(&["ping", CONNECTION, "--path", SECOND])?;
    ensure!(answer.contains(&format!("answered on {SECOND} after ")), "{answer}");
    let tested = path(&client, SECOND)?.context("the path is there")?;
    ensure!(tested["standing"] == "works" && tested["round_trip_us"].is_u64(), "{tested}");
    ensure!(tested["in_use"] == false && tested["interface"] == "eth1", "{tested}");

    let stream = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("ping.log"))?;
    let outcome = client.json(&["roam", CONNECTION, "--path", SECOND])?;
    let moved = &outcome["moved"];
    ensure!(moved["from_local"] == "10.10.0.10:4500" && moved["to_local"] == "10.2.0.10:4500", "{outcome}");
    ensure!(moved["gap_ms"] == 0 && moved["octets"].as_u64() > Some(0), "{outcome}");
    std::thread::sleep(Duration::from_secs(1));
    stream.finish()?.check_none_lost().context("both paths work: a move costs no packet")?;
    let used = path(&client, SECOND)?.context("the path is there")?;
    ensure!(used["in_use"] == true, "{used}");
    let [entry] = &told(&client, "moved")?[..] else { anyhow::bail!("one entry tells of the move") };
    ensure!(entry["moved"] == *moved, "{entry}");

    let again = client.verb(&["roam", CONNECTION, "--path", SECOND])?;
    ensure!(again.contains("already"), "{again}");
    let best = client.verb(&["roam", CONNECTION])?;
    ensure!(best.contains("stays on 10.2.0.10:4500") || best.contains("moved from 10.2.0.10:4500"), "{best}");
    ping(&lab.carol, lab::ALICE, 3).map(drop)
}

fn refused(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    lay_second_link(&lab)?;
    let tunnel = tunnel(ground);
    let gateway = Vpnhost::start(&lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    let verb = |host: &Vpnhost, arguments: &[&str]| host.files().verb(arguments);
    expect_error(&verb(&client, &["roam", CONNECTION])?, 1, &["home is not up"])?;
    client.verb(&["up", CONNECTION])?;
    wait::until("the second path", SOON, || path(&client, SECOND))?;
    expect_error(&verb(&client, &["roam", CONNECTION, "--path", "eth1"])?, 2, &["--path", "LOCAL-REMOTE"])?;
    let nowhere = ["roam", CONNECTION, "--path", "10.3.0.10-10.10.0.1"];
    expect_error(&verb(&client, &nowhere)?, 1, &["home has no path 10.3.0.10-10.10.0.1", "list paths"])?;
    let not_its_own = ["home is not this host's to move", "the peer began its IKE SA"];
    expect_error(&verb(&gateway, &["roam", CONNECTION])?, 1, &not_its_own)?;
    gateway.verb(&["ping", CONNECTION])?;

    // A path that leads nowhere is told of, and not taken.
    lab.moon.nft("table inet dead { chain in { type filter hook prerouting priority -300; iifname \"eth2\" drop\n}\n}\n")?;
    expect_error(&verb(&client, &["ping", CONNECTION, "--path", SECOND])?, 1, &["did not answer on"])?;
    let not_taken = ["home did not take 10.2.0.10-10.10.0.1", "the peer did not answer on the path in use"];
    expect_error(&verb(&client, &["roam", CONNECTION, "--path", SECOND])?, 1, &not_taken)?;
    let used = path(&client, SECOND)?.context("the path is there")?;
    ensure!(used["in_use"] == false && used["standing"] == "failed", "{used}");
    ping(&lab.carol, lab::ALICE, 3).map(drop)
}

fn metered(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = tunnel(ground);
    "metered = [\"eth0\"]\n".clone_into(&mut tunnel.connection);
    let _gateway = start(Player::Ours, &lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    client.verb(&["up", CONNECTION])?;
    let stream = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("ping.log"))?;
    lay_second_link(&lab)?;
    let moved = wait::until("the move", SOON, || Ok(told(&client, "moved")?.pop()))?;
    ensure!(moved["moved"]["to_local"] == "10.2.0.10:4500", "{moved}");
    let why = moved["text"].as_str().unwrap_or_default();
    ensure!(why.contains("which costs money"), "{why}");
    let before = told(&client, "not_moved")?;
    let first = before.first().context("it says what it waits for")?;
    ensure!(first["reason"] == "path-settling", "{before:?}");
    std::thread::sleep(Duration::from_secs(1));
    stream.finish()?.check_none_lost()
}

/// A client with two links, of which the built-in policy takes the first: under the component `sticky`, told to prefer the
/// other, its tunnel goes there, and no packet is lost. Says how it went.
pub fn by_plugin(lab: &Lab, tunnel: &Tunnel, sticky: &std::path::Path) -> Result<String> {
    lay_second_link(lab)?;
    let gateway = Vpnhost::start(lab, End::Gateway, tunnel)?;
    let client = Vpnhost::start(lab, End::Client, tunnel)?;
    client.verb(&["up", CONNECTION])?;
    works(&client, SECOND)?;
    let first = path(&client, SECOND)?.context("the path is there")?;
    ensure!(first["in_use"] == false, "the built-in policy takes it too: {first}");
    let stream = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("ping.log"))?;
    let mut other = tunnel.clone();
    let settings = "settings = { prefer = [\"eth1\"], hold_secs = 1 }";
    other.tables.0 = format!("[[plugin]]\nname = \"sticky\"\npath = \"{}\"\n{settings}\n", sticky.display());
    client.configure(&other)?;
    let moved = wait::until("the move", SOON, || Ok(told(&client, "moved")?.pop()))?;
    ensure!(moved["moved"]["to_local"] == "10.2.0.10:4500", "{moved}");
    let why = moved["text"].as_str().context("it says why")?.to_owned();
    ensure!(why.contains("eth1"), "it does not say why: {why}");
    std::thread::sleep(Duration::from_secs(1));
    let pings = stream.finish()?;
    pings.check_none_lost()?;
    let used = path(&client, SECOND)?.context("the path is there")?;
    ensure!(used["in_use"] == true, "{used}");
    client.end()?;
    gateway.end()?;
    Ok(format!("{why}; {} of {} pings lost", pings.lost.len(), pings.sent))
}
