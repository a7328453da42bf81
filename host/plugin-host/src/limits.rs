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
/// The most peers whose failures of `authorize_peer` are counted; the one that failed longest ago is forgotten.
pub const FAULTY_PEERS: usize = 1024;
/// The most octets of a signature's file that are read.
pub(crate) const SIGNATURE_OCTETS: u64 = 4 << 10;
/// The most compiled components that are kept.
pub(crate) const COMPILED_ENTRIES: usize = 64;
/// The most octets of compiled components that are kept, and of one of them.
pub(crate) const COMPILED_OCTETS: u64 = 512 << 20;
/// The last questions of a plugin that another component is tried with.
pub const RECENT_QUESTIONS: usize = 64;
/// The most questions that wait for a component that is only compared; others it is not asked.
pub const SHADOW_QUESTIONS: usize = 256;
/// The most values that one call may ask of its imports: each is recorded.
pub const IMPORTED_VALUES: usize = 256;
/// The most octets of the values that one call may ask of its imports, with what it asks for.
pub const IMPORTED_OCTETS: usize = 32 << 10;
/// The most keys of a plugin's store.
pub const STORE_KEYS: usize = 4096;
/// The most octets of a plugin's store, keys and values.
pub const STORE_OCTETS: usize = 1 << 20;
/// The most octets of a key in a store.
pub const STORE_KEY_OCTETS: usize = 128;
/// The most octets of a value in a store.
pub const STORE_VALUE_OCTETS: usize = 4 << 10;
/// The most keys that one call of `kv.keys` returns.
pub const STORE_KEYS_LISTED: usize = 256;
/// The most octets of a store's file: its content, the lengths of keys and values, and what stands before them.
pub(crate) const STORE_FILE_OCTETS: u64 = (STORE_OCTETS + STORE_KEYS * 8 + 1024) as u64;
/// The most octets of the name of a plugin whose store is kept.
pub const STORE_NAME_OCTETS: usize = 64;
/// After a store was written it is not written again for so long.
pub(crate) const STORE_PAUSE: Duration = Duration::from_secs(1);
/// The most numbers that a plugin shows.
pub const METRICS: usize = 32;
/// The most octets of a number's name.
pub const METRIC_NAME_OCTETS: usize = 64;
/// The most tables of a plugin.
pub const TABLES: usize = 16;
/// The largest table that is read, in octets.
pub const TABLE_OCTETS: u64 = 64 << 20;
/// The most rows of a table.
pub const TABLE_ROWS: usize = 1_000_000;
/// The most octets of a table's key.
pub const TABLE_KEY_OCTETS: usize = 256;
/// The most octets of a table's value.
pub const TABLE_VALUE_OCTETS: usize = 1024;
