//! policies/standard
