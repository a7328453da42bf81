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
/// The most IKE SAs that [`crate::PeerClaim::others`] lists.
pub const OTHER_SAS: usize = 16;
/// The most names that [`crate::PeerCertificate::names`] lists, and the most purposes.
pub const NAMES: usize = 32;
/// The most pools in a [`crate::AddressMenu`].
pub const POOLS: usize = 64;
/// The most DNS servers of an [`crate::Assignment`].
pub const DNS_SERVERS: usize = 64;
/// The most certificates in a [`crate::CredentialMenu`].
pub const CREDENTIALS: usize = 32;
/// The most addresses in a [`crate::AdvertisementMenu`].
pub const ADDRESSES: usize = 16;
/// The most labels of an authorization.
pub const LABELS: usize = 16;
/// The most hints of a menu.
pub const HINTS: usize = 32;
/// The most octets of a reason, a label's key or its value; the plugin host cuts what is longer.
pub const TEXT_OCTETS: usize = 256;
