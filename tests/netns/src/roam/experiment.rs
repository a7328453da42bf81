//! The experiments, one a function.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::scene::Scene;
use super::{Bar, Column, Experiment, Ground, Pace, Values, journey, nat};
use crate::Topology;
use crate::lab::{self, UPLINKS};
use crate::peers::CONNECTION;
use crate::traffic::{Load, Transfer, now};

const OURS: &[Column] = &[Column::Checked, Column::Unchecked];
const ALL: &[Column] = &[Column::Strongswan, Column::Checked, Column::Unchecked];
const ONE_EACH: &[Column] = &[Column::Strongswan, Column::Checked];
const POLICIES: &[Column] =
    &[Column::Strongswan, Column::Checked, Column::LowestRtt, Column::Cheapest, Column::Sticky, Column::Keen];
const WITH_KEEN: &[Column] = &[Column::Strongswan, Column::Checked, Column::Keen];

/// How long a move may take to come to rest, octets of later exchanges included.
const REST: Duration = Duration::from_secs(4);

/// What is under way on a link that goes down is lost, and what is sent there until the peer has heard of the move: one
/// round trip, six times in the 11.5 s that the ping goes on, in hundredths.
const SIX_ROUND_TRIPS: f64 = 6.0 / 11_500.0 * 100.0;

/// All of them, in the order in which they are run.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "link-down",
        about: "the link of the path in use goes down; the other path is fine",
        columns: ALL,
        bars: &[
            bar("IKE octets", Column::Checked, 560.0),
            bar("IKE octets", Column::Unchecked, 350.0),
            Bar { value: "gap ms", column: Column::Checked, limit: 15.0, per_ms: 1.0 },
            Bar { value: "gap ms", column: Column::Unchecked, limit: 15.0, per_ms: 1.0 },
            bar("rekey datagrams", Column::Checked, 0.0),
            bar("rekey datagrams", Column::Unchecked, 0.0),
            bar("IKE_SA_INIT requests", Column::Checked, 0.0),
        ],
        pace: Pace::EachTime,
        seconds: 9,
        body: link_down,
    },
    Experiment {
        name: "voluntary",
        about: "a move by hand while both paths are alive",
        columns: OURS,
        bars: &[bar("pings lost", Column::Checked, 0.0), bar("pings lost", Column::Unchecked, 0.0)],
        pace: Pace::EachTime,
        seconds: 9,
        body: voluntary,
    },
    Experiment {
        name: "six-moves",
        about: "six moves in 9 s, each because the link of the path in use goes down",
        columns: ALL,
        bars: &[
            Bar { value: "lost %", column: Column::Checked, limit: 1.0, per_ms: SIX_ROUND_TRIPS },
            Bar { value: "lost %", column: Column::Unchecked, limit: 1.0, per_ms: SIX_ROUND_TRIPS },
            bar("IKE octets", Column::Checked, 4500.0),
            bar("IKE octets", Column::Unchecked, 3200.0),
        ],
        pace: Pace::EachTime,
        seconds: 15,
        body: six_moves,
    },
    Experiment {
        name: "silent-death",
        about: "the router drops all of the path in use, every link stays up; the other path is fine",
        columns: WITH_KEEN,
        bars: &[
            bar("back after ms", Column::Checked, 3000.0),
            // Whoever suspects sooner than an answer can come suspects in vain, and waits longer the next time.
            Bar { value: "back after ms", column: Column::Keen, limit: 1000.0, per_ms: 1.0 },
        ],
        pace: Pace::EachTime,
        seconds: 13,
        body: silent_death,
    },
    Experiment {
        name: "restart",
        about: "the gateway is killed and started again; counted from when it is ready",
        columns: ONE_EACH,
        bars: &[bar("back after ms", Column::Checked, 2000.0)],
        pace: Pace::EachTime,
        seconds: 16,
        body: restart,
    },
    Experiment {
        name: "rebind",
        about: "the NAT forgets its mappings and takes other ports, under traffic",
        columns: ONE_EACH,
        bars: &[bar("back after ms", Column::Checked, 3000.0)],
        pace: Pace::EachTime,
        seconds: 15,
        body: rebind,
    },
    Experiment {
        name: "narrow",
        about: "the link goes down under TCP both ways; the other path carries 1280 octets",
        columns: ONE_EACH,
        bars: &[bar("stall up ms", Column::Checked, 1000.0), bar("stall down ms", Column::Checked, 1000.0)],
        pace: Pace::EachTime,
        seconds: 13,
        body: narrow,
    },
    Experiment {
        name: "voice",
        about: "a call, 50 packets/s each way, over 30 legs on each of which one of two bad links fails; it has delays of its own",
        columns: POLICIES,
        bars: JOURNEY,
        pace: Pace::Once,
        seconds: 145,
        body: journey::voice,
    },
    Experiment {
        name: "nat-30",
        about: "a NAT that forgets after 30 s; ours begins with 16 s and learns; then packets come first from outside",
        columns: ONE_EACH,
        bars: &[bar("keepalive ms", Column::Checked, 29_999.0), bar("inbound lost", Column::Checked, 0.0)],
        pace: Pace::Beside,
        seconds: 275,
        body: nat::learn_30,
    },
];

/// A path that dies without a word is left within this, whoever decides.
const GAP: f64 = 3000.0;
const JOURNEY: &[Bar] = &[
    bar("longest gap ms", Column::Checked, GAP),
    bar("longest gap ms", Column::LowestRtt, GAP),
    bar("longest gap ms", Column::Cheapest, GAP),
    bar("longest gap ms", Column::Sticky, GAP),
    bar("longest gap ms", Column::Keen, GAP),
    bar("IKE SAs more", Column::Checked, 0.0),
    bar("IKE SAs more", Column::LowestRtt, 0.0),
    bar("IKE SAs more", Column::Cheapest, 0.0),
    bar("IKE SAs more", Column::Sticky, 0.0),
    bar("IKE SAs more", Column::Keen, 0.0),
];

const fn bar(value: &'static str, column: Column, limit: f64) -> Bar {
    Bar { value, column, limit, per_ms: 0.0 }
}

fn link_down(ground: &Ground, column: Column, rtt: u32) -> Result<Values> {
    let scene = Scene::begin(ground, column, Topology::TwoPaths, rtt)?;
    let began = now();
    scene.lab.link_down(0)?;
    std::thread::sleep(REST);
    scene.end(began)
}

fn voluntary(ground: &Ground, column: Column, rtt: u32) -> Result<Values> {
    let scene = Scene::begin(ground, column, Topology::TwoPaths, rtt)?;
    let began = now();
    let host = scene.client.as_vpnhost().context("only vpnhost moves by hand")?;
    host.verb(&["roam", CONNECTION, "--path", &format!("{}-{}", UPLINKS[1].address, lab::MOON)])?;
    std::thread::sleep(REST);
    scene.end(began)
}

fn six_moves(ground: &Ground, column: Column, rtt: u32) -> Result<Values> {
    const HALF: Duration = Duration::from_millis(750);
    let scene = Scene::begin(ground, column, Topology::TwoPaths, rtt)?;
    let (began, start) = (now(), Instant::now());
    for step in 0..6_u32 {
        let gone = step as usize % 2;
        scene.lab.link_down(gone)?;
        std::thread::sleep((HALF * (2 * step + 1)).saturating_sub(start.elapsed()));
        scene.lab.link_up(gone)?;
        std::thread::sleep((HALF * (2 * step + 2)).saturating_sub(start.elapsed()));
    }
    std::thread::sleep(REST / 4);
    scene.end(began)
}

fn silent_death(ground: &Ground, column: Column, rtt: u32) -> Result<Values> {
    let scene = Scene::begin(ground, column, Topology::TwoPaths, rtt)?;
    scene.lab.cut(0)?;
    let began = now();
    scene.end_back(began, ground.watch)
}

fn restart(ground: &Ground, column: Column, rtt: u32) -> Result<Values> {
    let mut scene = Scene::begin_with(ground, column, (Topology::TwoPaths, rtt), |tunnel| {
        tunnel.start = "up".to_owned();
        if column == Column::Strongswan {
            // What keeps a strongSwan client up.
            tunnel.swanctl = (
                "    dpd_delay = 5s\n    keyingtries = 0\n".to_owned(),
                "        dpd_action = restart\n        close_action = start\n".to_owned(),
            );
        }
    })?;
    scene.crash_gateway()?;
    std::thread::sleep(Duration::from_secs(1));
    scene.restart_gateway()?;
    let began = now();
    scene.end_back(began, ground.watch)
}

fn rebind(ground: &Ground, column: Column, rtt: u32) -> Result<Values> {
    let scene = Scene::begin(ground, column, Topology::Nat, rtt)?;
    scene.lab.rebind(40_000..=40_999)?;
    let began = now();
    scene.end_back(began, ground.watch)
}

fn narrow(ground: &Ground, column: Column, rtt: u32) -> Result<Values> {
    const LOAD: Load = Load { octets: 1_000_000, per_second: 1_000_000 };
    let scene = Scene::begin(ground, column, Topology::TwoPaths, rtt)?;
    let lab = &scene.lab;
    lab.set_mtu(1, 1280)?;
    let own = lab.inner_address()?;
    let up = Transfer::start(&lab.carol, &lab.alice, &format!("{}:7008", lab::ALICE), LOAD, lab.dir())?;
    let down = Transfer::start(&lab.alice, &lab.carol, &format!("{own}:7009"), LOAD, lab.dir())?;
    std::thread::sleep(Duration::from_secs(2));
    let began = now();
    lab.link_down(0)?;
    std::thread::sleep(Duration::from_secs(5));
    // One that broke has no stall that ends.
    let stall = |transfer: Transfer| transfer.finish(Duration::from_secs(25)).ok().map(|it| it.stall * 1e3);
    let stalls = [("stall up ms", stall(up)), ("stall down ms", stall(down))];
    let mut values = scene.end(began)?;
    values.extend(stalls.map(|(name, stall)| (name, stall.map(f64::round))));
    Ok(values)
}
