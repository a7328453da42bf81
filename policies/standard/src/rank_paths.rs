//! Cheap before dear, wired before wireless, and no move without a reason.

use vpnhost_model::LinkKind;
use vpnhost_policy::{PathCause, PathFacts, PathMenu, Ranking};

/// Loss from which a path comes after those that lose less, in thousandths.
const LOSSY_PERMILLE: u16 = 200;

/// Ranks: a path that has just failed last, usable before lossy, unmetered before metered, the path
/// in use before its equals, then by kind of link and round-trip time; the address family does not
/// count.
pub(crate) fn rank(menu: &PathMenu) -> Ranking {
    let in_use = menu.current.and_then(|at| usize::try_from(at).ok());
    let failed = menu.cause == PathCause::SILENT || menu.cause == PathCause::UNREACHABLE;
    let mut order: Vec<usize> = (0..menu.paths.len()).collect();
    order.sort_by_key(|&at| {
        let path = &menu.paths[at];
        let rtt = path.rtt_us.unwrap_or(u32::MAX);
        let has_failed = failed && in_use == Some(at);
        (has_failed, is_lossy(path), path.metered, in_use != Some(at), order_of(path.kind), rtt, at)
    });
    let ranking = Ranking::of(order);
    match why(menu, &ranking) {
        Some(why) => ranking.because(why),
        None => ranking,
    }
}

fn is_lossy(path: &PathFacts) -> bool {
    path.loss_permille.is_some_and(|loss| loss >= LOSSY_PERMILLE)
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

fn why(menu: &PathMenu, ranking: &Ranking) -> Option<String> {
    let best = ranking.pick(&menu.paths).into_iter().next()?;
    let cost = if best.metered { "metered" } else { "unmetered" };
    let standing = if ranking.order.first() == menu.current.as_ref() { "in use, " } else { "" };
    Some(format!("{standing}{cost}, {}", best.kind.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(kind: LinkKind, metered: bool, rtt_us: u32) -> PathFacts {
        PathFacts {
            local: [192, 0, 2, 1].into(),
            remote: ([198, 51, 100, 1], 4500).into(),
            interface: "eth0".into(),
            kind,
            metered,
            mtu: 1500,
            rtt_us: Some(rtt_us),
            loss_permille: None,
            age_ms: 0,
        }
    }

    fn order(cause: PathCause, current: Option<u32>, paths: Vec<PathFacts>) -> Vec<u32> {
        let menu = PathMenu {
            connection: "corp".into(),
            cause,
            current,
            paths,
            since_move_ms: None,
            hints: Vec::new(),
        };
        rank(&menu).order
    }

    #[test]
    fn unmetered_then_wired_then_quick() {
        let paths = vec![
            path(LinkKind::ETHERNET, true, 1),
            path(LinkKind::CELLULAR, false, 1),
            path(LinkKind::WIFI, false, 30),
            path(LinkKind::WIFI, false, 20),
            path(LinkKind::ETHERNET, false, 90),
        ];
        assert_eq!(order(PathCause::ADDED, None, paths), [4, 3, 2, 1, 0]);
    }

    #[test]
    fn the_path_in_use_stays_while_it_works() {
        let paths = vec![path(LinkKind::ETHERNET, false, 10), path(LinkKind::WIFI, false, 20)];
        assert_eq!(order(PathCause::ADDED, Some(1), paths.clone()), [1, 0]);
        assert_eq!(order(PathCause::SILENT, Some(1), paths.clone()), [0, 1]);
        assert_eq!(order(PathCause::UNREACHABLE, Some(0), paths), [1, 0]);
    }

    #[test]
    fn the_path_in_use_gives_way_to_a_free_one_and_when_it_loses_packets() {
        let dear = vec![path(LinkKind::CELLULAR, true, 10), path(LinkKind::WIFI, false, 20)];
        assert_eq!(order(PathCause::ADDED, Some(0), dear), [1, 0]);
        let lossy = PathFacts { loss_permille: Some(300), ..path(LinkKind::ETHERNET, false, 10) };
        assert_eq!(order(PathCause::REVIEW, Some(0), vec![lossy, path(LinkKind::WIFI, false, 20)]), [1, 0]);
    }
}
