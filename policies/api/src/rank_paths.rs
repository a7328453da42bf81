//! Which way an SA goes: the choice of addresses of MOBIKE (RFC 4555 §3.5).

use std::net::{IpAddr, SocketAddr};

use vpnhost_model::{Identity, LinkKind, Role};

use crate::{Attribute, Power, limits, ranking};

/// The ways to the peer. The host takes the best that works, and measures it before; what the answer
/// leaves out is not used; an empty answer stays where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PathMenu {
    /// The connection's name.
    pub connection: String,
    /// Why the question is asked.
    pub cause: PathCause,
    /// This host's role in the IKE SA.
    pub role: Role,
    /// Who the peer has proved to be.
    pub peer_id: Identity,
    /// The labels of its authorization.
    pub labels: Vec<Attribute>,
    /// The wall clock: seconds since 1970.
    pub unix_secs: u64,
    /// The index of the path in use.
    pub current: Option<u32>,
    /// The paths that the configuration allows, at most [`crate::limits::PATHS`].
    pub paths: Vec<PathFacts>,
    /// How long ago the SA moved last, if it ever did.
    pub since_move_ms: Option<u32>,
    /// How often it moved in the last ten minutes.
    pub moves: u16,
    /// What the machine runs on.
    pub power: Power,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

impl PathMenu {
    /// Returns the place of the path in use.
    pub fn in_use(&self) -> Option<usize> {
        self.current.and_then(|at| usize::try_from(at).ok()).filter(|&at| at < self.paths.len())
    }

    /// Tells whether a path does not work: its last probe failed, or it is in use and why the question is asked.
    pub fn has_failed(&self, at: usize) -> bool {
        let accused = self.cause == PathCause::SILENT || self.cause == PathCause::UNREACHABLE;
        let failed = self.paths.get(at).is_some_and(|path| path.standing == PathStanding::FAILED);
        failed || (accused && self.in_use() == Some(at))
    }
}

/// What made the host ask; a number where it crosses, so that it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathCause(pub u8);

impl PathCause {
    /// An operator, or a time that an earlier plan named.
    pub const REVIEW: Self = Self(0);
    /// A path appeared.
    pub const ADDED: Self = Self(1);
    /// A path went away.
    pub const REMOVED: Self = Self(2);
    /// The peer does not answer on the path in use.
    pub const SILENT: Self = Self(3);
    /// The network says that the peer cannot be reached.
    pub const UNREACHABLE: Self = Self(4);
    /// The peer's list of addresses changed.
    pub const PEER_ADDRESSES: Self = Self(5);
    /// The machine runs on something else.
    pub const POWER: Self = Self(6);

    /// Returns the cause's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::REVIEW => "review",
            Self::ADDED => "added",
            Self::REMOVED => "removed",
            Self::SILENT => "silent",
            Self::UNREACHABLE => "unreachable",
            Self::PEER_ADDRESSES => "peer-addresses",
            Self::POWER => "power",
            _ => "other",
        }
    }
}

/// What is known of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathFacts {
    /// This host's address.
    pub local: IpAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The interface's name.
    pub interface: String,
    /// What it is made of.
    pub kind: LinkKind,
    /// Whether traffic on it costs money.
    pub metered: bool,
    /// Whether the operator counts it as roaming: dearer than at home.
    pub roaming: bool,
    /// Its MTU in octets.
    pub mtu: u32,
    /// What the last probe of it showed.
    pub standing: PathStanding,
    /// The round-trip time measured last.
    pub rtt_us: Option<u32>,
    /// Lost probes, in thousandths.
    pub loss_permille: Option<u16>,
    /// The age of the measurements, where there are any.
    pub age_ms: Option<u32>,
    /// How long it has been there without interruption.
    pub up_ms: u32,
    /// How often it went away in the last ten minutes.
    pub flaps: u16,
    /// How often it was gone or silent in the last hour.
    pub outages: u16,
    /// For how long of that hour.
    pub outage_ms: u32,
    /// What a later host may add.
    pub hints: Vec<Attribute>,
}

/// What the last probe of a path showed; a number where it crosses, so that it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathStanding(pub u8);

impl PathStanding {
    /// There was none yet.
    pub const UNPROVEN: Self = Self(0);
    /// It was answered.
    pub const WORKS: Self = Self(1);
    /// It was not answered.
    pub const FAILED: Self = Self(2);

    /// Returns the standing's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::UNPROVEN => "unproven",
            Self::WORKS => "works",
            Self::FAILED => "failed",
            _ => "other",
        }
    }
}

/// The paths, best first, and how steadily the order is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRanking {
    /// Indices into [`PathMenu::paths`]; none twice. What is left out is not used.
    pub order: Vec<u32>,
    /// How long a better path must have been there ([`PathFacts::up_ms`]), and work, before a path that still
    /// works is left for it; within [`limits::SETTLE_MS`]. A path that no longer works is left at once.
    pub settle_ms: u32,
    /// When the question is asked again while there is traffic, after the paths have been measured; 0 never.
    /// Within [`limits::PATH_REVIEW_SECS`].
    pub review_after_secs: u32,
    /// The reason, for the operator.
    pub why: Option<String>,
}

impl PathRanking {
    /// Returns the ranking of these indices: a better path is taken at once, and nothing is asked again.
    pub fn of(order: impl IntoIterator<Item = usize>) -> Self {
        Self { order: ranking::order(order), settle_ms: 0, review_after_secs: 0, why: None }
    }

    /// Makes a better path wait before it is taken.
    pub fn settling(mut self, settle_ms: u32) -> Self {
        self.settle_ms = settle_ms;
        self
    }

    /// Has the question asked again.
    pub fn reviewed_after(mut self, review_after_secs: u32) -> Self {
        self.review_after_secs = review_after_secs;
        self
    }

    /// Adds a reason.
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Returns the paths in the ranking's order; an index out of range is passed over.
    pub fn pick<'a, T>(&self, paths: &'a [T]) -> Vec<&'a T> {
        ranking::pick(&self.order, paths)
    }
}

/// Tells whether an answer stays on the menu.
pub(crate) fn admits(menu: &PathMenu, answer: &PathRanking) -> bool {
    ranking::is_of(&answer.order, menu.paths.len())
        && limits::SETTLE_MS.admit(answer.settle_ms)
        && limits::PATH_REVIEW_SECS.admit(answer.review_after_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ranking_that_waits_longer_or_asks_more_often_than_it_may_is_off_the_menu() {
        let menu = PathMenu {
            connection: "corp".into(),
            cause: PathCause::REVIEW,
            role: Role::Initiator,
            peer_id: Identity::Fqdn("moon".into()),
            labels: Vec::new(),
            unix_secs: 0,
            current: None,
            paths: Vec::new(),
            since_move_ms: None,
            moves: 0,
            power: Power::UNKNOWN,
            hints: Vec::new(),
        };
        let ranking = PathRanking::of([]);
        assert!(admits(&menu, &ranking));
        assert!(admits(&menu, &ranking.clone().settling(3_600_000).reviewed_after(5)));
        assert!(!admits(&menu, &ranking.clone().settling(3_600_001)));
        assert!(!admits(&menu, &ranking.clone().reviewed_after(4)));
        assert!(!admits(&menu, &ranking.reviewed_after(86_401)));
        assert!(!admits(&menu, &PathRanking::of([0])));
    }
}
