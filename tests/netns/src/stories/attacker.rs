//! Somebody on the way re-sends the client's genuine update in a victim's name, and keeps the client's own from the gateway:
//! the victim gets the answer and the check, and no ESP (RFC 4555 §3.7, §5.2.2).

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::roam::works;
use crate::capture::Capture;
use crate::lab::UPLINKS;
use crate::link::inside;
use crate::peers::{Pair, Player, SaCount, Tunnel};
use crate::story::{Ground, Story};
use crate::traffic::{PingStream, now, ping};
use crate::{Lab, Topology, datagram, lab, wait};

/// Where nobody ever asked for a tunnel: an address beyond the router.
const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 66);
const PORT: u16 = 4500;
const SOON: Duration = Duration::from_secs(15);
/// How often the attacker sends it.
const COPIES: usize = 10;
/// How long the victim is watched: as long as a gateway with default timers asks there.
const WATCHED: Duration = Duration::from_secs(8);

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    // strongSwan tells of the move only once a probe was answered, which the attacker keeps from it.
    vec![Story::new("move-attacker-ours", |g: &Ground| {
        before(g)?;
        never(g)
    })]
}

/// The default: the gateway asks the victim first, who does not answer.
fn before(ground: &Ground) -> Result<()> {
    let (attack, seen) = Attack::carry_out(ground, "before")?;
    println!("         the victim got {} datagrams of IKE and {} of ESP", seen.ike, seen.esp);
    ensure!((1..=3).contains(&seen.ike), "{} datagrams of IKE", seen.ike);
    ensure!(seen.esp == 0, "{} packets of ESP", seen.esp);
    attack.let_go()
}

/// Without the check the attack works: what is measured here can be seen.
fn never(ground: &Ground) -> Result<()> {
    let (attack, seen) = Attack::carry_out(ground, "never")?;
    println!("         without the check it got {} and {}", seen.ike, seen.esp);
    ensure!(seen.esp > 0, "the gateway did not follow: the attack is none");
    attack.let_go()
}

/// What came to the victim.
#[derive(Default)]
struct Seen {
    ike: u32,
    esp: u32,
}

struct Attack {
    lab: Lab,
    pair: Pair,
}

impl Attack {
    /// Lets the client move to its second uplink, and only the victim's copy of its update through.
    fn carry_out(ground: &Ground, check: &str) -> Result<(Self, Seen)> {
        let lab = ground.lab(Topology::TwoPaths)?;
        let mut tunnel = Tunnel::new(&ground.vpnhost, "aes256gcm16-prfsha256-x25519", "aes128gcm16");
        tunnel.mobike = true;
        tunnel.connection = format!("return_routability = {check:?}\n");
        let pair = Pair::start(&lab, (Player::Ours, Player::Ours), &tunnel)?;
        pair.client.up().context("set-up")?;
        pair.expect(SaCount::ONE, SOON)?;
        ping(&lab.carol, lab::ALICE, 5)?;
        let client = pair.client.as_vpnhost().context("it is ours")?;
        works(client, &format!("{}-{}", UPLINKS[1].address, lab::MOON))?;

        let inet = lab.router()?;
        inet.run(&format!("ip addr add {VICTIM}/32 dev lo"))?;
        let victim = inside(inet.name(), || Ok(UdpSocket::bind((VICTIM, PORT))?))?;
        victim.set_read_timeout(Some(Duration::from_millis(100)))?;
        lab.cut(1)?;
        let file = lab.dir().join(format!("attack-{check}.pcap"));
        let capture = Capture::start(inet, "in1", &file)?;
        // Something for the gateway to send all the time.
        let log = lab.dir().join(format!("inner-{check}.log"));
        let stream = PingStream::start(&lab.alice, &lab.inner_address()?, &log)?;

        let began = now();
        lab.link_down(0)?;
        let address: Ipv4Addr = UPLINKS[1].address.parse()?;
        let update =
            wait::until("the client's update", SOON, || datagram::informational_from(&file, address, began))?;
        for _ in 0..COPIES {
            victim.send_to(&update, (lab::MOON, PORT))?;
        }
        let seen = watch(&victim)?;
        drop(stream);
        drop(capture.finish()?);
        Ok((Self { lab, pair }, seen))
    }

    /// Lets the client's own messages through again: the tunnel comes back where the client is.
    fn let_go(self) -> Result<()> {
        self.lab.restore(1)?;
        wait::until_true("a ping through the tunnel", SOON, || {
            Ok(ping(&self.lab.carol, lab::ALICE, 1).is_ok())
        })?;
        self.pair.expect(SaCount::ONE, SOON)?;
        self.pair.client.stop()?;
        self.pair.gateway.stop()
    }
}

/// Counts what the victim gets.
fn watch(victim: &UdpSocket) -> Result<Seen> {
    let (began, mut seen, mut room) = (Instant::now(), Seen::default(), [0; 4096]);
    while began.elapsed() < WATCHED {
        match victim.recv(&mut room) {
            Ok(4..) if room[..4] == [0; 4] => seen.ike += 1,
            Ok(_) => seen.esp += 1,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seen)
}
