//! What a move costs: the experiments that `cargo xtask roam-bench` runs with vpnhost and with strongSwan.
//!
//! carol has two uplinks, alice answers a ping each 5 ms through the tunnel, and what passes the router's link to moon is
//! recorded. Both ends are of one make, with the same suite and IPv4 alone outside.

mod experiment;
mod scene;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

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
        }
    }

    fn player(self) -> Player {
        match self {
            Self::Strongswan => Player::Strongswan,
            Self::Checked | Self::Unchecked | Self::Keen => Player::Ours,
        }
    }

    fn tunnel(self, ground: &Ground) -> Tunnel {
        let mut tunnel = Tunnel::new(&ground.vpnhost, IKE, ESP);
        tunnel.mobike = true;
        // strongSwan's own default, which the lab shortens.
        tunnel.charon = "  retransmit_timeout = 4\n".to_owned();
        match self {
            Self::Strongswan | Self::Checked => {}
            Self::Unchecked => tunnel.connection = "return_routability = \"never\"\n".to_owned(),
            Self::Keen => {
                let keen = ground.plugins.join("keen.wasm");
                tunnel.tables.0 = format!("[[plugin]]\nname = \"keen\"\npath = \"{}\"\n", keen.display());
            }
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
    body: fn(&Ground, Column, u32) -> Result<Values>,
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
    /// Runs it at a round-trip time in milliseconds.
    pub fn run(&self, ground: &Ground, column: Column, rtt: u32) -> Result<Values> {
        let slug = column.name().replace([',', ' '], "");
        let dir = ground.dir.join(self.name).join(format!("{slug}-{rtt}"));
        let ground = Ground { dir, ..ground.clone() };
        (self.body)(&ground, column, rtt)
            .with_context(|| format!("{} with {} at {rtt} ms", self.name, column.name()))
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
