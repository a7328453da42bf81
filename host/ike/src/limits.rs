//! Every bound on memory and work in this crate, by room.

pub use crate::wire::limits as wire;
