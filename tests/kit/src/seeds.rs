//! Many runs from many seeds; one that fails says how to have it again.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs a story once for each seed, on all processors, and returns what the runs returned, by seed. Where the
/// environment has `SEED=n`, only that one is run.
///
/// # Panics
/// After all runs, if some panicked: their seeds are named.
pub fn run<T: Send>(seeds: Range<u64>, story: impl Fn(u64) -> T + Sync) -> Vec<(u64, T)> {
    let seeds = match wanted() {
        Some(seed) if seeds.contains(&seed) => seed..seed + 1,
        Some(_) => return Vec::new(),
        None => seeds,
    };
    let next = AtomicU64::new(seeds.start);
    let results: Mutex<Vec<(u64, std::thread::Result<T>)>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let result = catch_unwind(AssertUnwindSafe(|| story(seed)));
                    results.lock().expect("nobody panics while holding it").push((seed, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("nobody panics while holding it");
    results.sort_by_key(|(seed, _)| *seed);
    let failed: Vec<String> = results
        .iter()
        .filter(|(_, result)| result.is_err())
        .map(|(seed, _)| format!("SEED={seed}"))
        .collect();
    assert!(failed.is_empty(), "{} of {} runs failed: {}", failed.len(), results.len(), failed.join(" "));
    results.into_iter().filter_map(|(seed, result)| Some((seed, result.ok()?))).collect()
}

/// Returns the seed that the environment asks for.
pub fn wanted() -> Option<u64> {
    std::env::var("SEED").ok().map(|text| text.parse().expect("SEED is a number"))
}
