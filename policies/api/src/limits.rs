//! Bounds of menus and answers.

use crate::Bounds;

/// The most suites in a [`crate::ProposalMenu`]; a configuration that expands further is refused.
pub const SUITES: usize = 64;
/// The most paths in a [`crate::PathMenu`].
pub const PATHS: usize = 64;
/// The most traffic selectors on one side of a menu or an answer.
pub const SELECTORS: usize = 64;
/// How long a better path may be made to wait, in milliseconds: [`crate::PathRanking::settle_ms`].
pub const SETTLE_MS: Bounds = Bounds::new(0, 3_600_000);
/// When a ranking of paths may be asked for again, in seconds: [`crate::PathRanking::review_after_secs`].
pub const PATH_REVIEW_SECS: Bounds = Bounds::new(5, 86_400).or_zero();
/// The most labels of an authorization.
pub const LABELS: usize = 16;
/// The most hints of a menu.
pub const HINTS: usize = 32;
/// The most octets of a reason, a label's key or its value; the plugin host cuts what is longer.
pub const TEXT_OCTETS: usize = 256;
