//! The client changes its network, and the tunnel stays (RFC 4555): with two uplinks, against strongSwan in either role
//! and against ourselves.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::roam::works;
use super::session::PLAYERS;
use crate::capture::Capture;
use crate::datagram::{self, Kind, Sum, Tally};
use crate::lab::UPLINKS;
use crate::peers::{Pair, Player, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::{PingStream, Pings, now, ping};
use crate::{Lab, Topology, lab};

/// The suite of the measure: no integrity algorithm of its own, the shortest messages.
const IKE: &str = "aes256gcm16-prfsha256-modp2048";
const ESP: &str = "aes128gcm16";
const SOON: Duration = Duration::from_secs(15);
/// How long pings go on after a move.
const AFTER: Duration = Duration::from_secs(2);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    let ours = (Player::Ours, Player::Ours, "ours");
    for (client, gateway, role) in PLAYERS.into_iter().chain([ours]) {
        let mut add = |name: &str, body: fn(&Ground, Players) -> Result<()>| {
            stories.push(Story::new(format!("move-{name}-{role}"), move |g: &Ground| {
                body(g, (client, gateway))
            }));
        };
        add("link-down", link_down);
        add("address", address);
        add("six-moves", six_moves);
        // A strongSwan gateway follows no ESP, only an update.
        if gateway == Player::Ours {
            add("nat-rebinding", nat_rebinding);
        }
    }
    for (client, name) in [(Player::Strongswan, "responder"), (Player::Ours, "ours")] {
        stories.push(Story::new(format!("move-return-routability-{name}"), move |g: &Ground| {
            return_routability(g, (client, Player::Ours))
        }));
    }
    stories.push(Story::new("move-encapsulation-ours", encapsulation));
    stories.push(Story::new("move-twins-ours", twins));
    stories
}

pub(super) type Players = (Player, Player);

/// A tunnel over the first uplink of two.
pub(super) struct Roaming {
    pub(super) lab: Lab,
    pub(super) pair: Pair,
    players: Players,
}

/// What came of a move.
pub(super) struct Moved {
    pub(super) pings: Pings,
    pub(super) tally: Tally,
}

impl Roaming {
    fn start(ground: &Ground, players: Players, topology: Topology, tunnel: &Tunnel) -> Result<Self> {
        Self::start_in(ground.lab(topology)?, players, tunnel)
    }

    /// The same in a lab that is there.
    pub(super) fn start_in(lab: Lab, players: Players, tunnel: &Tunnel) -> Result<Self> {
        let pair = Pair::start(&lab, players, tunnel)?;
        pair.client.up().context("set-up")?;
        pair.expect(SaCount::ONE, SOON)?;
        ping(&lab.carol, lab::ALICE, 5)?;
        Ok(Self { lab, pair, players })
    }

    /// Does something while a stream of pings goes on and what reaches the gateway is recorded.
    fn during(&self, name: &str, what: impl FnOnce(&Lab) -> Result<()>) -> Result<Moved> {
        let dir = self.lab.dir();
        let capture = Capture::start_short(&self.lab.moon, "eth0", &dir.join(format!("{name}.pcap")))?;
        let log = dir.join(format!("{name}-ping.log"));
        let pings = PingStream::start(&self.lab.carol, lab::ALICE, &log)?;
        let began = now();
        what(&self.lab)?;
        std::thread::sleep(AFTER);
        let pings = pings.finish().with_context(|| format!("pings, {name}"))?;
        let seen = datagram::read(&capture.finish()?)?;
        let moved = Moved { pings, tally: Tally::of(seen.iter().filter(|datagram| datagram.at >= began)) };
        println!(
            "         {name}: gap {:.0} ms, {} of {} pings lost; IKE {} octets in {} datagrams, rekeys {} in {}",
            moved.pings.longest_gap(),
            moved.pings.lost.len(),
            moved.pings.sent,
            moved.tally.ike.octets,
            moved.tally.ike.datagrams,
            moved.tally.rekeys.octets,
            moved.tally.rekeys.datagrams,
        );
        Ok(moved)
    }

    /// Does it, and fails unless the SAs are the same before and after and the gateway hears the client from `address`.
    pub(super) fn keeps_sas(
        &self,
        name: &str,
        address: &str,
        what: impl FnOnce(&Lab) -> Result<()>,
    ) -> Result<Moved> {
        let before = self.pair.client.spis()?;
        let moved = self.during(name, what)?;
        let after = self.pair.client.spis()?;
        ensure!(before.1 == after.1, "another IKE SA: {} before, {} after", before.1, after.1);
        // strongSwan's user-space ESP cannot move a Child SA: it rekeys it.
        let strongswan = [self.players.0, self.players.1].contains(&Player::Strongswan);
        ensure!(
            strongswan || before.0 == after.0,
            "another Child SA: {} before, {} after",
            before.0,
            after.0
        );
        ensure!(strongswan || moved.tally.rekeys.datagrams == 0, "keys changed: {:?}", moved.tally.rekeys);
        self.is_heard_from(address)?;
        self.pair.expect(SaCount::ONE, SOON)?;
        Ok(moved)
    }

    /// Fails unless all that the gateway hears of the client now comes from an address.
    pub(super) fn is_heard_from(&self, address: &str) -> Result<()> {
        let file = self.lab.dir().join("after.pcap");
        let capture = Capture::start_short(&self.lab.moon, "eth0", &file)?;
        ping(&self.lab.carol, lab::ALICE, 10)?;
        let seen = datagram::read(&capture.finish()?)?;
        let client: std::net::IpAddr = address.parse()?;
        let gateway = |from: std::net::IpAddr| [lab::MOON, lab::MOON_V6].contains(&from.to_string().as_str());
        let carries = |kind| matches!(kind, Kind::Ike(_) | Kind::Esp { .. });
        let from: Vec<_> = seen.iter().filter(|it| !gateway(it.from) && carries(it.kind)).collect();
        ensure!(from.len() >= 10, "only {} datagrams from the client", from.len());
        let other = from.iter().find(|datagram| datagram.from != client);
        ensure!(other.is_none(), "seen from elsewhere than {address}: {other:?}");
        Ok(())
    }

    /// Fails unless all ESP goes in UDP, or all raw.
    fn sends_esp(&self, when: &str, encapsulated: bool) -> Result<()> {
        let file = self.lab.dir().join("esp.pcap");
        let capture = Capture::start_short(&self.lab.moon, "eth0", &file)?;
        ping(&self.lab.carol, lab::ALICE, 10)?;
        let tally = Tally::of(&datagram::read(&capture.finish()?)?);
        let (udp, raw) = (tally.esp_in_udp.datagrams, tally.esp_raw.datagrams);
        let (wanted, other) = if encapsulated { (udp, raw) } else { (raw, udp) };
        ensure!(wanted >= 20 && other == 0, "{when}: {raw} packets of protocol 50, {udp} in UDP");
        Ok(())
    }

    pub(super) fn end(self) -> Result<()> {
        self.pair.client.stop()?;
        self.pair.gateway.stop()
    }
}

pub(super) fn mobile(ground: &Ground) -> Tunnel {
    Tunnel { mobike: true, ..Tunnel::new(&ground.vpnhost, IKE, ESP) }
}

/// The link in use goes down, and comes back.
fn link_down(ground: &Ground, players: Players) -> Result<()> {
    let roaming = Roaming::start(ground, players, Topology::TwoPaths, &mobile(ground))?;
    let moved = roaming.keeps_sas("link-down", UPLINKS[1].address, |lab| lab.link_down(0))?;
    // What the gap may be is `roam-bench`'s to judge, which has the machine to itself: here a second may pass in which nothing
    // runs, and strongSwan, which is judged, too, waits before it moves.
    ensure!(moved.pings.loss() < 20.0, "{:.1} % of the pings lost", moved.pings.loss());
    roaming.lab.link_up(0)?;
    ping(&roaming.lab.carol, lab::ALICE, 20).context("after the link is back")?;
    roaming.end()
}

/// The address in use goes while the link stays; it comes back as another; a second one is added and the first removed.
fn address(ground: &Ground, players: Players) -> Result<()> {
    const OTHER: &str = "10.1.0.11";
    const THIRD: &str = "10.1.0.12";
    let roaming = Roaming::start(ground, players, Topology::TwoPaths, &mobile(ground))?;
    // Without the second uplink: the address is what changes.
    roaming.lab.link_down(1)?;
    ping(&roaming.lab.carol, lab::ALICE, 5)?;
    roaming.keeps_sas("address-changed", OTHER, |lab| {
        lab.remove_address(0, UPLINKS[0].address)?;
        lab.add_address(0, OTHER)
    })?;
    roaming.keeps_sas("added-then-removed", THIRD, |lab| {
        lab.add_address(0, THIRD)?;
        std::thread::sleep(Duration::from_secs(1));
        lab.remove_address(0, OTHER)?;
        // The kernel takes a secondary address away with its primary one.
        lab.carol.run(&format!("ip addr replace {THIRD}/24 dev eth0"))?;
        lab.link_up(0)
    })?;
    roaming.end()
}

/// Links go down and come up six times in nine seconds.
fn six_moves(ground: &Ground, players: Players) -> Result<()> {
    let roaming = Roaming::start(ground, players, Topology::TwoPaths, &mobile(ground))?;
    let before = roaming.pair.client.spis()?;
    let moved = roaming.during("six-moves", |lab| {
        for number in 0..6 {
            lab.link_down(number % 2)?;
            std::thread::sleep(Duration::from_millis(750));
            lab.link_up(number % 2)?;
            std::thread::sleep(Duration::from_millis(750));
        }
        Ok(())
    })?;
    let after = roaming.pair.client.spis()?;
    ensure!(before.1 == after.1, "another IKE SA: {} before, {} after", before.1, after.1);
    if players.0 == Player::Ours {
        let loss = moved.pings.loss();
        ensure!(loss <= 1.0, "{loss:.1} % of the pings lost");
    }
    if players == (Player::Ours, Player::Ours) {
        let octets = moved.tally.ike.octets;
        ensure!(octets <= 4500, "{octets} octets of IKE");
        ensure!(moved.tally.rekeys.datagrams == 0, "keys changed: {:?}", moved.tally.rekeys);
    }
    roaming.pair.expect(SaCount::ONE, SOON)?;
    roaming.end()
}

/// The NAT forgets the client, and gives it other ports, while pings go on.
fn nat_rebinding(ground: &Ground, players: Players) -> Result<()> {
    let roaming = Roaming::start(ground, players, Topology::TwoPathsNat, &mobile(ground))?;
    roaming.keeps_sas("to-the-nat", lab::NAT, |lab| lab.link_down(0))?;
    let before = roaming.pair.client.spis()?;
    let log = roaming.lab.dir().join("rebinding-ping.log");
    let pings = PingStream::start(&roaming.lab.carol, lab::ALICE, &log)?;
    let at = now();
    roaming.lab.rebind(30_000..=30_999)?;
    let seconds = pings.answered_after(now(), SOON)?;
    println!("         nat-rebinding: answered again after {seconds:.2} s ({:.2} s in all)", now() - at);
    drop(pings);
    ensure!(seconds <= 3.0, "pings came back {seconds:.1} s after the NAT forgot");
    ensure!(before.1 == roaming.pair.client.spis()?.1, "another IKE SA");
    roaming.end()
}

/// A gateway of ours checks a new address with a cookie (RFC 4555 §3.7): one exchange more, and none where it shall not.
fn return_routability(ground: &Ground, players: Players) -> Result<()> {
    let mut datagrams = [0; 2];
    for (datagrams, word) in datagrams.iter_mut().zip(["before", "never"]) {
        let mut tunnel = mobile(ground);
        tunnel.connection = format!("return_routability = {word:?}");
        let roaming = Roaming::start(ground, players, Topology::TwoPaths, &tunnel)?;
        if let Some(client) = roaming.pair.client.as_vpnhost() {
            // What makes the second address known is not of the move.
            works(client, &format!("{}-{}", UPLINKS[1].address, lab::MOON))?;
        }
        let moved = roaming.keeps_sas(word, UPLINKS[1].address, |lab| lab.link_down(0))?;
        let Sum { octets, datagrams: seen } = moved.tally.ike_once;
        *datagrams = seen;
        let most = if word == "before" { 560 } else { 350 };
        ensure!(players.0 == Player::Strongswan || octets <= most, "{octets} octets with {word:?}");
        if players.0 == Player::Strongswan {
            cookies(&roaming.pair.client.log(), word == "before")?;
        }
        roaming.end()?;
    }
    let [before, never] = datagrams;
    // strongSwan asks from its new address before it tells of it. Our question of its cookie may be answered before that.
    let early = if players.0 == Player::Strongswan && before == never + 4 { 2 } else { 0 };
    ensure!(before == never + 2 + early, "{before} datagrams of IKE with the check, {never} without");
    Ok(())
}

/// Fails unless strongSwan says that its own cookie came back, and that it was asked for the gateway's as it shall be.
fn cookies(log: &str, asked: bool) -> Result<()> {
    let parsed = |what: &str| {
        let mut lines = log.lines().filter(|line| line.contains("N(COOKIE2)"));
        lines.any(|line| line.contains(&format!("parsed INFORMATIONAL {what} ")))
    };
    ensure!(parsed("response"), "strongSwan's cookie did not come back");
    ensure!(parsed("request") == asked, "strongSwan was asked for a cookie: {}", !asked);
    Ok(())
}

/// Two uplinks with one address, behind two routers that know nothing of each other: each dies silently in turn, and one goes
/// down.
fn twins(ground: &Ground) -> Result<()> {
    /// What the issue allows a silent death to take.
    const BACK_MS: f64 = 3000.0;
    let lab = ground.lab(Topology::TwoPaths)?;
    let _home = lab.make_twins()?;
    let [first, second] = [UPLINKS[0].address, UPLINKS[1].address];
    let roaming = Roaming::start_in(lab, (Player::Ours, Player::Ours), &mobile(ground))?;
    roaming.is_heard_from(first)?;
    let wait = |what: Result<()>| {
        std::thread::sleep(Duration::from_secs(3));
        what
    };
    let moved = [
        roaming.keeps_sas("one-dies", second, |lab| wait(lab.cut(0)))?,
        roaming.keeps_sas("the-other-dies", first, |lab| wait(lab.cut(1).and_then(|()| lab.restore(0))))?,
    ];
    for moved in moved {
        let gap = moved.pings.longest_gap();
        ensure!(gap <= BACK_MS, "a gap of {gap:.0} ms");
    }
    roaming.lab.restore(1)?;
    roaming.keeps_sas("one-goes-down", second, |lab| lab.link_down(0))?;
    roaming.end()
}

/// ESP goes raw where there is no NAT, in UDP where there is one, and raw again.
fn encapsulation(ground: &Ground) -> Result<()> {
    recorded_moves(ground).map(drop)
}

/// What both ends saw of moves, whole: of the client all its interfaces.
pub struct Recorded {
    /// As the client saw it.
    pub client: PathBuf,
    /// As the gateway saw it.
    pub gateway: PathBuf,
    /// The client's keys, as Wireshark reads them.
    pub keys: PathBuf,
}

/// Moves behind a NAT and back, and records it.
pub fn recorded_moves(ground: &Ground) -> Result<Recorded> {
    let mut tunnel = mobile(ground);
    "auto".clone_into(&mut tunnel.encapsulation);
    let players = (Player::Ours, Player::Ours);
    let roaming = Roaming::start(ground, players, Topology::TwoPathsNat, &tunnel)?;
    let lab = &roaming.lab;
    let client = Capture::start(&lab.carol, "any", &lab.dir().join("client.pcap"))?;
    let gateway = Capture::start(&lab.moon, "eth0", &lab.dir().join("gateway.pcap"))?;
    roaming.sends_esp("at first", false)?;
    roaming.keeps_sas("to-the-nat", lab::NAT, |lab| lab.link_down(0))?;
    roaming.sends_esp("behind the NAT", true)?;
    roaming.keeps_sas("from-the-nat", UPLINKS[0].address, |lab| {
        lab.link_up(0)?;
        lab.link_down(1)
    })?;
    roaming.sends_esp("without a NAT again", false)?;
    let keys = roaming.pair.client.as_vpnhost().context("it is ours")?.files().keylog();
    let recorded = Recorded { client: client.finish()?, gateway: gateway.finish()?, keys };
    roaming.end()?;
    Ok(recorded)
}
