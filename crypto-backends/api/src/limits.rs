//! Every bound of this crate.

/// Octets of stack that are overwritten behind the making of a key: more than any backend's calls take.
pub(crate) const WIPED_STACK: usize = 16 * 1024;
