//! No leak: what an outsider sees while a tunnel comes, dies and goes; and that nothing stays behind.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::session::inner_address;
use crate::capture::{Capture, packets};
use crate::peers::{CONNECTION, End, Peer, Player, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::ping;
use crate::{Lab, Namespace, Running, Topology, Vpnhost, lab, wait};

/// Inner networks and pools: none of their addresses may be seen outside.
const INNER: &str = "net 10.20.0.0/24 or net 10.30.0.0/24 or net fd20::/64 or net fd30::/112";
/// What a full tunnel may not show: all but IKE, ESP and ICMP errors between the two outside addresses, and what
/// never leaves the link.
const FOREIGN: &str = "(ip and not (host 10.10.0.1 and (icmp or udp port 500 or udp port 4500))) or (icmp6 and ip6[40] == 128) or (ip6 and not icmp6 and not dst net ff02::/16)";

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![
        Story::new("no-leak-split-strongswan", |g: &Ground| split(g, Player::Strongswan)),
        Story::new("no-leak-split-ours", |g: &Ground| split(g, Player::Ours)),
        Story::new("no-leak-full", full),
        Story::new("no-leak-cleartext-from-outside-is-dropped", from_outside),
        Story::new("no-trace-after-an-orderly-exit", orderly),
        Story::new("no-trace-after-a-crash-and-cleanup", cleanup),
    ]
}

/// Sends a datagram every half millisecond, and asks the routes anew for each: it sees a hole of a few milliseconds.
/// The socket is bound to an interface where one is named.
const FLOOD: &str = "
import socket, sys, time
to, interface = sys.argv[1], sys.argv[2]
out = socket.socket(socket.AF_INET6 if ':' in to else socket.AF_INET, socket.SOCK_DGRAM)
if interface:
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
while True:
    try:
        out.sendto(b'in clear', (to, 9))
    except OSError:
        pass
    time.sleep(0.0005)
";

/// Pings that go on whatever happens, 50 a second to each target, and many more datagrams to each, both as the routes
/// lead and past them.
struct Pressure(Vec<Running>);

impl Pressure {
    fn start(lab: &Lab, targets: &[&str]) -> Result<Self> {
        let start = |(number, target): (usize, &&str)| {
            // Again and again: ping ends at once where its first look at the routes finds none.
            let pings = format!("while :; do ping -n -i 0.02 -c 25 -W 1 {target} || sleep 0.05; done");
            let mut command = lab.carol.command("sh");
            command.args(["-c", &pings]);
            Running::start(&mut command, &lab.dir().join(format!("pressure{number}.log")))
        };
        let mut all: Vec<Running> = targets.iter().enumerate().map(start).collect::<Result<_>>()?;
        for (number, target) in targets.iter().enumerate() {
            for interface in ["", "eth0"] {
                let mut command = lab.carol.command("python3");
                command.args(["-c", FLOOD, target, interface]);
                all.push(Running::start(
                    &mut command,
                    &lab.dir().join(format!("flood{number}{interface}.log")),
                )?);
            }
        }
        Ok(Self(all))
    }

    /// Waits until as many more answers came as show that the tunnel carries again.
    fn wait_answers(&self, more: usize) -> Result<()> {
        let count = || self.0[0].log().matches("bytes from").count();
        let before = count();
        wait::until_true("pings through the tunnel", Duration::from_secs(20), || Ok(count() >= before + more))
    }

    fn end(self) -> Result<()> {
        self.0.into_iter().try_for_each(|ping| ping.stop("TERM").map(drop))
    }
}

fn split(ground: &Ground, gateway: Player) -> Result<()> {
    let mut tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha384-x25519", "aes128gcm16");
    tunnel.inner = lab::INNER.map(str::to_owned).to_vec();
    tunnel.virtual_addresses = (true, true);
    through_life_and_death(ground, gateway, &tunnel, INNER, &[lab::ALICE, lab::ALICE_V6])
}

fn full(ground: &Ground) -> Result<()> {
    let mut tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha384-x25519", "aes128gcm16");
    tunnel.inner = vec!["0.0.0.0/0".to_owned()];
    // One in the network behind, one nowhere, one in the address family that the tunnel does not carry.
    let targets = [lab::ALICE, "192.0.2.1", "2001:db8::1"];
    through_life_and_death(ground, Player::Ours, &tunnel, FOREIGN, &targets)
}

/// Before, up, killed, restarted, up again, down: under constant pings, with a capture over all of it.
fn through_life_and_death(
    ground: &Ground,
    gateway: Player,
    tunnel: &Tunnel,
    forbidden: &str,
    targets: &[&str],
) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let gateway = crate::peers::start(gateway, &lab, End::Gateway, tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, tunnel)?;
    let capture = Capture::start(&lab.carol, "eth0", &lab.dir().join("outside.pcap"))?;
    let pressure = Pressure::start(&lab, targets)?;
    a_while();
    client.up().context("set-up")?;
    pressure.wait_answers(25)?;
    let files = client.kill()?;
    a_while();
    let client = files.start().context("restart after kill -9")?;
    a_while();
    client.up().context("set-up after the restart")?;
    pressure.wait_answers(25)?;
    client.down()?;
    a_while();
    pressure.end()?;
    let file = capture.finish()?;
    let leaked = packets(&file, forbidden)?;
    ensure!(leaked.is_empty(), "{} packets in clear outside, the first: {}", leaked.len(), leaked[0]);
    let sealed = packets(&file, "udp port 4500 and udp[8:4] != 0 and udp[4:2] > 9")?.len();
    ensure!(sealed >= 80, "only {sealed} ESP packets seen: the capture proves nothing");
    if !targets.contains(&"192.0.2.1") {
        client.end()?;
        return gateway.stop();
    }
    // The local network stays reachable beside a full tunnel.
    client.up()?;
    ping(&lab.carol, lab::ALICE, 3)?;
    client.end()?;
    gateway.stop()
}

/// Long enough for the pings of a state to be sent: there is nothing to wait for when nothing may happen.
fn a_while() {
    std::thread::sleep(Duration::from_millis(700));
}

/// From the router before the client: a packet in clear that pretends to come out of the tunnel.
fn from_outside(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Nat)?;
    let tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha384-x25519", "aes128gcm16");
    let gateway = crate::peers::start(Player::Strongswan, &lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(&lab, End::Client, &tunnel)?;
    client.up()?;
    ping(&lab.carol, lab::ALICE, 5)?;
    let inner = inner_address(&lab)?;
    let router = lab.inet.as_ref().context("a topology with a router")?;
    router.run("ip addr add 10.20.0.99/32 dev lo")?;
    router.run(&format!("ip route add {inner}/32 via 10.1.0.10 dev in0"))?;
    let capture = Capture::start(&lab.carol, "eth0", &lab.dir().join("outside.pcap"))?;
    let before = echos(&lab.carol)?;
    drop(router.run(&format!("ping -c 5 -i 0.05 -W 1 -I 10.20.0.99 {inner}")));
    let file = capture.finish()?;
    let sent = packets(&file, "icmp and src host 10.20.0.99")?.len();
    ensure!(sent == 5, "{sent} of 5 forged packets arrived: the test proves nothing");
    let taken = echos(&lab.carol)? - before;
    ensure!(taken == 0, "{taken} packets in clear were taken for packets of the tunnel");
    ping(&lab.carol, lab::ALICE, 5).context("the tunnel afterwards")?;
    client.end()?;
    gateway.stop()
}

/// Returns how many echo requests a namespace's stack has taken.
fn echos(space: &Namespace) -> Result<u64> {
    let text = space.run("cat /proc/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Icmp: "));
    let names = lines.next().unwrap_or_default().split(' ');
    let values = lines.next().unwrap_or_default().split(' ');
    let value = names.zip(values).find(|(name, _)| *name == "InEchos").context("no InEchos")?.1;
    Ok(value.parse()?)
}

/// Returns all that a daemon could leave in a namespace.
pub(crate) fn traces(space: &Namespace) -> Result<String> {
    let mut all = String::new();
    for line in [
        "ip -br link",
        "ip -br addr",
        "ip rule",
        "ip -6 rule",
        "ip route show table all",
        "ip -6 route show table all",
        "nft list ruleset",
        "cat /etc/resolv.conf",
    ] {
        let text = space.run(line)?;
        // Neighbours that were spoken to meanwhile leave routes of their own.
        let kept = text.lines().filter(|l| !l.contains("fe80::") && !l.contains(" expires "));
        let kept: Vec<&str> = kept.map(str::trim_end).collect();
        all += &format!("# {line}\n{}\n", kept.join("\n"));
    }
    Ok(all)
}

/// Fails unless a namespace is as it was.
pub(crate) fn expect_traces(space: &Namespace, before: &str) -> Result<()> {
    let now = traces(space)?;
    let added: Vec<&str> = now.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    let lost: Vec<&str> = before.lines().filter(|line| !now.lines().any(|new| new == *line)).collect();
    ensure!(added.is_empty() && lost.is_empty(), "left behind: {added:?}, taken away: {lost:?}");
    Ok(())
}

fn full_client(ground: &Ground, lab: &Lab) -> Result<(Box<dyn Peer>, Vpnhost)> {
    let mut tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha384-x25519", "aes128gcm16");
    tunnel.inner = vec!["0.0.0.0/0".to_owned()];
    let gateway = crate::peers::start(Player::Ours, lab, End::Gateway, &tunnel)?;
    let client = Vpnhost::start(lab, End::Client, &tunnel)?;
    client.verb(&["up", CONNECTION])?;
    ping(&lab.carol, lab::ALICE, 5)?;
    Ok((gateway, client))
}

fn orderly(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let before = (traces(&lab.carol)?, traces(&lab.moon)?);
    let (gateway, client) = full_client(ground, &lab)?;
    ensure!(traces(&lab.carol)? != before.0, "a full tunnel leaves no trace while it is up?");
    client.end()?;
    expect_traces(&lab.carol, &before.0).context("carol")?;
    gateway.stop()?;
    expect_traces(&lab.moon, &before.1).context("moon")
}

fn cleanup(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Direct)?;
    let before = traces(&lab.carol)?;
    let (gateway, client) = full_client(ground, &lab)?;
    let files = client.kill()?;
    ensure!(
        !lab.carol.succeeds(&format!("ping -c 1 -W 1 {}", lab::ALICE)),
        "alice is reachable after a crash"
    );
    let output = files.verb(&["cleanup"])?;
    ensure!(output.status.success(), "cleanup: {}", crate::command::said(&output));
    expect_traces(&lab.carol, &before)?;
    // Without anything to clean it succeeds just as well.
    ensure!(files.verb(&["cleanup"])?.status.success(), "a second cleanup fails");
    gateway.stop()
}
