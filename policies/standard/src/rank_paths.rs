//! Cheap before dear, wired before wireless, no move without a reason, and no move back before it holds.

use vpnhost_model::LinkKind;
use vpnhost_policy::{PathFacts, PathMenu, PathRanking};

/// Loss from which a path comes after those that lose less, in thousandths.
const LOSSY_PERMILLE: u16 = 200;
/// How long a better path has to hold before it is taken.
const SETTLE_MS: u32 = 5_000;
/// The longest that flapping makes it wait.
const SETTLE_CAP_MS: u32 = 300_000;
/// Paths go away and come back: so many flaps and moves in ten minutes are what a walk through a door makes.
const ORDINARY: u32 = 2;
/// After this the paths are measured again, where that may show a better one.
const REVIEW_SECS: u32 = 60;

/// Ranks: paths that failed last, good before lossy, free before mobile before metered, the path in use
/// before its equals, then by kind of link and round-trip time; the address family does not count.
pub(crate) fn rank(menu: &PathMenu) -> PathRanking {
    let mut order: Vec<usize> = (0..menu.paths.len()).collect();
    order.sort_by_key(|&at| {
        let path = &menu.paths[at];
        let rtt = path.rtt_us.unwrap_or(u32::MAX);
        let used = menu.in_use() == Some(at);
        (menu.has_failed(at), is_lossy(path), cost(path), !used, order_of(path.kind), rtt, at)
    });
    let best = order.first().copied();
    let settle_ms = best.map_or(SETTLE_MS, |best| settle_ms(menu, best));
    let ranking = PathRanking::of(order).settling(settle_ms).reviewed_after(review_secs(menu, best));
    match best {
        Some(best) => ranking.because(why(menu, best, settle_ms)),
        None => ranking,
    }
}

fn is_lossy(path: &PathFacts) -> bool {
    path.loss_permille.is_some_and(|loss| loss >= LOSSY_PERMILLE)
}

/// Mobile networks cost battery, and often money that nobody declared.
fn cost(path: &PathFacts) -> u8 {
    match (path.metered, path.kind) {
        (true, _) => 2,
        (false, LinkKind::CELLULAR) => 1,
        (false, _) => 0,
    }
}

fn order_of(kind: LinkKind) -> u8 {
    match kind {
        LinkKind::LOOPBACK => 0,
        LinkKind::ETHERNET => 1,
        LinkKind::WIFI => 2,
        LinkKind::CELLULAR => 4,
        _ => 3,
    }
}

/// Doubles with each flap of the better path and each move of the SA beyond the ordinary, up to the cap.
fn settle_ms(menu: &PathMenu, best: usize) -> u32 {
    let unrest = u32::from(menu.paths[best].flaps) + u32::from(menu.moves);
    let doublings = unrest.saturating_sub(ORDINARY).min(16);
    (SETTLE_MS << doublings).min(SETTLE_CAP_MS)
}

/// Asks again where there is something to wait for: the path in use is not the one that one would choose
/// if all worked well, or nothing has been measured yet.
fn review_secs(menu: &PathMenu, best: Option<usize>) -> u32 {
    let Some(best) = best.filter(|_| menu.paths.len() > 1) else { return 0 };
    let unmeasured = menu.paths.iter().all(|path| path.rtt_us.is_none());
    let waits = menu.in_use().is_none_or(|used| {
        let current = &menu.paths[used];
        best != used || is_lossy(current) || menu.paths.iter().any(|path| cost(path) < cost(current))
    });
    if waits || unmeasured { REVIEW_SECS } else { 0 }
}

fn why(menu: &PathMenu, best: usize, settle_ms: u32) -> String {
    let path = &menu.paths[best];
    let facts = facts(path);
    let Some(used) = menu.in_use() else { return format!("{}: {facts}", name(path, None)) };
    let current = &menu.paths[used];
    if best == used {
        let state = if menu.has_failed(used) { "no path works" } else { "no path is better" };
        return format!("{} stays, {state}: {facts}", name(path, None));
    }
    let (better, worse) = (name(path, Some(current)), name(current, Some(path)));
    let fault = if menu.has_failed(used) {
        return format!("{better}, since {worse} failed: {facts}");
    } else if is_lossy(current) && !is_lossy(path) {
        format!("loses {} %", current.loss_permille.unwrap_or_default() / 10)
    } else if current.metered {
        "costs money".to_owned()
    } else {
        "is a mobile network".to_owned()
    };
    let wait = settle_ms.saturating_sub(path.up_ms).div_ceil(1000);
    let wait = if wait > 0 { format!(", once it has held for {wait} s more") } else { String::new() };
    format!("{better} instead of {worse}, which {fault}{wait}: {facts}")
}

fn facts(path: &PathFacts) -> String {
    let cost = if path.metered { "metered" } else { "unmetered" };
    let rtt = path.rtt_us.map_or_else(String::new, |rtt| match rtt / 1000 {
        0 => ", less than 1 ms".to_owned(),
        ms => format!(", {ms} ms"),
    });
    format!("{cost}, {}{rtt}", path.kind.name())
}

/// Names a path by its interface; beside another one over the same interface by the peer's address too.
fn name(path: &PathFacts, beside: Option<&PathFacts>) -> String {
    let interface: String = path.interface.chars().filter(|letter| !letter.is_control()).collect();
    match beside {
        Some(other) if other.interface == path.interface => format!("{interface} to {}", path.remote.ip()),
        Some(_) | None => interface,
    }
}

#[cfg(test)]
#[path = "rank_paths/tests.rs"]
mod tests;
