//! IKEv2 as a value that is fed and drained: no I/O, no clock, no randomness of its own.

pub mod extension;
pub mod limits;
pub mod wire;
