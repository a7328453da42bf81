//! Which path an IKE SA takes: every pair of addresses that the machine has a route for, with what is known of it.

use std::time::Duration;

use vpnhost_model::{Instant, LinkKind, Now};
use vpnhost_pki::identity::folded;
use vpnhost_policy::{PathCause, PathFacts, PathMenu, Question};

use crate::host::Host;
use crate::sa::IkeSa;
use crate::sa::paths::Candidate;

/// Builds the menu: the paths in the order in which the IKE SA has them.
pub(crate) fn question(sa: &IkeSa, host: &Host, now: Now, cause: PathCause) -> Option<Question> {
    let established = sa.established()?;
    let paths = &established.estate.mobility.paths;
    let current = sa.current_pair();
    let at = paths.all().iter().position(|candidate| Some(candidate.pair) == current);
    let moves = paths.moves(now.instant);
    let since_move = paths.last_move().map(|at| millis(now.instant.saturating_since(at)));
    let paths: Vec<PathFacts> =
        paths.all().iter().map(|candidate| facts(sa, host, now.instant, candidate)).collect();
    Some(Question::RankPaths(PathMenu {
        connection: established.connection.name.clone(),
        cause,
        role: sa.role,
        peer_id: folded(&established.peer_id),
        labels: established.labels.clone(),
        unix_secs: now.unix.as_secs(),
        current: at.and_then(|at| u32::try_from(at).ok()),
        paths,
        since_move_ms: since_move,
        moves,
        power: host.power,
        hints: Vec::new(),
    }))
}

/// Returns what is known of a pair of addresses.
pub(crate) fn facts(sa: &IkeSa, host: &Host, now: Instant, candidate: &Candidate) -> PathFacts {
    let pair = candidate.pair;
    let link = host.link_of(pair.local, Some(pair.interface));
    let flaps = sa.mobility().map_or(0, |mobility| mobility.paths.flaps(now, pair));
    let (outages, dark) = sa.mobility().map(|it| it.paths.outages(now, pair)).unwrap_or_default();
    PathFacts {
        local: pair.local,
        remote: sa.path_of(pair).remote,
        interface: link.map_or_else(String::new, |link| link.name.clone()),
        kind: link.map_or(LinkKind::OTHER, |link| link.kind),
        metered: link.is_some_and(|link| link.metered),
        roaming: link.is_some_and(|link| host.config.roaming.contains(&link.name)),
        mtu: link.map_or(0, |link| link.mtu),
        rtt_us: candidate.round_trip.map(|it| u32::try_from(it.time().as_micros()).unwrap_or(u32::MAX)),
        loss_permille: candidate.loss_permille,
        age_ms: candidate.answered.map(|at| millis(now.saturating_since(at))),
        standing: candidate.standing(now),
        up_ms: millis(now.saturating_since(candidate.since)),
        flaps,
        outages,
        outage_ms: millis(dark),
        hints: Vec::new(),
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
