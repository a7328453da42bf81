//! The bad link itself does what it is told: to all that is measured on it these are the bounds.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{output, said};
use crate::link::schedule::Bursts;
use crate::link::voice::{Call, Heard};
use crate::link::{Change, Conditions, Direction, Trace, Wire};
use crate::peers::{Pair, Player, Tunnel};
use crate::roam::{self, Experiment, Values};
use crate::story::{self, Ground, Story};
use crate::traffic::ping;
use crate::{Namespace, Topology, lab, suite, wait};

/// The address of the near end.
const NEAR: &str = "10.30.0.1";
/// The address of the far end.
const FAR: &str = "10.30.0.2";

/// Returns the stories.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![
        Story::new("bad-link-delay", delay),
        Story::new("bad-link-loss", loss),
        Story::new("bad-link-duplicates", duplicates),
        Story::new("bad-link-reorders", reorders),
        Story::new("bad-link-rate", rate),
        Story::new("bad-link-cut", cut),
        Story::new("bad-link-unplugged", unplugged),
        Story::new("bad-link-down-and-up", down_and_up),
        Story::new("bad-link-trace", trace),
        Story::new("bad-link-voice", voice),
        Story::new("bad-link-in-place", in_place),
        Story::new("bad-link-tunnel-ours", tunnel),
        Story::new("bad-link-journey-policies", journey),
    ]
}

/// Two namespaces and the wire that joins them.
struct Joined {
    near: Namespace,
    far: Namespace,
    wire: Wire,
}

impl Joined {
    fn new() -> Result<Self> {
        let space = |role: &str| Namespace::create(format!("vht{}-{role}", std::process::id()));
        let (near, far) = (space("near")?, space("far")?);
        let wire = Wire::join((near.name(), "eth0"), (far.name(), "in0"), 1)?;
        near.run(&format!("ip addr add {NEAR}/24 dev eth0"))?;
        far.run(&format!("ip addr add {FAR}/24 dev in0"))?;
        let joined = Self { near, far, wire };
        // ARP is done before anything is measured.
        wait::until_true("an answer", Duration::from_secs(10), || {
            Ok(joined.near.succeeds(&format!("ping -n -c 1 -W 1 {FAR}")))
        })?;
        Ok(joined)
    }

    /// Pings and returns what ping said, also when nothing came back.
    fn ping(&self, words: &str) -> Result<String> {
        let mut command = self.near.command("ping");
        command.arg("-n").args(words.split_whitespace()).arg(FAR);
        Ok(said(&output(&mut command)?))
    }

    /// Pings a few times and returns the times in milliseconds, in order.
    fn times(&self) -> Result<Vec<f64>> {
        let said = self.ping("-c 15 -i 0.05 -W 5")?;
        let mut times: Vec<f64> = said.split("time=").skip(1).filter_map(first_number).collect();
        ensure!(times.len() > 10, "{} answers: {said}", times.len());
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    /// Speaks to the far end for as long as something else takes.
    fn call(&self, meanwhile: impl FnOnce()) -> Result<Heard> {
        let call = Call::start(&self.near, &self.far, format!("{FAR}:5004").parse()?)?;
        meanwhile();
        call.finish()
    }

    fn median(&self) -> Result<f64> {
        let times = self.times()?;
        Ok(times[times.len() / 2])
    }
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Returns how many of how many pings were answered.
fn answered(said: &str) -> Result<(u32, u32)> {
    let number = |before: &str| {
        let line = said.lines().find(|line| line.contains("packets transmitted"))?;
        line.split(", ").find(|part| part.ends_with(before)).and_then(first_number)
    };
    match (number("received"), number("packets transmitted")) {
        (Some(received), Some(sent)) => Ok((received as u32, sent as u32)),
        _ => bail!("ping gave no summary: {said}"),
    }
}

fn delay(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    let good = joined.median()?;
    ensure!(good < 3.0, "{good} ms over a good link");
    joined.wire.set_both(Conditions { delay: ms(25), ..Conditions::default() });
    let times = joined.times()?;
    let median = times[times.len() / 2];
    ensure!(times[0] >= 50.0, "{} ms is less than twice 25 ms", times[0]);
    ensure!(median < 58.0, "{median} ms, 50 expected");
    // Each way by itself.
    joined.wire.set(Direction::Back, Conditions::default());
    let median = joined.median()?;
    ensure!((25.0..32.0).contains(&median), "{median} ms, 25 expected");
    Ok(())
}

fn loss(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    joined.wire.set(Direction::Forth, Conditions { loss: 0.2, ..Conditions::default() });
    let before = joined.wire.counters(Direction::Forth).lost;
    let (received, sent) = answered(&joined.ping("-c 300 -i 0.005 -W 1")?)?;
    let lost = sent - received;
    ensure!(sent == 300 && (30..=95).contains(&lost), "{lost} of {sent} lost, 60 expected");
    // Frames of ARP and IPv6 may be lost besides.
    let counted = joined.wire.counters(Direction::Forth).lost - before;
    ensure!((u64::from(lost)..u64::from(lost) + 10).contains(&counted), "{counted} counted, {lost} lost");
    joined.wire.set(Direction::Forth, Conditions { bursts: Bursts::of(0.2, 10.0), ..Conditions::default() });
    let said = joined.ping("-c 300 -i 0.005 -W 1")?;
    let missing = gaps(&said);
    let longest = missing.iter().copied().max().unwrap_or(0);
    ensure!(longest >= 6, "bursts of 10 on average, the longest has {longest}: {missing:?}");
    Ok(())
}

/// Returns how many answers are missing between one and the next.
fn gaps(said: &str) -> Vec<u32> {
    let seen: Vec<u32> =
        said.split("icmp_seq=").skip(1).filter_map(first_number).map(|number| number as u32).collect();
    seen.windows(2).map(|pair| pair[1].saturating_sub(pair[0] + 1)).filter(|missing| *missing > 0).collect()
}

fn duplicates(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    joined.wire.set(Direction::Back, Conditions { duplicate: 0.3, ..Conditions::default() });
    let said = joined.ping("-c 100 -i 0.005 -W 1")?;
    let doubled = said.matches("DUP!").count();
    ensure!((10..=55).contains(&doubled), "{doubled} of 100 doubled, 30 expected");
    Ok(())
}

fn reorders(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    joined.wire.set(Direction::Forth, Conditions { reorder: 0.1, hold: ms(30), ..Conditions::default() });
    let said = joined.ping("-c 100 -i 0.005 -W 2")?;
    let seen: Vec<f64> = said.split("icmp_seq=").skip(1).filter_map(first_number).collect();
    let back = seen.windows(2).filter(|pair| pair[1] < pair[0]).count();
    ensure!(seen.len() == 100 && back >= 2, "{} answers, {back} out of order", seen.len());
    Ok(())
}

fn rate(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    // A frame of 1042 octets takes 10.4 ms, and five find room.
    joined.wire.set(Direction::Forth, Conditions { rate: 800_000, queue: 6000, ..Conditions::default() });
    let before = joined.wire.counters(Direction::Forth).overflowed;
    let said = joined.ping("-s 1000 -l 50 -c 50 -W 1")?;
    let (received, sent) = answered(&said)?;
    let overflowed = joined.wire.counters(Direction::Forth).overflowed - before;
    // A busy machine hands them over more slowly.
    ensure!(received < 25 && overflowed >= 25, "{received} of {sent} came through, {overflowed} dropped");
    let last = said.split("time=").skip(1).filter_map(first_number).fold(0.0, f64::max);
    ensure!((40.0..75.0).contains(&last), "{last} ms, 52 expected of who waited longest");
    Ok(())
}

fn cut(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    joined.wire.cut();
    let (received, _) = answered(&joined.ping("-c 10 -i 0.02 -W 1")?)?;
    ensure!(received == 0, "{received} answers over a cut link");
    let state = joined.near.run("ip link show eth0")?;
    ensure!(state.contains("LOWER_UP"), "the cut is not silent: {state}");
    joined.wire.restore();
    let (received, sent) = answered(&joined.ping("-c 10 -i 0.02 -W 1")?)?;
    ensure!(received == sent, "{received} of {sent} answers after the cut");
    Ok(())
}

fn unplugged(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    let state = |space: &Namespace, interface: &str| space.run(&format!("ip addr show {interface}"));
    joined.wire.unplug()?;
    for (space, interface) in [(&joined.near, "eth0"), (&joined.far, "in0")] {
        let state = state(space, interface)?;
        ensure!(state.contains("NO-CARRIER") && state.contains("10.30.0."), "{state}");
    }
    joined.wire.change(&Change::parse("plug=yes")?);
    wait::until_true("a carrier", Duration::from_secs(5), || {
        Ok(state(&joined.near, "eth0")?.contains("LOWER_UP")
            && state(&joined.far, "in0")?.contains("LOWER_UP"))
    })?;
    wait::until_true("an answer", Duration::from_secs(5), || {
        Ok(joined.near.succeeds(&format!("ping -n -c 1 -W 1 {FAR}")))
    })
}

/// An interface that is taken down and up again by hand comes back, with what it was told of the link.
fn down_and_up(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    joined.wire.set_both(Conditions { delay: ms(10), ..Conditions::default() });
    joined.near.run("ip link set eth0 down")?;
    // What is sent to an interface that is down is lost, and the wire lives on.
    joined.far.run(&format!("ping -n -c 3 -i 0.02 -W 1 {NEAR}")).err().context("answers from a dead end")?;
    joined.near.run("ip link set eth0 up")?;
    let median = joined.median()?;
    ensure!(!joined.wire.is_gone() && (20.0..30.0).contains(&median), "{median} ms, 20 expected");
    joined.near.run("ip link del eth0")?;
    wait::until_true("the wire ends with its interface", Duration::from_secs(5), || Ok(joined.wire.is_gone()))
}

fn trace(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    joined.wire.follow(&Trace::parse("0 forth delay=10ms\n0.3 delay=40ms\n3 delay=5ms # both ways again\n")?);
    let first = joined.ping("-c 1 -W 2")?;
    let first = first.split("time=").nth(1).and_then(first_number);
    ensure!(first.is_some_and(|time| (10.0..20.0).contains(&time)), "{first:?} ms, 10 expected");
    std::thread::sleep(ms(400));
    let median = joined.median()?;
    ensure!((80.0..90.0).contains(&median), "{median} ms, 80 expected");
    wait::until_true("the third line", Duration::from_secs(8), || {
        Ok(joined.wire.conditions(Direction::Back).delay == ms(5))
    })?;
    let median = joined.median()?;
    ensure!((10.0..20.0).contains(&median), "{median} ms, 10 expected");
    joined.wire.change(&Change::parse("back cut=yes")?);
    let (received, _) = answered(&joined.ping("-c 3 -i 0.02 -W 1")?)?;
    ensure!(received == 0, "{received} answers with one way cut");
    Ok(())
}

fn voice(_: &Ground) -> Result<()> {
    let joined = Joined::new()?;
    let heard = joined.call(|| std::thread::sleep(ms(2000)))?;
    ensure!(heard.received == heard.sent && heard.sent >= 95, "{heard:?}");
    ensure!(heard.delay[1] < ms(5) && heard.mos > 4.2, "{heard:?}");
    // Only the way that is spoken is bad; the listener's answers do not exist.
    joined.wire.set(Direction::Forth, Conditions { delay: ms(120), loss: 0.1, ..Conditions::default() });
    let heard = joined.call(|| std::thread::sleep(ms(4000)))?;
    ensure!((120..=125).contains(&heard.delay[0].as_millis()), "{heard:?}");
    ensure!(heard.received < heard.sent && (2.5..3.9).contains(&heard.mos), "{heard:?}");
    joined.wire.set(Direction::Forth, Conditions::default());
    let heard = joined.call(|| {
        std::thread::sleep(ms(1000));
        joined.wire.cut();
        std::thread::sleep(ms(500));
        joined.wire.restore();
        std::thread::sleep(ms(1000));
    })?;
    ensure!((490..=700).contains(&heard.longest_gap.as_millis()), "{heard:?}");
    ensure!((20..=30).contains(&(heard.sent - heard.received)), "{heard:?}");
    Ok(())
}

/// A wire takes the place of a link of a lab, and all that stood on it stands.
fn in_place(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Nat)?;
    let inet = lab.router()?;
    lab.carol.run("ip link set eth0 mtu 1400")?;
    let wire = Wire::replace((lab.carol.name(), "eth0"), (inet.name(), "in0"), 1)?;
    wire.set_both(Conditions { delay: ms(25), ..Conditions::default() });
    let link = lab.carol.run("ip link show eth0")?;
    ensure!(link.contains("mtu 1400"), "{link}");
    for target in [lab::MOON, lab::MOON_V6] {
        let time = ping(&lab.carol, target, 5)?;
        ensure!((50.0..70.0).contains(&time), "{target}: {time} ms, 50 expected");
    }
    Ok(())
}

/// A tunnel over a link that is slow and loses: its set-up, what a ping takes, and how a call through it sounds.
fn tunnel(ground: &Ground) -> Result<()> {
    let lab = ground.lab(Topology::Nat)?;
    let wire = Wire::replace((lab.carol.name(), "eth0"), (lab.router()?.name(), "in0"), 1)?;
    let bad = Conditions { delay: ms(25), ..Conditions::default() };
    wire.set_both(bad);
    let tunnel = Tunnel::new(&ground.vpnhost, suite::IKE[4], "aes128gcm16");
    let pair = Pair::start(&lab, (Player::Ours, Player::Ours), &tunnel)?;
    pair.client.up().context("set-up")?;
    let time = ping(&lab.carol, lab::ALICE, 10)?;
    ensure!((50.0..70.0).contains(&time), "{time} ms, 50 expected");
    wire.set_both(Conditions { loss: 0.03, ..bad });
    let call = Call::start(&lab.carol, &lab.alice, format!("{}:5004", lab::ALICE).parse()?)?;
    std::thread::sleep(ms(6000));
    let heard = call.finish()?;
    println!("         {heard}");
    ensure!((25..32).contains(&heard.delay[0].as_millis()), "{heard:?}");
    ensure!(heard.received < heard.sent && heard.received > heard.sent * 9 / 10, "{heard:?}");
    ensure!((3.5..4.41).contains(&heard.mos), "{heard:?}");
    pair.client.stop()?;
    pair.gateway.stop()
}

/// A call over a journey of thirty legs, on each of which one of two uplinks fails, under each policy at the same
/// time: the IKE SA stays, and no silence is longer than one of a path that died without a word may be.
fn journey(ground: &Ground) -> Result<()> {
    let voice = Experiment::named("voice").context("there is such an experiment")?;
    let ours: Vec<_> = voice.columns.iter().copied().filter(|it| it.player() == Player::Ours).collect();
    let story::Ground { vpnhost, plugins, dir, .. } = ground.clone();
    let ground = roam::Ground { vpnhost, plugins, dir, watch: Duration::ZERO };
    let mut result = Ok(());
    for (column, values) in voice.run(&ground, &ours, 0) {
        let told = values.and_then(|values| {
            println!("         {:13} {}", column.name(), told(&values));
            let missed = voice.missed(column, 0, &values);
            ensure!(missed.is_empty(), "{}: missed {}", column.name(), missed.join(", "));
            Ok(())
        });
        result = result.and(told);
    }
    result
}

fn told(values: &Values) -> String {
    let told = |(name, value): (&&str, &Option<f64>)| Some(format!("{name} {}", (*value)?));
    values.iter().filter_map(told).collect::<Vec<_>>().join(", ")
}
