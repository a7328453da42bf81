//! A plugin that misbehaves as its settings say, so that tests see what the host makes of it.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use vpnhost_plugin_sdk::policy::{
    Attribute, Authorization, PathMenu, PathRanking, PeerClaim, Policy, ProposalMenu, Ranking,
};
use vpnhost_plugin_sdk::{
    Configure, SettingKind, SettingProblem, SettingSpec, Settings, data, kv, log, metrics,
};

/// Misbehaves, or answers in order where it is not told to.
#[derive(Debug)]
pub struct Hostile {
    behaviour: Behaviour,
    /// The only connection for which it misbehaves.
    connection: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// Runs for ever.
    Loop,
    /// Answers in the end, when nobody waits for it any more.
    Dawdle,
    /// Takes all the memory it gets.
    Hoard,
    /// Panics.
    Trap,
    /// Exhausts the stack.
    Recurse,
    /// Answers off the menu.
    Lie,
    /// Writes a hundred thousand lines, then answers.
    Flood,
    /// Gives a reason of a megabyte, and as many labels as fit.
    Giant,
    /// Abstains.
    Abstain,
    /// Fills its store with what it can, once for each connection, and answers with what it stored.
    StoreFlood,
    /// Writes to its store as if there were no bound.
    StoreSpree,
    /// Counts a thousand different things.
    Count,
    /// Counts its calls in its store, and answers with their number.
    Remember,
    /// The same, but panics in the end.
    Forget,
    /// Answers with what the table `users` says of the connection.
    LookUp,
    /// Counts its calls in its memory, and answers with their number: what it says depends on what it was asked before.
    Drift,
}

/// Calls that this instance has answered.
static CALLS: AtomicU32 = AtomicU32::new(0);

const BEHAVIOURS: [(&str, Behaviour); 16] = [
    ("loop", Behaviour::Loop),
    ("dawdle", Behaviour::Dawdle),
    ("hoard", Behaviour::Hoard),
    ("trap", Behaviour::Trap),
    ("recurse", Behaviour::Recurse),
    ("lie", Behaviour::Lie),
    ("flood", Behaviour::Flood),
    ("giant", Behaviour::Giant),
    ("abstain", Behaviour::Abstain),
    ("store-flood", Behaviour::StoreFlood),
    ("store-spree", Behaviour::StoreSpree),
    ("count", Behaviour::Count),
    ("remember", Behaviour::Remember),
    ("forget", Behaviour::Forget),
    ("look-up", Behaviour::LookUp),
    ("drift", Behaviour::Drift),
];

impl Policy for Hostile {
    fn name(&self) -> &str {
        "hostile"
    }

    fn rank_proposals(&self, menu: &ProposalMenu) -> Option<Ranking> {
        self.rank(&menu.connection, menu.suites.len())
    }

    fn authorize_peer(&self, claim: &PeerClaim) -> Option<Authorization> {
        let ranking = self.rank(&claim.connection, 1)?;
        let misbehaves = ranking.order != [0] || ranking.why.is_some();
        let count = if misbehaves { 10_000 } else { 1 };
        Some(Authorization::Allow { labels: vec![Attribute::new("by", "hostile"); count] })
    }

    fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
        let Ranking { order, why } = self.rank(&menu.connection, menu.paths.len())?;
        Some(PathRanking { order, settle_ms: 0, review_after_secs: 0, why })
    }
}

impl Hostile {
    fn rank(&self, connection: &str, count: usize) -> Option<Ranking> {
        let honest = Ranking::of(0..count);
        if self.connection.as_deref().is_some_and(|only| only != connection) {
            return Some(honest);
        }
        match self.behaviour {
            Behaviour::Loop => run_for_ever(),
            Behaviour::Dawdle => {
                for turn in 0..20_000_000_000u64 {
                    black_box(turn);
                }
                Some(honest)
            }
            Behaviour::Hoard => hoard(),
            Behaviour::Trap => panic!("told to panic on {connection}"),
            Behaviour::Recurse => Some(Ranking::of([recurse(0)])),
            Behaviour::Lie => Some(Ranking::of([count])),
            Behaviour::Flood => {
                (0..100_000).for_each(|line| log::info(&format!("line {line}")));
                Some(honest)
            }
            Behaviour::Giant => Some(honest.because("because ".repeat(1 << 17))),
            Behaviour::Abstain => None,
            Behaviour::StoreFlood => {
                let fits = |number: &u32| kv::set(&format!("{connection} {number}"), [7; 4096]).is_ok();
                Some(honest.because(format!("{} values", (0..200).filter(fits).count())))
            }
            Behaviour::StoreSpree => {
                (0..100_000).for_each(|number| drop(kv::set(&format!("{connection} {number}"), "x")));
                Some(honest)
            }
            Behaviour::Count => {
                (0..1000).for_each(|number| metrics::count(&format!("thing_{number}"), 1));
                metrics::gauge("thing_0", 7.0);
                Some(honest)
            }
            Behaviour::Remember => Some(honest.because(format!("call {}", remember(connection)))),
            Behaviour::Forget => panic!("told to panic after call {}", remember(connection)),
            Behaviour::Drift => {
                let count = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
                Some(honest.because(format!("call {count}")))
            }
            Behaviour::LookUp => {
                let found = data::get("users", connection);
                Some(honest.because(found.unwrap_or_else(|| "unknown".to_owned())))
            }
        }
    }
}

impl Configure for Hostile {
    const SETTINGS: &'static [SettingSpec] = &[
        SettingSpec {
            key: "behaviour",
            kind: SettingKind::Text,
            required: true,
            summary: "how it misbehaves; `configure-` before it: at configuration",
        },
        SettingSpec {
            key: "connection",
            kind: SettingKind::Text,
            required: false,
            summary: "the only connection for which it misbehaves",
        },
    ];

    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>> {
        let told = settings.text("behaviour").unwrap_or_default();
        let (now, name) = told.strip_prefix("configure-").map_or((false, told), |name| (true, name));
        let Some((_, behaviour)) = BEHAVIOURS.iter().find(|(it, _)| *it == name) else {
            return Err(vec![SettingProblem::with("behaviour", format!("`{name}` is none I know"))]);
        };
        let connection = settings.text("connection").map(str::to_owned);
        let policy = Self { behaviour: *behaviour, connection };
        if now {
            policy.rank("configure", 1);
        }
        Ok(policy)
    }
}

fn run_for_ever() -> ! {
    let mut turn = 0u64;
    loop {
        turn = black_box(turn.wrapping_add(1));
    }
}

fn hoard() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 16]));
    }
}

/// Counts in the store.
fn remember(connection: &str) -> u32 {
    let before = kv::get_text(connection).and_then(|text| text.parse().ok()).unwrap_or(0);
    let count: u32 = before + 1;
    if let Err(refused) = kv::set(connection, count.to_string()) {
        log::error(&refused.to_string());
    }
    count
}

/// Small frames: the run time's stack ends before the guest's own, in its memory, does.
fn recurse(depth: usize) -> usize {
    let depth = black_box(depth);
    if depth == usize::MAX { depth } else { black_box(recurse(depth + 1)) ^ depth }
}

vpnhost_plugin_sdk::export_policy!(Hostile: rank_proposals, authorize_peer, rank_paths);
