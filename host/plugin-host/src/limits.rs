//! Bounds of what a plugin may take.

use std::time::Duration;

/// What an operator may set for each plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most octets of linear memory.
    pub memory: usize,
    /// The longest that one call may take.
    pub call: Duration,
    /// The most lines that one call may write to the log.
    pub log_lines: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 16 << 20, call: Duration::from_millis(50), log_lines: 100 }
    }
}

/// The largest file that is read.
pub const FILE_OCTETS: u64 = 64 << 20;
/// The longest that instantiation, `describe` and `configure` together may take.
pub const START: Duration = Duration::from_secs(1);
/// How often running guests are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// The guests' stack.
pub(crate) const STACK_OCTETS: usize = 512 << 10;
/// The most octets that cross from the guest to the host in one call.
pub(crate) const CROSSING_OCTETS: usize = 256 << 10;
/// The most entries of a guest's tables.
pub(crate) const TABLE_ENTRIES: usize = 20_000;
/// The most core instances, memories and tables in a component.
pub(crate) const CORE_ITEMS: usize = 64;
/// The most octets of a line that a guest writes to the log.
pub(crate) const LOG_LINE_OCTETS: usize = 1024;
/// Failures within [`FAULT_WINDOW`] that switch a plugin off.
pub const FAULTS: usize = 5;
/// How long a failure counts.
pub const FAULT_WINDOW: Duration = Duration::from_secs(60);
/// How long a plugin stays switched off.
pub const PAUSE: Duration = Duration::from_secs(60);
