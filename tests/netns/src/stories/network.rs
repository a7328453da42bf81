//! What the network and the configuration payload may look like: raw ESP, IPv6, virtual addresses, fragments,
//! cookies.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::session::PLAYERS;
use crate::capture::{Capture, packets};
use crate::command::run;
use crate::peers::{CONNECTION, End, Pair, Player, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::vpnhost::Files;
use crate::{Lab, Running, Topology, lab, suite};

/// The IKE suite of these stories.
const IKE: &str = suite::IKE[4];
const SOON: Duration = Duration::from_secs(15);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = vec![
        Story::new("raw-esp-ours", raw_esp),
        Story::new("udp-ours-by-default", udp_by_default),
        Story::new("ipv6-outside-ours", |g: &Ground| ipv6_outside(g, (Player::Ours, Player::Ours))),
        Story::new("ipv6-inside-ours", |g: &Ground| ipv6_inside(g, (Player::Ours, Player::Ours))),
        Story::new("virtual-address-and-dns-ours", |g: &Ground| dns(g, (Player::Ours, Player::Ours))),
        Story::new("fragments-ours", |g: &Ground| fragments(g, (Player::Ours, Player::Ours))),
        Story::new("cookies-ours", |g: &Ground| cookies(g, (Player::Ours, Player::Ours))),
    ];
    for (client, gateway, role) in PLAYERS {
        let mut add = |name: &str, body: fn(&Ground, (Player, Player)) -> Result<()>| {
            stories.push(Story::new(format!("{name}-{role}"), move |g: &Ground| body(g, (client, gateway))));
        };
        add("ipv6-outside", ipv6_outside);
        add("ipv6-inside", ipv6_inside);
        add("virtual-address-and-dns", dns);
        add("fragments", fragments);
        add("cookies", cookies);
    }
    stories
}

/// The same with strongSwan at both ends: shows that the lab works, whatever is wrong with us.
#[must_use]
pub fn harness() -> Vec<Story> {
    let both = (Player::Strongswan, Player::Strongswan);
    vec![
        Story::new("harness-ipv6-outside", move |g: &Ground| ipv6_outside(g, both)),
        Story::new("harness-ipv6-inside", move |g: &Ground| ipv6_inside(g, both)),
        Story::new("harness-virtual-address-and-dns", move |g: &Ground| dns(g, both)),
        Story::new("harness-fragments", move |g: &Ground| fragments(g, both)),
        Story::new("harness-cookies", move |g: &Ground| cookies(g, both)),
    ]
}

fn connect(lab: &Lab, players: (Player, Player), tunnel: &Tunnel) -> Result<Pair> {
    let pair = Pair::start(lab, players, tunnel)?;
    pair.client.up().context("set-up")?;
    pair.expect(SaCount::ONE, SOON)?;
    Ok(pair)
}

fn raw_esp(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, "aes256-sha256");
    tunnel.encapsulation = "auto".to_owned();
    let (encapsulated, raw) = esp_forms(&lab, &tunnel)?;
    ensure!(raw >= 20 && encapsulated == 0, "{raw} packets of protocol 50, {encapsulated} in UDP");
    Ok(())
}

fn udp_by_default(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let (encapsulated, raw) = esp_forms(&lab, &Tunnel::new(&ground.vpnhost, IKE, "aes128gcm16"))?;
    ensure!(encapsulated >= 20 && raw == 0, "{raw} packets of protocol 50, {encapsulated} in UDP");
    Ok(())
}

/// Pings ten times through a tunnel of ours; returns how many ESP packets went in UDP, and how many raw.
fn esp_forms(lab: &Lab, tunnel: &Tunnel) -> Result<(usize, usize)> {
    lab.cut_batches()?;
    let capture = Capture::start(&lab.moon, "eth0", &lab.dir().join("outside.pcap"))?;
    let pair = connect(lab, (Player::Ours, Player::Ours), tunnel)?;
    ping(&lab.carol, lab::ALICE, 10)?;
    pair.client.stop()?;
    pair.gateway.stop()?;
    let file = capture.finish()?;
    // ESP in UDP begins with an SPI, IKE on 4500 with four zero octets (RFC 3948, 2.2).
    Ok((
        packets(&file, "udp port 4500 and udp[8:4] != 0 and udp[4:2] > 9")?.len(),
        packets(&file, "ip proto 50")?.len(),
    ))
}

fn ipv6_outside(ground: &Ground, players: (Player, Player)) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, "aes128gcm16");
    lab::MOON_V6.clone_into(&mut tunnel.gateway);
    let capture = Capture::start(&lab.moon, "eth0", &lab.dir().join("outside.pcap"))?;
    let pair = connect(&lab, players, &tunnel)?;
    ping(&lab.carol, lab::ALICE, 10)?;
    ping(&lab.carol, &format!("-s 1400 {}", lab::ALICE), 3).context("ping of 1400 octets")?;
    pair.client.stop()?;
    pair.gateway.stop()?;
    let file = capture.finish()?;
    ensure!(packets(&file, "ip and udp")?.is_empty(), "something went by IPv4");
    ensure!(packets(&file, "ip6 and (udp port 4500 or proto 50)")?.len() >= 20, "no ESP by IPv6");
    Ok(())
}

fn ipv6_inside(ground: &Ground, players: (Player, Player)) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, "aes256-sha256");
    tunnel.inner = lab::INNER.map(str::to_owned).to_vec();
    tunnel.virtual_addresses = (true, true);
    let pair = connect(&lab, players, &tunnel)?;
    ping(&lab.carol, lab::ALICE, 10).context("IPv4 inside")?;
    ping(&lab.carol, lab::ALICE_V6, 10).context("IPv6 inside")?;
    ping(&lab.carol, &format!("-s 1300 {}", lab::ALICE_V6), 3).context("IPv6 inside, 1300 octets")?;
    let addresses = lab.carol.run("ip -o -6 addr show")?;
    ensure!(addresses.contains("fd30::"), "carol has no IPv6 address of the pool: {addresses}");
    pair.client.stop()?;
    let left = lab.carol.run("ip -o addr show")?;
    ensure!(!left.contains("fd30::") && !left.contains("10.30.0."), "a virtual address stays: {left}");
    pair.gateway.stop()
}

fn dns(ground: &Ground, players: (Player, Player)) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let tunnel = Tunnel::new(&ground.vpnhost, IKE, "aes128gcm16");
    if players.0 == Player::Ours {
        let gateway = crate::peers::start(players.1, &lab, End::Gateway, &tunnel)?;
        dns_of_ours(&lab, tunnel)?;
        return gateway.stop();
    }
    let pair = connect(&lab, players, &tunnel)?;
    // strongSwan has no plugin loaded that would install it, and says so.
    let log = pair.client.log();
    ensure!(log.contains("INTERNAL_IP4_DNS attribute"), "the client was told no DNS server");
    ensure!(
        log.contains("installing new virtual IP 10.30.0."),
        "the client was given no address of the pool"
    );
    ping(&lab.carol, lab::ALICE, 5)?;
    pair.client.stop()?;
    pair.gateway.stop()
}

/// What this machine's resolvconf would do: the file that programs in the namespace read is the tunnel's while it is up.
const RESOLVCONF: &str =
    "#!/bin/sh\ncase $1 in\n-a) cat ;;\n-d) echo '# of a lab' ;;\nesac > /etc/resolv.conf\n";

/// The client has the address on its TUN, its programs find the gateway's DNS server, and all is as before at the end.
fn dns_of_ours(lab: &Lab, mut tunnel: Tunnel) -> Result<()> {
    tunnel.host = "dns = \"resolvconf\"".to_owned();
    let files = Files::write(lab, End::Client, &tunnel)?;
    std::fs::create_dir_all(files.programs())?;
    let program = files.programs().join("resolvconf");
    std::fs::write(&program, RESOLVCONF)?;
    run(std::process::Command::new("chmod").arg("755").arg(&program))?;
    let addresses = || lab.carol.run("ip -o -4 addr show");
    let before = (addresses()?, std::fs::read_to_string(lab.carol.resolv_conf())?);

    let xtask = std::env::current_exe()?;
    let mut command = lab.alice.command(&xtask);
    command.args(["traffic", "resolve", &format!("{}:53", lab::ALICE), "192.0.2.77"]);
    let mut resolver = Running::start(&mut command, &lab.dir().join("resolver.log"))?;
    resolver.wait_log("listening", SOON)?;

    let client = files.start()?;
    client.verb(&["up", CONNECTION])?;
    let given = addresses()?;
    let inside = given.lines().find(|line| line.contains(" vpn0 ") && line.contains("inet 10.30.0."));
    ensure!(inside.is_some(), "the TUN has no address of the pool: {given}");
    let mut command = lab.carol.command(&xtask);
    let found = run(command.args(["traffic", "look-up", "www.behind.example"]))?;
    ensure!(found.contains("192.0.2.77"), "the name is {found}");
    let status = client.json(&["status", CONNECTION])?.to_string();
    ensure!(status.contains(lab::ALICE), "status does not tell the DNS server: {status}");
    ping(&lab.carol, lab::ALICE, 5)?;
    client.end()?;
    resolver.close_input();
    let after = (addresses()?, std::fs::read_to_string(lab.carol.resolv_conf())?);
    ensure!(before == after, "not all is as before: {before:?}, {after:?}");
    Ok(())
}

/// Makes IKE_AUTH so long that it must be cut: by many proposals at both ends, and a small limit of strongSwan's.
fn fragments(ground: &Ground, players: (Player, Player)) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, &suite::ESP.map(|esp| esp).join(","));
    // Many selectors, each for an address of the gateway's own: strongSwan wants a route from there.
    let own: Vec<String> = (100..148).map(|n| format!("10.20.0.{n}")).collect();
    for address in &own {
        lab.moon.run(&format!("ip addr add {address}/32 dev eth1"))?;
    }
    // Not the whole network, which would swallow them.
    tunnel.inner = vec!["10.20.0.0/27".to_owned()];
    tunnel.inner.extend(own.iter().map(|address| format!("{address}/32")));
    tunnel.fragment_size = 300;
    let capture = Capture::start(&lab.moon, "eth0", &lab.dir().join("outside.pcap"))?;
    let pair = connect(&lab, players, &tunnel)?;
    ping(&lab.carol, lab::ALICE, 5)?;
    pair.client.stop()?;
    pair.gateway.stop()?;
    let file = capture.finish()?;
    for (from, player) in [("10.10.0.10", players.0), (lab::MOON, players.1)] {
        // Next payload 53 behind the non-ESP marker: Encrypted Fragment (RFC 7383, 2.5).
        let filter = format!("udp port 4500 and src host {from} and udp[8:4] = 0 and udp[28] = 53");
        let count = packets(&file, &filter)?.len();
        ensure!(count >= 2, "{count} fragments from {from} ({player:?})");
    }
    Ok(())
}

/// Fills the gateway with half-open SAs, so that it asks an honest client for its cookie.
fn cookies(ground: &Ground, players: (Player, Player)) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, "aes128gcm16");
    tunnel.cookies = true;
    let capture = Capture::start(&lab.moon, "eth0", &lab.dir().join("first.pcap"))?;
    let pair = connect(&lab, players, &tunnel)?;
    pair.client.down()?;
    let first = capture.finish()?;
    let request = tshark_field(
        &first,
        "udp.dstport == 500 && isakmp.exchangetype == 34 && isakmp.flag_r == 0",
        "udp.payload",
    )?;
    ensure!(request.len() > 100, "no IKE_SA_INIT request seen");
    let capture = Capture::start(&lab.moon, "eth0", &lab.dir().join("outside.pcap"))?;
    flood(&lab, &request)?;
    pair.client.up().context("set-up with a cookie")?;
    ping(&lab.carol, lab::ALICE, 5)?;
    pair.client.stop()?;
    pair.gateway.stop()?;
    let file = capture.finish()?;
    // Notify 16390 is COOKIE, from the gateway and then, the same, from the client (RFC 7296, 2.6).
    let cookie = "isakmp.notify.msgtype == 16390";
    let asked = tshark_field(&file, &format!("{cookie} && ip.src == {}", lab::MOON), "isakmp.notify.data")?;
    ensure!(!asked.is_empty(), "the gateway asked for no cookie");
    let returned =
        tshark_field(&file, &format!("{cookie} && ip.dst == {}", lab::MOON), "isakmp.notify.data")?;
    ensure!(!returned.is_empty(), "the client returned no cookie");
    Ok(())
}

/// Sends the request again and again with other SPIs, as a flood does.
fn flood(lab: &Lab, request: &str) -> Result<()> {
    let mut command = lab.carol.command(std::env::current_exe()?);
    command.args(["traffic", "flood", &format!("{}:500", lab::MOON), request, "60"]);
    run(&mut command).map(drop)
}

/// Returns the first value of a field in the packets of a capture that a display filter selects.
fn tshark_field(file: &std::path::Path, filter: &str, field: &str) -> Result<String> {
    let mut command = std::process::Command::new("tshark");
    command.arg("-r").arg(file).args(["-Y", filter, "-T", "fields", "-e", field]);
    let text = run(&mut command)?;
    Ok(text.lines().next().unwrap_or_default().split(',').next().unwrap_or_default().to_owned())
}
