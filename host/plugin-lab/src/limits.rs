//! Bounds of tests, measurements and replays.

use std::time::Duration;

/// Questions of each kind with usual menus that a conformance test asks.
pub const USUAL: u64 = 200;
/// Questions of each kind with menus of another shape.
pub const ODD: u64 = 20;
/// Faults of one check that are told.
pub const FAULTS: usize = 3;
/// Differences between two documents that are told.
pub const DIFFERENCES: usize = 12;
/// Letters of a value that differs.
pub(crate) const VALUE_LETTERS: usize = 120;
/// The longest that one question is measured.
pub const MEASURED: Duration = Duration::from_secs(2);
/// Calls after which a measurement of one question ends.
pub const CALLS: usize = 20_000;
/// Calls before a measurement begins.
pub const WARM_UP: usize = 200;
/// Starts that are measured, with the compiler and from the cache.
pub const STARTS: [usize; 2] = [3, 20];
/// Candidates of a measured menu.
pub const CANDIDATES: u64 = 8;
/// The largest scenario that is read, in octets.
pub const SCENARIO_OCTETS: u64 = 4 << 20;
