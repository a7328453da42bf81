//! Tests, measures and replays plugins, outside any host: what `vpnhost plugin test`, `bench` and `replay` do, as values.
//!
//! A [`Subject`] is a component and how it is set up. [`conformance`] asks it all that a host may ask and plays a host
//! that is hostile, [`scenario`] asks what its author wrote down, [`mod@bench`] takes its time beside the built-in policy's,
//! and [`replay`] puts recorded questions to it. Nothing is printed here.

pub mod bench;
pub mod conformance;
pub mod difference;
pub mod limits;
pub mod questions;
pub mod replay;
#[cfg(test)]
mod round_trip;
pub mod scenario;
mod subject;

pub use subject::Subject;
