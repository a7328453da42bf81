use vpnhost_model::{Identity, Role};
use vpnhost_policy::{PathCause, PathStanding, Power};

use super::*;

/// A path over an interface that is called as its kind is, and that has been there for long.
fn path(kind: LinkKind, metered: bool, rtt_us: u32) -> PathFacts {
    PathFacts {
        local: [192, 0, 2, 1].into(),
        remote: ([198, 51, 100, 1], 4500).into(),
        interface: kind.name().into(),
        kind,
        metered,
        roaming: false,
        mtu: 1500,
        rtt_us: Some(rtt_us),
        loss_permille: None,
        age_ms: Some(0),
        standing: PathStanding::WORKS,
        up_ms: 600_000,
        flaps: 0,
        outages: 0,
        outage_ms: 0,
        hints: Vec::new(),
    }
}

fn cable() -> PathFacts {
    path(LinkKind::ETHERNET, false, 10_000)
}

fn wifi() -> PathFacts {
    path(LinkKind::WIFI, false, 20_000)
}

fn mobile() -> PathFacts {
    path(LinkKind::CELLULAR, true, 60_000)
}

fn failed(path: PathFacts) -> PathFacts {
    PathFacts { standing: PathStanding::FAILED, ..path }
}

fn lossy(path: PathFacts) -> PathFacts {
    PathFacts { loss_permille: Some(300), ..path }
}

fn menu(cause: PathCause, current: Option<u32>, paths: Vec<PathFacts>) -> PathMenu {
    PathMenu {
        connection: "corp".into(),
        cause,
        role: Role::Initiator,
        peer_id: Identity::Fqdn("moon".into()),
        labels: Vec::new(),
        unix_secs: 0,
        current,
        paths,
        since_move_ms: None,
        moves: 0,
        power: Power::UNKNOWN,
        hints: Vec::new(),
    }
}

fn order(cause: PathCause, current: Option<u32>, paths: Vec<PathFacts>) -> Vec<u32> {
    rank(&menu(cause, current, paths)).order
}

fn sentence(cause: PathCause, current: Option<u32>, paths: Vec<PathFacts>) -> String {
    rank(&menu(cause, current, paths)).why.unwrap_or_default()
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
    let paths = vec![cable(), wifi()];
    assert_eq!(order(PathCause::ADDED, Some(1), paths.clone()), [1, 0]);
    assert_eq!(order(PathCause::SILENT, Some(1), paths.clone()), [0, 1]);
    assert_eq!(order(PathCause::UNREACHABLE, Some(0), paths), [1, 0]);
}

#[test]
fn the_path_in_use_gives_way_to_a_free_one_and_when_it_loses_packets() {
    assert_eq!(order(PathCause::ADDED, Some(0), vec![mobile(), wifi()]), [1, 0]);
    let undeclared = PathFacts { metered: false, ..mobile() };
    assert_eq!(order(PathCause::ADDED, Some(0), vec![undeclared, wifi()]), [1, 0]);
    assert_eq!(order(PathCause::REVIEW, Some(0), vec![lossy(cable()), wifi()]), [1, 0]);
}

#[test]
fn a_path_whose_probe_failed_comes_last_whatever_it_costs() {
    let paths = vec![failed(cable()), lossy(wifi()), mobile()];
    assert_eq!(order(PathCause::REVIEW, Some(0), paths), [2, 1, 0]);
    let all = vec![failed(mobile()), failed(wifi())];
    assert_eq!(order(PathCause::SILENT, Some(0), all), [1, 0], "some order there must be");
}

#[test]
fn a_better_path_waits_for_five_seconds_and_longer_the_more_it_flaps_and_the_sa_moves() {
    let wait = |flaps: u16, moves: u16| {
        let back = PathFacts { flaps, up_ms: 0, ..wifi() };
        rank(&PathMenu { moves, ..menu(PathCause::ADDED, Some(0), vec![mobile(), back]) }).settle_ms
    };
    assert_eq!(wait(0, 0), 5_000);
    assert_eq!(wait(1, 1), 5_000, "away and back once is no flapping");
    assert_eq!([wait(2, 1), wait(2, 3), wait(3, 5), wait(3, 6)], [10_000, 40_000, 300_000, 300_000]);
    assert_eq!(wait(u16::MAX, u16::MAX), 300_000);
}

#[test]
fn it_is_asked_again_only_where_there_is_something_to_wait_for() {
    let review =
        |current, paths: Vec<PathFacts>| rank(&menu(PathCause::REVIEW, current, paths)).review_after_secs;
    assert_eq!(review(Some(0), vec![mobile()]), 0, "one path is no choice");
    assert_eq!(review(Some(0), vec![cable(), wifi(), mobile()]), 0, "the best is in use");
    assert_eq!(review(Some(1), vec![failed(wifi()), mobile()]), 60, "the free one may come back");
    assert_eq!(review(Some(1), vec![failed(cable()), wifi()]), 0, "the wireless one is as good");
    assert_eq!(review(Some(0), vec![mobile(), wifi()]), 60, "the better one has to hold");
    assert_eq!(review(Some(0), vec![lossy(wifi()), failed(cable())]), 60, "what is in use is poor");
    assert_eq!(review(None, vec![cable(), wifi()]), 60, "nothing is in use");
    let unmeasured = |path| PathFacts { rtt_us: None, age_ms: None, ..path };
    assert_eq!(review(Some(0), vec![unmeasured(cable()), unmeasured(wifi())]), 60);
    assert_eq!(review(Some(0), Vec::new()), 0);
}

#[test]
fn the_reason_is_a_sentence_for_the_operator() {
    assert_eq!(sentence(PathCause::ADDED, None, vec![cable()]), "ethernet: unmetered, ethernet, 10 ms");
    assert_eq!(
        sentence(PathCause::ADDED, Some(1), vec![cable(), wifi()]),
        "wifi stays, no path is better: unmetered, wifi, 20 ms"
    );
    assert_eq!(
        sentence(PathCause::SILENT, Some(0), vec![cable(), mobile()]),
        "cellular, since ethernet failed: metered, cellular, 60 ms"
    );
    assert_eq!(
        sentence(PathCause::SILENT, Some(0), vec![cable()]),
        "ethernet stays, no path works: unmetered, ethernet, 10 ms"
    );
    let back = PathFacts { up_ms: 1_200, ..wifi() };
    assert_eq!(
        sentence(PathCause::ADDED, Some(0), vec![mobile(), back]),
        "wifi instead of cellular, which costs money, once it has held for 4 s more: unmetered, wifi, 20 ms"
    );
    assert_eq!(
        sentence(PathCause::REVIEW, Some(0), vec![lossy(cable()), wifi()]),
        "wifi instead of ethernet, which loses 30 %: unmetered, wifi, 20 ms"
    );
    let other = PathFacts { remote: ([203, 0, 113, 7], 4500).into(), rtt_us: Some(300), ..wifi() };
    assert_eq!(
        sentence(PathCause::SILENT, Some(0), vec![wifi(), other]),
        "wifi to 203.0.113.7, since wifi to 198.51.100.1 failed: unmetered, wifi, less than 1 ms"
    );
}
