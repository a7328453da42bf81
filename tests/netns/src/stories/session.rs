//! A whole session: set-up, ping, transfers both ways under rekeying from both sides, Delete.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::peers::{Pair, Peer, Player, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::{Load, PingStream, Transfer, ping};
use crate::{Lab, Topology, lab, suite, wait};

/// What each direction carries, as the issue says: 100 MB.
const OCTETS: u64 = 100_000_000;
/// Slow enough to last while SAs are rekeyed and to leave user-space ciphers time for the pings.
const PER_SECOND: u64 = 16_000_000;
/// How long an end may take to follow the other.
const SOON: Duration = Duration::from_secs(15);
/// How long a transfer may take on a busy machine.
const TRANSFER: Duration = Duration::from_secs(300);

/// Which ESP suite goes with which IKE suite in the long sessions.
const ESP: [&str; 5] = ["aes128-sha256", "aes192-sha384", "3des-sha256", "aes256-sha512", "aes128gcm16"];

/// Who plays the client and the gateway, and how the pair is called.
pub const PLAYERS: [(Player, Player, &str); 2] =
    [(Player::Ours, Player::Strongswan, "initiator"), (Player::Strongswan, Player::Ours, "responder")];

/// Returns the sessions: both roles, with and without a NAT, each IKE suite; then ours against ours.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for topology in [Topology::Direct, Topology::Nat] {
        for (client, gateway, role) in PLAYERS {
            for (ike, esp) in suite::IKE.into_iter().zip(ESP) {
                let name = format!("session-{}-{role}-{ike}", topology.name());
                stories.push(Story::new(name, move |ground: &Ground| {
                    session(ground, topology, (client, gateway), ike, esp)
                }));
            }
        }
        stories.push(Story::new(format!("session-{}-ours", topology.name()), move |ground: &Ground| {
            session(ground, topology, (Player::Ours, Player::Ours), suite::IKE[4], "aes256gcm16")
        }));
    }
    stories
}

/// A session of strongSwan with itself: shows that the lab works, whatever is wrong with us.
#[must_use]
pub fn harness() -> Story {
    let both = (Player::Strongswan, Player::Strongswan);
    Story::new("harness-session", move |ground: &Ground| {
        session(ground, Topology::Nat, both, suite::IKE[3], "aes128gcm16")
    })
}

fn session(
    ground: &Ground,
    topology: Topology,
    players: (Player, Player),
    ike: &str,
    esp: &str,
) -> Result<()> {
    let lab = ground.lab(topology)?;
    ensure!(
        !lab.carol.succeeds(&format!("ping -c 1 -W 1 {}", lab::ALICE)),
        "alice is reachable without a tunnel"
    );
    let tunnel = Tunnel::new(&ground.vpnhost, ike, esp);
    let pair = Pair::start(&lab, players, &tunnel)?;
    pair.client.up().context("set-up")?;
    pair.expect(SaCount::ONE, SOON)?;
    ping(&lab.carol, lab::ALICE, 5).context("ping")?;
    under_rekeying(&lab, &pair)?;
    pair.client.down().context("Delete by the client")?;
    pair.expect(SaCount::NONE, SOON).context("after the client's Delete")?;
    pair.client.up().context("second set-up")?;
    ping(&lab.carol, lab::ALICE, 5).context("ping in the second tunnel")?;
    pair.gateway.down().context("Delete by the gateway")?;
    pair.expect(SaCount::NONE, SOON).context("after the gateway's Delete")?;
    pair.client.stop()?;
    pair.gateway.stop()
}

/// Carries 100 MB each way and 200 pings a second while each side rekeys the Child SA and the IKE SA.
fn under_rekeying(lab: &Lab, pair: &Pair) -> Result<()> {
    let inner = inner_address(lab)?;
    // What is under way fits the receive buffer that strongSwan's socket has, which nothing but the machine's own
    // settings enlarge: a packet that is lost here is lost by a rekey, not by a queue that was full.
    for space in [&lab.carol, &lab.alice] {
        run(space.command("sysctl").args(["-qw", "net.ipv4.tcp_rmem=4096 65536 65536"]))?;
    }
    let pings = PingStream::start(&lab.carol, lab::ALICE, &lab.dir().join("pings.log"))?;
    let load = Load { octets: OCTETS, per_second: PER_SECOND };
    let mut up = Transfer::start(&lab.carol, &lab.alice, &format!("{}:5001", lab::ALICE), load, lab.dir())?;
    let mut down = Transfer::start(&lab.alice, &lab.carol, &format!("{inner}:5002"), load, lab.dir())?;
    for (side, who) in [(&pair.client, "client"), (&pair.gateway, "gateway")] {
        rekey_child(pair, side.as_ref()).with_context(|| format!("Child SA rekeyed by the {who}"))?;
        rekey_ike(pair, side.as_ref()).with_context(|| format!("IKE SA rekeyed by the {who}"))?;
        for transfer in [&mut up, &mut down] {
            transfer.check_under_way()?;
        }
    }
    for (transfer, way) in [(up, "to alice"), (down, "from alice")] {
        let octets = transfer.finish(TRANSFER).with_context(|| format!("transfer {way}"))?.octets;
        ensure!(octets >= OCTETS, "only {octets} octets went {way}");
    }
    let pings = pings.finish()?;
    pings.check_none_lost()?;
    ensure!(pings.duplicates == 0, "{} pings answered twice", pings.duplicates);
    pair.expect(SaCount::ONE, SOON).context("after rekeying")
}

fn rekey_child(pair: &Pair, side: &dyn Peer) -> Result<()> {
    let before = (pair.client.spis()?.0, pair.gateway.spis()?.0);
    side.rekey_child()?;
    wait::until_true("another Child SA at both ends", SOON, || {
        let now = (pair.client.spis()?.0, pair.gateway.spis()?.0);
        Ok(now.0 != before.0 && now.1 != before.1 && !now.0.is_empty() && !now.1.is_empty())
    })
}

fn rekey_ike(pair: &Pair, side: &dyn Peer) -> Result<()> {
    let before = (pair.client.spis()?.1, pair.gateway.spis()?.1);
    side.rekey_ike()?;
    wait::until_true("another IKE SA at both ends, with its child", SOON, || {
        let now = (pair.client.spis()?.1, pair.gateway.spis()?.1);
        let count = (pair.client.sas()?, pair.gateway.sas()?);
        Ok(now.0 != before.0 && now.1 != before.1 && count.0.ike == 1 && count.1.ike == 1)
    })
}

/// Returns the address that the client's end of the tunnel has.
pub fn inner_address(lab: &Lab) -> Result<String> {
    let text = lab.carol.run("ip -o -4 addr show")?;
    let address = text.split_whitespace().find(|word| word.starts_with("10.30.0."));
    Ok(address.context("carol has no address of the pool")?.split('/').next().unwrap_or_default().to_owned())
}
