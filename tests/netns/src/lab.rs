//! The topologies: who is joined to whom.
//!
//! ```text
//! direct   carol eth0 10.10.0.10 ─── 10.10.0.1 eth0 moon
//! nat      carol eth0 10.1.0.10 ─── 10.1.0.1 inet (masquerades) 10.10.0.254 ─── 10.10.0.1 eth0 moon
//! two-paths      carol eth0 10.1.0.10, eth1 10.2.0.10 ─── inet 10.10.0.254 ─── 10.10.0.1 eth0 moon
//! two-paths-nat  the same, and what comes from eth1 is masqueraded
//! always   moon eth1 10.20.0.1 ─── 10.20.0.10 eth0 alice: the network behind the gateway
//! ```
//! IPv6 beside IPv4: fd10:: and fd01:: outside, fd20:: inside; with two paths outside only where a story asks for it
//! (fd01:: and fd02::), so that octets of moves can be counted. What reaches the inner network in clear from
//! outside is dropped by moon, so only a tunnel gets there.

mod uplink;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::command::run;
use crate::namespace::{self, Namespace};

pub use uplink::{UPLINKS, Uplink};

/// The gateway's address as the client sees it.
pub const MOON: &str = "10.10.0.1";
/// The same in IPv6.
pub const MOON_V6: &str = "fd10::1";
/// The router's address towards the gateway: what a NAT hides the client behind.
pub const NAT: &str = "10.10.0.254";
/// What a NAT64 hides the client behind.
pub const NAT64: &str = "198.51.100.64";
/// The host behind the gateway.
pub const ALICE: &str = "10.20.0.10";
/// The same in IPv6.
pub const ALICE_V6: &str = "fd20::10";
/// The networks behind the gateway.
pub const INNER: [&str; 2] = ["10.20.0.0/24", "fd20::/64"];

/// Who stands between the client and the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Nobody: one link.
    Direct,
    /// A router that masquerades the client.
    Nat,
    /// A router that the client reaches by two uplinks, the first by the better metric.
    TwoPaths,
    /// The same; the router masquerades what comes by the second.
    TwoPathsNat,
}

impl Topology {
    /// Returns its name in stories.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nat => "nat",
            Self::TwoPaths => "two-paths",
            Self::TwoPathsNat => "two-paths-nat",
        }
    }

    /// Returns the client's own outside address.
    #[must_use]
    pub fn carol(self) -> &'static str {
        match self {
            Self::Direct => "10.10.0.10",
            Self::Nat | Self::TwoPaths | Self::TwoPathsNat => UPLINKS[0].address,
        }
    }

    /// Returns the network that the router masquerades.
    fn masqueraded(self) -> Option<&'static str> {
        match self {
            Self::Direct | Self::TwoPaths => None,
            Self::Nat => Some("10.1.0.0/24"),
            Self::TwoPathsNat => Some("10.2.0.0/24"),
        }
    }
}

/// Namespaces of a topology, and a directory for what happens in them.
#[derive(Debug)]
pub struct Lab {
    /// Who stands between.
    pub topology: Topology,
    /// The client.
    pub carol: Namespace,
    /// The gateway.
    pub moon: Namespace,
    /// The host behind the gateway.
    pub alice: Namespace,
    /// The router, where there is one.
    pub inet: Option<Namespace>,
    dir: PathBuf,
    sockets: TempDir,
}

impl Lab {
    /// Builds a topology; its files go to `dir`, which is emptied.
    pub fn build(topology: Topology, dir: &Path) -> Result<Self> {
        Self::build_as(&format!("{PREFIX}{}-", std::process::id()), topology, dir)
    }

    /// Builds a topology beside others that this process has: `name` tells them apart.
    pub fn build_beside(name: &str, topology: Topology, dir: &Path) -> Result<Self> {
        Self::build_as(&format!("{PREFIX}{}-{name}-", std::process::id()), topology, dir)
    }

    /// Builds a topology whose namespaces' names begin with `prefix`.
    pub fn build_as(prefix: &str, topology: Topology, dir: &Path) -> Result<Self> {
        if dir.exists() {
            std::fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
        }
        std::fs::create_dir_all(dir)?;
        let space = |role: &str| Namespace::create(format!("{prefix}{role}"));
        let router = (topology != Topology::Direct).then(|| space("inet")).transpose()?;
        let lab = Self {
            topology,
            carol: space("carol")?,
            moon: space("moon")?,
            alice: space("alice")?,
            inet: router,
            dir: dir.to_path_buf(),
            sockets: tempfile::Builder::new().prefix(PREFIX).tempdir()?,
        };
        lab.wire()?;
        Ok(lab)
    }

    /// Returns the directory for logs, configurations and captures.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns where a control socket of an end lies: a socket's path has at most 107 octets, and the directory of the
    /// lab may lie deep.
    #[must_use]
    pub fn socket(&self, name: &str) -> PathBuf {
        self.sockets.path().join(name)
    }

    /// Returns the client's IPv4 address inside the tunnel.
    pub fn inner_address(&self) -> Result<String> {
        let all = self.carol.run("ip -o -4 addr show")?;
        let own = all.split([' ', '/']).find(|word| word.starts_with("10.30.0."));
        Ok(own.context("no virtual address")?.to_owned())
    }

    /// Cuts what is sent in batches (UDP segmentation offload) before it is seen on the outside links, as a network
    /// card would: veth hands a whole batch over, and a capture shows it as one datagram.
    pub fn cut_batches(&self) -> Result<()> {
        let ends = [&self.carol, &self.moon].map(|space| (space, "eth0"));
        let inside = self.inet.iter().flat_map(|inet| [(inet, "in0"), (inet, "out")]);
        let is_two = matches!(self.topology, Topology::TwoPaths | Topology::TwoPathsNat);
        let second =
            self.inet.iter().filter(|_| is_two).flat_map(|inet| [(&self.carol, "eth1"), (inet, "in1")]);
        ends.into_iter().chain(inside).chain(second).try_for_each(|(space, interface)| {
            space.run(&format!("ip link set {interface} gso_max_segs 1")).map(drop)
        })
    }

    /// Leaves the namespaces standing (for work by hand) instead of removing them.
    pub fn leave(self) {
        std::mem::forget(self);
    }

    fn wire(&self) -> Result<()> {
        self.moon.forward()?;
        link(
            (&self.moon, "eth1", &["10.20.0.1/24", "fd20::1/64"]),
            (&self.alice, "eth0", &["10.20.0.10/24", "fd20::10/64"]),
        )?;
        default_route(&self.alice, "10.20.0.1", "fd20::1")?;
        self.moon.nft(&format!(
            "table inet guard {{ chain in {{ type filter hook prerouting priority -300;\n\
             iifname \"eth0\" ip daddr {} drop\niifname \"eth0\" ip6 daddr {} drop\n}}\n}}\n",
            INNER[0], INNER[1],
        ))?;
        match &self.inet {
            None => {
                link(
                    (&self.carol, "eth0", &["10.10.0.10/24", "fd10::10/64"]),
                    (&self.moon, "eth0", &["10.10.0.1/24", "fd10::1/64"]),
                )?;
                default_route(&self.carol, MOON, MOON_V6)
            }
            Some(inet) if self.topology == Topology::Nat => self.wire_nat(inet),
            Some(inet) => self.wire_two(inet),
        }
    }

    fn wire_nat(&self, inet: &Namespace) -> Result<()> {
        inet.forward()?;
        link(
            (inet, "out", &["10.10.0.254/24", "fd10::fe/64"]),
            (&self.moon, "eth0", &["10.10.0.1/24", "fd10::1/64"]),
        )?;
        link(
            (&self.carol, "eth0", &["10.1.0.10/24", "fd01::10/64"]),
            (inet, "in0", &["10.1.0.1/24", "fd01::1/64"]),
        )?;
        default_route(&self.moon, "10.10.0.254", "fd10::fe")?;
        default_route(&self.carol, "10.1.0.1", "fd01::1")?;
        self.topology.masqueraded().map_or(Ok(()), |source| uplink::masquerade(inet, source, ""))
    }
}

/// What the names of all namespaces of tests begin with; a process id and a dash follow.
const PREFIX: &str = "vht";

/// Removes what a killed test run left behind.
pub fn sweep() -> Result<()> {
    for name in namespace::named(PREFIX)? {
        let owner = name[PREFIX.len()..].split('-').next().unwrap_or_default();
        if owner.parse::<u32>().is_ok() && !Path::new("/proc").join(owner).exists() {
            namespace::remove(&name)?;
        }
    }
    Ok(())
}

type End<'a> = (&'a Namespace, &'a str, &'a [&'a str]);

fn link(a: End<'_>, b: End<'_>) -> Result<()> {
    let peer = ["type", "veth", "peer", "name", b.1, "netns", b.0.name()];
    run(Command::new("ip").args(["-n", a.0.name(), "link", "add", a.1]).args(peer))?;
    for (space, interface, addresses) in [a, b] {
        for address in addresses {
            space.run(&format!("ip addr add {address} dev {interface} {}", nodad(address)))?;
        }
        space.run(&format!("ip link set {interface} up"))?;
    }
    Ok(())
}

fn nodad(address: &str) -> &'static str {
    if address.contains(':') { "nodad" } else { "" }
}

fn default_route(space: &Namespace, v4: &str, v6: &str) -> Result<()> {
    space.run(&format!("ip route add default via {v4} dev eth0 metric 100"))?;
    space.run(&format!("ip -6 route add default via {v6} dev eth0 metric 100")).map(drop)
}
