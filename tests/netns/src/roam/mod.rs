//! What a move costs: the experiments that `cargo xtask roam-bench` runs with vpnhost and with strongSwan.
//!
//! carol has two uplinks, alice answers a ping each 5 ms through the tunnel, and what passes the router's link to moon is
//! recorded. Both ends are of one make, with the same suite and IPv4 alone outside.

mod experiment;
mod journey;
pub(crate) mod nat;
mod scene;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::peers::{Player, Tunnel};

pub use experiment::EXPERIMENTS;

/// The suites of every experiment.
const IKE: &str = "aes256gcm16-prfsha256-x25519";
const ESP: &str = "aes256gcm16";

/// A column: who plays both ends, and how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// strongSwan with its user-space ESP.
    Strongswan,
    /// vpnhost with its defaults: the gateway follows a move once the new address is proved.
    Checked,
    /// vpnhost whose gateway follows at once.
    Unchecked,
    /// vpnhost with the component `keen`.
    Keen,
    /// vpnhost with the component `lowest-rtt`.
    LowestRtt,
    /// vpnhost with the component `cheapest`.
    Cheapest,
    /// vpnhost with the component `sticky`.
    Sticky,
}

impl Column {
    /// Returns its head.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Strongswan => "strongSwan",
            Self::Checked => "vpnhost",
            Self::Unchecked => "vpnhost, no check",
            Self::Keen => "vpnhost, keen",
            Self::LowestRtt => "lowest-rtt",
            Self::Cheapest => "cheapest",
            Self::Sticky => "sticky",
        }
    }

    /// Returns who plays both ends.
    #[must_use]
    pub fn player(self) -> Player {
        if self == Self::Strongswan { Player::Strongswan } else { Player::Ours }
    }

    /// Returns the component that decides for the client.
    fn component(self) -> Option<&'static str> {
        match self {
            Self::Strongswan | Self::Checked | Self::Unchecked => None,
            Self::Keen => Some("keen"),
            Self::LowestRtt => Some("lowest-rtt"),
            Self::Cheapest => Some("cheapest"),
            Self::Sticky => Some("sticky"),
        }
    }

    /// Returns its name in paths, and in those of namespaces.
    fn slug(self) -> String {
        self.name().replace([',', ' '], "")
    }

    fn tunnel(self, ground: &Ground) -> Tunnel {
        let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, ESP);
        tunnel.mobike = true;
        // strongSwan's own default, which the lab shortens.
        tunnel.charon = "  retransmit_timeout = 4\n".to_owned();
        if self == Self::Unchecked {
            tunnel.connection = "return_routability = \"never\"\n".to_owned();
        }
        if let Some(name) = self.component() {
            let path = ground.plugins.join(format!("{name}.wasm"));
            tunnel.tables.0 = format!("[[plugin]]\nname = \"{name}\"\npath = \"{}\"\n", path.display());
        }
        tunnel
    }
}

/// What is measured, and how.
#[derive(Clone, Copy)]
pub struct Experiment {
    /// Its name, in words with dashes.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// Who takes part.
    pub columns: &'static [Column],
    /// What must be reached.
    pub bars: &'static [Bar],
    /// When it is run.
    pub pace: Pace,
    /// About how long a column takes, in seconds.
    pub seconds: u32,
    body: fn(&Ground, Column, u32) -> Result<Values>,
}

/// When an experiment is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At each round-trip time, by itself, one column after the other: milliseconds count.
    EachTime,
    /// Once, at the first round-trip time, with all columns at the same time: it takes minutes.
    Once,
    /// The same, beside all the others: hardly a packet is sent.
    Beside,
}

/// What a value must not exceed.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// The value.
    pub value: &'static str,
    /// For whom.
    pub column: Column,
    /// How much at a round trip of nothing.
    pub limit: f64,
    /// How much more with each millisecond that a round trip takes.
    pub per_ms: f64,
}

/// What was measured, by its name and unit; nothing where it never came.
pub type Values = BTreeMap<&'static str, Option<f64>>;

/// What experiments stand on.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The vpnhost binary.
    pub vpnhost: PathBuf,
    /// The built plugins.
    pub plugins: PathBuf,
    /// Where their files go.
    pub dir: PathBuf,
    /// How long a tunnel may take to come back.
    pub watch: Duration,
}

impl Experiment {
    /// Returns the experiment of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        EXPERIMENTS.iter().find(|it| it.name == name)
    }

    /// Returns at which of these round-trip times it is run.
    #[must_use]
    pub fn times<'a>(&self, all: &'a [u32]) -> &'a [u32] {
        if self.pace == Pace::EachTime { all } else { &all[..all.len().min(1)] }
    }

    /// Runs it at a round-trip time in milliseconds, with each of these columns.
    #[must_use]
    pub fn run(&self, ground: &Ground, columns: &[Column], rtt: u32) -> Vec<(Column, Result<Values>)> {
        let run = |column: Column| {
            let dir = ground.dir.join(self.name).join(format!("{}-{rtt}", column.slug()));
            let ground = Ground { dir, ..ground.clone() };
            let values = (self.body)(&ground, column, rtt);
            (column, values.with_context(|| format!("{} with {} at {rtt} ms", self.name, column.name())))
        };
        if self.pace == Pace::EachTime {
            return columns.iter().copied().map(run).collect();
        }
        std::thread::scope(|scope| {
            let runs: Vec<_> =
                columns.iter().map(|column| (*column, scope.spawn(move || run(*column)))).collect();
            let ended = runs.into_iter().map(|(column, run)| {
                run.join().unwrap_or_else(|_| (column, Err(anyhow!("an experiment panicked"))))
            });
            ended.collect()
        })
    }

    /// Returns what a column must reach.
    pub fn bars_of(&self, column: Column) -> impl Iterator<Item = &Bar> {
        self.bars.iter().filter(move |bar| bar.column == column)
    }

    /// Returns the names of the bars that these values miss; what was not measured was not reached.
    #[must_use]
    pub fn missed(&self, column: Column, rtt: u32, values: &Values) -> Vec<&'static str> {
        let over = |bar: &&Bar| {
            let limit = bar.limit + bar.per_ms * f64::from(rtt);
            values.get(bar.value).copied().flatten().is_none_or(|value| value > limit)
        };
        self.bars_of(column).filter(over).map(|bar| bar.value).collect()
    }
}
